"""Several recordings through the network at once, which takes less time for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
import torch

from ttt3r_ros.errors import ReconstructionError, Ttt3rError
from ttt3r_ros.geometry.camera import ImageMapping, Intrinsics
from ttt3r_ros.geometry.se3 import Transform, from_translation_quat
from ttt3r_ros.model.network import Prediction, go_back
from ttt3r_ros.model.update_rules import UPDATE_RULES
from ttt3r_ros.preprocess import fit_image, to_tensor
from ttt3r_ros.reconstructor import Reconstructor
from ttt3r_ros.seen import LARGEST_DRIFT
from ttt3r_ros.view import Tracking
from ttt3r_ros.watch import ConfidenceWatch, shows_nothing

Float32 = NDArray[np.float32]


class Estimated(NamedTuple):
    """What the network says of an image; named as in `View`."""

    T_world_camera: Transform
    points: Float32
    mapping: ImageMapping
    tracking: Tracking


class BatchReconstructor:
    """
    Does what as many `Reconstructor`s with poses from the network do, in one batch.

    :param single: tells settings, network and device; its own state is not used
    :param count: of recordings; their images are of one size, and begin together
    """

    def __init__(self, single: Reconstructor, count: int) -> None:
        assert can_batch(single)
        self._single = single
        self._watches = [ConfidenceWatch() for _ in range(count)]
        self._last_poses = [np.eye(4)] * count
        with torch.inference_mode():
            self._state = single.network.initial_state(count)

    @torch.inference_mode()
    def add(
        self, images: Sequence[NDArray[np.uint8]], cameras: Sequence[Intrinsics | None]
    ) -> list[Estimated | Ttt3rError]:
        """Take the next image of each recording, RGB [H, W, 3], and its camera if it is known."""
        network, config = self._single.network, self._single.config
        fitted = [fit_image(image, network.config, crop=config.fit == 'crop') for image in images]
        detailed = to_tensor(
            [one.detailed for one in fitted], self._single.device, self._single.dtype
        )
        prediction, state = network.step(detailed, self._state, UPDATE_RULES[config.update_rule])
        seen = _Downloaded.of(prediction)
        lost = [
            shows_nothing(one.image) or watch.collapsed(confidence)
            for one, watch, confidence in zip(fitted, self._watches, seen.confidence, strict=True)
        ]
        # neither state nor pose learn from what shows nothing
        where = torch.tensor(lost, device=self._single.device)
        self._state = go_back(self._state, state, where) if any(lost) else state
        pinhole = network.config.points == 'pinhole'
        estimates = [
            seen.estimate(index, one.mapping, camera if pinhole else None)
            for index, (one, camera) in enumerate(zip(fitted, cameras, strict=True))
        ]
        return [
            self._tracked(index, estimate, lost=lost[index])
            for index, estimate in enumerate(estimates)
        ]

    def _tracked(
        self, index: int, estimate: Estimated | Ttt3rError, *, lost: bool
    ) -> Estimated | Ttt3rError:
        """Repeat a recording's last pose where it is lost; else remember it."""
        if isinstance(estimate, Ttt3rError):
            return estimate
        if lost:
            tracking = Tracking(status='lost', unseen=True)
            return estimate._replace(T_world_camera=self._last_poses[index], tracking=tracking)
        self._last_poses[index] = estimate.T_world_camera
        return estimate


def can_batch(single: Reconstructor) -> bool:
    """Whether a batch can do what a `Reconstructor` of these settings does."""
    config = single.config
    return not single.tracks and config.reset_interval == 0 and config.upright != 'on'


class _Downloaded(NamedTuple):
    """A batch's prediction in NumPy."""

    points: Float32  # [B, H, W, 3]
    confidence: Float32  # [B, H, W]
    translation: NDArray[np.float64]  # [B, 3]
    quat_wxyz: NDArray[np.float64]  # [B, 4]
    drift: NDArray[np.float64]  # of the state [B]

    @classmethod
    def of(cls, prediction: Prediction) -> _Downloaded:
        vectors = (prediction.translation, prediction.quat_wxyz, prediction.health.drift)
        return cls(
            prediction.points.float().cpu().numpy(),
            prediction.confidence.float().cpu().numpy(),
            *(vector.double().cpu().numpy() for vector in vectors),
        )

    def estimate(
        self, index: int, mapping: ImageMapping, camera: Intrinsics | None
    ) -> Estimated | ReconstructionError:
        """Return one recording's part; an error where it makes no sense."""
        parts = [part[index] for part in self]
        if not all(np.isfinite(part).all() for part in parts) or parts[-1] >= LARGEST_DRIFT:
            return ReconstructionError('the network’s output is not finite')
        points, _, translation, quat, _ = parts
        if camera is not None:
            points = mapping.to_output(camera).rays() * points[..., 2:]
        pose = from_translation_quat(translation, quat)
        return Estimated(pose, points, mapping, Tracking(status='network'))
