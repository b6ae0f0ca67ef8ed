"""The benchmarks by name, and the choice of frames that their protocols make."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.evaluation.datasets.dataset import Chosen, Dataset, Recording
from ttt3r_ros.evaluation.datasets.kitti import find_kitti
from ttt3r_ros.evaluation.datasets.scannet import find_scannet
from ttt3r_ros.evaluation.datasets.seven_scenes import find_seven_scenes
from ttt3r_ros.evaluation.datasets.sintel import find_sintel
from ttt3r_ros.evaluation.datasets.tum_style import find_bonn, find_tum_dynamics
from ttt3r_ros.io.frames import FrameList, Sequence
from ttt3r_ros.io.sequence import open_sequence


def find_any(
    root: Path, topic: str = '', depth_topic: str = '', pose_topic: str = ''
) -> list[Recording]:
    """
    List a single recording of any format the package reads, with what truth it carries.

    :param topic: of the images in a bag
    :param depth_topic: of ground truth depth in a bag
    :param pose_topic: of ground truth poses in a bag
    """
    if root.name in ('', '..'):
        root = root.resolve()  # the folder "." has a name, too

    @cache
    def open_any() -> Sequence:
        sequence = open_sequence(root, topic=topic, depth_topic=depth_topic, pose_topic=pose_topic)
        return Chosen(sequence, range(_count(sequence)))

    return [Recording(root.stem if root.is_file() else root.name, open_any, (root,))]


def _count(sequence: Sequence) -> int:
    """Count the frames; what the header of a video declares is not to be relied on."""
    return len(sequence) if isinstance(sequence, FrameList) else sum(1 for _ in sequence)


_DEPTH_LENGTHS = (50, 100, 110, 150, 200, 300, 400, 500)

DATASETS: dict[str, Dataset] = {
    'tum-dynamics': Dataset(
        title='TUM-dynamics', tasks=('pose',), find=find_tum_dynamics, short=90, short_stride=3,
        count=8,
    ),
    'scannet': Dataset(
        title='ScanNet', tasks=('pose',), find=find_scannet, stride=3, short=90, short_stride=3,
        count=100,
    ),
    'sintel': Dataset(
        title='Sintel', tasks=('pose', 'depth'), find=find_sintel, lengths=(50,), short=50,
        farthest=70.0, clip=70.0, count=14,
    ),
    'bonn': Dataset(
        title='Bonn', tasks=('depth',), find=find_bonn, start=30,
        lengths=_DEPTH_LENGTHS, short=110, farthest=70.0, count=5,
    ),
    'kitti': Dataset(
        title='KITTI', tasks=('depth',), find=find_kitti, short=110,
        lengths=_DEPTH_LENGTHS, count=13,
    ),
    '7scenes': Dataset(
        title='7-Scenes', tasks=('pose', 'depth', 'reconstruction'), find=find_seven_scenes,
        stride=2, lengths=(50, 100, 150, 200, 250, 300, 350, 400, 450, 500), count=18,
    ),
    'sequence': Dataset(
        title='recording', tasks=('pose', 'depth', 'reconstruction'), find=find_any
    ),
}  # fmt: skip


def choose_frames(sequence: Sequence, start: int, stride: int, count: int) -> Sequence:
    """
    Take frames as a protocol does: `[start : start + stride · count : stride]`.

    :param count: at most
    :raises DatasetError: if none is left
    """
    chosen = range(len(sequence))[start : start + stride * count : stride]
    if not chosen:
        raise DatasetError(f'{sequence.name} has no usable frame')
    return Chosen(sequence, chosen)


def choose_recordings(recordings: list[Recording], names: list[str]) -> list[Recording]:
    """
    Keep the recordings of these names; all where none is named.

    :raises DatasetError: if a name is unknown
    """
    known = {recording.name: recording for recording in recordings}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise DatasetError(f'no recording {unknown[0]!r}; there are {", ".join(known)}')
    return [known[name] for name in dict.fromkeys(names)] if names else recordings
