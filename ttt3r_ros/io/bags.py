"""rosbag2 recordings (sqlite3 and MCAP), read without a ROS installation."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
import logging
from pathlib import Path
import re
from typing import Any

import numpy as np
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.interfaces import Connection
from rosbags.typesys import Stores, get_typestore

from ttt3r_ros.errors import DatasetError, ImageError, Ttt3rError
from ttt3r_ros.geometry.se3 import Transform
from ttt3r_ros.io import ros_messages
from ttt3r_ros.io.association import pair_poses, pair_truth
from ttt3r_ros.io.frames import ColorImage, DepthImage, Frame, Sequence
from ttt3r_ros.io.rectify import Calibration, Undistorter, calibrator

BAG_SUFFIXES = frozenset({'.db3', '.mcap'})
IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
POSE_TYPES = (
    'geometry_msgs/msg/PoseStamped',
    'geometry_msgs/msg/PoseWithCovarianceStamped',
    'geometry_msgs/msg/TransformStamped',
    'nav_msgs/msg/Odometry',
)
_INFO_TYPE = 'sensor_msgs/msg/CameraInfo'
_RECTIFIED = re.compile(r'(^|/)image_rect(_[^/]*)?(/compressed)?$')  # as image_proc names them
_logger = logging.getLogger(__name__)


class Bag(Sequence):
    """
    The images of one topic, in recorded order.

    :param path: folder of the bag, or one storage file (.mcap, .db3)
    :param topic: of the images, raw or compressed; empty: the only one there is
    :param depth_topic: of depth registered to the images; paired by stamp (< 0.02 s)
    :param pose_topic: of poses of the camera's optical frame; paired by stamp (< 0.02 s)
    :param undistort: take the lens distortion of `camera_info` out of images and depth
    :raises DatasetError: if the bag cannot be read, or a topic is missing or ambiguous
    """

    def __init__(
        self,
        path: Path,
        *,
        topic: str = '',
        depth_topic: str = '',
        pose_topic: str = '',
        undistort: bool = True,
    ) -> None:
        super().__init__(path.stem)
        self._path = _storage(path)
        self._depth_topic = depth_topic
        self._poses: dict[int, Transform] = {}
        # time of recording [ns], and which of the messages that were recorded then
        self._depth_times: dict[int, tuple[int, int]] = {}
        with _open(self._path) as reader:
            self._topic = topic or _only_image_topic(reader)
            images = _connection(reader, self._topic, IMAGE_TYPES)
            self._topic = images.topic  # with the slash that may have been left out
            self._count = images.msgcount
            if not self._count:
                raise DatasetError(f'topic {self._topic} of the bag {path} has no messages')
            calibrate = _calibrate(reader, self._topic)
            if calibrate is not None:
                self._take_camera(calibrate, _size(reader, images), undistort=undistort)
            if depth_topic or pose_topic:
                self._pair(reader, _stamps(reader, images)[0], pose_topic)
        self.has_poses, self.has_depth = bool(self._poses), bool(self._depth_times)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Frame]:
        with _open(self._path) as reader:
            images = _connection(reader, self._topic, IMAGE_TYPES)
            for index, (_, stamp, message) in enumerate(dated(_messages(reader, images))):
                yield Frame(
                    index,
                    stamp,
                    partial(self._image, message, index),
                    self._poses.get(index),
                    self._depth_loader(reader, index),
                )

    def _take_camera(
        self,
        calibrate: Callable[[int, int], Calibration | None],
        size: tuple[int, int] | None,
        *,
        undistort: bool,
    ) -> None:
        found = calibrate(*size) if size else None
        if found is not None:
            self.intrinsics = found.intrinsics if undistort else found.lens
        if undistort:
            self.undistorter = Undistorter(calibrate)

    def _pair(self, reader: AnyReader, stamps: list[float], pose_topic: str) -> None:
        if pose_topic:
            connection = _connection(reader, pose_topic, POSE_TYPES)
            other = _stamps(reader, connection)[0]
            poses = [_pose(message) for _, message in _messages(reader, connection)]
            what = f'{self._path}: {pose_topic}'
            self._poses = pair_poses(what, stamps, other, poses)
        if self._depth_topic:
            connection = _connection(reader, self._depth_topic, IMAGE_TYPES)
            other, times = _stamps(reader, connection)
            what = f'{self._path}: {self._depth_topic}'
            self._depth_times = {
                i: (times[j], j - bisect_left(times, times[j]))
                for i, j in pair_truth(what, stamps, other).items()
            }

    def _depth_loader(self, reader: AnyReader, index: int) -> partial[DepthImage] | None:
        """Take the message out of the bag now, for it will be closed when the depth is asked."""
        if index not in self._depth_times:
            return None
        time, place = self._depth_times[index]
        connection = _connection(reader, self._depth_topic, IMAGE_TYPES)
        _, message = next(islice(_messages(reader, connection, time), place, None))
        return partial(self._depth, message, index)

    def _image(self, message: Any, index: int) -> ColorImage:
        with _decoding(f'{self._path}: {self._topic}, image {index}'):
            image = ros_messages.rgb_image(message)
        return image if self.undistorter is None else self.undistorter.image(image)

    def _depth(self, message: Any, index: int) -> DepthImage:
        with _decoding(f'{self._path}: {self._depth_topic}, {index}'):
            depth = ros_messages.depth_image(message)
        return depth if self.undistorter is None else self.undistorter.depth(depth)


def dated(messages: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, float, Any]]:
    """
    Yield the time of recording [ns], the stamp [s] and the message.

    An empty stamp is replaced by the time of recording; but the first one counts as zero where the
    next stamp is nearer to that, for simulated time begins there.

    :param messages: times of recording [ns], and messages with a header
    """
    before = None  # the first message, while it waits for the second's stamp
    for number, (time, message) in enumerate(messages):
        stamp = ros_messages.stamp_seconds(message, time)
        if number == 0 and not ros_messages.stamp_seconds(message, 0):
            before = time, stamp, message
            continue
        if before is not None:
            yield before[0], min(0.0, before[1], key=lambda at: abs(at - stamp)), before[2]
            before = None
        yield time, stamp, message
    if before is not None:
        yield before


@contextmanager
def _decoding(where: str) -> Iterator[None]:
    """Name what cannot be decoded: a bag defines its types, and may leave fields out."""
    try:
        yield
    except ImageError as error:
        raise DatasetError(f'{where}: {error}') from error
    except Exception as error:
        raise DatasetError(f'{where} is not what its type says: {error!r}') from error


def _storage(path: Path) -> Path:
    """Find the storage file where a recording was cut off before its metadata were written."""
    if path.is_file() or (path / 'metadata.yaml').is_file():
        return path
    files = sorted(entry for entry in path.iterdir() if entry.suffix in BAG_SUFFIXES)
    if len(files) != 1:
        raise DatasetError(f'{path} has {len(files)} storage files and no metadata.yaml')
    return files[0]


@contextmanager
def _open(path: Path) -> Iterator[AnyReader]:
    try:
        with AnyReader([path], default_typestore=get_typestore(Stores.ROS2_HUMBLE)) as reader:
            yield reader
    except (AnyReaderError, OSError) as error:
        raise DatasetError(f'cannot read the bag {path}: {error}') from error
    except Ttt3rError:
        raise
    except Exception as error:
        # Of a damaged file the reader raises whatever the bytes lead to.
        raise DatasetError(f'the bag {path} is damaged: {error!r}') from error


def _messages(
    reader: AnyReader, connection: Connection, time: int | None = None
) -> Iterator[tuple[int, Any]]:
    """Read the messages of a topic, or those that were recorded at one time (nanoseconds)."""
    stop = None if time is None else time + 1
    for _, recorded, data in reader.messages([connection], start=time, stop=stop):
        yield recorded, reader.deserialize(data, connection.msgtype)


def _stamps(reader: AnyReader, connection: Connection) -> tuple[list[float], list[int]]:
    """Return the stamps of a topic's messages [s], and when they were recorded [ns]."""
    times, stamps = [], []
    for time, stamp, _ in dated(_messages(reader, connection)):
        times.append(time)
        stamps.append(stamp)
    return stamps, times


