"""A subscription that is as reliable as it can be."""

from __future__ import annotations

from collections.abc import Callable
import threading
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks


class Listener:
    """
    Subscribes to a topic, where it may reliably; else, if that is allowed, best effort.

    A reliable subscription gets nothing from a publisher that is best effort, such as most cameras
    and what `ros2 bag play` makes of their recordings. Who is best effort is known only when the
    middleware has met them, which may be long after subscribing.

    :param node: whose subscription it is
    :param kind: of messages
    :param topic: name
    :param callback: called for each message
    :param depth: messages that may wait in the middleware
    :param group: of the callback
    :param reliable: begin with a reliable subscription
    :param on_lower: called when that is given up for a publisher that is best effort; without it,
        it is kept
    """

    def __init__(
        self,
        node: Node,
        kind: Any,
        topic: str,
        callback: Callable[..., None],
        depth: int,
        *,
        group: CallbackGroup,
        reliable: bool,
        on_lower: Callable[[], None] | None = None,
    ) -> None:
        self._node = node
        self._topic = (kind, topic, callback)
        self._depth, self._group, self._on_lower = depth, group, on_lower
        self._lock = threading.Lock()
        self._subscription: Subscription[Any] | None = self._subscribe(reliable=reliable)

    def _subscribe(self, *, reliable: bool) -> Subscription[Any]:
        events = None
        if reliable and self._on_lower is not None:
            events = SubscriptionEventCallbacks(incompatible_qos=lambda _: self._lower())
        policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        return self._node.create_subscription(
            *self._topic,
            QoSProfile(depth=self._depth, reliability=policy),
            callback_group=self._group,
            event_callbacks=events,
        )

    def _lower(self) -> None:
        with self._lock:
            if self._subscription is None:
                return
            self._node.destroy_subscription(self._subscription)
            self._subscription = self._subscribe(reliable=False)
        if self._on_lower is not None:
            self._on_lower()

    def close(self) -> None:
        """Listen no more."""
        with self._lock:
            if self._subscription is not None:
                self._node.destroy_subscription(self._subscription)
            self._subscription = None
