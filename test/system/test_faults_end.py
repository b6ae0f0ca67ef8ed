"""Ends in the states that test_lifecycle.py leaves out, sudden death, and what is left behind."""

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import cv2
from faults import environment
from harness import image, picture
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from node_processes import START
import pytest
from std_srvs.srv import SetBool

ENDINGS = [signal.SIGINT, signal.SIGTERM]


def request(transition: int) -> ChangeState.Request:
    return ChangeState.Request(transition=Transition(id=transition))


def ends_well(process, number: signal.Signals) -> None:
    status, took = process.end(number)
    assert (status, took < 2.0) == (0, True), f'status {status} after {took:.1f} s'


TESTS = """
import sys, time
from pathlib import Path

sys.path[:0] = {folders}
from node_processes import Domain, NodeProcess

if __name__ == '__main__':
    domain = Domain()
    log = Path({log!r})
    process = NodeProcess(domain.number, log, 'main', [], executable={executable})
    process.says('waiting for images')
    print(process.pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize('executable', [False, True], ids=['forked', 'executable'])
def test_no_node_outlives_the_tests_that_are_killed(tmp_path, executable):
    script = tmp_path / 'tests.py'
    folders, log = [str(Path(__file__).parent)], str(tmp_path / 'log')
    script.write_text(TESTS.format(folders=folders, log=log, executable=executable))
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        node = Path('/proc', tests.stdout.readline().strip(), 'stat')
        assert _runs(node)
        tests.kill()
    deadline = time.monotonic() + 10
    while _runs(node):
        assert time.monotonic() < deadline, 'the node goes on'
        time.sleep(0.02)


def _runs(stat: Path) -> bool:
    """Tell whether a process is there that nobody but init has to wait for."""
    try:
        return stat.read_text().rpartition(')')[2].split()[0] != 'Z'
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize('number', ENDINGS)
def test_a_signal_ends_the_finalized_node(system, number):
    process = system.start(autostart=False, wait='')
    client = system.client
    shutdown = request(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert client.call('ttt3r/change_state', ChangeState, shutdown).success
    state = client.call('ttt3r/get_state', GetState).current_state.id
    assert state == State.PRIMARY_STATE_FINALIZED
    ends_well(process, number)


@pytest.mark.parametrize('number', ENDINGS)
def test_a_signal_ends_the_node_while_it_is_configured(system, number):
    process = system.start(autostart=False, wait='')
    client = system.client
    change = client.node.create_client(ChangeState, 'ttt3r/change_state')
    assert change.wait_for_service(START)
    done = change.call_async(request(Transition.TRANSITION_CONFIGURE))
    client.until(
        lambda: (
            client.call('ttt3r/get_state', GetState).current_state.id
            == State.TRANSITION_STATE_CONFIGURING
        ),
        'configuring',
    )
    assert not done.done()
    ends_well(process, number)


@pytest.mark.parametrize('number', ENDINGS)
def test_a_signal_ends_the_paused_node(system, number):
    process = system.start(input_queue=50)
    client = system.client
    client.listen('odometry')
    client.send(image(0, 10.0))
    client.wait_for_stamp('odometry', 10.0)
    assert client.call('ttt3r/pause', SetBool, SetBool.Request(data=True)).success
    ends_well(process, number)


@pytest.mark.parametrize('number', ENDINGS)
def test_a_signal_ends_the_node_that_could_not_be_configured(system, number):
    process = system.start(weights='/does/not/exist.pth', wait='cannot be configured')
    ends_well(process, number)


def test_after_sudden_death_a_new_node_tracks_within_three_seconds_of_its_weights(system):
    process = system.start(image_qos='reliable')
    client = system.client
    client.listen('odometry')
    client.send(image(0, 10.0))
    client.wait_for_stamp('odometry', 10.0)
    process.end(signal.SIGKILL)
    again = system.start(image_qos='reliable', wait='')
    again.says('network loaded')
    loaded, index = time.monotonic(), 0
    while len(client.received['odometry']) < 2:
        assert time.monotonic() < loaded + START
        client.send(image(index, 20.0 + 0.05 * index))
        index += 1
        time.sleep(0.05)
    took = time.monotonic() - loaded
    assert took < 3.0, f'{took:.1f} s'


def test_segments_whose_creator_was_killed_do_not_stop_a_start(system):
    """Without their removal the node waits for a creator that is dead."""
    unicast = 7400 + 250 * system.domain + 11  # of the first participant, the client
    left = [
        Path('/dev/shm') / f'{prefix}_port{unicast + 2 * number}'
        for prefix in ('fastdds', 'fastrtps')
        for number in range(1, 4)
    ]
    try:
        for path in left:
            path.unlink(missing_ok=True)
            path.touch()
            os.utime(path, (0, 0))
        process = system.start()
        assert process.said().count('was killed while it created it') == len(left)
    finally:
        for path in left:
            path.unlink(missing_ok=True)


# What may never come back at the end: without, and with the interpreter's lock held.
HANGS = {
    'time.sleep(100)': (0, 2.0, ''),
    'ctypes.PyDLL(None).sleep(100)': (1, 8.0, 'in destroy_node'),
}


@contextmanager
def patched(domain: int, patch: str, *arguments: str) -> Iterator[subprocess.Popen]:
    """Run the node in a process in which something has been replaced."""
    code = f"""
