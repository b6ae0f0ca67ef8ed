"""One image made ready for tracking, with the network's depth to look up."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.errors import ImageError
from ttt3r_ros.geometry.camera import ImageMapping, Intrinsics

_EDGE = 0.35  # log-depth range within 3x3 pixels that makes an edge
_LEAST_CONFIDENT = 0.1  # part of the pixels whose depth is not used
_NEAREST = 1e-3  # metres
_LEAST_SIDE = 320  # pixels of the longest side: corners are patches, of which less has too few


@dataclass(frozen=True)
class TrackingFrame:
    """
    A grey image of limited size, its camera, and the network's depth of it.

    :param gray: [H, W] uint8
    :param camera_matrix: of the grey image [3, 3]
    :param log_depth: natural logarithm of metres, network's size [h, w]
    :param trusted: where the depth may be used: 1 or 0 [h, w]
    :param mapping: from the full image to the network's
    :param shrink: size of the grey image, relative to the full one, along x and y [2]
    """

    gray: NDArray[np.uint8]
    camera_matrix: NDArray[np.float64]
    log_depth: NDArray[np.float32]
    trusted: NDArray[np.uint8]
    mapping: ImageMapping
    shrink: NDArray[np.float64]

    @classmethod
    def prepare(
        cls,
        image: NDArray[np.uint8],
        points: NDArray[np.float32],
        confidence: NDArray[np.float32],
        mapping: ImageMapping,
        camera: Intrinsics,
        image_size: int,
    ) -> TrackingFrame:
        """
        Bring the image to size and find where its depth can be used.

        :param image: RGB [H, W, 3]
        :param points: camera-frame points, metres [h, w, 3]
        :param confidence: [h, w]
        :param camera: of the full image
        :param image_size: longest side of the grey image
        :raises ImageError: the sizes do not fit together
        """
        check_image(image, mapping)
        small = (mapping.height, mapping.width)
        if points.shape != (*small, 3) or confidence.shape != small:
            raise ImageError(f'points {points.shape} or confidence {confidence.shape} not {small}')
        height, width = image.shape[:2]
        gray = gray_image(image, image_size)
        shrink = np.array([gray.shape[1] / width, gray.shape[0] / height])
        log_depth, trusted = _usable_depth(points[..., 2], confidence)
        matrix = np.diag([*shrink, 1.0]) @ camera.matrix
        matrix[:2, 2] += 0.5 * (shrink - 1.0)  # pixel centres count from 0
        return cls(gray, matrix, log_depth, trusted, mapping, shrink)

    def network_pixels(self, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map pixels of the grey image to the network's image [N, 2]."""
        return self.mapping.points_to_output((pixels + 0.5) / self.shrink - 0.5)

    def look_up(self, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
        """
        Interpolate the network's log-depth.

        :param pixels: of the grey image [N, 2]
        :return: log of metres; nan outside the network's image and where it is not trusted [N]
        """
        if len(pixels) == 0:
            return np.zeros(0)
        at = self.network_pixels(pixels).astype(np.float32)
        x, y = at[None, :, 0], at[None, :, 1]
        edge = cv2.BORDER_REPLICATE
        value = cv2.remap(self.log_depth, x, y, cv2.INTER_LINEAR, borderMode=edge)[0]
        usable = cv2.remap(self.trusted, x, y, cv2.INTER_NEAREST, borderMode=edge)[0] > 0
        height, width = self.log_depth.shape
        usable &= ((at > -0.5) & (at < [width - 0.5, height - 0.5])).all(axis=1)
        return np.where(usable, value.astype(np.float64), np.nan)


def check_image(image: NDArray[np.uint8], mapping: ImageMapping) -> None:
    """
    Make sure that an image is one.

    :raises ImageError: it is not RGB of 8 bits [H, W, 3], or not of the mapping's size
    """
    expected = (mapping.input_height, mapping.input_width, 3)
    if image.shape != expected or image.dtype != np.uint8:
        raise ImageError(f'image is {image.dtype} {image.shape}, not uint8 {expected}')


def gray_image(image: NDArray[np.uint8], image_size: int) -> NDArray[np.uint8]:
    """
    Make an image grey; shrink it where it is large, and enlarge it where it is tiny.

    :param image: RGB [H, W, 3]
    :param image_size: longest side of the grey image
    """
    gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    height, width = gray.shape
    longest = max(height, width)
    factor = min(max(1.0, _LEAST_SIDE / longest), image_size / longest)
    if factor != 1.0:
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        how = cv2.INTER_AREA if factor < 1.0 else cv2.INTER_CUBIC
        gray = np.asarray(cv2.resize(gray, size, interpolation=how), np.uint8)
    return gray


def _usable_depth(
    depth: NDArray[np.float32], confidence: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return the log-depth, and where there is no edge and the network is fairly sure."""
    valid = np.isfinite(depth) & (depth > _NEAREST)
    log_depth = np.log(np.where(valid, depth, _NEAREST), dtype=np.float32)
    kernel = np.ones((3, 3), np.uint8)
    spread = cv2.dilate(log_depth, kernel) - cv2.erode(log_depth, kernel)
    sure = confidence >= np.quantile(confidence[::4, ::4], _LEAST_CONFIDENT)
    return log_depth, (valid & sure & (spread < _EDGE)).astype(np.uint8)
