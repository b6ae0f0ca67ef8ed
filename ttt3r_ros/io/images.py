"""Image files: colour and depth as arrays, and folders of images as recordings."""

from __future__ import annotations

from collections.abc import Sequence as ListLike
from functools import partial
import logging
from pathlib import Path
import re
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.io.frames import ColorImage, DepthImage, Frame, FrameList

IMAGE_SUFFIXES = frozenset(
    {'.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp'}
)
FRAME_RATE = 30.0  # Hz, of images that carry no time
_ROTATED = 5  # EXIF orientations from here on swap width and height
_ORIENTATION = 0x0112  # EXIF tag
_TURNED_BY = frozenset({'exif', 'Raw profile type exif', 'xmp', 'XML:com.adobe.xmp'})  # of a PNG
MOST_PIXELS = 1 << 27  # of one image: what a header says is not believed beyond it
_logger = logging.getLogger(__name__)
# What Pillow raises on damaged files.
UNREADABLE = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, SyntaxError,
    TypeError, ValueError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip


def natural_key(name: str) -> list[tuple[int, str]]:
    """Return a sorting key by which `frame2` comes before `frame10`."""
    parts = re.split(r'(\d+)', name)
    return [(int(part), part) if part.isdecimal() else (0, part) for part in parts]


def load_image(path: Path) -> ColorImage:
    """
    Read a colour image, upright as its EXIF data tells.

    :return: RGB [H, W, 3]
    :raises DatasetError: if the file is missing, truncated or no image
    """
    try:
        with Image.open(path) as image:
            _check_size(image)
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith('I'):  # 16 bit grey, which Pillow would clip
                grey = np.asarray(upright).astype(np.uint32) >> 8
                return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
            return np.array(upright.convert('RGB'))
    except UNREADABLE as error:
        raise DatasetError(f'cannot read the image {path}: {_reason(error)}') from error


def load_depth(path: Path, *, per_metre: float) -> DepthImage:
    """
    Read a depth image of integers; 0 and 65535 mean that nothing was measured.

    :param per_metre: what the integers count in one metre
    :return: metres, NaN where invalid [H, W]
    :raises DatasetError: if the file is missing, truncated or no depth image
    """
    try:
        with Image.open(path) as image:
            _check_size(image)
            raw = np.asarray(image)
    except UNREADABLE as error:
        raise DatasetError(f'cannot read the depth image {path}: {_reason(error)}') from error
    if raw.ndim != 2 or raw.dtype == np.uint8:
        raise DatasetError(f'{path} is no depth image: one channel of 16 bits is needed')
    depth = raw.astype(np.float32) / np.float32(per_metre)
    depth[(raw == 0) | (raw == 65535)] = np.nan
    return depth


def image_size(path: Path) -> tuple[int, int]:
    """
    Return width and height of the upright image, from the file's header alone.

    :raises DatasetError: if the file is missing or no image
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            # for a PNG without it, Pillow would read all pixels to see whether it comes after them
            known = image.format != 'PNG' or not _TURNED_BY.isdisjoint(image.info)
            rotated = known and image.getexif().get(_ORIENTATION, 1) >= _ROTATED
    except UNREADABLE as error:
        raise DatasetError(f'cannot read the image {path}: {_reason(error)}') from error
    return (height, width) if rotated else (width, height)


def common_size(paths: ListLike[Path]) -> tuple[int, int]:
    """
    Return width and height of the first image that can be read, as the others of a camera have.

    :raises DatasetError: if none is an image, naming the first
    """
    error: DatasetError | None = None
    for path in paths:
        size = _size_or_error(path)
        if not isinstance(size, DatasetError):
            return size
        error = error or size
    assert error is not None, 'no paths'
    raise error


def list_images(folder: Path) -> list[Path]:
    """List the image files of a folder in natural order."""
    paths = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    visible = [path for path in paths if path.is_file() and not path.name.startswith('.')]
    return sorted(visible, key=lambda path: natural_key(path.name))


def open_images(paths: ListLike[Path], name: str, *, unordered: bool = False) -> FrameList:
    """
    Make a recording of image files.

    They are taken as a collection of photographs where their sizes differ, or where their names
    differ in more than numbers; else as successive frames. A file that is no image is a frame that
    cannot be loaded.

    :param unordered: take them as photographs in any case
    :raises DatasetError: if none is an image, naming the first
    """
    found = [_size_or_error(path) for path in paths]
    errors = [size for size in found if isinstance(size, DatasetError)]
    if errors and len(errors) == len(found):
        raise errors[0]
    readable = {
        path: size
        for path, size in zip(paths, found, strict=True)
        if not isinstance(size, DatasetError)
    }
    sizes = set(readable.values())
    patterns = {re.sub(r'\d+', '#', path.name) for path in readable}
    told = [(len(sizes) > 1, 'sizes'), (len(patterns) > 1, 'names')]
    differing = ' and '.join(name for differs, name in told if differs)
    ordered = not unordered and not differing
    if differing and not unordered:
        _logger.warning('%s: taken as photographs in no order: their %s differ', name, differing)
    frames = [
        Frame(index, index / FRAME_RATE, partial(load_image, path))
        for index, path in enumerate(paths)
    ]
    return FrameList(name, frames, ordered=ordered)


def _size_or_error(path: Path) -> tuple[int, int] | DatasetError:
    try:
        return image_size(path)
    except DatasetError as error:
        return error


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(f'{image.width}x{image.height} pixels are too many')


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return 'there is no such file'
    return str(error).partition(':')[0] if 'cannot identify' in str(error) else str(error)