import ctypes, sys, time
from ttt3r_ros import reconstructor
from ttt3r_ros.node import main, reconstruction_node
def hang(*_, **__):
    print('it hangs', file=sys.stderr, flush=True)
    time.sleep(1000)
{patch}
main.main(['--ros-args', *sys.argv[1:]])
"""
    with subprocess.Popen(
        [sys.executable, '-c', code, *arguments],
        env=environment(domain),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize('hang', HANGS)
def test_the_end_comes_even_if_the_middleware_does_not_let_go(system, hang):
    patch = f"""
def destroy_node(self):
    {hang}
reconstruction_node.ReconstructionNode.destroy_node = destroy_node
"""
    with patched(system.domain, patch, '-p', 'autostart:=false') as process:
        system.client.until(lambda: 'ttt3r' in system.client.node.get_node_names(), 'the node')
        time.sleep(0.5)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=START)
        took = time.monotonic() - began
    status, limit, words = HANGS[hang]
    assert process.returncode == status, said
    assert took < limit, f'{took:.1f} s'
    assert words in said


def test_a_signal_while_the_player_publishes_is_no_failure(system, tmp_path):
    for index in range(2):
        cv2.imwrite(str(tmp_path / f'{index}.png'), picture(index))
    code = f"""
import rclpy
from ttt3r_ros.node import sequence_player
send = sequence_player.SequencePlayer._send
def interrupted(*given):
    rclpy.shutdown()  # what the handler of a signal does, in the midst of it
    return send(*given)
sequence_player.SequencePlayer._send = interrupted
sequence_player.main(['--ros-args', '-p', 'input:={tmp_path}', '-p', 'rate:=10.0'])
"""
    command = [sys.executable, '-c', code]
    player = subprocess.run(
        command,
        env=environment(system.domain),
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert player.returncode == 0, player.stderr
    assert 'Traceback' not in player.stderr


@pytest.mark.parametrize(
    'hanging', ['reconstructor.load_network', 'reconstructor.Reconstructor.add']
)
def test_the_end_waits_neither_for_the_weights_nor_for_a_frame(system, hanging):
    with patched(system.domain, f'{hanging} = hang', '-p', 'image_qos:=reliable') as process:
        if hanging.endswith('add'):
            system.client.send(image(0, 10.0))
        while 'it hangs' not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=START)
    assert process.returncode == 0, said  # 1 if the end had to be forced


def test_nothing_is_left_behind_in_shared_memory(system):
    """Fast DDS keeps its segments there; an orderly end removes them, whoever still reads them."""
    assert [_left_behind(system) for _ in range(4)] == [set()] * 4


def test_the_others_learn_of_the_end_at_once(system):
    process = system.start()
    client = system.client
    client.until(lambda: client.node.count_publishers('points') == 1, 'the node')
    ends_well(process, signal.SIGTERM)
    # by itself Fast DDS forgets a participant after 20 s
    client.until(lambda: client.node.count_publishers('points') == 0, 'its end', timeout=8.0)


def _left_behind(system) -> set[Path]:
    before = _segments()
    process = system.start()
    assert process.status is None
    maps = (Path('/proc') / str(process.pid) / 'maps').read_text()
    mine = {path for path in _segments() - before if str(path) in maps}
    assert mine
    ends_well(process, signal.SIGTERM)
    return {path for path in mine if path.exists()}


def _segments() -> set[Path]:
    """List what participants keep in shared memory, but not their ports, which are common."""
    return {path for path in Path('/dev/shm').glob('fast*_*') if 'port' not in path.name}
