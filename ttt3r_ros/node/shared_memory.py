"""What a killed process leaves in shared memory, and what makes every later one wait for ever."""

from __future__ import annotations

from pathlib import Path
import time

_PREFIXES = ('fastdds_', 'fastrtps_')  # of Fast DDS 3 (Kilted), and of Fast DDS 2 (Jazzy, Humble)
_LOCKS = ('_el', '_sl')  # files that are empty by design
_READY = (2).to_bytes(4, 'little')  # Boost.Interprocess: the creator has filled the segment
_AGE = 5.0  # seconds after which nobody is still creating it: that takes microseconds


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
