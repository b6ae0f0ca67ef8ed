"""
ROS messages, as `rosbags` gives them, to arrays; works on any object with the message's fields.

Colour conversion follows the table of `rosbags-image`; padded rows, planar YUV and one-channel
JPEG are dealt with here.
"""

from __future__ import annotations

from io import BytesIO
import re
import sys
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from rosbags.image import image as rosbags_image

from ttt3r_ros.errors import ImageError
from ttt3r_ros.geometry.se3 import Transform, from_translation_quat
from ttt3r_ros.io.frames import ColorImage, DepthImage
from ttt3r_ros.io.images import MOST_PIXELS, UNREADABLE

# Images without a colour order were filled by OpenCV programs, as a rule.
_OPENCV_ORDER = {
    '8UC1': 'mono8',
    '8UC3': 'bgr8',
    '8UC4': 'bgra8',
    '16UC3': 'bgr16',
    '16UC4': 'bgra16',
}
_HALVED = frozenset({'nv12', 'nv21', 'uyvy', 'yuyv', 'yuv422', 'yuv422_yuy2'})  # in colour
_PLANAR = frozenset({'nv12', 'nv21'})  # one and a half rows of bytes per row of pixels
_DEPTH_ENCODINGS = frozenset({'16UC1', '32FC1'})
_COMPRESSED_ENDS = {b'\xff\xd8': b'\xff\xd9', b'\x89PNG': b'IEND'}
_COMPRESSED_DEPTH_HEADER = 12  # bytes in front of the PNG, by compressed_depth_image_transport


def stamp_seconds(message: Any, recorded_ns: int) -> float:
    """Return the header's stamp, or the time of recording where the stamp was left empty."""
    stamp = message.header.stamp
    nanoseconds = stamp.sec * 1_000_000_000 + stamp.nanosec
    return float((nanoseconds or recorded_ns) / 1e9)


def is_depth(message: Any) -> bool:
    """Tell depth from colour, by the encoding of an Image or the format of a CompressedImage."""
    if hasattr(message, 'format'):
        return 'compressedDepth' in message.format
    return message.encoding in _DEPTH_ENCODINGS


def rgb_image(message: Any) -> ColorImage:
    """
    Decode a colour image.

    :param message: sensor_msgs Image or CompressedImage
    :return: RGB [H, W, 3]
    :raises ImageError: if the encoding has no colours, or the data do not fill the image
    """
    if hasattr(message, 'format'):
        return _rgb_of_compressed(message)
    encoding = _OPENCV_ORDER.get(message.encoding, message.encoding)
    return _converted(_pixels(message, encoding), encoding)


def _converted(pixels: NDArray[Any], encoding: str) -> ColorImage:
    try:
        if rosbags_image.to_cvtype(encoding)[1] is rosbags_image.Format.GENERIC:
            raise rosbags_image.ImageError('their order and range are not known')
        rgb = rosbags_image.convert_color(pixels, encoding, 'rgb8')
    except (rosbags_image.ImageError, cv2.error) as error:
        raise ImageError(f'an image of encoding {encoding!r} has no colours: {error}') from error
    return np.ascontiguousarray(rgb, dtype=np.uint8)


def depth_image(message: Any) -> DepthImage:
    """
    Decode a depth image: 16UC1 in millimetres, 32FC1 in metres (REP-118), or PNG of the former.

    :param message: sensor_msgs Image or CompressedImage
    :return: metres, NaN where invalid [H, W]
    :raises ImageError: if the message holds no depth, or too few data
    """
    if not is_depth(message):
        kind = message.format if hasattr(message, 'format') else message.encoding
        raise ImageError(f'{kind!r} is no depth image; 16UC1 or 32FC1 is needed')
    if hasattr(message, 'format'):
        if '32FC1' in message.format:
            raise ImageError(f'depth of format {message.format!r} is not supported; 16UC1 is')
        pixels = _decompressed(message, _COMPRESSED_DEPTH_HEADER, cv2.IMREAD_UNCHANGED)
    else:
        pixels = _pixels(message, message.encoding)
    per_metre = 1000.0 if pixels.dtype == np.uint16 else 1.0
    depth = pixels.astype(np.float32) / np.float32(per_metre)
    depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
    return depth


