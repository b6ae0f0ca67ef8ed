"""TUM-dynamics and Bonn: recordings in the TUM RGB-D benchmark's format."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.evaluation.datasets.dataset import Recording, find_folders, make_frame_list
from ttt3r_ros.io.frames import Frame, FrameList
from ttt3r_ros.io.images import load_depth, load_image
from ttt3r_ros.io.tum import open_tum

_DEPTH_PER_METRE = 5000.0
_TUM_DYNAMICS = tuple(
    f'rgbd_dataset_freiburg3_{what}_{motion}'
    for what in ('sitting', 'walking')
    for motion in ('halfsphere', 'rpy', 'static', 'xyz')
)
_BONN = tuple(
    f'rgbd_bonn_{name}'
    for name in ('balloon2', 'crowd2', 'crowd3', 'person_tracking2', 'synchronous')
)


def find_tum_dynamics(root: Path) -> list[Recording]:
    """List the eight freiburg3 sitting and walking recordings, as unpacked from the site."""
    folders = find_folders(root, _TUM_DYNAMICS)
    return [
        Recording(
            name.removeprefix('rgbd_dataset_freiburg3_'), partial(_open_posed, path), (path,)
        )
        for name, path in folders.items()
    ]


def find_bonn(root: Path) -> list[Recording]:
    """List the five recordings of the protocol, as unpacked from `rgbd_bonn_dataset.zip`."""
    inner = root / 'rgbd_bonn_dataset'
    folders = find_folders(inner if inner.is_dir() else root, _BONN, 'rgb')
    return [
        Recording(name.removeprefix('rgbd_bonn_'), partial(_open_bonn, path), (path,))
        for name, path in folders.items()
    ]


def _open_posed(folder: Path) -> FrameList:
    """Keep the images that have a pose: they are what the protocol counts."""
    sequence = open_tum(folder)
    frames = [frame for frame in sequence if frame.T_world_camera is not None]
    return make_frame_list(folder.name, frames, sequence.intrinsics)


def _open_bonn(folder: Path) -> FrameList:
    """Pair the sorted images with the sorted depth maps by position, as the protocol does."""
    images, depths = _by_time(folder / 'rgb'), _by_time(folder / 'depth')
    frames = [
        Frame(
            index,
            float(image.stem),
            partial(load_image, image),
            None,
            partial(load_depth, depth, per_metre=_DEPTH_PER_METRE),
        )
        for index, (image, depth) in enumerate(zip(images, depths, strict=False))
    ]
    return make_frame_list(folder.name, frames)


def _by_time(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DatasetError(f'{folder} does not exist')
    try:
        return sorted(folder.glob('*.png'), key=lambda path: float(path.stem))
    except ValueError as error:
        raise DatasetError(f'{folder} has an image whose name is no time: {error}') from error
