"""Publish transforms that never change."""

from __future__ import annotations

from collections.abc import Iterable

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage


class StaticTransformBroadcaster:
    """
    Publish on /tf_static, for those too who subscribe later.

    :param node: what publishes
    :param qos: of /tf_static; transient local, 1 deep by default
    """

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        qos = qos or QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.pub_tf = node.create_publisher(TFMessage, '/tf_static', qos)
        self._transforms: dict[str, TransformStamped] = {}

    def sendTransform(  # noqa: N802
        self, transform: TransformStamped | Iterable[TransformStamped]
    ) -> None:
        """Send one transform or several, together with all sent before."""
        new = [transform] if isinstance(transform, TransformStamped) else transform
        self._transforms.update({item.child_frame_id: item for item in new})
        self.pub_tf.publish(TFMessage(transforms=list(self._transforms.values())))
