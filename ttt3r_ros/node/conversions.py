"""From arrays and transforms to messages: pure functions, without per-element checks."""

from __future__ import annotations

import array

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, TransformStamped
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.geometry.se3 import Transform, from_translation_quat, quat_wxyz

_DTYPES = {'rgb8': np.uint8, '32FC1': np.float32}
NANOSECONDS = 1_000_000_000


def nanoseconds(stamp: Time) -> int:
    """Return a stamp in nanoseconds."""
    return int(stamp.sec) * NANOSECONDS + int(stamp.nanosec)


def stamp_from_nanoseconds(value: int) -> Time:
    """Return nanoseconds as a stamp."""
    return Time(sec=value // NANOSECONDS, nanosec=value % NANOSECONDS)


def fill_bytes(data: array.array[int], values: NDArray[np.generic]) -> None:
    """
    Append an array to the `uint8[]` field of a message.

    In place: what is assigned to such a field is checked or copied byte by byte, which takes
    10 ms for a cloud, or seconds.

    :param data: the field itself
    """
    if values.size:
        data.frombytes(np.ascontiguousarray(values).view(np.uint8).data)


def image_message(pixels: NDArray[np.generic], encoding: str, header: Header) -> Image:
    """
    Build an image message.

    :param pixels: [H, W] or [H, W, C]; its type must fit the encoding
    :param encoding: rgb8 or 32FC1
    """
    assert pixels.dtype == _DTYPES[encoding], f'{pixels.dtype} for {encoding}'
    height, width = pixels.shape[:2]
    msg = Image(header=header, height=height, width=width, encoding=encoding)
    msg.step = pixels.itemsize * pixels.size // height
    fill_bytes(msg.data, pixels)
    return msg


def camera_info_message(camera: Intrinsics, header: Header) -> CameraInfo:
    """Build the description of a pinhole camera without distortion, K, R and P filled."""
    info = CameraInfo(header=header, height=camera.height, width=camera.width)
    info.distortion_model = 'plumb_bob'
    info.d = [0.0] * 5
    info.k = camera.matrix.ravel()
    info.r = np.eye(3).ravel()
    info.p = np.hstack([camera.matrix, np.zeros((3, 1))]).ravel()
    return info


def pose_message(transform: Transform) -> Pose:
    """Convert a rigid motion to a pose."""
    pose = Pose()
    pose.position.x, pose.position.y, pose.position.z = transform[:3, 3].tolist()
    quat = quat_wxyz(transform)
    turn = pose.orientation
    turn.w, turn.x, turn.y, turn.z = quat.tolist()
    return pose


def transform_message(
    transform: Transform, stamp: Time, parent: str, child: str
) -> TransformStamped:
    """
    Convert a rigid motion to a transform between two frames.

    :param transform: `T_parent_child` [4, 4]
    """
    msg = TransformStamped(child_frame_id=child)
    msg.header = Header(stamp=stamp, frame_id=parent)
    move, turn = msg.transform.translation, msg.transform.rotation
    move.x, move.y, move.z = transform[:3, 3].tolist()
    turn.w, turn.x, turn.y, turn.z = quat_wxyz(transform).tolist()
    return msg


def transform_from_message(msg: TransformStamped) -> Transform:
    """Convert a transform message to `T_parent_child` [4, 4]."""
    move, turn = msg.transform.translation, msg.transform.rotation
    return from_translation_quat([move.x, move.y, move.z], [turn.w, turn.x, turn.y, turn.z])
