"""Makes the first seeds of the fuzzer: small files and messages that are right."""

from __future__ import annotations

from contextlib import closing
from io import BytesIO
from pathlib import Path
import shutil
import sqlite3
import struct
import tempfile

import cv2
import numpy as np
from PIL import Image
from targets import ENCODINGS, TARGETS
import torch

from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.io.bag_writer import write_bag
from ttt3r_ros.io.frames import Frame
from ttt3r_ros.model.checkpoint import save_safetensors
from ttt3r_ros.model.config import NetworkConfig
from ttt3r_ros.model.network import Network

TINY = NetworkConfig(
    image_size=32, patch_size=8, encoder_width=8, encoder_depth=1, encoder_heads=2,
    decoder_width=8, decoder_depth=2, decoder_heads=2, state_heads=2, state_tokens=2,
    memory_slots=2, memory_depth=1, head='dpt', dpt_widths=(2, 2, 2, 2), dpt_features=2,
    dpt_head_width=2, world_head=False, rgb_head=False,
)  # fmt: skip
HEIGHT, WIDTH = 4, 6


def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)


def encoded(suffix: str, image: np.ndarray) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def raw_images() -> list[bytes]:
    step = {'rgb8': 18, 'bgra8': 24, 'mono8': 6, 'mono16': 12, '16UC1': 12, '32FC1': 24}
    step |= {'bayer_rggb8': 6, 'yuv422': 12, 'nv12': 6, 'rgb16': 36, '8UC3': 18}
    noise = np.random.default_rng(2).bytes(400)
    return [
        struct.pack('<BBIII', ENCODINGS.index(name), 0, HEIGHT, WIDTH, bytes_)
        + noise[: bytes_ * HEIGHT * 3 // 2]
        for name, bytes_ in step.items()
    ]


def compressed_images() -> list[bytes]:
    depth = np.full((HEIGHT, WIDTH), 700, np.uint16)
    return [
        b'\0' + encoded('.jpg', picture()),
        b'\1' + encoded('.png', picture()),
        b'\1' + encoded('.webp', picture()),
        b'\1' + encoded('.bmp', picture()),
        b'\1' + encoded('.tiff', picture()),
        b'\3' + bytes(12) + encoded('.png', depth),
    ]


def camera_infos() -> list[bytes]:
    matrix = (50.0, 0, 16, 0, 50, 12, 0, 0, 1)
    projection = (50.0, 0, 16, 0, 0, 50, 12, 0, 0, 0, 1, 0)
    return [
        struct.pack('<8I5B9d12d', 32, 24, 1, 1, 0, 0, 0, 0, model, count, 0, 31, 23, *matrix,
                    *projection) + struct.pack(f'<{count}d', *[0.01] * count)
        for model, count in ((0, 5), (1, 8), (2, 4))
    ]  # fmt: skip


def calibration_files() -> list[bytes]:
    matrix = 'data: [50, 0, 16, 0, 50., 12, 0, 0, 1e0]'
    size = 'image_width: 32\nimage_height: 24\n'
    lens = f'camera_matrix:\n  {matrix}\ndistortion_coefficients: {{data: [1e-05, .1, 0, 0]}}\n'
    projection = 'projection_matrix: {data: [50, 0, 16, 0, 0, 50, 12, 0, 0, 0, 1, 0]}\n'
    turn = 'rectification_matrix: {data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}\n'
    return [
        (first + size + lens + rest).encode()
        for first, rest in (
            ('\0', 'distortion_model: equidistant\n'),
            ('\1', f'{turn}distortion_model: plumb_bob\n{projection}'),
        )
    ]


def checkpoints(folder: Path) -> tuple[list[bytes], list[bytes]]:
    torch.manual_seed(0)
    # Half as many bytes: the fuzzer cuts a case at 64 KiB.
    weights = {name: value.bfloat16() for name, value in Network(TINY).state_dict().items()}
    save_safetensors(folder / 'w.safetensors', weights, TINY)
    small = dict(list(weights.items())[:3])
    save_safetensors(folder / 's.safetensors', small, TINY)
    torch.save({'model': small}, folder / 'zip.pth')
    torch.save({'model': small}, folder / 'old.pth', _use_new_zipfile_serialization=False)
    return (
        [(folder / name).read_bytes() for name in ('w.safetensors', 's.safetensors')],
        [(folder / name).read_bytes() for name in ('zip.pth', 'old.pth')],
    )


def bag(folder: Path, storage: str, *, jpeg: bool = False) -> bytes:
    depth = np.full((HEIGHT, WIDTH), 2.0, np.float32)
    frames = [Frame(i, 1.0 + i, picture, np.eye(4), lambda: depth) for i in range(2)]
    path = folder / f'{storage}{jpeg}'
    camera = Intrinsics.centred(WIDTH, HEIGHT, 5.0)
    write_bag(path, frames, storage=storage, jpeg=jpeg, camera=camera)
    storage_file = next(p for p in path.iterdir() if p.suffix in ('.mcap', '.db3'))
    if storage == 'sqlite3':
        shrink(storage_file)
    return (b'\0' if jpeg else b'\7') + storage_file.read_bytes()


def shrink(database: Path) -> None:
    """Take the smallest pages: most bytes of the others are zeros that nobody reads."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute('PRAGMA page_size = 512')
        connection.execute('VACUUM')


def sens_file() -> bytes:
    jpeg = encoded('.jpg', picture())
    head = struct.pack('<IQ', 4, 3) + b'abc' + bytes(256)
    head += struct.pack('<iiIIIIfQ', 2, 1, WIDTH, HEIGHT, WIDTH, HEIGHT, 1000.0, 2)
    frame = struct.pack('<16fQQQQ', *np.eye(4).ravel(), 1, 1, len(jpeg), 3) + jpeg + b'xyz'
    return head + 2 * frame


def image_files() -> list[bytes]:
    grey = BytesIO()
    Image.fromarray(np.full((HEIGHT, WIDTH), 900, np.uint16)).save(grey, 'png')
    suffixes = ('.png', '.jpg', '.bmp', '.tiff', '.webp', '.ppm')
    return [*(encoded(suffix, picture()) for suffix in suffixes), grey.getvalue()]


def write_seeds(corpus: Path) -> None:
    """Write seeds for every target."""
    folder = Path(tempfile.mkdtemp())
    safetensors, pickled = checkpoints(folder)
    pose = b'1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n'
    depth = encoded('.png', np.full((1, 1), 900, np.uint16))
    found = {
        'raw_image': raw_images(),
        'compressed_image': compressed_images(),
        'camera_info': camera_infos(),
        'calibration_file': calibration_files(),
        'stamps': [struct.pack('<B6q', 16, 5, 0, 1, 10**9, 0, 2)],
        'safetensors': safetensors,
        'pickled': pickled,
        'mcap': [bag(folder, 'mcap'), bag(folder, 'mcap', jpeg=True)],
        'sqlite': [bag(folder, 'sqlite3'), bag(folder, 'sqlite3', jpeg=True)],
        'tum': [b'# x\n1.0 a.png\n2.0 a.png\n\x001.0 a.png\n\x001.0 0 0 0 0 0 0 1\n'],
        'seven_scenes': [b'\0\0'.join((pose, b'5 0 1\n0 5 1\n0 0 1\n', depth))],
        'sens': [sens_file()],
        'image_file': image_files(),
        'settings': [bytes([i, 2, 1, 0, *range(8), 2, 1, *range(8)]) for i in range(5)],
    }
    assert found.keys() == TARGETS.keys()
    for name, cases in found.items():
        (corpus / name).mkdir(parents=True, exist_ok=True)
        for number, case in enumerate(cases):
            (corpus / name / f'seed_{number}').write_bytes(case)
    shutil.rmtree(folder)
