"""What is measured of a run: each scorer watches the frames go by and tells the errors so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
import math
from pathlib import Path
import resource
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
import torch

from ttt3r_ros.errors import DatasetError, Ttt3rError
from ttt3r_ros.evaluation.depth import ALIGNMENTS, DepthSequence, resize_depth
from ttt3r_ros.evaluation.trajectories import (
    absolute_trajectory_error,
    mean_rotation_error,
    relative_pose_error,
    revisits,
    umeyama,
)
from ttt3r_ros.geometry.camera import ImageMapping, Intrinsics
from ttt3r_ros.geometry.se3 import Transform
from ttt3r_ros.io.frames import Frame

Float32 = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]
_STRIP_WIDTH = 160  # pixels of the pictures kept for figures
_STRIP_LENGTH = 16  # pictures kept
_WARM_UP = 10  # frames
_LEAST_POSES = 3  # fewer are aligned exactly, whatever they are


class Estimate(Protocol):
    """What is needed of a `View`."""

    @property
    def T_world_camera(self) -> Transform:  # noqa: N802
        """Pose of the camera, in metres [4, 4]."""
        ...

    @property
    def points(self) -> Float32:
        """Points in the camera's frame, in metres [h, w, 3]."""
        ...

    @property
    def mapping(self) -> ImageMapping:
        """How the image became the network's."""
        ...


class Estimator(Protocol):
    """What is needed of a `Reconstructor`."""

    def add(self, image: NDArray[np.uint8], *, camera: Intrinsics | None = None) -> Estimate:
        """Take the next image, RGB [H, W, 3]."""
        ...


class BatchEstimator(Protocol):
    """Reconstructs several recordings side by side, a frame of each at a time."""

    def add(
        self, images: Sequence[NDArray[np.uint8]], cameras: Sequence[Intrinsics | None]
    ) -> Sequence[Estimate | Ttt3rError]:
        """Take the next image of each, RGB [H, W, 3]; what fails does not disturb the others."""
        ...


class Scorer(Protocol):
    """Measures one run over one recording."""

    def add(self, frame: Frame, estimate: Estimate, seconds: float) -> None:
        """Take what was estimated of the next frame, and how long that took."""
        ...

    def score(self) -> dict[str, float]:
        """
        Measure all frames so far.

        :raises DatasetError: if the ground truth does not allow it
        """
        ...

    def arrays(self) -> Arrays:
        """Return what the figures need."""
        ...


class PoseScorer:
    """Trajectory errors; frames without a pose are not counted, those lost by tracking forbid."""

    def __init__(self) -> None:
        self._estimates: list[Transform] = []
        self._truths: list[Transform] = []
        self._numbers: list[int] = []  # of the frames that have a true pose
        self._lost: list[bool] = []  # of those frames that the tracker of `pnp` has seen

    def add(self, frame: Frame, estimate: Estimate, seconds: float) -> None:
        """Take the next pose."""
        del seconds
        tracking = getattr(estimate, 'tracking', None)
        if tracking is not None:
            self._lost.append(tracking.status == 'lost')
        if frame.T_world_camera is not None:
            self._estimates.append(np.asarray(estimate.T_world_camera, dtype=np.float64))
            self._truths.append(frame.T_world_camera)
            self._numbers.append(frame.index)

    def score(self) -> dict[str, float]:
        """Return errors in metres, degrees and percent, and the scale from estimate to truth."""
        if not self._truths:
            raise DatasetError('no frame has a true pose')
        if len(self._truths) < _LEAST_POSES:
            raise DatasetError(
                f'{len(self._truths)} of the frames have a true pose; to align a trajectory, at '
                f'least {_LEAST_POSES} must'
            )
        estimate, truth = np.stack(self._estimates), np.stack(self._truths)
        if not np.isfinite(truth).all():
            raise DatasetError('a true pose is not finite: tracking was lost')
        relative = relative_pose_error(estimate, truth, numbers=self._numbers)
        ate = absolute_trajectory_error(estimate, truth)
        path = float(np.linalg.norm(np.diff(truth[:, :3, 3], axis=0), axis=1).sum())
        return {
            'ate': ate,
            **({'ate_of_path': 100 * ate / path} if path > 0 else {}),
            'rotation': math.degrees(mean_rotation_error(estimate, truth)),
            **({'lost': 100 * float(np.mean(self._lost))} if self._lost else {}),
            'rpe_translation': relative.translation,
            'rpe_rotation': math.degrees(relative.rotation),
            'ate_se3': absolute_trajectory_error(estimate, truth, 'se3'),
            'scale': umeyama(estimate[:, :3, 3], truth[:, :3, 3], with_scale=True).scale,
            'path': path,
            'poses': len(truth),
            'revisits': revisits(truth),
        }

    def arrays(self) -> Arrays:
        """Return both trajectories [N, 4, 4]."""
        shape = (-1, 4, 4)
        return {
            'estimate': np.array(self._estimates).reshape(shape),
            'truth': np.array(self._truths).reshape(shape),
        }


