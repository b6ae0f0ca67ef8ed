"""
From image messages to RGB arrays.

What the message claims is checked first (a broken driver must not crash the node), then a library
decodes it: cv_bridge where it works, rosbags-image where it does not (NumPy 2, OpenCV 5, no ROS).
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.errors import ImageError

RgbImage = NDArray[np.uint8]  # [H, W, 3]
Decoder = Callable[[Any], RgbImage]

MAX_PIXELS = 1 << 28

# OpenCV's own encodings carry no colour order; it is that of OpenCV.
_GENERIC = {'8UC1': 'mono8', '8UC3': 'bgr8', '8UC4': 'bgra8', '16UC1': 'mono16'}
# Decoded here, for neither library knows that the chroma rows come after `height` rows.
_PLANAR = {'nv12': cv2.COLOR_YUV2RGB_NV12, 'nv21': cv2.COLOR_YUV2RGB_NV21}
_PIXEL_BYTES = {
    'mono8': 1, 'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4,
    'mono16': 2, 'rgb16': 6, 'bgr16': 6, 'rgba16': 8, 'bgra16': 8,
    'bayer_rggb8': 1, 'bayer_bggr8': 1, 'bayer_gbrg8': 1, 'bayer_grbg8': 1,
    'bayer_rggb16': 2, 'bayer_bggr16': 2, 'bayer_gbrg16': 2, 'bayer_grbg16': 2,
    'yuv422': 2, 'uyvy': 2, 'yuv422_yuy2': 2, 'yuyv': 2, 'nv12': 1, 'nv21': 1,
}  # fmt: skip


def choose_decoder() -> tuple[str, Decoder]:
    """
    Choose the library for raw images: cv_bridge if it is there and works, else rosbags-image.

    :return: the name of the library with the reason, and its decoder
    """
    try:
        from cv_bridge import CvBridge  # broken builds fail here already
    except (ImportError, AttributeError) as error:
        return f'rosbags-image (no cv_bridge: {error})', _decode_rosbags
    bridge = CvBridge()

    def decode(msg: Any) -> RgbImage:
        return np.asarray(bridge.imgmsg_to_cv2(msg, 'rgb8'))

    probe = SimpleNamespace(
        height=1, width=2, encoding='bgr8', is_bigendian=0, step=6, data=bytes([1, 2, 3, 4, 5, 6])
    )
    try:
        works = decode(probe).tolist() == [[[3, 2, 1], [6, 5, 4]]]
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, cv2.error) as error:
        return f'rosbags-image (cv_bridge does not work here: {error!r})', _decode_rosbags
    if not works:
        return 'rosbags-image (cv_bridge returned wrong pixels)', _decode_rosbags
    return 'cv_bridge', decode


def to_rgb(msg: Any, decoder: Decoder) -> RgbImage:
    """
    Decode a `sensor_msgs/Image`.

    :param msg: the message; rows may be padded
    :param decoder: from `choose_decoder`
    :return: RGB image [H, W, 3]
    :raises ImageError: if the encoding is unknown or the data do not fit the description
    """
    encoding = _GENERIC.get(msg.encoding, msg.encoding)
    rows, row_bytes = _layout(msg, encoding)
    packed = np.frombuffer(msg.data, np.uint8, rows * msg.step).reshape(rows, msg.step)
    packed = np.ascontiguousarray(packed[:, :row_bytes])
    if encoding in _PLANAR:
        return np.asarray(cv2.cvtColor(packed, _PLANAR[encoding]), np.uint8)
    tight = SimpleNamespace(
        height=msg.height,
        width=msg.width,
        encoding=encoding,
        is_bigendian=msg.is_bigendian,
        step=row_bytes,
        data=packed.data,
    )
    try:
        image = decoder(tight)
    except (ValueError, TypeError, KeyError, RuntimeError, cv2.error) as error:
        raise ImageError(f'{msg.encoding} image could not be decoded: {error}') from error
    return image


def compressed_to_rgb(msg: Any) -> RgbImage:
    """
    Decode a `sensor_msgs/CompressedImage` (JPEG, PNG, whatever OpenCV reads).

    :raises ImageError: if the data are empty, cut off, or no image
    """
    data = np.frombuffer(msg.data, np.uint8)
    if data.size == 0:
        raise ImageError(f'compressed image ({msg.format}) is empty')
    head, tail = data[:8].tobytes(), data[-1024:].tobytes()
    # OpenCV fills the missing part of a JPEG with grey instead of refusing it.
    jpeg_cut = head.startswith(b'\xff\xd8') and b'\xff\xd9' not in tail
    png_cut = head.startswith(b'\x89PNG') and b'IEND' not in tail
    if jpeg_cut or png_cut:
        raise ImageError(f'compressed image ({msg.format}) is cut off after {data.size} bytes')
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ImageError(f'compressed image ({msg.format}) cannot be decoded: {error}') from error
    if image is None:
        raise ImageError(f'compressed image ({msg.format}) is no image that OpenCV can read')
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _layout(msg: Any, encoding: str) -> tuple[int, int]:
    """Check what the message says of itself; return how many rows of how many bytes it has."""
    if encoding not in _PIXEL_BYTES:
        raise ImageError(f'encoding {msg.encoding!r} is not a colour or grey image known here')
    height, width = msg.height, msg.width
    if height == 0 or width == 0:
        raise ImageError(f'image of size {width} x {height}')
    if height * width > MAX_PIXELS:
        raise ImageError(f'image of size {width} x {height} is larger than {MAX_PIXELS} pixels')
    halved = encoding in _PLANAR or encoding.startswith(('yuv', 'uyvy'))
    if halved and (width % 2 or (encoding in _PLANAR and height % 2)):
        raise ImageError(f'{msg.encoding} image of odd size {width} x {height}')
    row_bytes = width * _PIXEL_BYTES[encoding]
    rows = height * 3 // 2 if encoding in _PLANAR else height
    if msg.step < row_bytes:
        raise ImageError(f'step is {msg.step} bytes; a row of {width} pixels needs {row_bytes}')
    if len(msg.data) < rows * msg.step:
        raise ImageError(f'image has {len(msg.data)} bytes of {rows * msg.step}')
    return rows, row_bytes


def _decode_rosbags(msg: Any) -> RgbImage:
    from rosbags.image import ImageError as UnsupportedError
    from rosbags.image import image_to_cvimage

    try:
        return np.asarray(image_to_cvimage(msg, 'rgb8'), np.uint8)
    except UnsupportedError as error:
        raise ImageError(str(error)) from error
