"""What a benchmark is: recordings to open, and the protocol's choice of frames and pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
import hashlib
from itertools import islice
import logging
import math
import os
from pathlib import Path

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.io.frames import DerivedSequence, Frame, FrameList
from ttt3r_ros.io.frames import Sequence as Recorded

LONG = (50, 100, 150, 200, 300, 400, 500, 600, 700, 800, 900, 1000)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """
    One sequence of a benchmark, opened when it is its turn.

    :param name: among those of the benchmark
    :param open: reads it
    :param paths: its files, or folders of them
    """

    name: str
    open: Callable[[], Recorded]
    paths: tuple[Path, ...] = ()


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
    :param count: of the recordings that published results are of; 0 where there are none
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
    count: int = 0


class Chosen(DerivedSequence):
    """
    Some frames of a recording, counted anew from 0, and read only when it is their turn.

    :param sequence: the recording
    :param chosen: positions of the frames
    """

    def __init__(self, sequence: Recorded, chosen: range) -> None:
        super().__init__(sequence, sequence.intrinsics)
        self._chosen = chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __iter__(self) -> Iterator[Frame]:
        chosen = self._chosen
        frames = islice(self._sequence, chosen.start, chosen.stop, chosen.step)
        for index, frame in enumerate(frames):
            yield replace(frame, index=index)


def fingerprint_files(paths: Iterable[Path], without: Path) -> str:
    """
    Tell whether a recording has changed, by names, sizes and times of its files.

    :param paths: files, or folders, whose own folders count too
    :param without: a folder of results, which does not count where it lies in one of them
    """
    digest = hashlib.sha256()
    without = without.resolve()
    for path in [path.resolve() for path in paths]:
        files = [path] if path.is_file() else sorted([*path.glob('*'), *path.glob('*/*')])
        results = without if path in without.parents else None
        for file in files:
            if file.is_file() and results not in file.parents:
                status = file.stat()
                line = f'{file.relative_to(path)} {status.st_size} {status.st_mtime_ns}\n'
                digest.update(os.fsencode(line))
    return digest.hexdigest()[:16]


def camera_of(sequence: Recorded) -> Intrinsics:
    """
    Return the camera of a recording.

    :raises DatasetError: if it tells none, or that of images of another size
    """
    camera = sequence.intrinsics
    if camera is None:
        raise DatasetError(f'{sequence.name} does not tell its camera')
    height, width = next(iter(sequence)).image().shape[:2]
    if (camera.width, camera.height) != (width, height):
        raise DatasetError(
            f'{sequence.name} tells the camera of images of {camera.width}x{camera.height}, '
            f'and they are {width}x{height}'
        )
    return camera


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
