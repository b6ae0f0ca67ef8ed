"""ScanNet test scenes: `.sens` files as downloaded, or the folders that its own reader exports."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.evaluation.datasets.dataset import Recording, make_frame_list
from ttt3r_ros.evaluation.datasets.sens import open_sens
from ttt3r_ros.geometry.se3 import Transform
from ttt3r_ros.io.frames import Frame, FrameList
from ttt3r_ros.io.images import FRAME_RATE, list_images, load_image, natural_key


def find_scannet(root: Path) -> list[Recording]:
    """
    List the scenes of `scans_test`, in numeric order.

    A scene is a folder with `<scene>.sens`, or with `color/0.jpg …` and `pose/0.txt …`.

    :param root: the folder `scans_test`, or the one that holds it
    :raises DatasetError: if there is no scene
    """
    inner = root / 'scans_test'
    base = inner if inner.is_dir() else root
    folders = sorted(base.glob('scene*'), key=lambda path: natural_key(path.name))
    recordings = []
    for folder in folders:
        sens = folder / f'{folder.name}.sens'
        if (folder / 'color').is_dir():
            recordings.append(Recording(folder.name, partial(_open_exported, folder), (folder,)))
        elif sens.is_file():
            recordings.append(Recording(folder.name, partial(open_sens, sens), (sens,)))
    if not recordings:
        raise DatasetError(f'{base} has no scene with color/ and pose/, nor with a .sens file')
    return recordings


def _open_exported(folder: Path) -> FrameList:
    frames: list[Frame] = []
    for image in list_images(folder / 'color'):  # numeric: 2.jpg before 10.jpg
        pose = _read_pose(folder / 'pose' / f'{image.stem}.txt')
        frames.append(
            Frame(len(frames), len(frames) / FRAME_RATE, partial(load_image, image), pose)
        )
    return make_frame_list(folder.name, frames)


def _read_pose(path: Path) -> Transform:
    """Read camera to world; a frame that was not tracked has -inf, which the caller judges."""
    try:
        values = np.array(path.read_text(encoding='utf-8').split(), dtype=np.float64)
        return values.reshape(4, 4)
    except (OSError, ValueError) as error:
        raise DatasetError(f'{path} is no 4x4 matrix: {error}') from error
