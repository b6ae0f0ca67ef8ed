"""KITTI depth, validation split, left colour camera."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
import logging
from pathlib import Path

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.evaluation.datasets.dataset import Recording, make_frame_list
from ttt3r_ros.io.frames import Frame, FrameList
from ttt3r_ros.io.images import load_depth, load_image

_DEPTH_PER_METRE = 256.0
_FRAME_RATE = 10.0  # Hz
_DEPTH_FOLDERS = ('val', 'data_depth_annotated/val', 'depth/val', '.')
_IMAGE_FOLDERS = ('.', 'raw', 'raw_data', 'kitti_raw', 'rgb')
_logger = logging.getLogger(__name__)


def find_kitti(root: Path) -> list[Recording]:
    """
    List the drives that have both depth and images.

    :param root: holds `val/<drive>/proj_depth/groundtruth/image_02` of the archive
        `data_depth_annotated`, and `<date>/<drive>/image_02/data` of the raw data
    :raises DatasetError: if there is none
    """
    inside = 'proj_depth/groundtruth/image_02'
    bases = [root / name for name in _DEPTH_FOLDERS]
    depths = next((d for d in (sorted(base.glob(f'*_sync/{inside}')) for base in bases) if d), [])
    recordings = []
    for depth in depths:
        drive = depth.parents[2].name
        images = _first_folder(
            root / base / part
            for base in _IMAGE_FOLDERS
            for part in (f'{drive[:10]}/{drive}/image_02/data', f'{drive}/image_02/data')
        )
        if images is None:
            _logger.warning('%s has depth of %s but not its raw images', root, drive)
        else:
            recordings.append(
                Recording(drive, partial(_open, drive, depth, images), (depth, images))
            )
    if not recordings:
        raise DatasetError(
            f'{root} lacks val/<drive>/{inside} with <date>/<drive>/image_02/data beside it'
        )
    return recordings


def _first_folder(candidates: Iterable[Path]) -> Path | None:
    return next((path for path in candidates if path.is_dir()), None)


def _open(drive: str, depths: Path, images: Path) -> FrameList:
    frames: list[Frame] = []
    for depth in sorted(depths.glob('*.png')):
        image = images / depth.name
        if not image.is_file():
            _logger.warning('%s has no image for %s', images, depth.name)
            continue
        load = partial(load_depth, depth, per_metre=_DEPTH_PER_METRE)
        stamp = int(depth.stem) / _FRAME_RATE
        frames.append(Frame(len(frames), stamp, partial(load_image, image), None, load))
    return make_frame_list(drive, frames)
