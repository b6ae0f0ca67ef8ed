"""Simulated time, bags that loop, pauses of the clock; players."""

from itertools import pairwise
import time

from harness import image, stamp
import numpy as np
import pytest
from rosgraph_msgs.msg import Clock
from tf2_msgs.msg import TFMessage

from ttt3r_ros.io.ros_messages import pose


def test_a_loop_under_simulated_time_resets_once_and_repeats_the_poses(system):
    process = system.start(use_sim_time=True, input_queue=50)
    client = system.client
    client.listen('odometry')
    transforms = []
    client.node.create_subscription(TFMessage, '/tf', transforms.append, 100)
    rounds, count, begin = 2, 6, 50.0
    for _ in range(rounds):
        for index in range(count):
            now = begin + 0.5 * index
            client.send(Clock(clock=stamp(now)), topic='/clock')
            client.send(image(index, now))
            done = len(client.received['odometry'])
            client.until(lambda n=done: len(client.received['odometry']) > n, f'odometry of {now}')
    poses = np.array([pose(message) for message in client.received['odometry']])
    assert len(poses) == rounds * count
    assert np.allclose(poses[:count], poses[count:], atol=1e-5)
    assert process.said().count('poses start from identity again') == 1
    stamps = [t.header.stamp.sec for m in transforms for t in m.transforms]
    jumps = [after < before for before, after in pairwise(stamps)]
    assert sum(jumps) == 1


def test_a_clock_that_jumps_back_first_discards_what_waits(system):
    process = system.start(use_sim_time=True, input_queue=200)
    client = system.client
    client.listen('odometry')
    for now in np.arange(49.0, 50.01, 0.1):  # the clock is only heard once it is found
        client.send(Clock(clock=stamp(float(now))), topic='/clock')
        time.sleep(0.1)
    client.send(*[image(index, 50.0 + 0.01 * index) for index in range(150)])
    client.wait_for_stamp('odometry', 50.0)
    client.send(Clock(clock=stamp(10.0)), topic='/clock')
    process.says('the clock was set back')
    client.send(image(0, 10.0))
    client.wait_for_stamp('odometry', 10.0)
    stamps = client.stamps('odometry')
    assert max(stamps[stamps.index(10.0) :]) == 10.0
    assert len(stamps) < 151
    assert process.said().count('poses start from identity again') == 1


def test_a_recording_in_a_loop_resets_once_per_loop(system, shared):
    folder = shared / 'data' / 'seven_scenes_seq'
    if not folder.is_dir():
        pytest.skip(f'{folder} is not here')
    process = system.start(input_queue=20)
    client = system.client
    client.listen('odometry')
    count = 12
    system.play(
        input=str(folder),
        loop=True,
        max_frames=count,
        stride=5,
        stamps='recorded',
        ahead=1,
        listeners=1,
    )
    client.until(lambda: len(client.received['odometry']) >= 2 * count, 'two rounds')
    messages = client.received['odometry'][: 2 * count]
    stamps = [message.header.stamp for message in messages]
    assert stamps[:count] == stamps[count:]
    poses = np.array([pose(message) for message in messages])
    assert np.allclose(poses[:count], poses[count:], atol=1e-5)
    assert process.said().count('jumped back') in (1, 2)  # the player goes on
