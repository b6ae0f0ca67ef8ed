"""
Measure the processor time of packing and publishing a coloured cloud, beside a copy of its bytes.

    python tools/benchmark_cloud.py
"""

from __future__ import annotations

from collections.abc import Callable
import time

import numpy as np
import rclpy
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from ttt3r_ros.node.clouds import cloud_message

HEIGHT, WIDTH, ROUNDS = 384, 512, 50


def milliseconds(work: Callable[[], object]) -> float:
    """Return the median processor time of some rounds."""
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return 1e3 * float(np.median(times))


def main() -> None:
    """Print the times."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(HEIGHT, WIDTH, 3)).astype(np.float32)
    colors = rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    confidence = rng.uniform(1, 9, (HEIGHT, WIDTH)).astype(np.float32)
    message = cloud_message(points, colors, Header(), confidence)
    size = len(message.data)
    source, target = np.frombuffer(message.data, np.uint8), np.empty(size, np.uint8)
    rclpy.init()
    node = rclpy.create_node('benchmark_cloud')
    publisher = node.create_publisher(PointCloud2, 'points', 1)
    node.create_subscription(PointCloud2, 'points', lambda _: None, 1)
    copy = milliseconds(lambda: np.copyto(target, source))
    pack = milliseconds(lambda: cloud_message(points, colors, Header(), confidence))
    publish = milliseconds(lambda: publisher.publish(message))
    node.destroy_node()
    rclpy.shutdown()
    print(
        f'{WIDTH} x {HEIGHT} points, {size / 1e6:.1f} MB: pack {pack:.2f} ms, publish '
        f'{publish:.2f} ms; {(pack + publish) / copy:.0f} times a copy of the bytes '
        f'({copy:.2f} ms)'
    )


if __name__ == '__main__':
    main()
