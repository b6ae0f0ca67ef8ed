"""A lifecycle node that answers at all times, whichever ROS distribution it runs on."""

from __future__ import annotations

from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleNodeMixin
from rclpy.lifecycle import TransitionCallbackReturn as Result
from rclpy.node import Node


class ManagedNode(LifecycleNode):
    """
    rclpy's lifecycle node, without three of its weak points.

    Its services answer while a transition is under way; a transition that is not possible in
    the present state is refused, where rclpy before Kilted raises, which ends the process and
    leaves the manager without a response; destroying it makes the other participants forget it.

    :param name: of the node
    :param options: passed to the ROS node (namespace, parameter_overrides, ...)
    """

    def __init__(self, name: str, **options: Any) -> None:
        # Not LifecycleNode.__init__: it puts the lifecycle services into the group of all others,
        # and then nobody could ask for the state while the weights load.
        Node.__init__(self, name, **options)
        LifecycleNodeMixin.__init__(self, callback_group=ReentrantCallbackGroup())

    # The name under which Python knows the private method that services and triggers share.
    def _LifecycleNodeMixin__change_state(self, transition_id: int) -> Result:  # noqa: N802
        try:
            return super()._LifecycleNodeMixin__change_state(transition_id)  # type: ignore[misc,no-any-return]
        except rclpy_implementation.RCLError as error:
            label = self._state_machine.current_state[1]
            self.get_logger().error(
                f'transition {transition_id} refused in state {label}: {error}'
            )
            return Result.ERROR

    def destroy_node(self) -> None:
        """Free everything, and take leave of the other participants."""
        super().destroy_node()
        # rclpy's own: as long as it is there, the middleware keeps the node
        vars(self).pop('_state_machine', None)
