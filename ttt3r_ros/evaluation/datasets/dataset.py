"""What a benchmark is: recordings to open, and the protocol's choice of frames and pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
import logging
import math
from pathlib import Path

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.io.frames import Frame, FrameList

LONG = (50, 100, 150, 200, 300, 400, 500, 600, 700, 800, 900, 1000)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """One sequence of a benchmark, opened when it is its turn."""

    name: str
    open: Callable[[], FrameList]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """
    A benchmark and its protocol.

    :param title: as in the paper
    :param tasks: what it has ground truth for: pose, depth, reconstruction
    :param find: lists the recordings under a root folder
    :param start: first frame of each recording that is used
    :param stride: every how many frames one is used
    :param lengths: numbers of frames N after which to score
    :param short: N of the paper's short protocol; 0 where it has none
    :param short_stride: its stride
    :param farthest: ground-truth depth counts below this, metres
    :param clip: aligned predictions are clipped there, metres
    """

    title: str
    tasks: tuple[str, ...]
    find: Callable[[Path], list[Recording]]
    start: int = 0
    stride: int = 1
    lengths: tuple[int, ...] = LONG
    short: int = 0
    short_stride: int = 1
    farthest: float = math.inf
    clip: float = math.inf


def find_folders(root: Path, names: Sequence[str], inside: str = '') -> dict[str, Path]:
    """
    Find the recordings that a benchmark names; what is missing is logged.

    :param root: folder of the benchmark
    :param names: of the recordings
    :param inside: a folder that each of them must have
    :return: path of each one that is there, in the order of the names
    :raises DatasetError: if none is there
    """
    found = {name: root / name for name in names if (root / name / inside).is_dir()}
    missing = [name for name in names if name not in found]
    if not found:
        raise DatasetError(f'{root} has none of {", ".join(names[:3])}, …')
    if missing:
        _logger.warning('%s lacks %d recordings: %s', root, len(missing), ', '.join(missing))
    return found


def make_frame_list(
    name: str, frames: Sequence[Frame], intrinsics: Intrinsics | None = None
) -> FrameList:
    """
    Make a recording of frames, which are counted anew from 0.

    :raises DatasetError: if there is none
    """
    if not frames:
        raise DatasetError(f'{name} has no usable frame')
    counted = [replace(frame, index=index) for index, frame in enumerate(frames)]
    return FrameList(name, counted, intrinsics=intrinsics)
