"""The camera that a command is given."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import lru_cache
import math

from ttt3r_ros.cli.usage import UsageError
from ttt3r_ros.errors import CalibrationError, ImageError
from ttt3r_ros.files import user_path
from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.io.calibration_file import read_calibration_file
from ttt3r_ros.io.frames import Sequence
from ttt3r_ros.io.rectify import Calibration, Undistorter, read_calibration
from ttt3r_ros.io.undistorted import UndistortedSequence

_ESTIMATE = 'estimate'
_CAMERA = (
    'a calibration file (.yaml), or fx,fy,cx,cy in pixels, or fx,fy,cx,cy,k1,k2,p1,p2'
    '[,k3[,k4,k5,k6]] of a distorting lens, is needed'
)
_DISTORTIONS = (0, 4, 5, 8)  # so many numbers, as OpenCV has them


def add_camera_argument(parser: argparse.ArgumentParser) -> None:
    """Add the argument that `given_camera` reads."""
    parser.add_argument(
        '--camera',
        default='',
        metavar='FILE|fx,fy,cx,cy[,k1,k2,p1,p2[,k3]]',
        help='calibration file of ROS (YAML), or intrinsics of the images in pixels; the '
        f'distortion of the lens is taken out; or "{_ESTIMATE}" to disregard what the recording '
        'brings (default: as recorded, else estimated)',
    )


def given_camera(text: str) -> Callable[[int, int], Calibration] | None:
    """
    Read the camera that is given.

    :param text: value of `--camera`
    :return: the calibration for an image's width and height, which raises a UsageError if it is
        none of such images; None where none is given
    :raises UsageError: if the value is no camera
    """
    if text in ('', _ESTIMATE):
        return None
    return _from_file(text) if text.endswith(('.yaml', '.yml')) else _from_numbers(text)


def undistorted(sequence: Sequence, given: Callable[[int, int], Calibration] | None) -> Sequence:
    """Take the lens distortion of the camera that is given out of a recording."""
    return sequence if given is None else UndistortedSequence(sequence, Undistorter(given))


def camera_chooser(
    text: str, given: Callable[[int, int], Calibration] | None, recorded: Intrinsics | None
) -> Callable[[int, int], Intrinsics | None]:
    """
    Decide which intrinsics are taken as known.

    :param text: value of `--camera`
    :param given: the camera that it is
    :param recorded: what the recording says; used for images of its size only
    :return: the intrinsics for an image's width and height; None: to be estimated
    """

    def choose(width: int, height: int) -> Intrinsics | None:
        if given is not None:
            return given(width, height).intrinsics
        fits = recorded is not None and (recorded.width, recorded.height) == (width, height)
        return recorded if fits and text != _ESTIMATE else None

    return choose


def _from_file(text: str) -> Callable[[int, int], Calibration]:
    try:
        info = read_calibration_file(user_path(text))
    except CalibrationError as error:
        raise UsageError(f'--camera: {error}') from error

    @lru_cache
    def calibrate(width: int, height: int) -> Calibration:
        try:
            return read_calibration(info, width, height, rectified=False)
        except ImageError as error:
            raise UsageError(f'--camera {text}: {error}') from error

    return calibrate


def _from_numbers(text: str) -> Callable[[int, int], Calibration]:
    try:
        fx, fy, cx, cy, *distortion = (float(part) for part in text.split(','))
    except ValueError as error:
        raise UsageError(f'--camera is {text!r}; {_CAMERA}') from error
    if len(distortion) not in _DISTORTIONS:
        raise UsageError(f'--camera is {text!r}; {_CAMERA}')
    if not all(math.isfinite(value) for value in (fx, fy, cx, cy, *distortion)):
        raise UsageError(f'--camera is {text!r}; all numbers must be finite')
    if not (fx > 0 and fy > 0):
        raise UsageError(f'--camera is {text!r}; focal lengths must be positive')
    bends = any(distortion)

    def calibrate(width: int, height: int) -> Calibration:
        camera = Intrinsics(width, height, fx, fy, cx, cy)
        if not camera.is_possible:
            raise UsageError(
                f'--camera is {text!r}, which fits no camera with images of {width} x '
                f'{height}; fx,fy,cx,cy in pixels is needed'
            )
        return Calibration(camera, camera, distortion=tuple(distortion) if bends else ())

    return calibrate
