"""Random textures by what they are for: walls, floors, wood, books, screens, paper."""

from __future__ import annotations

import colorsys
import math
from random import Random

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.synthetic import arrays as a

Colour = tuple[float, float, float]


class Materials:
    """
    Draws textures and keeps the table of those drawn.

    :param rng: source of all randomness
    :param groups: photographic tiles by what they suit: 'any', 'wood', 'wall', 'floor', 'picture'
    """

    def __init__(self, rng: Random, groups: dict[str, list[int]]) -> None:
        self.rng = rng
        self.groups = groups
        self.rows: list[list[float]] = []

    def table(self) -> NDArray[np.float32]:
        """Return all textures drawn so far [M, TEXTURE_COLUMNS]."""
        return np.array(self.rows, dtype=np.float32)

    def add(
        self, kind: int, first: Colour, second: Colour = (0.5, 0.5, 0.5), *, scale: float = 1.0,
        ratio: float = 1.0, noise: float = 0.1, noise_scale: float = 0.3, turn: float = 0.0,
        tile: int = 0, emission: float = 0.0, gloss: float = 0.0, fit: bool = False,
    ) -> int:  # fmt: skip
        """Add one texture to the table and return its index."""
        self.rows.append(
            [
                kind, *first, *second, scale, noise_scale, noise, math.cos(turn), math.sin(turn),
                float(self.rng.randrange(1 << 20)), tile, emission, gloss, float(fit), ratio,
            ]
        )  # fmt: skip
        return len(self.rows) - 1

    def colour(
        self, value_min: float = 0.05, value_max: float = 0.9, vivid: float = 0.35
    ) -> Colour:
        """Draw a colour in linear light; `vivid` is the largest saturation but for rare ones."""
        rng = self.rng
        saturation = rng.uniform(0.0, vivid) if rng.random() < 0.8 else rng.uniform(0.3, 0.9)
        value = rng.uniform(value_min, value_max)
        red, green, blue = colorsys.hsv_to_rgb(rng.random(), saturation, value)
        return red**1.8, green**1.8, blue**1.8

    def pale(self) -> Colour:
        """Draw a near-white colour, as walls and ceilings have."""
        return self._tinted(0.65, 0.97)

    def _tinted(self, low: float, high: float) -> Colour:
        value, tint = self.rng.uniform(low, high), self.rng.uniform(0.0, 0.15)
        red, green, blue = colorsys.hsv_to_rgb(self.rng.random(), tint, value)
        return red**1.8, green**1.8, blue**1.8

    def photo(self, group: str, *, fit: bool = False, size: float = 1.0) -> int | None:
        """Add a photographic texture, or return None where no tile suits."""
        tiles = self.groups.get(group) or self.groups.get('any')
        if not tiles:
            return None
        gain = self.rng.uniform(0.6, 1.25)
        tint = (
            gain * self.rng.uniform(0.8, 1.1), gain, gain * self.rng.uniform(0.8, 1.1)
        )  # fmt: skip
        return self.add(
            a.PHOTO, tint, scale=size, noise=self.rng.uniform(0.0, 0.2), fit=fit,
            tile=self.rng.choice(tiles), turn=self.rng.choice((0.0, math.pi / 2)),
        )  # fmt: skip

    def _photo_or(self, share: float, group: str, size: float) -> int | None:
        return self.photo(group, size=size) if self.rng.random() < share else None

    def wall(self) -> int:
        """Draw a wall: mostly plain and pale, sometimes papered, tiled or of brick."""
        rng = self.rng
        found = self._photo_or(0.2, 'wall', rng.uniform(0.5, 2.5))
        if found is not None:
            return found
        base = self.pale() if rng.random() < 0.8 else self.colour(0.2, 0.8)
        kind = rng.choice((a.PLAIN, a.PLAIN, a.CLOUDS, a.BRICKS, a.STRIPES, a.BRICKS, a.BLOTCHES))
        other = tuple(min(1.0, c * rng.uniform(0.5, 1.2)) for c in base)
        return self.add(
            kind, base, (other[0], other[1], other[2]), scale=rng.uniform(0.08, 0.4),
            ratio=rng.uniform(1.0, 3.0), noise=rng.uniform(0.01, 0.15),
            noise_scale=rng.uniform(0.2, 1.5), gloss=rng.choice((0.0, 0.0, 0.2)),
        )  # fmt: skip

    def floor(self) -> int:
        """Draw a floor: wood, carpet, tiles, plain or photographic."""
        rng = self.rng
        choice = rng.random()
        if choice < 0.3:
            return self.wood()
        found = self._photo_or(0.35, 'floor', rng.uniform(0.6, 2.5))
        if found is not None:
            return found
        kind = rng.choice(
            (a.CARPET, a.CARPET, a.CHECKS, a.BRICKS, a.CLOUDS, a.BLOTCHES, a.STRIPES)
        )
        scale = 0.01 if kind == a.CARPET else rng.uniform(0.15, 0.6)
        return self.add(
            kind, self.colour(0.1, 0.8, 0.35), self.colour(0.1, 0.8, 0.35), scale=scale,
            noise=rng.uniform(0.02, 0.3), noise_scale=rng.uniform(0.05, 0.6),
            turn=rng.choice((0.0, math.pi / 2, rng.uniform(0, math.pi))),
            gloss=rng.choice((0.0, 0.0, 0.5)),
        )  # fmt: skip

    def wood(self) -> int:
        """Draw wood, light to dark."""
        rng = self.rng
        found = self._photo_or(0.35, 'wood', rng.uniform(0.4, 1.5))
        if found is not None:
            return found
        value = rng.uniform(0.15, 0.75)
        warm = colorsys.hsv_to_rgb(rng.uniform(0.04, 0.11), rng.uniform(0.25, 0.75), value)
        dark = rng.uniform(0.5, 0.85)
        return self.add(
            a.WOOD, (warm[0], warm[1], warm[2]), (warm[0] * dark, warm[1] * dark, warm[2] * dark),
            scale=rng.uniform(0.3, 0.8), noise=rng.uniform(0.02, 0.15), noise_scale=0.3,
            turn=rng.choice((0.0, math.pi / 2)), gloss=rng.choice((0.0, 0.3, 0.8)),
        )  # fmt: skip

    def object(self) -> int:
        """Draw the surface of some object."""
        rng = self.rng
        found = self._photo_or(0.2, 'any', rng.uniform(0.2, 0.8))
        if found is not None:
            return found
        kind = rng.choice(
            (a.PLAIN, a.PLAIN, a.PLAIN, a.CLOUDS, a.BLOTCHES, a.STRIPES, a.CHECKS, a.TEXT)
        )
        return self.add(
            kind, self.colour(0.03, 0.95), self.colour(0.03, 0.95), scale=rng.uniform(0.03, 0.25),
            ratio=2.0 if kind == a.TEXT else 1.0, noise=rng.uniform(0.02, 0.35),
            noise_scale=math.exp(rng.uniform(math.log(0.03), math.log(0.5))),
            turn=rng.choice((0.0, math.pi / 2, rng.uniform(0, math.pi))),
            gloss=rng.choice((0.0, 0.0, 0.3, 1.0)),
        )  # fmt: skip

    def furniture(self) -> int:
        """Draw the surface of a piece of furniture: wood, white, black or coloured."""
        choice = self.rng.random()
        if choice < 0.45:
            return self.wood()
        if choice < 0.7:
            return self.plain(self.pale(), gloss=0.3)
        return self.object() if choice < 0.85 else self.plain(self.colour(0.02, 0.6))

    def plain(self, colour: Colour, *, gloss: float = 0.0, noise: float = 0.06) -> int:
        """Add an almost uniform surface."""
        return self.add(a.PLAIN, colour, noise=noise, noise_scale=0.2, gloss=gloss)

    def picture(self) -> int:
        """Draw what hangs on walls or lies on desks: a photograph, a poster, a printed page."""
        rng = self.rng
        found = self.photo('picture', fit=True) if rng.random() < 0.55 else None
        if found is not None:
            return found
        if rng.random() < 0.5:
            return self.paper()
        return self.add(
            rng.choice((a.BLOTCHES, a.CLOUDS, a.CHECKS, a.TEXT)), self.colour(), self.colour(),
            scale=rng.uniform(0.02, 0.2), noise=0.3, noise_scale=rng.uniform(0.05, 0.3),
        )  # fmt: skip

    def paper(self) -> int:
        """Draw a printed page."""
        return self.add(
            a.TEXT, self.pale(), self.colour(0.02, 0.3, 0.2), scale=self.rng.uniform(0.006, 0.03),
            ratio=self.rng.uniform(0.5, 1.0), noise=0.02,
        )  # fmt: skip

    def screen(self) -> int:
        """Draw a display: off (dark, glossy) or showing something."""
        if self.rng.random() < 0.5:
            return self.plain(self.colour(0.01, 0.12, 0.2), gloss=0.3, noise=0.02)
        found = self.photo('picture', fit=True)
        return self.picture() if found is None else found

    def keyboard(self) -> int:
        """Draw a grid of keys."""
        return self.add(
            a.KEYS,
            self.colour(0.05, 0.9, 0.1),
            self.colour(0.02, 0.6, 0.1),
            scale=0.019,
            noise=0.05,
        )

    def lamp(self) -> int:
        """Add a surface that shines."""
        return self.add(a.PLAIN, self.pale(), noise=0.0, emission=self.rng.uniform(1.5, 4.0))

    def window(self) -> int:
        """Draw a bright view through a window."""
        found = self.photo('picture', fit=True) if self.rng.random() < 0.4 else None
        if found is None:
            return self.add(
                a.CLOUDS, self.pale(), self.colour(0.5, 0.9, 0.4), scale=1.0,
                noise_scale=self.rng.uniform(0.2, 1.0), emission=self.rng.uniform(1.0, 3.5),
            )  # fmt: skip
        self.rows[found][a.EMISSION] = self.rng.uniform(1.0, 3.0)
        return found
