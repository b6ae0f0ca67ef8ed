"""Scores the whole point cloud of a recording against the one of the true depth and poses."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.evaluation.clouds import compare_clouds, icp, median_alignment
from ttt3r_ros.evaluation.scorers import Arrays, Estimate
from ttt3r_ros.geometry.camera import ImageMapping, Intrinsics
from ttt3r_ros.geometry.se3 import Transform, inverse, transform_points
from ttt3r_ros.io.frames import Frame

Float32 = NDArray[np.float32]
Mask = NDArray[np.bool_]
# The protocol's centre crop of 224 x 224 from 512 x 384, as a share of the network's image.
_CROP_WIDTH, _CROP_HEIGHT = 224 / 512, 224 / 384
_ICP_DISTANCE = 0.1  # metres
_KEPT = 20_000  # points of each cloud kept for figures


class ReconstructionScorer:
    """
    Accuracy, completeness, Chamfer distance and normal consistency (7-Scenes protocol).

    The middle of every image whose true depth is valid is gathered twice, with true and with
    estimated depth and pose, each in the frame of its first camera. The estimate is scaled and
    shifted by medians, and refined by ICP.

    :param camera: of the input images, for the true points
    """

    def __init__(self, camera: Intrinsics) -> None:
        self._camera = camera
        self._estimates: list[Float32] = []
        self._truths: list[Float32] = []
        self._origins: tuple[Transform, Transform] | None = None

    def add(self, frame: Frame, estimate: Estimate, seconds: float) -> None:
        """Take the next frame, if it has a true pose and depth."""
        del seconds
        depth, pose = frame.depth(), frame.T_world_camera
        if depth is None or pose is None:
            return
        if self._origins is None:
            self._origins = inverse(estimate.T_world_camera), inverse(pose)
        here, there = self._origins
        true_points = _true_points(depth, self._camera, estimate.mapping)
        chosen = _middle(*estimate.points.shape[:2]) & np.isfinite(true_points).all(axis=-1)
        self._estimates.append(
            transform_points(here @ estimate.T_world_camera, estimate.points[chosen])
        )
        self._truths.append(transform_points(there @ pose, true_points[chosen]))

    def score(self) -> dict[str, float]:
        """Return distances in metres, normal consistency, and the scale that was applied."""
        truth, aligned, scale = self._aligned()
        return asdict(compare_clouds(aligned, truth)) | {'scale': scale}

    def arrays(self) -> Arrays:
        """Return some points of both clouds [≤ 20000, 3]."""
        truth, aligned, _ = self._aligned()
        step = -(-len(truth) // _KEPT)
        return {'true_cloud': truth[::step], 'cloud': aligned[::step]}

    def _aligned(self) -> tuple[Float32, Float32, float]:
        if not self._truths:
            raise DatasetError('no frame has both a true pose and true depth')
        estimate, truth = np.concatenate(self._estimates), np.concatenate(self._truths)
        found = median_alignment(estimate, truth)
        aligned = found.apply(estimate)
        refined = icp(aligned, truth, _ICP_DISTANCE).apply(aligned)
        return truth, refined.astype(np.float32), found.scale


def _middle(height: int, width: int) -> Mask:
    rows, columns = round(height * _CROP_HEIGHT), round(width * _CROP_WIDTH)
    top, left = (height - rows) // 2, (width - columns) // 2
    mask = np.zeros((height, width), bool)
    mask[top : top + rows, left : left + columns] = True
    return mask


def _true_points(depth: Float32, camera: Intrinsics, mapping: ImageMapping) -> Float32:
    """Take the true depth nearest to each pixel of the network, along that pixel's own ray."""
    grid = np.stack(np.meshgrid(np.arange(mapping.width), np.arange(mapping.height)), axis=-1)
    pixels = mapping.points_to_input(grid.astype(np.float64))
    shares = depth.shape[1] / mapping.input_width, depth.shape[0] / mapping.input_height
    x = np.clip(np.floor((pixels[..., 0] + 0.5) * shares[0]), 0, depth.shape[1] - 1).astype(int)
    y = np.clip(np.floor((pixels[..., 1] + 0.5) * shares[1]), 0, depth.shape[0] - 1).astype(int)
    rays = mapping.to_output(camera).rays()
    return np.asarray(rays * depth[y, x][..., None], dtype=np.float32)
