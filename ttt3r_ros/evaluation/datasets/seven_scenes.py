"""7-Scenes, test split."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ttt3r_ros.evaluation.datasets.dataset import Recording, find_folders, make_frame_list
from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.io.frames import DepthImage, Frame, FrameList
from ttt3r_ros.io.seven_scenes import open_seven_scenes

_TEST_SPLIT = {
    'chess': (3, 5),
    'fire': (3, 4),
    'heads': (1,),
    'office': (2, 6, 7, 9),
    'pumpkin': (1, 7),
    'redkitchen': (3, 4, 6, 12, 14),
    'stairs': (1, 4),
}
_CAMERA = Intrinsics(640, 480, 525.0, 525.0, 320.0, 240.0)  # the protocol's
_NEAREST, _FARTHEST = 0.001, 10.0  # metres


def find_seven_scenes(root: Path) -> list[Recording]:
    """List the 18 test recordings `<scene>/seq-NN`, as unpacked."""
    names = [f'{scene}/seq-{n:02d}' for scene, split in _TEST_SPLIT.items() for n in split]
    return [
        Recording(name, partial(_open, path), (path,))
        for name, path in find_folders(root, names).items()
    ]


def _open(folder: Path) -> FrameList:
    frames = [
        replace(frame, load_depth=partial(_limited_depth, frame) if frame.load_depth else None)
        for frame in open_seven_scenes(folder)
    ]
    return make_frame_list(f'{folder.parent.name}/{folder.name}', frames, _CAMERA)


def _limited_depth(frame: Frame) -> DepthImage:
    depth = frame.depth()
    assert depth is not None
    return np.where((depth >= _NEAREST) & (depth <= _FARTHEST), depth, np.float32(np.nan))
