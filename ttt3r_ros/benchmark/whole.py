"""The whole way of an image through the reconstructor, measured."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
import torch

from ttt3r_ros.benchmark.cases import SEED, Row, build, row
from ttt3r_ros.benchmark.clock import Clock
from ttt3r_ros.reconstructor import Reconstructor, ReconstructorConfig


def reconstructor_rows(clock: Clock) -> list[Row]:
    """Measure an image's whole way through the reconstructor of the small model, 640 x 480 in."""
    network, rows = build('small', 'float32', clock.device), []
    image = np.random.default_rng(SEED).integers(0, 256, (480, 640, 3), np.uint8)
    image = np.asarray(cv2.GaussianBlur(image, (0, 0), 3), np.uint8)
    config = ReconstructorConfig(device=str(clock.device), threads=torch.get_num_threads())
    for source in ('network', 'pnp'):
        pan = Pan(image, Reconstructor(replace(config, pose_source=source), network))
        rows.append(row(f'Reconstructor.add, pose source {source}', clock.measure(pan.add)))
    prepare = Pan(image, Reconstructor(config, network))
    rows.append(row('of it Reconstructor.prepare', clock.measure(prepare.prepare)))
    return rows


@dataclass
class Pan:
    """An image that moves to the left and back, and who looks at it."""

    image: NDArray[np.uint8]
    reconstructor: Reconstructor
    index: int = 0

    def _next(self) -> NDArray[np.uint8]:
        self.index += 1
        return np.ascontiguousarray(np.roll(self.image, abs(self.index % 40 - 20), axis=1))

    def add(self) -> object:
        """Reconstruct the next image."""
        return self.reconstructor.add(self._next())

    def prepare(self) -> object:
        """Do of the next image what can be done ahead."""
        return self.reconstructor.prepare(self._next())
