"""
What is fuzzed: functions of bytes that may raise nothing but the package's own errors.

`make fuzz` feeds them with atheris, which looks for new paths; `test_fuzz.py` with the kept corpus
and a few changes of it.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from itertools import islice
import os
from pathlib import Path
import shutil
import struct
import tempfile
from types import SimpleNamespace
from typing import Any

import numpy as np

from ttt3r_ros.errors import Ttt3rError
from ttt3r_ros.evaluation.datasets.sens import open_sens
from ttt3r_ros.io import ros_messages
from ttt3r_ros.io.calibration_file import read_calibration_file
from ttt3r_ros.io.images import image_size, load_depth, load_image
from ttt3r_ros.io.rectify import read_calibration, undistort
from ttt3r_ros.io.sequence import open_sequence
from ttt3r_ros.model.checkpoint import load_network, read_metadata
from ttt3r_ros.model.config import NetworkConfig
from ttt3r_ros.node.decoding import choose_decoder, compressed_to_rgb, to_rgb
from ttt3r_ros.node.sequence_player import PlayerConfig
from ttt3r_ros.node.settings import NodeConfig
from ttt3r_ros.node.stamps import StampMonitor
from ttt3r_ros.preprocess import check_image
from ttt3r_ros.reconstructor import ReconstructorConfig
from ttt3r_ros.tracking.config import TrackerConfig

ENCODINGS = (
    'rgb8', 'bgr8', 'rgba8', 'bgra8', 'mono8', 'mono16', 'rgb16', 'bgr16', '8UC1', '8UC3', '8UC4',
    '16UC1', '32FC1', '64FC1', '8UC0', '8SC3', '32FC3', 'bayer_rggb8', 'bayer_gbrg16', 'yuv422',
    'yuv422_yuy2', 'uyvy', 'yuyv', 'nv12', 'nv21', 'nv24', '', 'jpeg', '8UC99999999', '\x00',
)  # fmt: skip
FORMATS = (
    'jpeg', 'png', 'rgb8; jpeg compressed bgr8', '16UC1; compressedDepth png', '',
    'bayer_rggb8; png compressed ',
)  # fmt: skip
CONFIGS = (ReconstructorConfig, NodeConfig, TrackerConfig, NetworkConfig, PlayerConfig)
_FRAMES = 3  # read of a recording
_DECODE = choose_decoder()[1]
_MEMORY = Path('/dev/shm')


def _own_folder() -> Path:
    """Make a folder in memory, and remove those of processes that were killed."""
    base = _MEMORY if _MEMORY.is_dir() else Path(tempfile.gettempdir())
    for left in base.glob('ttt3r_fuzz_*_*'):
        if not Path('/proc', left.name.split('_')[2]).exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f'ttt3r_fuzz_{os.getpid()}_', dir=base))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


FOLDER = _own_folder()


class Reader:
    """Takes values out of bytes, zeros after their end."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, form: str) -> tuple[Any, ...]:
        size = struct.calcsize(form)
        part, self._data = self._data[:size].ljust(size, b'\0'), self._data[size:]
        return struct.unpack(form, part)

    def one(self, form: str) -> Any:
        return self.take(form)[0]

    def rest(self) -> bytes:
        return self._data


def raw_image(data: bytes) -> None:
    """Bytes are encoding, size, step, byte order, pixels."""
    reader = Reader(data)
    number, big, height, width, step = reader.take('<BBIII')
    msg = SimpleNamespace(
        encoding=ENCODINGS[number % len(ENCODINGS)],
        is_bigendian=big,
        height=height,
        width=width,
        step=step,
        data=reader.rest(),
    )
    with suppress(Ttt3rError):
        image = to_rgb(msg, _DECODE)
        assert image.dtype == np.uint8
        assert image.ndim == 3
        check_image(image)
    with suppress(Ttt3rError):
        assert ros_messages.depth_image(msg).dtype == np.float32


def compressed_image(data: bytes) -> None:
    """Bytes are the format's number and the file."""
    msg = SimpleNamespace(format=FORMATS[data[0] % len(FORMATS)] if data else '', data=data[1:])
    with suppress(Ttt3rError):
        assert compressed_to_rgb(msg).shape[2] == 3
    with suppress(Ttt3rError):
        assert ros_messages.depth_image(msg).ndim == 2


