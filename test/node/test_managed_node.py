import pytest
import rclpy
from rclpy.context import Context
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNodeMixin
from rclpy.lifecycle import TransitionCallbackReturn as Result

from ttt3r_ros.node.managed_node import ManagedNode


@pytest.fixture
def node():
    context = Context()
    rclpy.init(context=context)
    node = ManagedNode('managed', context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_a_transition_that_is_not_possible_is_refused_and_others_go_on(node):
    assert node.trigger_activate() != Result.SUCCESS
    assert node.trigger_configure() == Result.SUCCESS
    assert node.trigger_activate() == Result.SUCCESS


def test_it_is_refused_where_rclpy_raises(node, monkeypatch):
    # as rclpy does up to Jazzy
    def raises(*_):
        raise rclpy_implementation.RCLError(
            'no transition matching 3 found for state unconfigured'
        )

    monkeypatch.setattr(LifecycleNodeMixin, '_LifecycleNodeMixin__change_state', raises)
    assert node.trigger_activate() == Result.ERROR
