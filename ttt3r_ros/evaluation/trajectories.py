"""
Errors of camera trajectories: alignment (Umeyama), ATE and RPE.

Definitions follow Sturm et al., "A benchmark for the evaluation of RGB-D SLAM systems" (2012), and
equal those of the tool `evo`, against which they are tested.
"""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.errors import ReconstructionError
from ttt3r_ros.geometry.se3 import Transform, inverse, rotation_angle

Float = NDArray[np.float64]
Alignment = Literal['sim3', 'se3', 'none']
_REVISIT_LAG, _REVISIT_RADIUS, _REVISIT_ANGLE = 100, 0.5, math.radians(30)  # frames, metres
_PIECE = 1 << 20  # pairs of frames that are compared at a time


class Similarity(NamedTuple):
    """The map x → scale · rotation · x + translation."""

    scale: float
    rotation: Float  # [3, 3]
    translation: Float  # [3]

    def apply(self, points: NDArray[np.floating]) -> Float:
        """Map points [..., 3]."""
        moved = self.scale * (points @ self.rotation.T) + self.translation
        return np.asarray(moved, dtype=np.float64)


class RelativeError(NamedTuple):
    """Root mean squares over all pairs of frames."""

    translation: float  # metres
    rotation: float  # radians


def umeyama(
    source: NDArray[np.floating], target: NDArray[np.floating], with_scale: bool
) -> Similarity:
    """
    Find the similarity that takes one point set to another, in least squares (Umeyama 1991).

    A source that does not extend at all (a static camera) has neither scale nor rotation: it gets
    scale 1, no rotation, and the translation to the target's mean.

    :param source: points [N, 3]
    :param target: the same points in the other frame [N, 3]
    :param with_scale: estimate the scale too; otherwise it is 1
    :return: scale, rotation and translation
    :raises ValueError: if the shapes differ or are not [N, 3] with N ≥ 1
    """
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 3 or not len(source):
        raise ValueError(f'point sets of shapes {source.shape} and {target.shape} do not match')
    source, target = source.astype(np.float64), target.astype(np.float64)
    mean_source, mean_target = source.mean(axis=0), target.mean(axis=0)
    centred = source - mean_source
    variance = float(np.mean(np.sum(centred**2, axis=1)))
    rounding = (1e-12 * (1.0 + float(np.abs(source).max()))) ** 2
    if variance <= rounding:
        return Similarity(1.0, np.eye(3), mean_target - mean_source)
    covariance = (target - mean_target).T @ centred / len(source)
    u, singular, vt = np.linalg.svd(covariance)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(signs) @ vt
    scale = float(singular @ signs) / variance if with_scale else 1.0
    return Similarity(scale, rotation, mean_target - scale * rotation @ mean_source)


def align(estimate: Transform, truth: Transform, alignment: Alignment = 'sim3') -> Transform:
    """
    Move a whole trajectory onto the true one, by its camera positions.

    :param estimate: `T_world_camera` [N, 4, 4]
    :param truth: the same frames' true poses [N, 4, 4]
    :param alignment: similarity, rigid motion, or as it is
    :return: moved poses; the scale acts on positions only [N, 4, 4]
    :raises ValueError: if shapes differ, there is no frame, or the alignment is unknown
    :raises ReconstructionError: if a pose is not finite
    """
    if estimate.shape != truth.shape or estimate.shape[1:] != (4, 4) or not len(estimate):
        raise ValueError(f'trajectories of shapes {estimate.shape}, {truth.shape} do not match')
    if alignment not in ('sim3', 'se3', 'none'):
        raise ValueError(f'alignment is {alignment!r}; choose one of sim3, se3, none')
    for name, poses in (('estimate', estimate), ('truth', truth)):
        bad = np.flatnonzero(~np.isfinite(poses).all(axis=(1, 2)))
        if len(bad):
            raise ReconstructionError(f'pose {bad[0]} of the {name} is not finite')
    if alignment == 'none':
        return estimate.astype(np.float64)
    found = umeyama(estimate[:, :3, 3], truth[:, :3, 3], with_scale=alignment == 'sim3')
    moved = estimate.astype(np.float64)
    moved[:, :3, :3] = found.rotation @ moved[:, :3, :3]
    moved[:, :3, 3] = found.apply(moved[:, :3, 3])
    return moved


def absolute_trajectory_error(
    estimate: Transform, truth: Transform, alignment: Alignment = 'sim3'
) -> float:
    """
    Compute the ATE: root mean square distance of camera positions after alignment.

    :param estimate: `T_world_camera` [N, 4, 4]
    :param truth: the same frames' true poses [N, 4, 4]
    :param alignment: of the estimate to the truth
    :return: metres
    """
    distance = align(estimate, truth, alignment)[:, :3, 3] - truth[:, :3, 3]
    return float(np.sqrt(np.mean(np.sum(distance**2, axis=1))))


def relative_pose_error(
    estimate: Transform,
    truth: Transform,
    alignment: Alignment = 'sim3',
    numbers: Sequence[int] | None = None,
) -> RelativeError:
    """
    Compute the RPE over all pairs of neighbouring frames, after alignment of the whole trajectory.

    :param estimate: `T_world_camera` [N, 4, 4]
    :param truth: the same frames' true poses [N, 4, 4]
    :param alignment: of the estimate to the truth
    :param numbers: of the frames in the recording, where some between have no pose [N]
    :return: root mean square of translation [m] and of rotation [rad]; NaN without a pair
    """
    moved = align(estimate, truth, alignment)
    counted = np.arange(len(moved)) if numbers is None else np.asarray(numbers)
    first = np.flatnonzero(np.diff(counted) == 1)
    if not len(first):
        return RelativeError(float('nan'), float('nan'))
    motion = inverse(moved[first]) @ moved[first + 1]
    true_motion = inverse(truth[first]) @ truth[first + 1]
    error = inverse(true_motion) @ motion
    translation = np.sqrt(np.mean(np.sum(error[:, :3, 3] ** 2, axis=1)))
    return RelativeError(float(translation), float(np.sqrt(np.mean(rotation_angle(error) ** 2))))


def mean_rotation_error(estimate: Transform, truth: Transform) -> float:
    """
    Compute by how much the camera is turned wrongly, on average, since the first frame.

    Unlike the position's, this error needs no alignment.

    :param estimate: `T_world_camera` [N, 4, 4]
    :param truth: the same frames' true poses [N, 4, 4]
    :return: radians
    """
    turned, truly = inverse(estimate[:1]) @ estimate, inverse(truth[:1]) @ truth
    return float(np.mean(rotation_angle(inverse(truly) @ turned)))


def revisits(truth: Transform) -> float:
    """
    Tell how much a trajectory loops.

    :param truth: `T_world_camera` [N, 4, 4]
    :return: share of frames, the first 100 left out, whose camera is within 0.5 m and 30° of
        where it was at least 100 frames earlier; NaN for a trajectory of up to 100 frames
    """
    position, forward = truth[:, :3, 3], truth[:, :3, 2]
    later = np.arange(_REVISIT_LAG, len(truth))
    if not len(later):
        return float('nan')
    seen = 0
    for part in np.array_split(later, -(-len(later) * len(truth) // _PIECE)):
        before = np.arange(part[-1] - _REVISIT_LAG + 1)
        near = np.linalg.norm(position[part, None] - position[before], axis=-1) < _REVISIT_RADIUS
        same = forward[part] @ forward[before].T > math.cos(_REVISIT_ANGLE)
        old = before <= part[:, None] - _REVISIT_LAG
        seen += int(np.count_nonzero((near & same & old).any(axis=1)))
    return seen / len(later)