class DepthScorer:
    """
    Depth errors under all alignments, over the part of the image that the network saw.

    :param farthest: ground truth counts below, metres
    :param clip: aligned predictions are clipped there, metres
    :param step: only every so manieth row and column of the true depth counts
    """

    def __init__(self, farthest: float = math.inf, clip: float = math.inf, step: int = 1) -> None:
        self._sequence = DepthSequence(farthest=farthest, clip=clip, step=step)

    def add(self, frame: Frame, estimate: Estimate, seconds: float) -> None:
        """Take the next depth map, if it has a true one."""
        del seconds
        truth = frame.depth()
        if truth is not None:
            self._sequence.add(estimate.points[..., 2], visible_part(truth, estimate.mapping))

    def score(self) -> dict[str, float]:
        """Return `<alignment>/<error>` for all alignments, and the number of pixels."""
        values: dict[str, float] = {}
        for alignment in ALIGNMENTS:
            errors = asdict(self._sequence.errors(alignment))
            values['pixels'] = errors.pop('pixels')
            values |= {f'{alignment}/{name}': value for name, value in errors.items()}
        return values

    def arrays(self) -> Arrays:
        """Return nothing: whole depth maps are too large to keep."""
        return {}


class DepthStrip:
    """Keeps small pictures of some evenly spread frames; scores nothing."""

    def __init__(self) -> None:
        self._kept: list[tuple[NDArray[Any], ...]] = []
        self._count, self._every = 0, 1

    def add(self, frame: Frame, estimate: Estimate, seconds: float) -> None:
        """Keep the frame if it is its turn; the fewer, the more there have been."""
        del seconds
        number = self._count
        truth = frame.depth() if number % self._every == 0 else None
        self._count += 1
        if truth is None:
            return
        whole = (frame.image(), truth)
        image, depth = (visible_part(picture, estimate.mapping) for picture in whole)
        size = (_STRIP_WIDTH, max(1, round(_STRIP_WIDTH * image.shape[0] / image.shape[1])))
        depth = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST)
        if not np.isfinite(depth).any():  # there is nothing to draw
            return
        self._kept.append(
            (
                cv2.resize(image, size, interpolation=cv2.INTER_AREA),
                depth,
                resize_depth(estimate.points[..., 2], *size),
                np.array(number),
            )
        )
        if len(self._kept) > _STRIP_LENGTH:
            self._kept, self._every = self._kept[::2], self._every * 2

    def score(self) -> dict[str, float]:
        """Return nothing."""
        return {}

    def arrays(self) -> Arrays:
        """Return images [K, h, w, 3], depths in metres [K, h, w], and the frames' numbers [K]."""
        names = ('images', 'true_depths', 'depths', 'numbers')
        columns = zip(*self._kept, strict=True)
        return {name: np.stack(list(c)) for name, c in zip(names, columns, strict=False)}


class EfficiencyScorer:
    """Frames per second and peak memory; the first frames, which warm up, are not timed."""

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._peak = 0.0
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def add(self, frame: Frame, estimate: Estimate, seconds: float) -> None:
        """Take the next frame's time."""
        del frame, estimate
        self._seconds.append(seconds)
        self._peak = max(self._peak, _memory())

    def score(self) -> dict[str, float]:
        """Return mean rate, rate of the last 50 frames [Hz], and peak memory [GB]."""
        timed = self._seconds[_WARM_UP:] or self._seconds
        return {
            'fps': len(timed) / sum(timed),
            'fps_last': len(timed[-50:]) / sum(timed[-50:]),
            'memory': self._peak / 1e9,
        }

    def arrays(self) -> Arrays:
        """Return the seconds of each frame [N]."""
        return {'seconds': np.array(self._seconds)}


def visible_part(picture: NDArray[Any], mapping: ImageMapping) -> NDArray[Any]:
    """
    Cut out what the network saw of an image.

    :param picture: anything registered to the input image, of any size [H, W, ...]
    :param mapping: from the input image to the network's
    :return: a view [H', W', ...]
    """
    height, width = picture.shape[:2]
    x = width / (mapping.input_width * mapping.scale_x)
    y = height / (mapping.input_height * mapping.scale_y)
    top, left = round(mapping.offset_y * y), round(mapping.offset_x * x)
    bottom = round((mapping.offset_y + mapping.height) * y)
    right = round((mapping.offset_x + mapping.width) * x)
    return picture[top:bottom, left:right]


def _memory() -> float:
    """Return the bytes in use: peak of a GPU's tensors, or of this process now, without files."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    fields = Path('/proc/self/statm').read_text(encoding='ascii').split()
    resident, of_files = int(fields[1]), int(fields[2])  # a rendered room is a file, too
    return float((resident - of_files) * resource.getpagesize())
