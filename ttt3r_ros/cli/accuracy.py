"""How far a reconstruction is from the ground truth that came with the recording."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.evaluation.depth import DepthErrors, depth_errors, pool
from ttt3r_ros.evaluation.trajectories import Similarity, absolute_trajectory_error, umeyama
from ttt3r_ros.geometry.se3 import Transform
from ttt3r_ros.io.frames import DepthImage, Frame

_logger = logging.getLogger(__name__)
_LEAST_POSES = 3  # fewer are aligned exactly, whatever they are


class Accuracy:
    """Gathers errors frame by frame; frames without ground truth are passed over."""

    def __init__(self) -> None:
        self._estimates: list[Transform] = []
        self._truths: list[Transform | None] = []
        self._metric: list[DepthErrors] = []
        self._scaled: list[DepthErrors] = []

    def add_pose(self, T_world_camera: Transform, truth: Transform | None) -> None:
        """Add the pose of the next frame [4, 4], and the true one, if known."""
        self._estimates.append(T_world_camera)
        self._truths.append(truth)

    def add_depth(self, depth: NDArray[np.floating], truth: NDArray[np.floating]) -> None:
        """
        Add a depth map.

        :param depth: metres, NaN where there is none [H, W]
        :param truth: metres, NaN where unknown [H, W]
        """
        valid = np.isfinite(depth) & (truth > 0)
        if not valid.any():
            return
        estimated, true = depth[valid].astype(np.float32), truth[valid].astype(np.float32)
        ratio = float(np.median(true) / np.median(estimated))
        self._metric.append(depth_errors(estimated, true))
        self._scaled.append(depth_errors(estimated, true, ratio))

    def true_positions(self) -> NDArray[np.float64] | None:
        """Return the true camera positions moved onto the estimated ones, NaN unknown [N, 3]."""
        alignment = self._alignment()
        if alignment is None:
            return None
        unknown = np.full(3, np.nan)
        true = np.array([unknown if pose is None else pose[:3, 3] for pose in self._truths])
        moved = (true - alignment.translation) @ alignment.rotation / alignment.scale
        return np.asarray(moved, dtype=np.float64)

    def lines(self) -> list[str]:
        """Say it in words; nothing where there is no ground truth."""
        lines = []
        alignment = self._alignment()
        if alignment is not None:
            estimates, truths = self._paired()
            error = absolute_trajectory_error(estimates, truths)
            way = np.linalg.norm(np.diff(truths[:, :3, 3], axis=0), axis=1).sum()
            lines.append(
                f'ATE {error:.3f} m after Sim(3) alignment (scale {alignment.scale:.2f}) '
                f'on a way of {way:.2f} m'
            )
        if self._metric:
            metric, scaled = pool(self._metric), pool(self._scaled)
            lines.append(
                f'depth AbsRel {metric.abs_rel:.3f} metric, {scaled.abs_rel:.3f} after '
                f'per-frame median scale (δ<1.25: {metric.delta_1:.2f}, {scaled.delta_1:.2f})'
            )
        return lines

    def _alignment(self) -> Similarity | None:
        estimates, truths = self._paired()
        if len(truths) < _LEAST_POSES:
            return None
        return umeyama(estimates[:, :3, 3], truths[:, :3, 3], with_scale=True)

    def _paired(self) -> tuple[Transform, Transform]:
        pairs = [
            (estimate, truth)
            for estimate, truth in zip(self._estimates, self._truths, strict=True)
            if truth is not None
        ]
        return tuple(np.array(pairs).reshape(-1, 2, 4, 4).swapaxes(0, 1))  # type: ignore[return-value]


def true_depth(frame: Frame) -> DepthImage | None:
    """Return the true depth, unless there is none or it cannot be read."""
    try:
        return frame.depth()
    except DatasetError as error:
        _logger.warning('frame %d is not compared with its depth: %s', frame.index, error)
        return None
