"""
Writes frames as a rosbag2, without a ROS installation.

Topics: `camera/image` (or `camera/image/compressed`), `camera/camera_info` where the camera is
known; from ground truth `camera/depth` (16UC1) and `camera/pose` (PoseStamped, frame `world`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
from rosbags.typesys import Stores, get_typestore

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.geometry.se3 import quat_wxyz
from ttt3r_ros.io.frames import ColorImage, DepthImage, Frame

STORAGES = ('mcap', 'sqlite3')
IMAGE_TOPIC = '/camera/image'
INFO_TOPIC = '/camera/camera_info'
DEPTH_TOPIC = '/camera/depth'
POSE_TOPIC = '/camera/pose'
_CAMERA_FRAME = 'camera_optical_frame'
_STORES = get_typestore(Stores.ROS2_HUMBLE)


def write_bag(
    path: Path,
    frames: Iterable[Frame],
    *,
    storage: str = 'mcap',
    jpeg: bool = False,
    camera: Intrinsics | None = None,
) -> int:
    """
    Write frames with all that is known about them.

    :param path: folder to be made
    :param frames: of any recording
    :param storage: `mcap` or `sqlite3`
    :param jpeg: compress the images
    :param camera: intrinsics of all images
    :return: number of frames
    :raises ValueError: if the storage is unknown
    :raises DatasetError: if the path exists or cannot be written
    """
    if storage not in STORAGES:
        raise ValueError(f'storage is {storage!r}; choose one of {", ".join(STORAGES)}')
    count = 0
    try:
        with Writer(path, version=8, storage_plugin=StoragePlugin[storage.upper()]) as writer:
            topics: dict[str, Connection] = {}
            for frame in frames:
                for topic, message in _messages(frame, jpeg, camera):
                    kind = message.__msgtype__
                    if topic not in topics:
                        topics[topic] = writer.add_connection(topic, kind, typestore=_STORES)
                    data = _STORES.serialize_cdr(message, kind)
                    writer.write(topics[topic], frame.nanoseconds, data)
                count += 1
    except (WriterError, OSError) as error:
        raise DatasetError(f'cannot write the bag {path}: {error}') from error
    return count


def _messages(frame: Frame, jpeg: bool, camera: Intrinsics | None) -> Iterator[tuple[str, Any]]:
    image, depth = frame.image(), frame.depth()
    if jpeg:
        yield f'{IMAGE_TOPIC}/compressed', _compressed(frame, image)
    else:
        yield IMAGE_TOPIC, _image(frame, image, 'rgb8')
    if camera is not None:
        yield INFO_TOPIC, _camera_info(frame, camera)
    if depth is not None:
        yield DEPTH_TOPIC, _image(frame, _millimetres(depth), '16UC1')
    if frame.T_world_camera is not None:
        yield POSE_TOPIC, _pose(frame)


def _make(kind: str, **fields: Any) -> Any:
    return _STORES.types[kind](**fields)


def _header(frame: Frame, frame_id: str) -> Any:
    sec, nanosec = divmod(frame.nanoseconds, 1_000_000_000)
    stamp = _make('builtin_interfaces/msg/Time', sec=sec, nanosec=nanosec)
    return _make('std_msgs/msg/Header', stamp=stamp, frame_id=frame_id)


def _image(frame: Frame, pixels: NDArray[Any], encoding: str) -> Any:
    data = np.ascontiguousarray(pixels).view(np.uint8).reshape(-1)
    height, width = pixels.shape[:2]
    return _make(
        'sensor_msgs/msg/Image',
        header=_header(frame, _CAMERA_FRAME),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=data.size // height,
        data=data,
    )


def _compressed(frame: Frame, image: ColorImage) -> Any:
    _, data = cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return _make(
        'sensor_msgs/msg/CompressedImage',
        header=_header(frame, _CAMERA_FRAME),
        format='rgb8; jpeg compressed bgr8',
        data=data.reshape(-1),
    )


def _millimetres(depth: DepthImage) -> NDArray[Any]:
    millimetres = np.nan_to_num(depth * 1000.0).round().clip(0, 65535)
    return np.asarray(millimetres, dtype=np.uint16)


def _camera_info(frame: Frame, camera: Intrinsics) -> Any:
    projection = np.hstack([camera.matrix, np.zeros((3, 1))])
    return _make(
        'sensor_msgs/msg/CameraInfo',
        header=_header(frame, _CAMERA_FRAME),
        height=camera.height,
        width=camera.width,
        distortion_model='plumb_bob',
        d=np.zeros(5),
        k=camera.matrix.reshape(-1),
        r=np.eye(3).reshape(-1),
        p=projection.reshape(-1),
        binning_x=0,
        binning_y=0,
        roi=_make(
            'sensor_msgs/msg/RegionOfInterest',
            x_offset=0,
            y_offset=0,
            height=0,
            width=0,
            do_rectify=False,
        ),
    )


def _pose(frame: Frame) -> Any:
    assert frame.T_world_camera is not None
    x, y, z = frame.T_world_camera[:3, 3].tolist()
    qw, qx, qy, qz = quat_wxyz(frame.T_world_camera).tolist()
    pose = _make(
        'geometry_msgs/msg/Pose',
        position=_make('geometry_msgs/msg/Point', x=x, y=y, z=z),
        orientation=_make('geometry_msgs/msg/Quaternion', x=qx, y=qy, z=qz, w=qw),
    )
    return _make('geometry_msgs/msg/PoseStamped', header=_header(frame, 'world'), pose=pose)
