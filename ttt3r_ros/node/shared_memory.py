"""
Shared memory of Fast DDS: enough for an image, and none that makes a start wait for ever.

What a process leaves that was killed at the wrong moment stops every later one.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
import os
from pathlib import Path
import time

PROFILES = Path(__file__).with_name('fastdds.xml')
"""Settings of Fast DDS with shared memory for whole images."""

# By these somebody has chosen settings or transports already, and ours would take their place.
_CHOICES = (
    'FASTDDS_DEFAULT_PROFILES_FILE',
    'FASTRTPS_DEFAULT_PROFILES_FILE',
    'FASTDDS_BUILTIN_TRANSPORTS',
    'RMW_FASTRTPS_USE_QOS_FROM_XML',
    'ROS_DISCOVERY_SERVER',
    'ROS_LOCALHOST_ONLY',
)
_FILES = ('DEFAULT_FASTDDS_PROFILES.xml', 'DEFAULT_FASTRTPS_PROFILES.xml')  # of a folder, likewise
_FAST_DDS_3 = 8  # rclpy's version from which on ROS has it: Jazzy's is 7, Kilted's 9

_PREFIXES = ('fastdds_', 'fastrtps_')  # of Fast DDS 3 (Kilted), and of Fast DDS 2 (Jazzy, Humble)
_LOCKS = ('_el', '_sl')  # files that are empty by design
_READY = (2).to_bytes(4, 'little')  # Boost.Interprocess: the creator has filled the segment
_AGE = 5.0  # seconds after which nobody is still creating it: that takes microseconds


def image_environment(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """
    Return what to add to a process's environment, so that images fit into its shared memory.

    By default Fast DDS has 0.5 MB of it for all messages of a process: of an image of 640 x 480
    pixels a part is overwritten before it is read, and sent again.

    :param environment: variables that the process has so far
    :param folder: in which it runs
    :return: nothing where Fast DDS is not used, or its settings or transports are chosen already
    """
    other = not environment.get('RMW_IMPLEMENTATION', 'rmw_fastrtps').startswith('rmw_fastrtps')
    chosen = any(environment.get(name, '') not in ('', '0') for name in _CHOICES)
    if other or chosen or any((folder / name).is_file() for name in _FILES):
        return {}
    library = 'FASTDDS' if _rclpy_version() >= _FAST_DDS_3 else 'FASTRTPS'
    return {f'{library}_DEFAULT_PROFILES_FILE': str(PROFILES)}


def _rclpy_version() -> int:
    """Return the first part of rclpy's version; that of the newest where it is not told."""
    try:
        return int(metadata.version('rclpy').partition('.')[0])
    except (metadata.PackageNotFoundError, ValueError):
        return _FAST_DDS_3


def make_room_for_images() -> None:
    """Let images fit into the shared memory of this process: call it before `rclpy.init`."""
    os.environ.update(image_environment(os.environ, Path.cwd()))


def remove_unfinished_segments(folder: Path = Path('/dev/shm'), age: float = _AGE) -> list[Path]:
    """
    Remove segments of Fast DDS whose creator was killed before it had filled them.

    Whoever opens such a segment waits for its creator (Boost's ``managed_open_or_create_impl``),
    and segments of ports have the same names again and again: a node would hang in its start, or
    at the first message to a new listener.

    :param folder: where shared memory is
    :param age: seconds after which an unfinished segment is taken for abandoned
    :return: the files removed
    """
    found = (path for prefix in _PREFIXES for path in folder.glob(f'{prefix}*'))
    return [path for path in found if _abandoned(path, age) and _remove(path)]


def _abandoned(path: Path, age: float) -> bool:
    if path.name.endswith(_LOCKS):
        return False
    try:
        if time.time() - path.stat().st_mtime < age:
            return False
        with path.open('rb') as file:
            return file.read(len(_READY)) != _READY
    except OSError:  # another user's, or gone meanwhile
        return False


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True
