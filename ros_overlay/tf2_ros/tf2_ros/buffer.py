"""The tree of frames over the last seconds, and the way from one frame to another."""

from __future__ import annotations

import logging
from threading import RLock
import time as wall_time

from geometry_msgs.msg import TransformStamped
import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from scipy.spatial.transform import Rotation

from tf2_ros.exceptions import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)
from tf2_ros.time_cache import Sample, StaticCache, TimeCache

DEFAULT_CACHE_TIME = 10.0  # seconds
_POLL_PERIOD = 0.02  # seconds between two looks while waiting

_logger = logging.getLogger(__name__)


class Buffer:
    """
    Remembers transforms and composes them; safe to use from several threads.

    :param cache_time: how much history to keep; 10 s by default
    :param node: taken for compatibility; the wait for a transform runs on wall time
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None) -> None:  # noqa: ARG002
        self._cache_length = (
            int(DEFAULT_CACHE_TIME * 1e9) if cache_time is None else cache_time.nanoseconds
        )
        self._caches: dict[str, TimeCache | StaticCache] = {}
        self._lock = RLock()

    def clear(self) -> None:
        """Forget all transforms, static ones excepted."""
        with self._lock:
            self._caches = {
                frame: cache
                for frame, cache in self._caches.items()
                if isinstance(cache, StaticCache)
            }

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform that holds at its stamp; one that cannot be right is ignored."""
        self._insert(transform, authority, static=False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform that holds at all times; one that cannot be right is ignored."""
        self._insert(transform, authority, static=True)

    def can_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time,
        timeout: Duration = Duration(),  # noqa: B008
    ) -> bool:
        """Tell whether `lookup_transform` would succeed, waiting up to `timeout` for it."""
        try:
            self.lookup_transform(target_frame, source_frame, time, timeout)
        except TransformException:
            return False
        return True

    def lookup_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time,
        timeout: Duration = Duration(),  # noqa: B008
    ) -> TransformStamped:
        """
        Find the transform that takes points from the source frame to the target frame.

        :param time: when; zero means the latest time at which all of the way is known
        :param timeout: how long to wait for it; another thread must spin the listener's node
        :return: `T_target_source`, in a message stamped with the time found
        :raises LookupException: if a frame is not known
        :raises ConnectivityException: if the frames are in different trees
        :raises ExtrapolationException: if the time is outside the history
        :raises InvalidArgumentException: if a frame name is empty or starts with a slash
        """
        deadline = wall_time.monotonic() + timeout.nanoseconds / 1e9
        while True:
            try:
                return self._lookup(target_frame, source_frame, time.nanoseconds)
            except InvalidArgumentException:
                raise
            except TransformException:
                remaining = deadline - wall_time.monotonic()
                if remaining <= 0:
                    raise
            wall_time.sleep(min(_POLL_PERIOD, remaining))

    def _insert(self, message: TransformStamped, authority: str, *, static: bool) -> None:
        frame = message.child_frame_id.lstrip('/')
        sample = _sample(message)
        problem = _problem(frame, sample)
        if problem:
            _logger.warning('transform of %r from %r ignored: %s', frame, authority, problem)
            return
        with self._lock:
            cache = self._caches.get(frame)
            if cache is None or static != isinstance(cache, StaticCache):
                cache = StaticCache() if static else TimeCache(self._cache_length)
                self._caches[frame] = cache
            cache.insert(sample)

    def _lookup(self, target: str, source: str, stamp: int) -> TransformStamped:
        with self._lock:
            self._check_frame(target, 'target_frame')
            self._check_frame(source, 'source_frame')
            if stamp == 0:
                stamp = self._latest_common_time(target, source)
            target_way, target_error = self._way_up(target, stamp)
            source_way, source_error = self._way_up(source, stamp)
        common = next((frame for frame in source_way if frame in target_way), None)
        if common is None:
            error = source_error or target_error
            if error is not None:
                raise ExtrapolationException(
                    f'{error}, when looking up transform from frame [{source}] to frame [{target}]'
                )
            raise ConnectivityException(_unconnected(target, source))
        matrix = np.linalg.inv(target_way[common]) @ source_way[common]
        return _message(target, source, stamp, matrix)

    def _check_frame(self, frame: str, argument: str) -> None:
        if not frame or frame.startswith('/'):
            raise InvalidArgumentException(
                f'Invalid argument {frame!r} passed to lookupTransform argument {argument}: '
                'it must not be empty or start with a slash'
            )
        known = frame in self._caches or any(
            cache.newest.parent == frame for cache in self._caches.values()
        )
        if not known:
            raise LookupException(
                f'"{frame}" passed to lookupTransform argument {argument} does not exist.'
            )

    def _way_up(
        self, frame: str, stamp: int
    ) -> tuple[dict[str, np.ndarray], ExtrapolationException | None]:
        """Return `T_ancestor_frame` of every ancestor, and why the way ended early, if so."""
        matrix = np.eye(4)
        way = {frame: matrix}
        while frame in self._caches:
            try:
                sample = self._caches[frame].at(stamp)
            except ExtrapolationException as error:
                return way, error
            frame, matrix = sample.parent, sample.matrix() @ matrix
            _check_new(frame, way)
            way[frame] = matrix
        return way, None

    def _latest_common_time(self, target: str, source: str) -> int:
        target_way, source_way = self._newest_way_up(target), self._newest_way_up(source)
        common = next((frame for frame in source_way if frame in target_way), None)
        if common is None:
            raise ConnectivityException(_unconnected(target, source))
        passed = [frame for way in (target_way, source_way) for frame in way[: way.index(common)]]
        times = [self._caches[frame].latest_time() for frame in passed]
        return min((time for time in times if time is not None), default=0)

    def _newest_way_up(self, frame: str) -> list[str]:
        way = [frame]
        while frame in self._caches:
            frame = self._caches[frame].newest.parent
            _check_new(frame, way)
            way.append(frame)
        return way


def _check_new(frame: str, way: dict[str, np.ndarray] | list[str]) -> None:
    if frame in way:
        raise LookupException(f'The tf tree has a loop through frame "{frame}".')


def _unconnected(target: str, source: str) -> str:
    return (
        f"Could not find a connection between '{target}' and '{source}' because they are not "
        'part of the same tree. Tf has two or more unconnected trees.'
    )


def _sample(message: TransformStamped) -> Sample:
    move, turn = message.transform.translation, message.transform.rotation
    stamp = message.header.stamp
    return Sample(
        stamp.sec * 10**9 + stamp.nanosec,
        message.header.frame_id.lstrip('/'),
        np.array([move.x, move.y, move.z]),
        np.array([turn.x, turn.y, turn.z, turn.w]),
    )


def _problem(frame: str, sample: Sample) -> str:
    if not frame or not sample.parent:
        return 'a frame name is empty'
    if frame == sample.parent:
        return 'the frame is its own parent'
    values = np.concatenate([sample.translation, sample.quat_xyzw])
    if not np.isfinite(values).all():
        return 'it is not finite'
    if abs(np.linalg.norm(sample.quat_xyzw) - 1) > 0.01:
        return 'its quaternion is not of unit length'
    return ''


def _message(target: str, source: str, stamp: int, matrix: np.ndarray) -> TransformStamped:
    message = TransformStamped()
    message.header.frame_id = target
    message.child_frame_id = source
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
    move, turn = message.transform.translation, message.transform.rotation
    move.x, move.y, move.z = matrix[:3, 3].tolist()
    turn.x, turn.y, turn.z, turn.w = Rotation.from_matrix(matrix[:3, :3]).as_quat().tolist()
    return message
