"""Simulated time, clocks that jump and stand still, recordings that loop."""

from itertools import pairwise
import threading
import time

from harness import Client, image, seconds, stamp
import numpy as np
import pytest
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from tf2_msgs.msg import TFMessage

from ttt3r_ros.io.bag_writer import write_bag
from ttt3r_ros.io.ros_messages import pose
from ttt3r_ros.io.sequence import open_sequence

EPOCH = 'poses start from identity again'


class SimulatedClock:
    """Publishes a time on /clock again and again, for the node listens with best effort."""

    def __init__(self, client: Client, now: float) -> None:
        self.now = now
        self._client = client
        self._publisher = client.node.create_publisher(Clock, '/clock', QoSProfile(depth=1))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def set(self, now: float) -> None:
        """Set the time and wait until the node has heard of it."""
        self.now = now
        diagnostics = self._client.received['diagnostics']

        def heard() -> bool:
            return bool(diagnostics) and abs(seconds(diagnostics[-1].header.stamp) - now) < 1e-6

        self._client.until(heard, f'the time {now} in diagnostics')

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.02):
            self._publisher.publish(Clock(clock=stamp(self.now)))


@pytest.fixture
def clock(system):
    system.client.listen_to_diagnostics(wait=False)
    running = SimulatedClock(system.client, 50.0)
    yield running
    running.stop()


def edges_in_time(client: Client) -> list[float]:
    """Return a list that the stamps of all transforms will be in, in the order they came."""
    stamps: list[float] = []
    client.node.create_subscription(
        TFMessage,
        '/tf',
        lambda message: stamps.extend(seconds(t.header.stamp) for t in message.transforms),
        QoSProfile(depth=1000),
    )
    return stamps


def test_stamps_that_loop_under_simulated_time_reset_once_and_repeat_the_poses(system, clock):
    process = system.start(use_sim_time=True, input_queue=50)
    client = system.client
    client.listen('odometry')
    transforms = edges_in_time(client)
    odometry = client.received['odometry']
    count = 6
    for number in range(2):
        for index in range(count):
            clock.now = 50.0 + 0.5 * index
            client.send(image(index, clock.now))
            due = number * count + index + 1
            client.until(lambda n=due: len(odometry) >= n, f'{due} poses')
            assert len(odometry) == due, 'another node answers'
    poses = np.array([pose(message) for message in odometry])
    assert np.allclose(poses[:count], poses[count:], atol=1e-5)
    clock.set(60.0)
    assert process.said().count(EPOCH) == 1
    assert sum(after < before for before, after in pairwise(transforms)) == 1


def test_a_clock_that_jumps_back_discards_what_waits(system, clock):
    process = system.start(use_sim_time=True, input_queue=300)
    client = system.client
    client.listen('odometry')
    client.listen_to_diagnostics()
    clock.set(50.0)
    client.send(*[image(index, 50.0 + 0.003 * index) for index in range(300)])
    client.wait_for_stamp('odometry', 50.0)
    clock.now = 10.0
    process.says('the clock was set back')
    client.send(image(0, 10.0))
    client.wait_for_stamp('odometry', 10.0)
    clock.set(10.5)
    stamps = client.stamps('odometry')
    assert stamps[-1] == 10.0
    # Those that come after the jump only are old news.
    fates = ('discarded', 'ahead of the clock', 'out of order')
    client.until(lambda: sum(map(client.count, fates)) + len(stamps) == 301, 'the count')
    assert client.count('discarded') > 0
    assert process.said().count(EPOCH) == 1


def test_a_clock_that_stands_still_stops_neither_images_nor_diagnostics(system, clock):
    process = system.start(use_sim_time=True, input_queue=50, image_timeout=0.5)
    client = system.client
    client.listen('odometry', 'map_points')
    clock.set(50.0)
    client.send(image(0, 49.9))
    client.wait_for_stamp('odometry', 49.9)
    client.wait_for_stamp('map_points', 49.9)
    before = len(client.received['diagnostics'])
    client.until(lambda: len(client.received['diagnostics']) > before + 1, 'diagnostics')
    client.until(lambda: client.status(': input').level == b'\1', 'the silence to be told')
    clock.set(500.0)  # a seek ahead is no jump
    client.send(image(1, 500.0))
    client.wait_for_stamp('odometry', 500.0)
    assert EPOCH not in process.said()


def test_the_seven_scenes_bag_in_a_loop_resets_once_per_loop_and_repeats_the_poses(
    system, shared, tmp_path
):
    folder = shared / 'data' / 'seven_scenes_seq'
    if not folder.is_dir():
        pytest.skip(f'{folder} is not here')
    recording = open_sequence(folder)
    bag = tmp_path / 'bag'
    count = write_bag(bag, iter(recording), storage='mcap', jpeg=True, camera=recording.intrinsics)
    assert count == 200
    process = system.start(
        weights='', pose_source='auto', input_queue=20, use_sim_time=True,
        image_transport='compressed',
    )  # fmt: skip
    client = system.client
    client.listen('odometry')
    transforms = edges_in_time(client)
    player = system.run(
        'sequence_player',
        input=str(bag),
        compressed=True,
        loop=True,
        stamps='recorded',
        publish_clock=True,
        ahead=1,
        listeners=1,
    )
    odometry = client.received['odometry']
    client.until(lambda: len(odometry) > 2 * count, 'two rounds', timeout=480)
    player.end()
    messages = odometry[: 2 * count]
    stamps = [seconds(message.header.stamp) for message in messages]
    assert stamps[:count] == stamps[count:] == sorted(set(stamps))
    poses = np.array([pose(message) for message in messages])
    assert np.abs(poses[:count] - poses[count:]).max() <= 1e-5
    assert np.linalg.norm(poses[:count, :3, 3], axis=1).max() > 0.3  # it does move
    time.sleep(0.5)
    jumps = [i for i, (before, after) in enumerate(pairwise(transforms)) if after < before]
    assert len(jumps) == process.said().count(EPOCH) == 2  # the second begins the third round
    assert all(transforms[jump] == stamps[-1] for jump in jumps)
    assert all(transforms[jump + 1] == stamps[0] for jump in jumps)
