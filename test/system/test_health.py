"""`/diagnostics`: what it tells, and OK, WARN and ERROR in the right situations."""

from itertools import count
import time

from harness import image, stamp
import numpy as np
import pytest
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from ttt3r_ros.io.sequence import open_sequence
from ttt3r_ros.node.conversions import image_message
from ttt3r_ros.node.frames import UNKNOWN_VARIANCE

OK, WARN, ERROR = b'\0', b'\1', b'\2'
PARTS = (': input', ': reconstruction', ': output')
TOLD = {
    ': input': {'topic', 'rate [Hz]', 'images received', 'images dropped', 'images bad'},
    ': reconstruction': {
        'device', 'peak memory [MB]', 'epoch', 'frames in this epoch', 'tracking', 'mean gain',
        'state change', 'mean confidence', 'estimated focal length [px]', 'focal spread [%]',
    },
    ': output': {'rate [Hz]', 'latency p50 [ms]', 'latency p99 [ms]'},
}  # fmt: skip


def test_a_camera_at_work_is_ok_in_all_parts_and_all_figures_are_told(system):
    system.start(input_queue=20)
    client = system.client
    client.listen('odometry')
    client.listen_to_diagnostics()
    assert client.status(': reconstruction').message == 'waiting for the first image'

    def at_work() -> bool:
        client.send(image(0, time.time()))
        time.sleep(0.1)
        return len(client.received['odometry']) > 20

    client.until(at_work, 'poses')
    processed = client.count('processed')
    client.until(lambda: client.count('processed') > processed, 'fresh diagnostics')
    assert [client.status(part).level for part in PARTS] == [OK] * 3
    for part, keys in TOLD.items():
        values = {item.key: item.value for item in client.status(part).values}
        assert keys <= set(values)
        figures = [values[key] for key in keys - {'topic', 'device', 'tracking'}]
        assert np.isfinite([float(figure) for figure in figures]).all()
        assert client.status(part).hardware_id == 'ttt3r_ros'
    assert float(client.value(': input', 'rate [Hz]')) > 0
    assert 0 < float(client.value(': output', 'latency p50 [ms]')) < 60_000
    assert float(client.value(': reconstruction', 'mean confidence')) >= 1
    assert 0 <= float(client.value(': reconstruction', 'mean gain')) <= 1


def test_they_come_once_a_second(system):
    system.start(autostart=False, wait='')
    client = system.client
    client.listen_to_diagnostics()
    client.until(lambda: len(client.received['diagnostics']) >= 6, 'six messages')
    stamps = [message.header.stamp for message in client.received['diagnostics'][:6]]
    times = np.array([stamp.sec + stamp.nanosec * 1e-9 for stamp in stamps])
    assert np.median(np.diff(times)) == pytest.approx(1.0, abs=0.4)


def test_a_reset_is_told(system):
    process = system.start(input_queue=20)
    client = system.client
    client.listen_to_diagnostics()
    assert client.value(': reconstruction', 'epoch') == '0'
    client.call('ttt3r/reset', Trigger)
    client.until(lambda: client.value(': reconstruction', 'epoch') == '1', 'the epoch')
    assert process.said().count('epoch 1 begins') == 1


def test_a_camera_that_is_lost_is_an_error_until_it_finds_itself_again(system, shared):
    folder = shared / 'data' / 'seven_scenes_seq'
    if not folder.is_dir():
        pytest.skip(f'{folder} is not here')
    frames = [frame.image() for frame, _ in zip(open_sequence(folder), range(12), strict=False)]
    height, width = frames[0].shape[:2]
    system.start(input_queue=50, weights='', pose_source='pnp')
    client = system.client
    client.listen('odometry')
    client.listen_to_diagnostics()
    stamps = (100 + index / 30 for index in count())

    def send(pixels: np.ndarray) -> None:
        at = next(stamps)
        header = Header(stamp=stamp(at), frame_id='optical')
        client.send(image_message(pixels, 'rgb8', header))
        client.wait_for_stamp('odometry', at)

    for pixels in frames:
        send(pixels)
    assert np.array(client.received['odometry'][-1].pose.covariance)[0] < 1.0

    def lost() -> bool:
        send(np.full((height, width, 3), 90, np.uint8))
        return client.status(': reconstruction').level == ERROR

    client.until(lost, 'the error')
    assert client.status(': reconstruction').message.startswith('lost')
    assert np.array(client.received['odometry'][-1].pose.covariance)[0] == UNKNOWN_VARIANCE

    def found() -> bool:
        send(frames[-1])
        return client.status(': reconstruction').level == OK

    client.until(found, 'the end of the error')


def test_an_image_that_cannot_be_used_is_a_warning(system):
    system.start(input_queue=20)
    client = system.client
    client.listen_to_diagnostics()
    bad = image(0, 10.0)
    bad.encoding = 'psychedelic'
    client.send(bad)
    client.until(lambda: client.count('bad') == 1, 'the count')
    assert any(
        status.level == WARN and status.message == '1 images could not be used'
        for message in client.received['diagnostics']
        for status in message.status
    )
    assert client.status(': reconstruction').level == WARN
    assert 'psychedelic' in client.status(': reconstruction').message


def test_stamps_of_another_clock_are_a_warning(system):
    system.start()
    client = system.client
    client.listen_to_diagnostics()
    client.send(image(0, 10.0))
    client.until(lambda: client.status(': output').level == WARN, 'the warning')
    assert 's before the time at which they come' in client.status(': output').message
