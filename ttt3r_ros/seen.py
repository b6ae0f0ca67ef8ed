"""What the network said of one image, brought from the device to numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from ttt3r_ros.geometry import se3
from ttt3r_ros.model.network import Prediction
from ttt3r_ros.view import Health

_FARTHEST = 1e5  # metres from the start
LARGEST_DRIFT = 100.0  # of the state from its start, relative; trained networks stay near 1


@dataclass(frozen=True)
class Seen:
    """The network's output for one image, in numpy."""

    T_chunk_camera: se3.Transform
    points: NDArray[np.float32]
    confidence: NDArray[np.float32]
    world_points: NDArray[np.float32] | None
    focal: float
    health: Health

    @classmethod
    def download(cls, prediction: Prediction, focal: Tensor) -> Seen:
        """Copy from the device, the small numbers in one piece, with the focal length [1]."""
        health = torch.cat(list(prediction.health))
        parts = [prediction.translation[0], prediction.quat_wxyz[0], focal, health]
        small = torch.cat([part.float() for part in parts]).cpu().double().numpy()
        pose = np.full((4, 4), np.nan)
        if np.isfinite(small[:7]).all():
            pose = se3.from_translation_quat(small[:3], small[3:7])
        world = prediction.world_points
        return cls(
            pose,
            _to_numpy(prediction.points),
            _to_numpy(prediction.confidence),
            None if world is None else _to_numpy(world),
            float(small[7]),
            Health(gain=float(small[8]), change=float(small[9]), drift=float(small[10])),
        )

    def is_sound(self) -> bool:
        """Whether everything is finite, the state has not exploded, and there is a focal."""
        health = self.health
        numbers = [self.focal, health.gain, health.change, health.drift]
        return bool(
            np.isfinite(numbers).all()
            and np.isfinite(self.T_chunk_camera).all()
            and (np.abs(self.T_chunk_camera) < _FARTHEST).all()
            and np.isfinite(self.points).all()
            and np.isfinite(self.confidence).all()
            and self.focal > 0
            and health.drift < LARGEST_DRIFT
        )


def _to_numpy(tensor: Tensor) -> NDArray[np.float32]:
    return np.asarray(tensor[0].float().cpu().numpy(), np.float32)
