"""Tiny replicas of the benchmarks' real layouts, for the tests of their readers."""

from __future__ import annotations

import io
from pathlib import Path
import struct

import numpy as np
from PIL import Image

SIZE = (32, 24)


def picture(path: Path, shade: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', SIZE, (shade, shade, shade)).save(path)


def depth_png(path: Path, raw: int = 1000, **pixels: int) -> None:
    """Write 16-bit depth of one value, but for `p0=…, p1=…`: other values in the first pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.full(SIZE[::-1], raw, np.uint16)
    for name, value in pixels.items():
        values[0, int(name[1:])] = value
    Image.fromarray(values).save(path)


def matrix(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, values)


def pose(x: float) -> np.ndarray:
    result = np.eye(4)
    result[0, 3] = x
    return result


def tum(folder: Path, frames: int = 4) -> None:
    """Write images 30 ms apart, each with a pose 5 ms later; image 1 lacks its pose."""
    folder.mkdir(parents=True)
    for index in range(frames):
        picture(folder / f'rgb/{1000 + index * 0.03:.6f}.png', index)
    lists = [f'{1000 + i * 0.03:.6f} rgb/{1000 + i * 0.03:.6f}.png' for i in range(frames)]
    poses = [f'{1000.005 + i * 0.03:.4f} {i} 0 0 0 0 0 1' for i in range(frames) if i != 1]
    (folder / 'rgb.txt').write_text('\n'.join(['# color images', *lists]))
    (folder / 'groundtruth.txt').write_text('\n'.join(['# ground truth', *poses]))


def scannet(scene: Path, frames: int, lost: tuple[int, ...] = ()) -> None:
    for index in range(frames):
        picture(scene / f'color/{index}.jpg', index)
        tracked = np.full((4, 4), -np.inf) if index in lost else pose(index)
        matrix(scene / f'pose/{index}.txt', tracked)


def sens(path: Path, frames: int, lost: tuple[int, ...] = ()) -> None:
    path.parent.mkdir(parents=True)
    identity = np.eye(4, dtype='<f4').tobytes()
    data = struct.pack('<IQ', 4, 6) + b'sensor' + identity * 4
    data += struct.pack('<iiIIIIfQ', 2, 1, *SIZE, *SIZE, 1000.0, frames)
    for index in range(frames):
        buffer = io.BytesIO()
        Image.new('RGB', SIZE, (index * 10,) * 3).save(buffer, 'jpeg')
        tracked = np.full((4, 4), -np.inf) if index in lost else pose(index)
        color, depth = buffer.getvalue(), b'compressed depth'
        data += tracked.astype('<f4').tobytes()
        data += struct.pack('<QQQQ', index, index, len(color), len(depth)) + color + depth
    path.write_bytes(data)


def sintel(training: Path, name: str, frames: int) -> None:
    """Write a camera that moves along x; camera 2 is missing, the sky is far away."""
    for index in range(1, frames + 1):
        stem = f'{name}/frame_{index:04d}'
        picture(training / f'final/{stem}.png', index)
        for folder in ('depth', 'camdata_left'):
            (training / folder / name).mkdir(parents=True, exist_ok=True)
        depth = np.full(SIZE[::-1], 3.0 + index, '<f4')
        depth[0] = 1e10
        header = struct.pack('<fii', 202021.25, *SIZE)
        (training / f'depth/{stem}.dpt').write_bytes(header + depth.tobytes())
        if index != 2:
            K = np.array([[100, 0, 16], [0, 101, 12], [0, 0, 1]], '<f8')
            world_to_camera = pose(-float(index))[:3].astype('<f8')
            content = struct.pack('<f', 202021.25) + K.tobytes() + world_to_camera.tobytes()
            (training / f'camdata_left/{stem}.cam').write_bytes(content)


def bonn(folder: Path, frames: int) -> None:
    """Write names as the data set has them: times with a varying number of digits."""
    for index in range(frames):
        picture(folder / 'rgb' / _bonn_name(index, 0.0), index)
        depth_png(folder / 'depth' / _bonn_name(index, 0.007), 5000 + index, p0=0)
    (folder / 'rgb.txt').write_text('# the protocol does not read this')


def _bonn_name(index: int, offset: float) -> str:
    return f'{1548266470.75 + index * 0.05 + offset:.5f}'.rstrip('0') + '.png'


def kitti(root: Path, drive: str, frames: range, without_image: tuple[int, ...] = ()) -> None:
    for index in frames:
        depth = root / f'val/{drive}/proj_depth/groundtruth/image_02/{index:010d}.png'
        depth_png(depth, 256 * index, p0=0)
        if index not in without_image:
            picture(root / f'{drive[:10]}/{drive}/image_02/data/{index:010d}.png', index)


def seven_scenes(folder: Path, frames: int) -> None:
    for index in range(frames):
        picture(folder / f'frame-{index:06d}.color.png', index)
        depth_png(folder / f'frame-{index:06d}.depth.png', 2000, p0=65535, p1=0, p2=10001)
        matrix(folder / f'frame-{index:06d}.pose.txt', pose(index))
