"""MPI Sintel: rendered film with exact depth (`.dpt`) and cameras (`.cam`)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.evaluation.datasets.dataset import Recording, find_folders, make_frame_list
from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.geometry.se3 import Transform, inverse
from ttt3r_ros.io.frames import DepthImage, Frame, FrameList
from ttt3r_ros.io.images import image_size, list_images, load_image

_TAG = 202021.25
_FRAME_RATE = 24.0  # Hz
_SEQUENCES = (
    'alley_2', 'ambush_4', 'ambush_5', 'ambush_6', 'cave_2', 'cave_4', 'market_2', 'market_5',
    'market_6', 'shaman_3', 'sleeping_1', 'sleeping_2', 'temple_2', 'temple_3',
)  # fmt: skip


def find_sintel(root: Path) -> list[Recording]:
    """
    List the 14 sequences of the protocol, pass "final".

    :param root: folder with `training/final`, `training/camdata_left` and `training/depth`
    """
    inner = root / 'training'
    base = inner if inner.is_dir() else root
    folders = find_folders(base / 'final', _SEQUENCES)
    parts = [base / part for part in ('final', 'camdata_left', 'depth')]
    return [
        Recording(name, partial(_open, base, name), tuple(part / name for part in parts))
        for name in folders
    ]


def _open(base: Path, name: str) -> FrameList:
    frames, camera = [], None
    for index, image in enumerate(list_images(base / 'final' / name)):
        cam = base / 'camdata_left' / name / f'{image.stem}.cam'
        depth = base / 'depth' / name / f'{image.stem}.dpt'
        pose = None
        if cam.is_file():
            K, pose = _read_camera(cam)
            camera = camera or Intrinsics(
                *image_size(image), *(float(v) for v in (K[0, 0], K[1, 1], K[0, 2], K[1, 2]))
            )
        load = partial(_load_depth, depth) if depth.is_file() else None
        frames.append(Frame(index, index / _FRAME_RATE, partial(load_image, image), pose, load))
    return make_frame_list(name, frames, camera)


def _read_camera(path: Path) -> tuple[NDArray[np.float64], Transform]:
    """Read K [3, 3] and the pose; the file has world to camera [3, 4]."""
    data = _read_tagged(path)
    if len(data) != (9 + 12) * 8:
        raise DatasetError(f'{path} has {len(data)} bytes after its tag, not 168')
    values = np.frombuffer(data, '<f8')
    T_camera_world = np.eye(4)
    T_camera_world[:3] = values[9:].reshape(3, 4)
    return values[:9].reshape(3, 3), inverse(T_camera_world)


def _load_depth(path: Path) -> DepthImage:
    data = _read_tagged(path)
    width, height = np.frombuffer(data[:8], '<i4').tolist() if len(data) >= 8 else (0, 0)
    if width * height * 4 != len(data) - 8 or not width:
        raise DatasetError(f'{path} is no depth map of {width}x{height}')
    return np.frombuffer(data[8:], '<f4').reshape(height, width).astype(np.float32)


def _read_tagged(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f'cannot read {path}: {error}') from error
    if len(data) < 4 or np.frombuffer(data[:4], '<f4')[0] != _TAG:
        raise DatasetError(f'{path} does not start with the tag {_TAG}')
    return data[4:]
