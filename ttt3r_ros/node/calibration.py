"""The camera as `camera_info` or a file tells it, and images without its distortion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
import threading
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo

from ttt3r_ros.errors import CalibrationError, ImageError
from ttt3r_ros.files import user_path
from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.io.calibration_file import read_calibration_file
from ttt3r_ros.io.rectify import Calibration, read_calibration, told_by, undistort
from ttt3r_ros.node.settings import NodeConfig
from ttt3r_ros.node.statistics import Statistics

_PATIENCE = 0.5  # seconds that the first image waits for camera_info
_PACKAGE, _FILE = 'package://', 'file://'


@dataclass(frozen=True)
class Decoded:
    """
    An image without distortion.

    :param image: RGB [H, W, 3]
    :param camera: its intrinsics, if they are known
    :param seen: which pixels the lens has seen [H, W]; None if all
    """

    image: NDArray[np.uint8]
    camera: Intrinsics | None = None
    seen: NDArray[np.bool_] | None = None


class CameraCalibration:
    """
    Undistorts images where the camera is calibrated.

    :param config: settings of the node
    :param statistics: where a `camera_info` that cannot be used is counted
    :param warn: logs a warning about bad data, given its kind and a text
    :raises CalibrationError: if a calibration file is named and cannot be used
    """

    def __init__(
        self, config: NodeConfig, statistics: Statistics, warn: Callable[[str, str], None]
    ) -> None:
        self._statistics = statistics
        self._warn = warn
        self._rectified = config.rectified_input
        self._lock = threading.Lock()  # images are decoded in two threads
        self._said: tuple[object, ...] = ()  # by what the calibration is of
        self._calibration: Calibration | None = None
        self._info: Any = None
        self._came = threading.Event()
        self._awaited = False
        self.is_from_file = bool(config.camera_info_url)
        if self.is_from_file:
            path = _find(config.camera_info_url)
            self._info = read_calibration_file(path, rectified=self._rectified)

    def take(self, msg: CameraInfo) -> None:
        """Believe what is said from now on."""
        self._info = msg
        self._came.set()

    def await_again(self) -> None:
        """Let the next image wait, as the first."""
        self._awaited = False

    def wait(self, is_published: Callable[[], bool]) -> None:
        """
        Let the first image wait a little for `camera_info`, where somebody publishes that.

        The next one, which may be prepared meanwhile, waits with it.
        """
        with self._lock:
            if self._awaited or self.is_from_file:
                return
            self._awaited = True
            if is_published():
                self._came.wait(_PATIENCE)

    def undistort(self, image: NDArray[np.uint8]) -> Decoded:
        """Undistort an image [H, W, 3]; as it is where no usable calibration is known."""
        info, height, width = self._info, *image.shape[:2]
        if info is None:
            return Decoded(image)
        try:
            calibration = self._read(info, width, height)
        except ImageError as error:
            self._statistics.count('with bad camera_info')
            self._warn('camera_info', f'camera_info ignored: {error}')
            return Decoded(image)
        flat, seen = undistort(image, calibration)
        return Decoded(flat, calibration.intrinsics, seen)

    def _read(self, info: Any, width: int, height: int) -> Calibration:
        """Read camera_info, unless it says of such images what it has said before."""
        said = (width, height, *told_by(info))
        with self._lock:
            if self._calibration is None or said != self._said:
                self._calibration = read_calibration(
                    info, width, height, rectified=self._rectified
                )
                self._said = said
                if self._calibration.doubt:
                    self._warn('P of camera_info', self._calibration.doubt)
            return self._calibration


def _find(url: str) -> Path:
    """Return the file that a `camera_info_url` names: a path, `file://` or `package://`."""
    if not url.startswith(_PACKAGE):
        return user_path(url.removeprefix(_FILE))
    package, _, path = url.removeprefix(_PACKAGE).partition('/')
    try:
        return Path(get_package_share_directory(package)) / path
    except (PackageNotFoundError, ValueError, OSError) as error:  # no name, no ROS
        raise CalibrationError(
            f'camera_info_url {url}: there is no package {package!r}'
        ) from error