def camera_info(data: bytes) -> None:
    """Bytes are sizes, region of interest, model, K, P, distortion; R is empty or no turn."""
    reader = Reader(data)
    width, height, bin_x, bin_y = reader.take('<4I')
    x, y, roi_width, roi_height = reader.take('<4I')
    model, count, rectified, image_width, image_height = reader.take('<5B')
    roi = SimpleNamespace(x_offset=x, y_offset=y, width=roi_width, height=roi_height)
    info = SimpleNamespace(
        width=width,
        height=height,
        binning_x=bin_x,
        binning_y=bin_y,
        roi=roi,
        k=reader.take('<9d'),
        p=reader.take('<12d'),
        r=np.eye(3).ravel() * (1 - rectified // 2 % 2),
        distortion_model=('plumb_bob', 'rational_polynomial', 'equidistant', 'none')[model % 4],
        d=reader.take(f'<{count % 16}d'),
    )
    with suppress(Ttt3rError):
        size = (image_height % 64 + 1, image_width % 64 + 1)
        calibration = read_calibration(info, size[1], size[0], rectified=rectified % 2 == 1)
        flat, seen = undistort(np.zeros((*size, 3), np.uint8), calibration)
        assert flat.shape == (*size, 3)
        assert seen is None or seen.shape == size


def calibration_file(data: bytes) -> None:
    """Bytes are whether images are rectified, and the file."""
    rectified = bool(data) and data[0] % 2 == 1
    with suppress(Ttt3rError):
        info = read_calibration_file(_written('c.yaml', data[1:]), rectified=rectified)
        read_calibration(info, info.width, info.height, rectified=rectified)


def stamps(data: bytes) -> None:
    """Bytes are the threshold, then stamps and times of the clock."""
    reader = Reader(data)
    monitor = StampMonitor(reader.one('<B') / 16)
    for _ in range(min(64, len(data) // 16)):
        monitor.judge(*reader.take('<qq'))
        monitor.clock_jumped(reader.one('<q'))


def safetensors(data: bytes) -> None:
    """Bytes are the file."""
    path = _written('w.safetensors', data)
    with suppress(Ttt3rError):
        read_metadata(path)
    with suppress(Ttt3rError):
        load_network(path)


def pickled(data: bytes) -> None:
    """Bytes are the file, zip or old pickle."""
    with suppress(Ttt3rError):
        load_network(_written('w.pth', data))


def mcap(data: bytes) -> None:
    """Bytes are the choice of topics, and the bag's storage file."""
    _read(_written('bag.mcap', data[1:]), **_topics(data))


def sqlite(data: bytes) -> None:
    """Bytes are the choice of topics, and the bag's storage file."""
    _read(_written('bag.db3', data[1:]), **_topics(data))


def _topics(data: bytes) -> dict[str, str]:
    choice = data[0] if data else 0
    topics = {'topic': '/camera/image'} if choice & 1 else {}
    topics |= {'depth_topic': '/camera/depth'} if choice & 2 else {}
    return topics | ({'pose_topic': '/camera/pose'} if choice & 4 else {})


def tum(data: bytes) -> None:
    r"""Bytes are rgb.txt, depth.txt and groundtruth.txt, divided by \\0."""
    folder = FOLDER / 'tum'
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / 'a.png').write_bytes(_TINY_PNG)
    parts = data.split(b'\0')
    for name, part in zip(('rgb.txt', 'depth.txt', 'groundtruth.txt'), parts, strict=False):
        (folder / name).write_bytes(part)
    _read(folder)


def seven_scenes(data: bytes) -> None:
    r"""Bytes are a pose, the intrinsics and a depth image, divided by \\0\\0."""
    folder = FOLDER / 'seven'
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / 'frame-000000.color.png').write_bytes(_TINY_PNG)
    names = ('frame-000000.pose.txt', 'camera-intrinsics.txt', 'frame-000000.depth.png')
    for name, part in zip(names, data.split(b'\0\0'), strict=False):
        (folder / name).write_bytes(part)
    _read(folder)


def sens(data: bytes) -> None:
    """Bytes are the file."""
    with suppress(Ttt3rError):
        for frame in islice(open_sens(_written('scan.sens', data)), _FRAMES):
            frame.image()


def image_file(data: bytes) -> None:
    """Bytes are the file."""
    path = _written('image.png', data)
    for read in (image_size, load_image, lambda path: load_depth(path, per_metre=1000.0)):
        with suppress(Ttt3rError):
            read(path)


def settings(data: bytes) -> None:
    """Bytes choose a configuration, its fields, and values of any type."""
    reader = Reader(data)
    config: Any = CONFIGS[reader.one('<B') % len(CONFIGS)]
    names = [item.name for item in fields(config)]
    values = {}
    for _ in range(reader.one('<B') % 6):
        name = names[reader.one('<B') % len(names)]
        values[name] = _value(reader)
    with suppress(ValueError):
        config(**values)


def _value(reader: Reader) -> object:
    makers: list[Callable[[], object]] = [
        lambda: reader.one('<q'),
        lambda: reader.one('<d'),
        lambda: reader.one('<b'),
        lambda: bool(reader.one('<B') % 2),
        lambda: reader.one('<8s').decode('latin-1'),
        lambda: None,
        lambda: [reader.one('<h')],
        lambda: reader.take('<4h'),
    ]
    return makers[reader.one('<B') % len(makers)]()


def _written(name: str, data: bytes) -> Path:
    path = FOLDER / name
    path.write_bytes(data)
    return path


def _read(path: Path, **topics: str) -> None:
    """Open a recording and read its first frames."""
    with suppress(Ttt3rError):
        for frame in islice(open_sequence(path, **topics), _FRAMES):
            frame.image()
            frame.depth()


_TINY_PNG = bytes.fromhex(
    '89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de'
    '0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082'
)
TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        raw_image, compressed_image, camera_info, calibration_file, stamps, safetensors, pickled,
        mcap, sqlite, tum, seven_scenes, sens, image_file, settings,
    )
}  # fmt: skip
