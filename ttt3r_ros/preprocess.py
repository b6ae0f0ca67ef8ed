"""From a camera image to the network's: scaled, cropped to whole patches, in [-1, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
import torch
from torch import Tensor

from ttt3r_ros.errors import ImageError
from ttt3r_ros.geometry.camera import ImageMapping, Intrinsics
from ttt3r_ros.model.config import NetworkConfig

RgbImage = NDArray[np.uint8]

_SMALLEST = 8  # pixels of a side
_LONGEST_RATIO = 8  # a longer strip than this leaves the network less than one row of patches


class Fitted(NamedTuple):
    """An image brought to a network's size."""

    image: RgbImage  # its sides multiples of the patch [h, w, 3]
    mapping: ImageMapping  # how it came from the input
    detailed: RgbImage  # as the stem reads it [detail x h, detail x w, 3]


def fit_image(image: RgbImage, config: NetworkConfig, *, crop: bool = True) -> Fitted:
    """
    Bring an image to the size that the network wants.

    :param image: RGB [H, W, 3]
    :param crop: crop to whole patches around the middle; else stretch to them
    :raises ImageError: not 8-bit RGB, too small, or too long a strip
    """
    check_image(image)
    height, width = image.shape[:2]
    mapping = plan_fit(width, height, config, crop=crop)
    detailed = _scale(image, mapping.enlarged(config.detail), config.resample)
    small = detailed
    if config.detail > 1:
        size = (mapping.width, mapping.height)
        small = np.asarray(cv2.resize(detailed, size, interpolation=cv2.INTER_AREA), np.uint8)
    return Fitted(small, mapping, detailed)


def _scale(image: RgbImage, mapping: ImageMapping, resample: str) -> RgbImage:
    scaled_width = round(image.shape[1] * mapping.scale_x)
    scaled_height = round(image.shape[0] * mapping.scale_y)
    scaled = _resize(image, scaled_width, scaled_height, resample)
    rows = slice(mapping.offset_y, mapping.offset_y + mapping.height)
    columns = slice(mapping.offset_x, mapping.offset_x + mapping.width)
    return np.ascontiguousarray(scaled[rows, columns])


def check_image(image: RgbImage) -> None:
    """
    Refuse what is not an image.

    :raises ImageError: no array, not 8-bit RGB, too small, or too long a strip
    """
    if not isinstance(image, np.ndarray):
        raise ImageError(f'an image is a NumPy array [H, W, 3], not {type(image).__name__}')
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(f'an 8-bit RGB image is needed, not {image.dtype} {list(image.shape)}')
    height, width = image.shape[:2]
    shorter, longer = sorted((height, width))
    if shorter < _SMALLEST or longer > _LONGEST_RATIO * shorter:
        raise ImageError(f'an image of {width}x{height} pixels cannot be reconstructed')


def check_camera(camera: Intrinsics, mapping: ImageMapping) -> None:
    """
    Refuse a camera that the image is not from.

    :param camera: said to be the image's
    :param mapping: from that image
    :raises ImageError: for another size, or no camera that there is
    """
    size = (mapping.input_width, mapping.input_height)
    if (camera.width, camera.height) != size:
        raise ImageError(
            f'the camera is of images of {camera.width}x{camera.height} pixels; '
            f'one of {size[0]}x{size[1]} is needed'
        )
    if not camera.is_possible:
        raise ImageError(
            f'no camera with images of {size[0]}x{size[1]} has, in pixels, fx {camera.fx}, '
            f'fy {camera.fy}, cx {camera.cx}, cy {camera.cy}'
        )


def plan_fit(width: int, height: int, config: NetworkConfig, *, crop: bool = True) -> ImageMapping:
    """
    Decide how an image is scaled and cropped.

    The long side (or, for square networks, the short one) is scaled to `image_size`; then each
    side is cropped to whole patches, and a square one further to 4:3.
    """
    patch, size = config.patch_size, config.image_size
    reference = min(width, height) if config.fit == 'square' else max(width, height)
    scaled_width, scaled_height = (
        max(1, round(side * size / reference)) for side in (width, height)
    )
    if config.fit == 'square':
        out_width = out_height = size
    else:
        out_width, out_height = (
            max(patch, side // patch * patch) for side in (scaled_width, scaled_height)
        )
        if out_width == out_height:
            out_height = out_height * 3 // 4 // patch * patch
    if not crop or scaled_width < out_width or scaled_height < out_height:
        scaled_width, scaled_height = out_width, out_height
    return ImageMapping(
        width,
        height,
        out_width,
        out_height,
        scaled_width / width,
        scaled_height / height,
        (scaled_width - out_width) // 2,
        (scaled_height - out_height) // 2,
    )


def to_tensor(images: Sequence[RgbImage], device: torch.device, dtype: torch.dtype) -> Tensor:
    """
    Bring images of one size to the network's range.

    :param images: B images, RGB [H, W, 3]
    :return: in [-1, 1] [B, 3, H, W]
    """
    batch = torch.from_numpy(np.stack(images))
    if device.type == 'cuda':
        batch = batch.pin_memory().to(device, non_blocking=True)
    return (batch.movedim(-1, 1).to(dtype) / 127.5 - 1).contiguous()


def _resize(image: RgbImage, width: int, height: int, resample: str) -> RgbImage:
    if image.shape[:2] == (height, width):
        return image
    shrinks = width < image.shape[1]
    if resample == 'area':
        how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)
    kind = Image.Resampling.LANCZOS if shrinks else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(image).resize((width, height), kind))
