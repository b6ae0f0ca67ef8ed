"""What goes wrong in a transition is told, and the node stays what it was."""

from types import SimpleNamespace

import pytest
from rclpy.lifecycle import TransitionCallbackReturn as Result
from rclpy.parameter import Parameter
from sensor_msgs.msg import PointCloud2
from std_srvs.srv import SetBool, Trigger
import torch

from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.network import Network
from ttt3r_ros.node import reconstruction_node
from ttt3r_ros.node.reconstruction_node import ReconstructionNode
from ttt3r_ros.reconstructor import Reconstructor


def load(config):
    torch.manual_seed(3)
    return Reconstructor(config, Network(PRESETS['small']).requires_grad_(False).eval())


@pytest.fixture
def node(context):
    node = ReconstructionNode(
        load,
        context=context,
        parameter_overrides=[
            Parameter('autostart', value=False),
            Parameter('device', value='cpu'),
        ],
    )
    yield node
    node.stop(10.0)
    node.destroy_node()


def state(node):
    return node._state_machine.current_state[1]


def fail(*_: object, **__: object) -> None:
    raise KeyError('what nobody foresaw')


def test_a_mistake_while_configuring_is_told_and_does_not_last(node, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(reconstruction_node, 'Record', fail)
        assert node.trigger_configure() == Result.FAILURE
    assert state(node) == 'unconfigured'
    assert 'what nobody foresaw' in node._problem
    assert node._outputs is None
    assert node.trigger_configure() == Result.SUCCESS
    assert node._problem == ''


def test_a_mistake_while_activating_is_told_and_does_not_last(node, monkeypatch):
    assert node.trigger_configure() == Result.SUCCESS
    with monkeypatch.context() as patch:
        patch.setattr(reconstruction_node, 'create_bond', fail)
        assert node.trigger_activate() == Result.FAILURE
    assert state(node) == 'inactive'
    assert 'what nobody foresaw' in node._problem
    assert node._worker is None
    assert not node._outputs._publishers['points'].is_activated
    assert node.trigger_activate() == Result.SUCCESS
    assert node._problem == ''


def test_a_node_that_is_destroyed_at_work_ends_its_work(node):
    assert node.trigger_configure() == Result.SUCCESS
    assert node.trigger_activate() == Result.SUCCESS
    working = node._worker._thread
    assert working.is_alive()
    node.destroy_node()
    assert not working.is_alive()


def test_quality_of_service_that_there_is_not_refuses_configure(context):
    wrong = Parameter('qos_overrides./points.publisher.reliability', value='besteffort')
    node = ReconstructionNode(
        load,
        context=context,
        parameter_overrides=[Parameter('autostart', value=False), wrong],
    )
    assert node.trigger_configure() == Result.FAILURE
    assert 'besteffort' in node._problem
    node.destroy_node()


def test_what_is_set_while_the_weights_load_is_in_force(context):
    def load_slowly(config):
        found = node.set_parameters(
            [Parameter('max_depth', value=3.0), Parameter('update_rule', value='cut3r')]
        )
        assert all(result.successful for result in found)
        return load(config)

    node = ReconstructionNode(
        load_slowly, context=context, parameter_overrides=[Parameter('autostart', value=False)]
    )
    assert node.trigger_configure() == Result.SUCCESS
    assert node._pipeline.config.max_depth == 3.0
    node._pipeline._take_over_changes(SimpleNamespace(stamp=SimpleNamespace(sec=0, nanosec=0)))
    assert node._pipeline._reconstructor.config.update_rule == 'cut3r'
    node.destroy_node()


def test_a_map_that_is_ready_when_all_is_freed_goes_nowhere(node):
    assert node.trigger_configure() == Result.SUCCESS
    outputs = node._outputs
    node.trigger_cleanup()
    outputs.send('map_points', PointCloud2())
    assert outputs.sent['map_points'] == 0


@pytest.mark.parametrize('request_of', ['reset', 'clock', 'pause', 'save_map', 'parameters'])
def test_a_cleanup_in_the_midst_of_a_request_ends_nothing(node, monkeypatch, request_of):
    """Services, parameters and the clock are served beside the lifecycle, in other threads."""
    assert node.trigger_configure() == Result.SUCCESS
    pipeline, receiver, record = node._pipeline, node._receiver, node._record

    def and_cleanup(function):
        def call(*given, **named):
            node._pipeline = node._receiver = node._record = None
            return function(*given, **named)

        return call

    monkeypatch.setattr(pipeline, 'reset', and_cleanup(pipeline.reset))
    monkeypatch.setattr(pipeline, 'clock_jumped', and_cleanup(lambda _: 7))
    monkeypatch.setattr(pipeline, 'change_settings', and_cleanup(pipeline.change_settings))
    monkeypatch.setattr(receiver, 'pause', and_cleanup(receiver.pause))
    monkeypatch.setattr(record, 'save', and_cleanup(lambda *_: ('a.ply', 'a.txt')))
    if request_of == 'reset':
        assert node._on_reset(Trigger.Request(), Trigger.Response()).success
    elif request_of == 'clock':
        node._on_clock_jump(None)
    elif request_of == 'pause':
        assert node._on_pause(SetBool.Request(data=True), SetBool.Response()).message == 'paused'
    elif request_of == 'save_map':
        assert node._on_save_map(Trigger.Request(), Trigger.Response()).success
    else:
        assert node._on_parameters([Parameter('max_depth', value=3.0)]).successful
    assert node._pipeline is None
    node._pipeline, node._receiver, node._record = pipeline, receiver, record