def _pose(message: Any) -> Transform:
    """Read a pose, NaN where its quaternion is none [4, 4]."""
    try:
        return ros_messages.pose(message)
    except ValueError:
        return np.full((4, 4), np.nan)


def _connection(reader: AnyReader, topic: str, types: tuple[str, ...]) -> Connection:
    for connection in reader.connections:
        if connection.topic in (topic, f'/{topic}'):
            if connection.msgtype in types:
                return connection
            raise DatasetError(f'topic {topic} is {connection.msgtype}, not {" or ".join(types)}')
    fitting = [item.topic for item in reader.connections if item.msgtype in types]
    kinds = ' or '.join(kind.rpartition('/')[2] for kind in types)
    others = f'of {kinds} it has {_listed(fitting)}'
    raise DatasetError(f'the bag has no topic {topic}; {others}')


def _only_image_topic(reader: AnyReader) -> str:
    images = [item for item in reader.connections if item.msgtype in IMAGE_TYPES]
    # Depth is an image too; its encoding tells.
    topics = [item.topic for item in images if len(images) == 1 or not _is_depth(reader, item)]
    if len(topics) == 1:
        return topics[0]
    if topics:
        raise DatasetError(f'the bag has several image topics, choose one: {_listed(topics)}')
    everything = [item.topic for item in reader.connections]
    raise DatasetError(f'the bag has no image topic; it has {_listed(everything)}')


def _is_depth(reader: AnyReader, connection: Connection) -> bool:
    first = next(_messages(reader, connection), None)
    return first is not None and ros_messages.is_depth(first[1])


def _calibrate(reader: AnyReader, topic: str) -> Callable[[int, int], Calibration | None] | None:
    """
    Read the CameraInfo that stands beside the images, by image_transport's convention.

    It is that of the raw images, and beside those that are rectified the same (image_proc).
    """
    rectified = _RECTIFIED.search(topic) is not None
    parts = topic.split('/')
    names = {'/'.join([*parts[:-1], 'camera_info']), '/'.join([*parts[:-2], 'camera_info'])}
    for connection in reader.connections:
        if connection.topic in names and connection.msgtype == _INFO_TYPE:
            for _, message in _messages(reader, connection):
                return calibrator(message, connection.topic, rectified=rectified)
    return None


def _size(reader: AnyReader, images: Connection) -> tuple[int, int] | None:
    """Return width and height of the first image; what is wrong with it is told later."""
    _, message = next(_messages(reader, images))
    try:
        with _decoding(images.topic):
            height, width = ros_messages.rgb_image(message).shape[:2]
    except DatasetError:
        return None
    return width, height


def _listed(topics: list[str]) -> str:
    return ', '.join(sorted(topics)) or 'none'
