"""What the node takes from TF and what it gives to it."""

from __future__ import annotations

from builtin_interfaces.msg import Time as TimeMessage
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from tf2_ros import Buffer, TransformBroadcaster, TransformException, TransformListener

from ttt3r_ros.geometry.se3 import Transform
from ttt3r_ros.node.conversions import (
    NANOSECONDS,
    nanoseconds,
    stamp_from_nanoseconds,
    transform_from_message,
    transform_message,
)
from ttt3r_ros.node.frames import FrameNames
from ttt3r_ros.node.settings import NodeConfig

_PATIENCE = 0.3  # seconds to wait for the odometry of an image that is newer than it
_NEVER = -1  # no stamp
_KEPT = 10.0  # seconds that TF is remembered, as tf2 does by itself,
_MOST_KEPT = 600.0  # and at most, where images wait in a queue


class Transforms:
    """
    Broadcasts and looks up transforms; TF is listened to only where it is needed.

    :param node: whose subscriptions and publisher they are
    :param config: tells which transforms are published
    """

    def __init__(self, node: Node, config: NodeConfig) -> None:
        self._config = config
        # The other source goes on while an image is worked on: as AMCL does, let the correction
        # hold for a while. Where both transforms are ours, they are of one time.
        ahead = 0.0 if config.publish_odom_tf else config.transform_tolerance
        self._ahead = int(ahead * 1e9)
        self._broadcaster = TransformBroadcaster(node) if config.publish_tf else None
        # The odometry of an image that waits is wanted when its turn comes; a second for each
        # before it is what a large network takes.
        kept = min(_KEPT + config.input_queue, _MOST_KEPT)
        self._buffer = Buffer(Duration(seconds=kept))
        self._last_in_vain: int | None = _NEVER  # the newest odometry after a wait without success
        self._listener: TransformListener | None = None
        self._node = node
        if config.base_frame or not config.publish_odom_tf:
            self._listener = TransformListener(self._buffer, node)

    def destroy(self) -> None:
        """Remove publisher and subscriptions."""
        if self._listener is not None:
            self._listener.unregister()
        if self._broadcaster is not None:
            self._node.destroy_publisher(self._broadcaster.pub_tf)
        self._listener = self._broadcaster = None

    def forget(self) -> None:
        """Forget all but the static transforms: time has jumped."""
        self._buffer.clear()
        self._last_in_vain = _NEVER

    def mounting(self, names: FrameNames) -> Transform | None:
        """
        Look up where the camera is mounted on the robot.

        :return: `T_base_camera`; None where there is no robot, or the camera is its base
        :raises TransformException: if nobody has published it yet
        """
        if names.base == names.camera:
            return None
        return transform_from_message(
            self._buffer.lookup_transform(names.base, names.camera, Time())
        )

    def odometry(self, names: FrameNames, stamp: TimeMessage) -> Transform:
        """
        Look up what the other source of odometry says for an image; waits a little for it.

        Not if it was waited for in vain, and nothing has come since, nor where it is farther
        behind the image: a source that has ended, or is always late, is not to hold up every
        image.

        :return: `T_odom_base`
        :raises TransformException: if it says nothing about that time
        """
        try:
            at = Time.from_msg(stamp)
        except ValueError as error:
            raise TransformException(f'stamp {nanoseconds(stamp)} ns: {error}') from error
        newest = self._newest(names)
        late = newest is not None and nanoseconds(stamp) - newest > _PATIENCE * NANOSECONDS
        patience = 0.0 if late or newest == self._last_in_vain else _PATIENCE
        try:
            found = self._buffer.lookup_transform(
                names.odom, names.base, at, Duration(seconds=patience)
            )
        except TransformException:
            self._last_in_vain = self._newest(names)
            raise
        return transform_from_message(found)

    def _newest(self, names: FrameNames) -> int | None:
        """Return the stamp of the newest odometry of the other source, nanoseconds, if any."""
        try:
            found = self._buffer.lookup_transform(names.odom, names.base, Time())
        except TransformException:
            return None
        return nanoseconds(found.header.stamp)

    def send(
        self,
        names: FrameNames,
        stamp: TimeMessage,
        T_map_odom: Transform | None,
        T_odom_base: Transform,
    ) -> None:
        """
        Publish what the settings ask for.

        :param stamp: of the image
        :param T_map_odom: None where it is not known
        :param T_odom_base: left out where another source publishes it
        """
        if self._broadcaster is None:
            return
        messages = []
        if T_map_odom is not None and self._config.publish_map_tf:
            dated = stamp_from_nanoseconds(nanoseconds(stamp) + self._ahead)
            messages.append(transform_message(T_map_odom, dated, names.map, names.odom))
        if self._config.publish_odom_tf:
            messages.append(transform_message(T_odom_base, stamp, names.odom, names.base))
        if messages:
            self._broadcaster.sendTransform(messages)


__all__ = ['TransformException', 'Transforms']
