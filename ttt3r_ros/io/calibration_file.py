"""Calibration files as ROS has them: what `camera_calibration` writes and drivers are given."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
import yaml

from ttt3r_ros.errors import CalibrationError, ImageError
from ttt3r_ros.io.rectify import read_calibration

_MOST_BYTES = 1 << 20  # some forty numbers; more is another file, taken by mistake


@dataclass(frozen=True)
class Region:
    """Fields of a `sensor_msgs/RegionOfInterest`: none."""

    x_offset: int = 0
    y_offset: int = 0
    width: int = 0
    height: int = 0


@dataclass(frozen=True, eq=False)
class CalibrationFile:
    """
    Fields of the `sensor_msgs/CameraInfo` that a driver would make of a calibration file.

    :param width: of the images, pixels
    :param height: of the images, pixels
    :param distortion_model: name of the lens model
    :param d: its coefficients
    :param k: camera matrix of the images as they come, by rows [9]
    :param r: rotation into the rectified camera, by rows [9]
    :param p: camera matrix of rectified images, by rows [12]; zeros: left open
    """

    width: int
    height: int
    distortion_model: str
    d: NDArray[np.float64]
    k: NDArray[np.float64]
    r: NDArray[np.float64]
    p: NDArray[np.float64]
    binning_x: int = 0
    binning_y: int = 0
    roi: Region = field(default_factory=Region)


def read_calibration_file(path: Path, *, rectified: bool = False) -> CalibrationFile:
    """
    Read a calibration file (YAML).

    :param rectified: it is meant for images that are rectified already, which P describes
    :raises CalibrationError: naming the file, and what it lacks
    """
    told = _load(path)
    try:
        info = CalibrationFile(
            _size(told, 'image_width'),
            _size(told, 'image_height'),
            str(told.get('distortion_model', 'plumb_bob')),
            _numbers(told, 'distortion_coefficients'),
            _numbers(told, 'camera_matrix', 9),
            _numbers(told, 'rectification_matrix', 9, np.eye(3)),
            _numbers(told, 'projection_matrix', 12, np.zeros(12)),
        )
        read_calibration(info, info.width, info.height, rectified=rectified)
    except (ImageError, ValueError) as error:
        raise CalibrationError(f'calibration file {path}: {error}') from error
    return info


def _load(path: Path) -> dict[str, Any]:
    try:
        with path.open('rb') as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise CalibrationError(f'calibration file {path} cannot be read: {reason}') from error
    try:
        told = None if len(data) > _MOST_BYTES else yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date, a number
        place = getattr(error, 'problem_mark', None)
        line = f' from line {place.line + 1} on' if place else ''
        raise CalibrationError(f'calibration file {path} is no YAML{line}') from error
    if not isinstance(told, dict):
        raise CalibrationError(
            f'{path} is no calibration file: a YAML with camera_matrix and more, as '
            'camera_calibration writes it, is needed'
        )
    return told


def _size(told: dict[str, Any], name: str) -> int:
    size = told.get(name)
    if not isinstance(size, int) or not 0 < size < 1 << 32:
        raise ValueError(f'{name} is {size!r}, not a number of pixels')
    return size


def _numbers(
    told: dict[str, Any],
    name: str,
    count: int | None = None,
    otherwise: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    if name not in told and otherwise is not None:
        return otherwise.ravel()
    try:  # float(), since YAML 1.1 takes 1e-05 for a text
        numbers = np.array([float(value) for value in told[name]['data']], np.float64)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ValueError(f'{name} has no data, a list of numbers') from None
    if count is not None and len(numbers) != count:
        raise ValueError(f'{name} has {len(numbers)} numbers, not {count}')
    return numbers
