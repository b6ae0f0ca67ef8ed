"""
From image messages to RGB arrays.

cv_bridge decodes where it is installed and works; elsewhere (NumPy 2, OpenCV 5, no ROS
distribution) the same pure path does that reads bags.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.errors import ImageError
from ttt3r_ros.io.ros_messages import rgb_image

RgbImage = NDArray[np.uint8]  # [H, W, 3]
Decoder = Callable[[Any], RgbImage]

# What cv_bridge does not know, or gives no colour order.
_PURE_ONLY = frozenset({'8UC1', '8UC3', '8UC4', '16UC1', 'nv12', 'nv21'})
_BRIDGE_ERRORS = (KeyError, TypeError, ValueError, RuntimeError, AttributeError, cv2.error)


def choose_decoder() -> tuple[str, Decoder]:
    """
    Choose the library for raw images: cv_bridge if it is there and works, else rosbags-image.

    :return: the name of the library with the reason, and its decoder
    """
    try:
        from cv_bridge import CvBridge  # one built for another NumPy fails here already
    except (ImportError, AttributeError) as error:
        return f'rosbags-image (no cv_bridge: {error})', rgb_image
    bridge = CvBridge()

    def decode(msg: Any) -> RgbImage:
        return np.asarray(bridge.imgmsg_to_cv2(msg, 'rgb8'))

    probe = SimpleNamespace(
        height=1, width=2, encoding='bgr8', is_bigendian=0, step=6, data=bytes([1, 2, 3, 4, 5, 6])
    )
    try:
        works = decode(probe).tolist() == [[[3, 2, 1], [6, 5, 4]]]
    except _BRIDGE_ERRORS as error:
        return f'rosbags-image (cv_bridge does not work here: {error!r})', rgb_image
    if not works:
        return 'rosbags-image (cv_bridge returns wrong pixels here)', rgb_image
    return 'cv_bridge', decode


def to_rgb(msg: Any, decoder: Decoder) -> RgbImage:
    """
    Decode a `sensor_msgs/Image`.

    :param msg: the message; rows may be padded
    :param decoder: from `choose_decoder`
    :return: RGB image [H, W, 3]
    :raises ImageError: if the encoding has no colours or the data do not fill the image
    """
    if msg.encoding in _PURE_ONLY:
        decoder = rgb_image
    elif not msg.encoding:
        raise ImageError('the image has no encoding')
    try:
        return decoder(msg)
    except _BRIDGE_ERRORS as error:
        raise ImageError(f'{msg.encoding} image could not be decoded: {error}') from error


def compressed_to_rgb(msg: Any) -> RgbImage:
    """
    Decode a `sensor_msgs/CompressedImage` (JPEG, PNG, whatever OpenCV reads).

    :raises ImageError: if the data are empty, cut off, or no image
    """
    try:
        return rgb_image(msg)
    except cv2.error as error:
        raise ImageError(f'compressed image ({msg.format}) cannot be decoded: {error}') from error
