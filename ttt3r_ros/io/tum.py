"""The TUM RGB-D benchmark's format: lists of time-stamped files, and a trajectory."""

from __future__ import annotations

from functools import partial
from pathlib import Path
import re

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.geometry.se3 import Transform, from_translation_quat
from ttt3r_ros.io.association import pair_poses, pair_truth
from ttt3r_ros.io.frames import DepthImage, Frame, FrameList
from ttt3r_ros.io.images import common_size, load_depth, load_image

_DEPTH_PER_METRE = 5000.0
# The benchmark's own calibration of its three colour cameras; lens distortion (notable in the
# first) is not part of it.
_CAMERAS = {
    '1': Intrinsics(640, 480, 517.3, 516.5, 318.6, 255.3),
    '2': Intrinsics(640, 480, 520.9, 521.0, 325.1, 249.7),
    '3': Intrinsics(640, 480, 535.4, 539.2, 320.1, 247.6),
}


def read_tum_trajectory(path: Path) -> tuple[NDArray[np.float64], list[Transform]]:
    """
    Read a trajectory in TUM's text format: `stamp tx ty tz qx qy qz qw`, `#` starts a comment.

    :return: stamps in seconds [N]; N rigid motions, NaN where a rotation is not finite [4, 4]
    :raises DatasetError: naming the line that is wrong
    """
    stamps, poses = [], []
    for number, fields in _rows(path):
        try:
            stamp, x, y, z, qx, qy, qz, qw = (float(field) for field in fields)
            pose = np.full((4, 4), np.nan)
            if np.isfinite([qx, qy, qz, qw]).all():
                pose = from_translation_quat([x, y, z], [qw, qx, qy, qz])
        except ValueError as error:
            raise DatasetError(f'{path}:{number} is no "t tx ty tz qx qy qz qw"') from error
        stamps.append(stamp)
        poses.append(pose)
    return np.array(stamps), poses


def open_tum(folder: Path) -> FrameList:
    """
    Open a folder with `rgb.txt` and, where they exist, `depth.txt` and `groundtruth.txt`.

    :raises DatasetError: naming what is missing or wrong
    """
    stamps, images = _read_list(folder / 'rgb.txt')
    depths = _depth_loaders(folder, stamps)
    poses = _poses(folder, stamps)
    frames = [
        Frame(index, stamp, partial(load_image, path), poses.get(index), depths.get(index))
        for index, (stamp, path) in enumerate(zip(stamps, images, strict=True))
    ]
    if not frames:
        raise DatasetError(f'{folder / "rgb.txt"} lists no images')
    if not any(path.is_file() for path in images):
        raise DatasetError(f'{folder / "rgb.txt"} lists {images[0]}, which does not exist')
    return FrameList(folder.name, frames, intrinsics=_camera(folder, images))


def _depth_loaders(folder: Path, stamps: list[float]) -> dict[int, partial[DepthImage]]:
    if not (folder / 'depth.txt').is_file():
        return {}
    depth_stamps, paths = _read_list(folder / 'depth.txt')
    return {
        index: partial(load_depth, paths[other], per_metre=_DEPTH_PER_METRE)
        for index, other in pair_truth(f'{folder / "depth.txt"}', stamps, depth_stamps).items()
    }


def _poses(folder: Path, stamps: list[float]) -> dict[int, Transform]:
    if not (folder / 'groundtruth.txt').is_file():
        return {}
    pose_stamps, poses = read_tum_trajectory(folder / 'groundtruth.txt')
    return pair_poses(f'{folder / "groundtruth.txt"}', stamps, pose_stamps, poses)


def _read_list(path: Path) -> tuple[list[float], list[Path]]:
    stamps, files = [], []
    for number, fields in _rows(path):
        try:
            stamp, name = fields
            stamps.append(float(stamp))
        except ValueError as error:
            raise DatasetError(f'{path}:{number} is no "timestamp filename"') from error
        files.append(path.parent / name)
    return stamps, files


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    rows = [line.split() for line in _text(path).splitlines()]
    return [(i, row) for i, row in enumerate(rows, 1) if row and not row[0].startswith('#')]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f'cannot read {path}: {error}') from error


def _camera(folder: Path, images: list[Path]) -> Intrinsics | None:
    """Tell the camera by the benchmark's name of the recording, which the lists' heads keep."""
    found = re.search(r'freiburg([123])', folder.name + _text(folder / 'rgb.txt')[:500])
    camera = _CAMERAS[found[1]] if found else None
    if camera is None or common_size(images) != (camera.width, camera.height):
        return None
    return camera
