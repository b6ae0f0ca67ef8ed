#!/usr/bin/env python3
"""
Measures how long it takes to pack a coloured cloud and to publish it, against a copy of its bytes.

Packing and publishing take turns with copying, in one thread; a listener in a process of its own
takes the clouds as they come. Times are processor time of that thread, and wall clock beside it.

    .venv/bin/python tools/bench_cloud.py [--width 512 --height 384 --rounds 100]
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import time

import numpy as np
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from ttt3r_ros.node.clouds import cloud_message

_LISTENER = """
import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2
rclpy.init()
node = rclpy.create_node('listener')
node.create_subscription(PointCloud2, 'cloud', lambda _: None, QoSProfile(depth=1), raw=True)
rclpy.spin(node)
"""
_WARM = 10  # rounds that do not count
_PATIENCE = 60.0  # seconds for the listener to start


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--width', type=int, default=512)
    parser.add_argument('--height', type=int, default=384)
    parser.add_argument('--rounds', type=int, default=100)
    arguments = parser.parse_args()
    os.environ['ROS_DOMAIN_ID'] = str(random.SystemRandom().randint(91, 101))
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    with subprocess.Popen([sys.executable, '-c', _LISTENER]) as listener:
        try:
            times = _measure(arguments.height, arguments.width, arguments.rounds)
        finally:
            listener.kill()
    copy = statistics.median(cpu for cpu, _ in times['copy its bytes'])
    print(f'{arguments.width}×{arguments.height}, median of {arguments.rounds}, one thread\n')
    print('| what | ms of processor | ms | times a copy |\n| --- | --: | --: | --: |')
    for what, taken in times.items():
        cpu, wall = (1e3 * statistics.median(column) for column in zip(*taken, strict=True))
        print(f'| {what} | {cpu:.2f} | {wall:.2f} | {cpu / copy / 1e3:.1f} |')


def _measure(height: int, width: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    rng = np.random.default_rng(0)
    points = rng.uniform(-3, 3, (height, width, 3)).astype(np.float32)
    colors = rng.integers(0, 256, (height, width, 3), np.uint8)
    confidence = rng.uniform(1, 9, (height, width)).astype(np.float32)
    header = Header(frame_id='camera')
    rclpy.init()
    node = rclpy.create_node('bench_cloud')
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
    publisher = node.create_publisher(PointCloud2, 'cloud', qos)
    deadline = time.monotonic() + _PATIENCE
    while not publisher.get_subscription_count():
        if time.monotonic() > deadline:
            raise RuntimeError('nobody listens')
        time.sleep(0.1)
    message = cloud_message(points, colors, header, confidence)
    source = np.frombuffer(message.data, np.uint8)
    target = np.empty_like(source)
    steps = {
        'copy its bytes': lambda: np.copyto(target, source),
        'pack': lambda: cloud_message(points, colors, header, confidence),
        'publish': lambda: publisher.publish(message),
        'pack and publish': lambda: publisher.publish(
            cloud_message(points, colors, header, confidence)
        ),
    }
    times: dict[str, list[tuple[float, float]]] = {what: [] for what in steps}
    for number in range(_WARM + rounds):
        for what, step in steps.items():
            begin, cpu = time.perf_counter(), time.thread_time()
            step()
            taken = time.thread_time() - cpu, time.perf_counter() - begin
            if number >= _WARM:
                times[what].append(taken)
    node.destroy_node()
    rclpy.shutdown()
    return times


if __name__ == '__main__':
    main()
