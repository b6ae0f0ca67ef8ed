"""Start, transitions, end."""

import signal
import time

from harness import image
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
import pytest
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

ENDINGS = [signal.SIGINT, signal.SIGTERM]


def state(client) -> int:
    return client.call('ttt3r/get_state', GetState).current_state.id


def change(client, transition: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=transition))
    return client.call('ttt3r/change_state', ChangeState, request).success


def test_without_autostart_a_manager_leads_through_all_states(system):
    system.start(autostart=False, wait='', input_queue=10)
    client = system.client
    assert state(client) == State.PRIMARY_STATE_UNCONFIGURED
    assert client.node.count_publishers('points') == 0
    assert not client.call('ttt3r/reset', Trigger).success
    assert change(client, Transition.TRANSITION_CONFIGURE)
    assert state(client) == State.PRIMARY_STATE_INACTIVE
    client.listen('odometry')
    assert client.node.count_subscribers('image') == 0
    assert change(client, Transition.TRANSITION_ACTIVATE)
    assert state(client) == State.PRIMARY_STATE_ACTIVE
    client.send(image(0, 10.0))
    client.wait_for_stamp('odometry', 10.0)

    assert change(client, Transition.TRANSITION_DEACTIVATE)
    images = client.publisher('image', Image)
    client.until(lambda: images.get_subscription_count() == 0, 'the end of subscription')
    assert change(client, Transition.TRANSITION_ACTIVATE)
    client.until(lambda: images.get_subscription_count() == 1, 'a new subscription')
    client.send(image(1, 11.0))
    client.wait_for_stamp('odometry', 11.0)

    assert change(client, Transition.TRANSITION_DEACTIVATE)
    assert change(client, Transition.TRANSITION_CLEANUP)
    assert state(client) == State.PRIMARY_STATE_UNCONFIGURED
    client.until(lambda: client.node.count_publishers('points') == 0, 'the end of publishers')
    assert change(client, Transition.TRANSITION_CONFIGURE)
    assert change(client, Transition.TRANSITION_CLEANUP)
    assert change(client, Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert state(client) == State.PRIMARY_STATE_FINALIZED


def test_weights_that_cannot_be_loaded_refuse_configure_with_the_reason(system):
    process = system.start(weights='/does/not/exist.pth', wait='cannot be configured')
    assert '/does/not/exist.pth' in process.said()
    client = system.client
    client.listen_to_diagnostics()
    assert state(client) == State.PRIMARY_STATE_UNCONFIGURED
    client.until(lambda: client.status(': reconstruction') is not None, 'diagnostics')
    status = client.status(': reconstruction')
    assert status.level == status.ERROR
    assert '/does/not/exist.pth' in status.message


@pytest.mark.parametrize(
    ('parameters', 'reason'),
    [
        ({'voxel_size': -1.0}, 'voxel_size'),
        ({'max_depth': 5}, 'decimal point'),
        ({'image_transport': 'theora'}, 'raw, compressed'),
        ({'odom_frame': 'map'}, 'frames must differ'),
        ({'device': 'abacus'}, 'abacus'),
        ({'reset_interval': 1}, 'reset_interval'),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else '',
)
def test_a_bad_parameter_refuses_configure_with_the_reason(system, parameters, reason):
    process = system.start(wait='cannot be configured', **parameters)
    said = [line for line in process.said().splitlines() if 'cannot be configured' in line]
    assert reason in said[0]
    assert state(system.client) == State.PRIMARY_STATE_UNCONFIGURED


@pytest.mark.parametrize('number', ENDINGS)
def test_a_signal_ends_the_active_node_within_two_seconds(system, number):
    process = system.start(input_queue=100)
    client = system.client
    client.listen('odometry')
    client.send(*[image(index, 10.0 + index) for index in range(30)])
    client.wait_for_stamp('odometry', 10.0)
    status, took = process.end(number)
    assert (status, took < 2.0) == (0, True), f'status {status} after {took:.1f} s'


@pytest.mark.parametrize('number', ENDINGS)
def test_a_signal_ends_the_unconfigured_node_within_two_seconds(system, number):
    process = system.start(autostart=False, wait='')
    assert state(system.client) == State.PRIMARY_STATE_UNCONFIGURED
    status, took = process.end(number)
    assert (status, took < 2.0) == (0, True), f'status {status} after {took:.1f} s'


@pytest.mark.parametrize('number', ENDINGS)
def test_a_signal_ends_the_inactive_node_within_two_seconds(system, number):
    process = system.start(autostart=False, wait='')
    assert change(system.client, Transition.TRANSITION_CONFIGURE)
    status, took = process.end(number)
    assert (status, took < 2.0) == (0, True), f'status {status} after {took:.1f} s'


@pytest.mark.parametrize('delay', [0.6, 1.5, 2.5])
def test_a_signal_ends_the_node_while_it_starts(system, delay):
    process = system.start(wait='')
    time.sleep(delay)
    status, took = process.end(signal.SIGTERM)
    assert (status in (0, -signal.SIGTERM), took < 2.0) == (True, True), (status, took)


def test_the_state_can_be_asked_for_while_weights_load(system):
    system.start(autostart=False, wait='')
    client = system.client
    assert state(client) == State.PRIMARY_STATE_UNCONFIGURED
    changing = client.node.create_client(ChangeState, 'ttt3r/change_state')
    assert changing.wait_for_service(10)
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    done = changing.call_async(request)
    seen = set()
    while not done.done():
        seen.add(state(client))
    assert State.TRANSITION_STATE_CONFIGURING in seen
    assert done.result().success
