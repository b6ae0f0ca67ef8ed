"""ScanNet's `.sens` container (version 4): JPEG images and a pose per frame, little endian."""

from __future__ import annotations

from functools import partial
import io
from pathlib import Path
import struct
from typing import BinaryIO

import numpy as np
from PIL import Image

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.evaluation.datasets.dataset import make_frame_list
from ttt3r_ros.io.frames import ColorImage, Frame, FrameList
from ttt3r_ros.io.images import FRAME_RATE, UNREADABLE

_VERSION = 4
_MATRICES = 4 * 64  # intrinsics and extrinsics of colour and depth, each 4x4 float32
_SIZES = struct.Struct('<iiIIIIfQ')  # two compressions, two image sizes, depth unit, frames
_FRAME = struct.Struct('<16fQQQQ')  # camera to world, two times, two sizes in bytes
_JPEG = 2


def open_sens(path: Path) -> FrameList:
    """
    Index a `.sens` file; images are read when asked for.

    :raises DatasetError: if the file is truncated or of another kind
    """
    frames: list[Frame] = []
    try:
        size = path.stat().st_size
        with path.open('rb') as file:
            for _ in range(_read_header(file, path)):
                *pose, _, _, color_bytes, depth_bytes = _FRAME.unpack(file.read(_FRAME.size))
                load = partial(_load_image, path, file.tell(), color_bytes)
                index = len(frames)
                T_world_camera = np.array(pose, dtype=np.float64).reshape(4, 4)
                frames.append(Frame(index, index / FRAME_RATE, load, T_world_camera))
                if file.tell() + color_bytes + depth_bytes > size:
                    raise EOFError('an image is longer than the file')
                file.seek(color_bytes + depth_bytes, io.SEEK_CUR)
    except (OSError, EOFError, ValueError, struct.error) as error:
        raise DatasetError(f'{path} breaks off at frame {len(frames)}: {error}') from error
    return make_frame_list(path.stem, frames)


def _read_header(file: BinaryIO, path: Path) -> int:
    version, length = struct.unpack('<IQ', file.read(12))
    if version != _VERSION:
        raise DatasetError(f'{path} is no .sens file of version {_VERSION}')
    file.seek(length + _MATRICES, io.SEEK_CUR)
    color_compression, *_, frames = _SIZES.unpack(file.read(_SIZES.size))
    if color_compression != _JPEG:
        raise DatasetError(f'{path} has images of kind {color_compression}; only JPEG is read')
    return int(frames)


def _load_image(path: Path, offset: int, size: int) -> ColorImage:
    with path.open('rb') as file:
        file.seek(offset)
        data = file.read(size)
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.array(image.convert('RGB'))
    except UNREADABLE as error:
        raise DatasetError(f'{path} has a broken image at byte {offset}') from error
