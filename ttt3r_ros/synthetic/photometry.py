"""From radiance to pictures: exposure, white balance, vignetting, tone curve, blur and noise."""

from __future__ import annotations

from dataclasses import dataclass
import math
from random import Random

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.synthetic.compile import compiled


@compiled
def _develop(
    radiance: np.ndarray, gain: np.ndarray, vignette: float, gamma: float, contrast: float,
    developed: np.ndarray,
) -> None:  # fmt: skip
    """Write the picture in [0, 1] [H, W, 3]; gain is per channel [3]."""
    height, width, _ = radiance.shape
    for y in range(height):
        for x in range(width):
            dx, dy = (2.0 * x / width - 1.0), (2.0 * y / height - 1.0)
            fall = 1.0 - vignette * (dx * dx + dy * dy)
            for i in range(3):
                value = max(0.0, radiance[y, x, i] * gain[i] * fall)
                value = min(1.0, value) ** gamma
                developed[y, x, i] = value + contrast * value * (1 - value) * (2 * value - 1)


@compiled
def _filter(source: np.ndarray, dx: float, dy: float, side: float, target: np.ndarray) -> None:
    """
    Blur along a path and by a small kernel, or sharpen.

    :param dx: length of the blurring path, pixels
    :param side: weight of each of the four neighbours; negative sharpens
    """
    height, width, _ = source.shape
    steps = 1 + int(min(9.0, math.sqrt(dx * dx + dy * dy)))
    for y in range(height):
        for x in range(width):
            for i in range(3):
                target[y, x, i] = 0.0
            for s in range(steps):
                shift = (s + 0.5) / steps - 0.5
                px = min(width - 1, max(0, int(x + dx * shift + 0.5)))
                py = min(height - 1, max(0, int(y + dy * shift + 0.5)))
                left, right = max(0, px - 1), min(width - 1, px + 1)
                top, low = max(0, py - 1), min(height - 1, py + 1)
                for i in range(3):
                    around = (
                        source[py, left, i] + source[py, right, i]
                        + source[top, px, i] + source[low, px, i]
                    )  # fmt: skip
                    value = (1 - 4 * side) * source[py, px, i] + side * around
                    target[y, x, i] += value / steps


@compiled
def _quantise(picture: np.ndarray, noise: float, seed: int, block: float, out: np.ndarray) -> None:
    """Add noise (a sum of three uniform numbers) and coarse 8-pixel chroma steps; round."""
    height, width, _ = picture.shape
    state = np.uint64(seed * 2 + 1)
    for y in range(height):
        for x in range(width):
            for i in range(3):
                state ^= state << np.uint64(13)
                state ^= state >> np.uint64(7)
                state ^= state << np.uint64(17)
                bits = int(state >> np.uint64(16))
                total = (bits & 0xFFFF) + ((bits >> 16) & 0xFFFF) + ((bits >> 32) & 0xFFFF)
                value = picture[y, x, i] + noise * 2.0 * (total / 65536.0 - 1.5)
                if block > 0.0:
                    value = math.floor(value / block + 0.5) * block
                out[y, x, i] = np.uint8(min(255.0, max(0.0, value * 255.0 + 0.5)))


@dataclass
class Photography:
    """How one camera turns light into pictures; exposure drifts as the light changes."""

    target: float
    balance: NDArray[np.float64]  # gain of red, green, blue [3]
    vignette: float
    gamma: float
    contrast: float
    shutter: float  # share of a frame's time during which light is gathered
    side: float  # blur (> 0) or sharpening (< 0)
    noise: float
    block: float
    exposure: float = 0.0

    @classmethod
    def draw(cls, rng: Random, overexposed: float = 0.0) -> Photography:
        """
        Draw a camera's character.

        :param overexposed: share of cameras that take up to four times too much light
        """
        camera = cls(
            target=rng.uniform(0.16, 0.5),
            balance=np.array([rng.uniform(0.8, 1.25), 1.0, rng.uniform(0.75, 1.3)]),
            vignette=rng.choice((0.0, rng.uniform(0.0, 0.25))),
            gamma=rng.uniform(0.38, 0.6),
            contrast=rng.uniform(-0.3, 1.2),
            shutter=rng.choice((0.0, rng.uniform(0.0, 0.9))),
            side=rng.uniform(-0.1, 0.16),
            noise=0.02 * rng.random() ** 2,
            block=rng.choice((0.0, 0.0, rng.uniform(0.01, 0.03))),
        )
        # without a share nothing more is drawn: sequences stay as they were
        if overexposed and rng.random() < overexposed:
            camera.target *= rng.uniform(1.3, 4.0)
        return camera

    @classmethod
    def neutral(cls) -> Photography:
        """Return a camera without any defect."""
        return cls(0.3, np.ones(3), 0.0, 0.45, 0.3, 0.0, 0.0, 0.0, 0.0)

    def picture(
        self, radiance: NDArray[np.float64], shift: tuple[float, float], seed: int
    ) -> NDArray[np.uint8]:
        """
        Develop one frame.

        :param radiance: linear [H, W, 3]
        :param shift: image motion since the last frame, pixels (x, y)
        :param seed: of the noise
        :return: RGB [H, W, 3]
        """
        wanted = math.log(self.target / (float(np.minimum(radiance, 3.0).mean()) + 1e-3))
        is_first = self.exposure == 0.0
        self.exposure = wanted if is_first else 0.9 * self.exposure + 0.1 * wanted
        gain = math.exp(self.exposure) * self.balance
        developed, filtered = np.empty_like(radiance), np.empty_like(radiance)
        _develop(radiance, gain, self.vignette, self.gamma, self.contrast, developed)
        dx, dy = (max(-12.0, min(12.0, s * self.shutter)) for s in shift)
        _filter(developed, dx, dy, self.side, filtered)
        picture = np.empty(radiance.shape, np.uint8)
        _quantise(filtered, self.noise, seed, self.block, picture)
        return picture
