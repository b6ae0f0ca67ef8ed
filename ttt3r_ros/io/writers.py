"""
Writers of results: point cloud, trajectory, depth images, intrinsics.

All write to a temporary file first and rename it, so that nobody sees half a file.
"""

from __future__ import annotations

from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ttt3r_ros.files import atomic_file
from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.geometry.se3 import Transform, quat_wxyz

_PLY_VERTEX = np.dtype(
    [('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('red', 'u1'), ('green', 'u1'), ('blue', 'u1')]
)
_LARGEST_DEPTH = 65534  # mm; 65535 stands for invalid in some data sets


def write_ply(
    path: Path, points: NDArray[np.floating], colors: NDArray[np.uint8], comment: str = 'metres'
) -> None:
    """
    Write a coloured point cloud as binary PLY.

    :param path: of the file
    :param points: metres [N, 3]
    :param colors: RGB [N, 3]
    :param comment: one line for the header, ASCII
    :raises ValueError: if there is not one colour for each point
    """
    if points.shape != colors.shape or points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f'points {points.shape} and colors {colors.shape} must both be [N, 3]')
    vertices = np.empty(len(points), _PLY_VERTEX)
    for column, axis in enumerate('xyz'):
        vertices[axis] = points[:, column]
    for column, color in enumerate(('red', 'green', 'blue')):
        vertices[color] = colors[:, column]
    header = (
        'ply\nformat binary_little_endian 1.0\n'
        f'comment {comment}\n'
        f'element vertex {len(points)}\n'
        'property float x\nproperty float y\nproperty float z\n'
        'property uchar red\nproperty uchar green\nproperty uchar blue\nend_header\n'
    )
    with atomic_file(path) as file:
        file.write(header.encode('ascii'))
        file.write(vertices.tobytes())


def write_tum(path: Path, stamps: ArrayLike, T_world_camera: Transform) -> None:
    """
    Write a trajectory in TUM's text format: `stamp tx ty tz qx qy qz qw`.

    :param path: of the file
    :param stamps: seconds [N]
    :param T_world_camera: [N, 4, 4]
    :raises ValueError: if there is not one stamp for each pose
    """
    lines = ['# timestamp tx ty tz qx qy qz qw']
    for stamp, pose in zip(np.asarray(stamps, dtype=np.float64), T_world_camera, strict=True):
        qw, qx, qy, qz = quat_wxyz(pose)
        values = ' '.join(f'{value:.9f}' for value in (*pose[:3, 3], qx, qy, qz, qw))
        lines.append(f'{stamp:.9f} {values}')
    with atomic_file(path) as file:
        file.write(('\n'.join(lines) + '\n').encode('ascii'))


def write_depth_png(path: Path, depth: NDArray[np.floating]) -> None:
    """
    Write a depth image as PNG of 16 bits, in millimetres; 0 means invalid.

    :param path: of the file
    :param depth: metres; not finite, below half a millimetre or beyond 65.5 m is invalid [H, W]
    """
    millimetres = np.nan_to_num(depth * 1000.0, nan=0.0, posinf=0.0, neginf=0.0).round()
    millimetres[(millimetres < 0) | (millimetres > _LARGEST_DEPTH)] = 0
    _, data = cv2.imencode('.png', millimetres.astype(np.uint16))
    with atomic_file(path) as file:
        file.write(data.tobytes())


def write_intrinsics(
    path: Path, indices: Sequence[int], stamps: Sequence[float], cameras: Sequence[Intrinsics]
) -> None:
    """
    Write the intrinsics of all frames, and their median where all images have one size, as JSON.

    :param path: of the file
    :param indices: position of each frame in the recording
    :param stamps: seconds
    :param cameras: of the recorded images, one for each frame
    :raises ValueError: if the three differ in length
    """
    frames = [
        {'index': index, 'stamp': stamp, **_camera_fields(camera)}
        for index, stamp, camera in zip(indices, stamps, cameras, strict=True)
    ]
    same_size = len({(camera.width, camera.height) for camera in cameras}) == 1
    content = {
        'model': 'pinhole',
        'pixels': 'the centre of the first pixel is (0, 0)',
        'median': _camera_fields(median_camera(cameras)) if same_size else None,
        'frames': frames,
    }
    with atomic_file(path) as file:
        file.write((json.dumps(content, indent=1) + '\n').encode('ascii'))


def median_camera(cameras: Sequence[Intrinsics]) -> Intrinsics:
    """Return the median of each parameter; all cameras must have one image size."""
    values = np.median([[c.fx, c.fy, c.cx, c.cy] for c in cameras], axis=0)
    return Intrinsics(cameras[0].width, cameras[0].height, *values.tolist())


def _camera_fields(camera: Intrinsics) -> dict[str, Any]:
    return {
        'width': camera.width,
        'height': camera.height,
        'fx': float(camera.fx),
        'fy': float(camera.fy),
        'cx': float(camera.cx),
        'cy': float(camera.cy),
    }
