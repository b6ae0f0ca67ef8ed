"""Calibrated cameras: intrinsics from `camera_info`, and images without distortion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
import logging
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.errors import ImageError
from ttt3r_ros.geometry.camera import Intrinsics

_logger = logging.getLogger(__name__)
_MODELS = {'plumb_bob': (4, 5), 'rational_polynomial': (8, 12, 14), 'equidistant': (4,)}


@dataclass(frozen=True)
class Calibration:
    """
    What `camera_info` says of the images of one size.

    :param intrinsics: of the image without distortion
    :param lens: of the image as it comes
    :param model: of the distortion
    :param distortion: coefficients; empty where there is none
    :param doubt: why it is not what image_proc would make of it; empty where it is
    """

    intrinsics: Intrinsics
    lens: Intrinsics
    model: str = 'plumb_bob'
    distortion: tuple[float, ...] = ()
    doubt: str = ''


def read_calibration(info: Any, width: int, height: int, *, rectified: bool) -> Calibration:
    """
    Read a `sensor_msgs/CameraInfo` for images of a given size.

    A region of interest and binning are taken into account, and a driver that scales its images
    without saying so in `camera_info`. Distorted images become what image_proc makes of them,
    `image_rect`, which P describes; K where there is no P, or one of a turned camera (stereo).

    :param rectified: take P and no distortion: the images are rectified already
    :raises ImageError: if the message cannot describe such images
    """
    lens = _intrinsics(info, width, height, rectified=rectified)
    distortion = () if rectified else _distortion(info)
    camera, doubt = lens, ''
    if distortion and np.allclose(info.r, np.eye(3).ravel(), rtol=0, atol=1e-6):
        try:
            camera = _intrinsics(info, width, height, rectified=True)
        except ImageError as error:
            if np.any(info.p):  # else it was left open
                doubt = f'images are undistorted with K as their camera matrix: {error}'
    return Calibration(camera, lens, info.distortion_model, distortion, doubt)


def told_by(info: Any) -> tuple[object, ...]:
    """Return all that a `sensor_msgs/CameraInfo` says of its images, to be compared."""
    roi = info.roi
    window = roi.x_offset, roi.y_offset, roi.width, roi.height, info.binning_x, info.binning_y
    numbers = (values.tobytes() for values in (info.d, info.k, info.r, info.p))
    return info.width, info.height, info.distortion_model, *window, *numbers


def undistort(
    image: NDArray[np.uint8], calibration: Calibration
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """
    Undistort an image, keeping its size.

    :param image: of the size that the calibration is for [H, W, 3]
    :return: the image, and which of its pixels the lens has seen [H, W]; None if all: the
        others repeat the nearest that it has
    """
    if not calibration.distortion:
        return image, None
    maps, seen = _lookup_tables(calibration)
    # a black rim would be an edge that stands still while the camera moves
    flat = cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(flat, np.uint8), seen


def undistort_depth(depth: NDArray[np.float32], calibration: Calibration) -> NDArray[np.float32]:
    """
    Undistort depth that is registered to an image: of each pixel the nearest one's.

    :param depth: of the size that the calibration is for [H, W]
    :return: NaN where the lens has seen nothing [H, W]
    """
    if not calibration.distortion:
        return depth
    maps = cv2.convertMaps(*_lookup_tables(calibration)[0], cv2.CV_32FC1)
    flat = cv2.remap(
        depth, *maps, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=np.nan
    )
    return np.asarray(flat, np.float32)


def seen_by_lens(calibration: Calibration) -> NDArray[np.bool_] | None:
    """Tell which pixels of an undistorted image the lens has seen; None: all [H, W]."""
    return _lookup_tables(calibration)[1] if calibration.distortion else None


class Undistorter:
    """
    Undistorts the images of a recording, and depth that is registered to them.

    :param calibrate: returns the calibration for a width and height; None where there is none
    """

    def __init__(self, calibrate: Callable[[int, int], Calibration | None]) -> None:
        self._calibrate = calibrate

    def image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Undistort an image [H, W, 3]."""
        calibration = self._calibrate(image.shape[1], image.shape[0])
        return image if calibration is None else undistort(image, calibration)[0]

    def depth(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """Undistort the depth of an image of its size [H, W]."""
        calibration = self._calibrate(depth.shape[1], depth.shape[0])
        return depth if calibration is None else undistort_depth(depth, calibration)

    def seen(self, width: int, height: int) -> NDArray[np.bool_] | None:
        """Tell which pixels of undistorted images the lens has seen [H, W]; None: all."""
        calibration = self._calibrate(width, height)
        return None if calibration is None else seen_by_lens(calibration)


def calibrator(
    info: Any, name: str, *, rectified: bool
) -> Callable[[int, int], Calibration | None]:
    """
    Read the `camera_info` of a recording for images of any size.

    :param name: of it, for the warning where it cannot describe such images
    :param rectified: see `read_calibration`
    :return: the calibration for a width and height; None where there is none
    """

    @lru_cache
    def calibrate(width: int, height: int) -> Calibration | None:
        try:
            return read_calibration(info, width, height, rectified=rectified)
        except ImageError as error:
            _logger.warning('%s is left aside: %s', name, error)
            return None

    return calibrate


def _intrinsics(info: Any, width: int, height: int, *, rectified: bool) -> Intrinsics:
    camera = _window(info, _full_intrinsics(info, rectified=rectified))
    if (camera.width, camera.height) != (width, height):
        camera = _scale(camera, width, height)
    return camera


def _full_intrinsics(info: Any, *, rectified: bool) -> Intrinsics:
    name, row = ('P', 4) if rectified else ('K', 3)
    matrix = np.asarray(info.p if rectified else info.k, dtype=np.float64).reshape(3, row)
    fx, fy, cx, cy = matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]
    if not np.isfinite(matrix).all() or fx <= 0 or fy <= 0:
        raise ImageError(f'camera_info is not calibrated: {name} is {matrix.ravel().tolist()}')
    if info.width == 0 or info.height == 0:
        raise ImageError('camera_info does not say the size of the image')
    camera = Intrinsics(info.width, info.height, fx, fy, cx, cy)
    if not camera.is_possible:
        raise ImageError(
            f'camera_info fits no camera with images of {info.width} x {info.height}: '
            f'{name} is {matrix.ravel().tolist()}'
        )
    return camera


