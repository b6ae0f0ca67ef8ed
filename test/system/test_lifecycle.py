"""Start, transitions, end."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
import signal
import time

from harness import System, image
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetAvailableStates, GetAvailableTransitions, GetState
from node_processes import NodeProcess
import pytest
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
import torch

from ttt3r_ros.model.checkpoint import save_safetensors
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.network import Network

CONFIGURE, CLEANUP = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP
ACTIVATE, DEACTIVATE = Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE
ENDINGS = [signal.SIGINT, signal.SIGTERM]
TRIES = 3  # a machine that is busy with other things may take longer once


def state(client) -> int:
    return client.call('ttt3r/get_state', GetState).current_state.id


def change(client, transition: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=transition))
    return client.call('ttt3r/change_state', ChangeState, request).success


def test_without_autostart_a_manager_leads_through_all_states(system, tmp_path):
    system.start(autostart=False, wait='', input_queue=10, map_directory=str(tmp_path))
    client = system.client
    assert state(client) == State.PRIMARY_STATE_UNCONFIGURED
    assert client.node.count_publishers('points') == 0
    assert not client.call('ttt3r/reset', Trigger).success
    assert not change(client, ACTIVATE)  # not from here
    assert change(client, CONFIGURE)
    assert state(client) == State.PRIMARY_STATE_INACTIVE
    client.listen('odometry')
    assert client.node.count_subscribers('image') == 0
    assert change(client, ACTIVATE)
    assert state(client) == State.PRIMARY_STATE_ACTIVE
    client.send(image(0, 10.0))
    client.wait_for_stamp('odometry', 10.0)

    assert change(client, DEACTIVATE)
    images = client.publisher('image', Image)
    client.until(lambda: images.get_subscription_count() == 0, 'the end of subscription')
    assert change(client, ACTIVATE)
    client.until(lambda: images.get_subscription_count() == 1, 'a new subscription')
    client.send(image(1, 11.0))
    client.wait_for_stamp('odometry', 11.0)
    path_goes_on = client.call('ttt3r/save_map', Trigger)
    assert path_goes_on.success
    rows = Path(path_goes_on.message.split()[1]).read_text().splitlines()
    assert len([row for row in rows if not row.startswith('#')]) == 2  # the state was kept

    assert change(client, DEACTIVATE)
    assert change(client, CLEANUP)
    assert state(client) == State.PRIMARY_STATE_UNCONFIGURED
    client.until(lambda: client.node.count_publishers('points') == 0, 'the end of publishers')
    assert change(client, CONFIGURE)
    assert change(client, CLEANUP)
    assert change(client, Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert state(client) == State.PRIMARY_STATE_FINALIZED


@pytest.mark.parametrize(
    ('steps', 'shutdown'),
    [
        ([CONFIGURE], Transition.TRANSITION_INACTIVE_SHUTDOWN),
        ([CONFIGURE, ACTIVATE], Transition.TRANSITION_ACTIVE_SHUTDOWN),
    ],
    ids=['inactive', 'active'],
)
def test_shutdown_ends_in_finalized(system, steps, shutdown):
    system.start(autostart=False, wait='')
    client = system.client
    assert all(change(client, step) for step in steps)
    listed = client.call('ttt3r/get_available_transitions', GetAvailableTransitions)
    assert shutdown in {item.transition.id for item in listed.available_transitions}
    states = client.call('ttt3r/get_available_states', GetAvailableStates).available_states
    assert {'unconfigured', 'inactive', 'active', 'finalized'} <= {item.label for item in states}
    assert change(client, shutdown)
    assert state(client) == State.PRIMARY_STATE_FINALIZED
    client.until(lambda: client.node.count_publishers('points') == 0, 'the end of publishers')


def test_cleanup_frees_the_memory_of_the_network(system, tmp_path):
    config = replace(PRESETS['small'], encoder_width=512, encoder_depth=24, encoder_heads=8)
    network = Network(config)
    weights = tmp_path / 'large.safetensors'
    save_safetensors(weights, network.state_dict(), network.config)
    size = weights.stat().st_size
    assert size > 200e6
    process = system.start(
        autostart=False, wait='', weights=str(weights), precision='float32', input_queue=5
    )
    client = system.client
    assert state(client) == State.PRIMARY_STATE_UNCONFIGURED

    def memory() -> int:
        pages = Path(f'/proc/{process.pid}/statm').read_text().split()[1]
        return 4096 * int(pages)

    before = memory()
    assert change(client, CONFIGURE)
    assert change(client, ACTIVATE)
    client.listen('odometry')
    client.send(image(0, 10.0))  # a file that is mapped into memory is read when it is used
    client.wait_for_stamp('odometry', 10.0)
    assert memory() > before + 0.9 * size
    assert change(client, DEACTIVATE)
    assert change(client, CLEANUP)
    assert memory() < before + 0.6 * size  # libraries keep their buffers, and are in memory


def test_weights_that_cannot_be_loaded_refuse_configure_with_the_reason(system):
    process = system.start(weights='/does/not/exist.pth', wait='cannot be configured')
    assert '/does/not/exist.pth' in process.said()
    client = system.client
    client.listen_to_diagnostics()
    assert state(client) == State.PRIMARY_STATE_UNCONFIGURED
    status = client.status(': reconstruction')
    assert status.level == b'\2'
    assert '/does/not/exist.pth' in status.message
    assert not change(client, CONFIGURE)
    assert state(client) == State.PRIMARY_STATE_UNCONFIGURED


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


def at_work(system: System) -> NodeProcess:
    process = system.start(input_queue=100, executable=True)
    client = system.client
    client.listen('odometry')
    client.forget()
    client.send(*[image(index, 10.0 + index) for index in range(30)])
    client.until(lambda: client.received['odometry'], 'odometry')
    return process


def unconfigured(system: System) -> NodeProcess:
    process = system.start(autostart=False, wait='')
    assert state(system.client) == State.PRIMARY_STATE_UNCONFIGURED
    return process


def inactive(system: System) -> NodeProcess:
    process = system.start(autostart=False, wait='')
    assert change(system.client, CONFIGURE)
    return process


@pytest.mark.parametrize('number', ENDINGS)
@pytest.mark.parametrize('prepare', [at_work, unconfigured, inactive])
def test_a_signal_ends_the_node_within_two_seconds_with_status_0(
    system, prepare: Callable[[System], NodeProcess], number
):
    for _ in range(TRIES):
        status, took = prepare(system).end(number)
        assert status == 0
        if took < 2.0:
            return
    pytest.fail(f'took {took:.1f} s, and {TRIES - 1} times before more than 2 s')


@pytest.mark.parametrize('delay', [0.6, 1.5, 2.5])
def test_a_signal_ends_the_node_while_it_starts(system, delay):
    for _ in range(TRIES):
        process = system.start(wait='', executable=True)
        time.sleep(delay)
        status, took = process.end(signal.SIGTERM)
        assert status in (0, -signal.SIGTERM)
        if took < 2.0:
            return
    pytest.fail(f'took {took:.1f} s, and {TRIES - 1} times before more than 2 s')


def test_the_state_can_be_asked_for_while_weights_load(system, tmp_path):
    torch.manual_seed(0)
    network = Network(replace(PRESETS['small'], encoder_width=512, encoder_depth=24))
    weights = tmp_path / 'large.safetensors'
    save_safetensors(weights, network.state_dict(), network.config)
    system.start(autostart=False, wait='', weights=str(weights))
    client = system.client
    assert state(client) == State.PRIMARY_STATE_UNCONFIGURED
    request = ChangeState.Request(transition=Transition(id=CONFIGURE))
    done = client.service('ttt3r/change_state', ChangeState).call_async(request)
    seen = set()
    while not done.done():
        seen.add(state(client))
    assert State.TRANSITION_STATE_CONFIGURING in seen
    assert done.result().success
