"""The benchmark that ships with the package: rooms that training never sees, long walks."""

from __future__ import annotations

from functools import partial
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.evaluation.datasets.dataset import Recording
from ttt3r_ros.files import atomic_file
from ttt3r_ros.io.frames import ColorImage, DepthImage, Frame, FrameList
from ttt3r_ros.io.images import FRAME_RATE
from ttt3r_ros.synthetic.sequence import SyntheticSequence, render_sequence
from ttt3r_ros.synthetic.settings import held_out_seed

LENGTHS = (8, 16, 32, 64, 100, 200, 300, 500, 700, 1000)
SIZE = (240, 180)  # width and height, pixels, unless another is asked for
_FIRST_SEED = 5000  # of the held-out ones; validation during training takes the first


def synthetic_recordings(
    count: int, frames: int, store: Path, size: tuple[int, int] = SIZE
) -> list[Recording]:
    """
    List sequences in rooms that training never sees.

    :param count: of sequences
    :param frames: of each
    :param store: folder in which rendered sequences are kept for the next run
    :param size: width and height, pixels
    """
    return [
        Recording(f'room-{index}', partial(_open, index, frames, store, size))
        for index in range(count)
    ]


def fingerprint(size: tuple[int, int] = SIZE) -> str:
    """Identify what the generator makes: its pictures change when it does."""
    picture = render_sequence(held_out_seed(_FIRST_SEED), 1, *size).rgb
    return hashlib.sha256(picture.tobytes()).hexdigest()[:8]


def as_recording(name: str, made: SyntheticSequence) -> FrameList:
    """Let a rendered sequence be read as others are, with the truth; nothing is copied before."""
    return FrameList(
        name,
        [
            Frame(
                number,
                number / FRAME_RATE,
                partial(_image, made, number),
                pose,
                partial(_depth, made, number),
            )
            for number, pose in enumerate(made.T_world_camera)
        ],
        intrinsics=made.intrinsics,
    )


def _open(index: int, frames: int, store: Path, size: tuple[int, int]) -> FrameList:
    made = _rendered(held_out_seed(_FIRST_SEED + index), frames, store, size)
    return as_recording(f'room-{index}', made)


def _rendered(seed: int, frames: int, store: Path, size: tuple[int, int]) -> SyntheticSequence:
    """
    Render a sequence, or take it from the store if its first frame is still made the same.

    Stored arrays are mapped into memory, not read: many long sequences are open at a time.
    """
    folder = store / f'{seed}-{frames}-{size[0]}x{size[1]}'
    rgb, depth, poses = (folder / f'{name}.npy' for name in ('rgb', 'depth', 'poses'))
    first = render_sequence(seed, 1, *size)
    if not (poses.is_file() and np.array_equal(_mapped(rgb)[0], first.rgb[0])):
        made = render_sequence(seed, frames, *size)
        folder.mkdir(parents=True, exist_ok=True)
        poses.unlink(missing_ok=True)  # it is written last: where it is, the sequence is whole
        _save(rgb, made.rgb)
        _save(depth, made.depth)
        _save(poses, made.T_world_camera)
    return SyntheticSequence(_mapped(rgb), _mapped(depth), _mapped(poses), first.intrinsics)


def _save(path: Path, array: NDArray[Any]) -> None:
    with atomic_file(path) as file:
        np.save(file, array)


def _mapped(path: Path) -> NDArray[Any]:
    return np.asarray(np.load(path, mmap_mode='r', allow_pickle=False))


def _image(made: SyntheticSequence, number: int) -> ColorImage:
    return np.array(made.rgb[number], np.uint8)


def _depth(made: SyntheticSequence, number: int) -> DepthImage:
    depth = made.depth[number]
    return np.where(depth > 0, depth, np.float32(np.nan))