def pose(message: Any) -> Transform:
    """
    Read a pose [4, 4].

    :param message: PoseStamped, PoseWithCovarianceStamped, Odometry or TransformStamped
    :raises ValueError: if the quaternion is zero
    """
    holder = message
    while hasattr(holder, 'pose'):
        holder = holder.pose
    position = holder.position if hasattr(holder, 'position') else holder.transform.translation
    q = holder.orientation if hasattr(holder, 'orientation') else holder.transform.rotation
    return from_translation_quat([position.x, position.y, position.z], [q.w, q.x, q.y, q.z])


def _rgb_of_compressed(message: Any) -> ColorImage:
    """Decode a CompressedImage; image_transport compresses a colour filter's pattern as it is."""
    pattern = re.match(r'bayer_[a-z]{4}(?=(8|16)\b)', message.format)
    if pattern:
        pixels = _decompressed(message, 0, cv2.IMREAD_UNCHANGED)
        if pixels.ndim == 2:
            encoding = f'{pattern[0]}{8 * pixels.itemsize}'  # JPEG has 8 bits of 16
            return _converted(pixels, encoding)
    bgr = _decompressed(message, 0, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _decompressed(message: Any, header: int, flags: int) -> NDArray[Any]:
    data = np.frombuffer(message.data, np.uint8)[header:]
    if _is_cut_off(data):
        raise ImageError(f'compressed image is cut off after {data.size} bytes')
    _check_declared_size(data, message.format)
    pixels = cv2.imdecode(data, flags)
    if pixels is None:
        raise ImageError(f'compressed image (format {message.format!r}) cannot be decoded')
    return np.asarray(pixels)


def _is_cut_off(data: NDArray[np.uint8]) -> bool:
    """Tell a part of an image: OpenCV fills what is missing with grey instead of refusing it."""
    head, tail = data[:8].tobytes(), data[-1024:].tobytes()
    ends = [end for begin, end in _COMPRESSED_ENDS.items() if head.startswith(begin)]
    if not ends or ends[0] in tail:
        return False
    # some cameras fill a buffer of a fixed size with zeros
    return ends[0] not in data.tobytes().rstrip(b'\0')[-1024:]


def _check_declared_size(data: NDArray[np.uint8], kind: str) -> None:
    """Refuse an image whose header, in a few bytes, asks for gigabytes; OpenCV would try."""
    try:
        with Image.open(BytesIO(data.data)) as image:
            width, height = image.size
    except UNREADABLE as error:
        unknown = isinstance(error, UnidentifiedImageError)  # its text is of a Python object
        reason = 'they are no image' if unknown else error
        raise ImageError(f'data of format {kind!r} cannot be decoded: {reason}') from error
    if width * height > MOST_PIXELS:
        raise ImageError(f'compressed image of {width}x{height} pixels is too large')


def _pixels(message: Any, encoding: str) -> NDArray[Any]:
    """Take rows of pixels out of the bytes: without padding, in this machine's byte order."""
    try:
        _, _, type_name, channels = rosbags_image.to_cvtype(encoding)
    except rosbags_image.ImageError as error:
        raise ImageError(f'unknown image encoding {encoding!r}') from error
    dtype = np.dtype(type_name)
    rows = message.height * 3 // 2 if encoding in _PLANAR else message.height
    row_bytes = message.width * channels * dtype.itemsize
    data = np.frombuffer(message.data, np.uint8)
    step = message.step or row_bytes  # some drivers leave it empty
    odd = encoding in _HALVED and (message.width % 2 or (encoding in _PLANAR and rows % 3))
    # and some end with the last pixel, without the padding of its row
    fits = 0 < row_bytes <= step and rows > 0 and (rows - 1) * step + row_bytes <= data.size
    if odd or not fits:
        raise ImageError(
            f'{message.width}x{message.height} image of encoding {encoding!r} and step '
            f'{message.step} cannot have {data.size} bytes'
        )
    packed = np.lib.stride_tricks.as_strided(data, (rows, row_bytes), (step, 1), writeable=False)
    packed = np.ascontiguousarray(packed)
    pixels = packed.view(dtype).reshape(rows, message.width, channels)
    if bool(message.is_bigendian) != (sys.byteorder == 'big'):
        pixels = pixels.byteswap()
    return pixels[..., 0] if channels == 1 else pixels
