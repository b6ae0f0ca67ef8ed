"""
From image messages to RGB arrays.

cv_bridge decodes where it is installed and works; elsewhere (NumPy 2, OpenCV 5, no ROS
distribution) the same pure path does that reads bags.
"""

from __future__ import annotations

from collections.abc import Callable
import importlib.util
import signal
import subprocess
import sys
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.errors import ImageError
from ttt3r_ros.io.ros_messages import rgb_image

RgbImage = NDArray[np.uint8]  # [H, W, 3]
Decoder = Callable[[Any], RgbImage]

# Bytes of a pixel of what cv_bridge decodes rightly. Of rows whose padding is no whole number of
# pixels it makes nonsense, of big-endian numbers too, and its versions know different YUV names.
_BRIDGED = {
    'rgb8': 3,
    'bgr8': 3,
    'rgba8': 4,
    'bgra8': 4,
    'mono8': 1,
    **{f'bayer_{pattern}8': 1 for pattern in ('rggb', 'bggr', 'gbrg', 'grbg')},
}
_ERRORS = (KeyError, TypeError, ValueError, RuntimeError, AttributeError, cv2.error)
_PROBE = """
from types import SimpleNamespace
from cv_bridge import CvBridge
msg = SimpleNamespace(height=1, width=2, encoding='bgr8', is_bigendian=0, step=6)
msg.data = bytes(range(6))
pixels = CvBridge().imgmsg_to_cv2(msg, 'rgb8').tolist()
assert pixels == [[[2, 1, 0], [5, 4, 3]]], f'it returns wrong pixels: {pixels}'
"""
_PROBE_SECONDS = 30.0


def choose_decoder() -> tuple[str, Decoder]:
    """
    Choose the library for raw images: cv_bridge if it is there and works, else rosbags-image.

    :return: the name of the library with the reason, and its decoder
    """
    if importlib.util.find_spec('cv_bridge') is None:
        return 'rosbags-image (no cv_bridge)', rgb_image
    problem = _probe()
    if problem:
        return f'rosbags-image (cv_bridge does not work here: {problem})', rgb_image
    from cv_bridge import CvBridge

    bridge = CvBridge()

    def decode(msg: Any) -> RgbImage:
        return np.asarray(bridge.imgmsg_to_cv2(msg, 'rgb8'))

    return 'cv_bridge', decode


def _probe() -> str:
    """
    Try cv_bridge in a process of its own: one built for another NumPy can end the process.

    :return: what is wrong, or nothing
    """
    command = [sys.executable, '-c', _PROBE]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f'no answer in {_PROBE_SECONDS:.0f} s'
    if done.returncode < 0:
        return f'it ends the process by {signal.Signals(-done.returncode).name}'
    return done.stderr.strip().splitlines()[-1] if done.returncode else ''


def to_rgb(msg: Any, decoder: Decoder) -> RgbImage:
    """
    Decode a `sensor_msgs/Image`.

    :param msg: the message; rows may be padded
    :param decoder: from `choose_decoder`; used for what it decodes rightly
    :return: RGB image [H, W, 3]
    :raises ImageError: if the encoding has no colours or the data do not fill the image
    """
    if not msg.encoding:
        raise ImageError('the image has no encoding')
    full = _BRIDGED.get(msg.encoding, 0) * msg.width
    if not full or msg.step != full or len(msg.data) != full * msg.height:
        decoder = rgb_image
    try:
        return decoder(msg)
    except _ERRORS as error:
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
