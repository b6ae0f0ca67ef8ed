"""
The newest films of a run, on the device that trains, and batches drawn from them.

A film serves several times: another stretch of it, forwards or backwards, mirrored, in other
colours. What a step draws depends on the run's seed, its step and the films that are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ttt3r_ros.geometry.quaternion import multiply, rotate
from ttt3r_ros.training.batches import GREY, SWAPPED, Batch
from ttt3r_ros.training.films import Film, Size

_GAIN, _GAMMA = 0.08, 0.15  # standard deviations of logarithms, of each channel and of all
_COVERED = 0.04  # share of frames, after the first, of which a part is hidden


class _Shelf(NamedTuple):
    """Films of one size; N places."""

    rgb: Tensor  # uint8 [N, T, 3, H, W]
    log_depth: Tensor  # float16 [N, T, H, W]
    focal: Tensor  # [N]
    translation: Tensor  # [N, T, 3]
    quat_wxyz: Tensor  # [N, T, 4]


@dataclass
class _Places:
    shelf: _Shelf
    stored: int = 0  # ever; the newest replace the oldest


class Archive:
    """
    Films on a device.

    :param seed: of all draws
    :param capacity: films kept of each size
    :param device: where they are kept and batches are made
    """

    def __init__(self, seed: int, capacity: int, device: torch.device) -> None:
        self._seed, self._capacity, self._device = seed, capacity, device
        self._places: dict[Size, _Places] = {}

    def add(self, films: Sequence[Film]) -> None:
        """Keep films, all of one length, in the places of the oldest."""
        for size in dict.fromkeys(film.size for film in films):
            self._add([film for film in films if film.size == size], size)

    def _add(self, films: list[Film], size: Size) -> None:
        new = _Shelf(
            torch.from_numpy(np.stack([film.rgb for film in films])).movedim(-1, 2),
            torch.from_numpy(np.stack([film.log_depth for film in films])),
            torch.tensor([film.focal for film in films], dtype=torch.float32),
            torch.from_numpy(np.stack([film.translation for film in films])),
            torch.from_numpy(np.stack([film.quat_wxyz for film in films])),
        )
        if size not in self._places:
            empty = (
                torch.empty(
                    (self._capacity, *part.shape[1:]), dtype=part.dtype, device=self._device
                )
                for part in new
            )
            self._places[size] = _Places(_Shelf(*empty))
        places = self._places[size]
        index = torch.arange(places.stored, places.stored + len(films)) % self._capacity
        for part, films_part in zip(places.shelf, new, strict=True):
            part[index.to(self._device)] = films_part.to(self._device)
        places.stored += len(films)

    def draw(self, step: int, count: int, length: int) -> Batch:
        """
        Make the batch of a step.

        :param step: of the run
        :param count: sequences of the batch, all of one size; common sizes come more often
        :param length: frames of each
        :raises ValueError: films are shorter, or there are none
        """
        rng = Random(f'archive {self._seed} {step}')
        sizes = sorted(self._places)
        if not sizes:
            raise ValueError('the archive holds no films')
        (size,) = rng.choices(sizes, [self._places[one].stored for one in sizes])
        places = self._places[size]
        shelf, frames = places.shelf, places.shelf.rgb.shape[1]
        if frames < length:
            raise ValueError(f'films of {frames} frames have no stretch of {length}')
        random = torch.Generator().manual_seed(rng.getrandbits(63))
        which = torch.randint(min(places.stored, self._capacity), (count,), generator=random)
        when = torch.randint(frames - length + 1, (count, 1), generator=random)
        when = when + torch.arange(length)
        backwards = torch.rand(count, 1, generator=random) < 0.5
        when = torch.where(backwards, when.flip(1), when)
        place = (which.to(self._device)[:, None], when.to(self._device))
        batch = Batch(
            shelf.rgb[place].float() / 127.5 - 1,
            shelf.log_depth[place].float(),
            shelf.focal[place[0][:, 0]],
            *_from_first(shelf.translation[place], shelf.quat_wxyz[place]),
        )
        batch = _mirror(batch, torch.rand(count, generator=random) < 0.5)
        return batch._replace(image=_change(batch.image, rng, random))


def _from_first(translation: Tensor, quat_wxyz: Tensor) -> tuple[Tensor, Tensor]:
    """Express poses [B, T, …] in the frame of each sequence's first camera."""
    first = quat_wxyz[:, :1]
    back = torch.cat([first[..., :1], -first[..., 1:]], dim=-1).expand_as(quat_wxyz)
    quat = multiply(back, quat_wxyz)
    moved = rotate(back, translation - translation[:, :1])
    return moved, torch.where(quat[..., :1] < 0, -quat, quat)


def _mirror(batch: Batch, chosen: Tensor) -> Batch:
    """Exchange left and right in the chosen sequences [B]."""
    chosen = chosen.to(batch.image.device)
    position = torch.tensor([-1.0, 1.0, 1.0], device=chosen.device)
    turn = torch.tensor([1.0, 1.0, -1.0, -1.0], device=chosen.device)

    def choose(mirrored: Tensor, plain: Tensor) -> Tensor:
        return torch.where(chosen.view(-1, *(1,) * (plain.dim() - 1)), mirrored, plain)

    return batch._replace(
        image=choose(batch.image.flip(-1), batch.image),
        log_depth=choose(batch.log_depth.flip(-1), batch.log_depth),
        translation=choose(batch.translation * position, batch.translation),
        quat_wxyz=choose(batch.quat_wxyz * turn, batch.quat_wxyz),
    )


def _change(image: Tensor, rng: Random, random: torch.Generator) -> Tensor:
    """Change the colours of sequences [B, T, 3, H, W] in [-1, 1], and cover parts of frames."""
    mixes = torch.stack([_mix(rng) for _ in range(len(image))])
    gain = (_GAIN * torch.randn(len(image), 3, generator=random)).exp()
    gamma = (_GAMMA * torch.randn(len(image), 1, 1, 1, 1, generator=random)).exp()
    colours = (gain[:, :, None] * mixes).to(image.device)
    light = torch.einsum('bij,btjhw->btihw', colours, (image + 1) / 2).clamp(1e-4, 1)
    changed = 2 * light ** gamma.to(image.device) - 1
    return torch.where(_covers(image.shape, random, image.device), -0.9, changed)


def _mix(rng: Random) -> Tensor:
    """Draw what becomes of the colour channels of one sequence [3, 3]."""
    if rng.random() < GREY:
        return torch.full((3, 3), 1 / 3)
    mix = torch.eye(3)
    return mix[rng.sample(range(3), 3)] if rng.random() < SWAPPED else mix


def _covers(shape: torch.Size, random: torch.Generator, device: torch.device) -> Tensor:
    """Draw which pixels something dark hides [B, T, 1, H, W]."""
    batch, length, _, height, width = shape
    hidden = torch.rand(batch, length, 1, 1, generator=random) < _COVERED
    hidden[:, 0] = False
    sides: list[Tensor] = []
    for side in (height, width):
        ends = torch.rand(2, batch, length, 1, generator=random).sort(dim=0).values * side
        low, high = ends.to(device)
        place = torch.arange(side, device=device)
        sides.append((place >= low) & (place < high))
    covers: Tensor = (sides[0][..., :, None] & sides[1][..., None, :] & hidden.to(device))[
        :, :, None
    ]
    return covers
