"""The 7-Scenes format: `frame-NNNNNN.color.*`, `.depth.png` in millimetres, `.pose.txt`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.geometry.se3 import Transform
from ttt3r_ros.io.frames import Frame, FrameList
from ttt3r_ros.io.images import FRAME_RATE, common_size, list_images, load_depth, load_image

_COLOR = '.color'


def color_images(folder: Path) -> list[Path]:
    """List the colour images of such a folder, in order; empty for any other folder."""
    images = list_images(folder)
    return [p for p in images if p.name.startswith('frame-') and p.stem.endswith(_COLOR)]


def open_seven_scenes(folder: Path) -> FrameList:
    """
    Open a folder of 7-Scenes frames; depth, poses and `camera-intrinsics.txt` may be absent.

    :raises DatasetError: naming what is missing or wrong
    """
    images = color_images(folder)
    if not images:
        raise DatasetError(f'{folder} has no frame-NNNNNN.color images')
    frames = [_frame(index, path) for index, path in enumerate(images)]
    return FrameList(folder.name, frames, intrinsics=_intrinsics(folder, images))


def _frame(index: int, image: Path) -> Frame:
    stem = image.stem.removesuffix(_COLOR)
    depth, pose = image.with_name(f'{stem}.depth.png'), image.with_name(f'{stem}.pose.txt')
    return Frame(
        index,
        index / FRAME_RATE,
        partial(load_image, image),
        _read_pose(pose) if pose.is_file() else None,
        partial(load_depth, depth, per_metre=1000.0) if depth.is_file() else None,
    )


def _read_pose(path: Path) -> Transform | None:
    """Read a camera-to-world matrix; one that is not finite says that tracking had failed."""
    pose = _read_matrix(path, 4)
    return pose if np.isfinite(pose).all() else None


def _intrinsics(folder: Path, images: list[Path]) -> Intrinsics | None:
    path = folder / 'camera-intrinsics.txt'
    if not path.is_file():
        return None
    (fx, _, cx), (_, fy, cy), _ = _read_matrix(path, 3).tolist()
    return Intrinsics(*common_size(images), fx, fy, cx, cy)


def _read_matrix(path: Path, size: int) -> NDArray[np.float64]:
    try:
        values = np.array(path.read_text(encoding='utf-8-sig').split(), dtype=np.float64)
        return values.reshape(size, size)
    except (OSError, ValueError) as error:
        raise DatasetError(f'{path} is no {size}x{size} matrix: {error}') from error
