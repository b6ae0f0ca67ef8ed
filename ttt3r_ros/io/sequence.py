"""Opens any supported recording: video, folder of images, TUM, 7-Scenes, or rosbag2."""

from __future__ import annotations

from pathlib import Path

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.io.frames import Frame, FrameList, Sequence
from ttt3r_ros.io.images import IMAGE_SUFFIXES, list_images, open_images
from ttt3r_ros.io.seven_scenes import color_images, open_seven_scenes
from ttt3r_ros.io.tum import open_tum
from ttt3r_ros.io.video import Video

__all__ = ['Frame', 'FrameList', 'Sequence', 'open_sequence']

_BAG_SUFFIXES = frozenset({'.db3', '.mcap'})


def open_sequence(
    path: Path | str,
    *,
    topic: str = '',
    depth_topic: str = '',
    pose_topic: str = '',
    unordered: bool = False,
    undistort: bool = True,
) -> Sequence:
    """
    Open a recording; what it is, is told by what is there.

    :param path: video or image file, folder of images, TUM or 7-Scenes folder, rosbag2 (folder
        or storage file)
    :param topic: of the images in a bag; may be left out where there is only one
    :param depth_topic: of ground truth depth in a bag
    :param pose_topic: of ground truth poses in a bag
    :param unordered: take a folder of images as a collection of photographs
    :param undistort: take the lens distortion that a bag's `camera_info` tells out of its images
    :raises DatasetError: naming what is missing, cannot be read, or has no topics
    """
    path = Path(path)
    if not path.exists():
        raise DatasetError(f'{path} does not exist')
    if _is_bag(path):
        # Here, so that all other recordings open without the bag reader's dependencies.
        from ttt3r_ros.io.bags import Bag

        return Bag(
            path,
            topic=topic,
            depth_topic=depth_topic,
            pose_topic=pose_topic,
            undistort=undistort,
        )
    refuse_topics(path, topic, depth_topic, pose_topic)
    if path.is_dir():
        return _open_folder(path, unordered=unordered)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return open_images([path], path.stem, unordered=unordered)
    return Video(path)


def refuse_topics(what: Path | str, *topics: str) -> None:
    """
    Refuse topics that something else than a bag is asked for.

    :param topics: empty where none is asked for
    :raises DatasetError: naming them
    """
    named = ', '.join(filter(None, topics))
    if named:
        raise DatasetError(f'{what} is no bag: it has no topics ({named})')


def _is_bag(path: Path) -> bool:
    if path.is_file():
        return path.suffix in _BAG_SUFFIXES
    return (path / 'metadata.yaml').is_file() or any(
        entry.suffix in _BAG_SUFFIXES for entry in path.iterdir()
    )


def _open_folder(folder: Path, *, unordered: bool) -> FrameList:
    if (folder / 'rgb.txt').is_file():
        return open_tum(folder)
    if color_images(folder):
        return open_seven_scenes(folder)
    images = list_images(folder)
    if images:
        return open_images(images, folder.name, unordered=unordered)
    inside = sorted(entry.name for entry in folder.iterdir())[:5]
    found = f'it holds {", ".join(inside)}' if inside else 'it is empty'
    raise DatasetError(f'{folder} is no recording: no images, rgb.txt or bag in it ({found})')