def _window(info: Any, camera: Intrinsics) -> Intrinsics:
    roi, bin_x, bin_y = info.roi, max(1, info.binning_x), max(1, info.binning_y)
    width, height = roi.width or camera.width, roi.height or camera.height
    if width < bin_x or height < bin_y:
        raise ImageError(f'camera_info has {width} x {height} pixels, binned {bin_x} x {bin_y}')
    return Intrinsics(
        width // bin_x,
        height // bin_y,
        camera.fx / bin_x,
        camera.fy / bin_y,
        (camera.cx - roi.x_offset + 0.5) / bin_x - 0.5,
        (camera.cy - roi.y_offset + 0.5) / bin_y - 0.5,
    )


def _scale(camera: Intrinsics, width: int, height: int) -> Intrinsics:
    x, y = width / camera.width, height / camera.height
    if abs(x / y - 1) > 0.01:
        raise ImageError(
            f'camera_info is for {camera.width} x {camera.height} images; they are '
            f'{width} x {height}, of another shape'
        )
    cx, cy = (camera.cx + 0.5) * x - 0.5, (camera.cy + 0.5) * y - 0.5
    return Intrinsics(width, height, camera.fx * x, camera.fy * y, cx, cy)


def _distortion(info: Any) -> tuple[float, ...]:
    values: Sequence[float] = tuple(float(value) for value in info.d)
    fisheye = info.distortion_model == 'equidistant' and len(values) > 0
    if not any(values) and not fisheye:  # one whose coefficients are zero is no pinhole
        return ()
    if info.distortion_model not in _MODELS:
        known = ', '.join(_MODELS)
        raise ImageError(f'distortion model {info.distortion_model!r} is not one of {known}')
    if len(values) not in _MODELS[info.distortion_model] or not np.isfinite(values).all():
        raise ImageError(f'D = {list(values)} does not fit {info.distortion_model}')
    return tuple(values)


@lru_cache(maxsize=4)  # images and depth of two cameras
def _lookup_tables(
    calibration: Calibration,
) -> tuple[tuple[NDArray[Any], NDArray[Any]], NDArray[np.bool_] | None]:
    camera = calibration.intrinsics
    K, D, P = calibration.lens.matrix, np.array(calibration.distortion), camera.matrix
    size = (camera.width, camera.height)
    module: Any = cv2.fisheye if calibration.model == 'equidistant' else cv2
    maps: tuple[NDArray[Any], NDArray[Any]] = module.initUndistortRectifyMap(
        K, D, np.eye(3), P, size, cv2.CV_16SC2
    )
    white = np.full((camera.height, camera.width), 255, np.uint8)
    seen = cv2.remap(white, *maps, cv2.INTER_LINEAR) == 255
    return maps, None if seen.all() else seen
