"""
Measures the real node in a process of its own: frames a second, latency, and its parts.

A client here publishes raw images of 640 x 480 pixels and listens to every topic; the node may use
the processors that it is given. Times are wall clock.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import json
import os
from pathlib import Path
import random
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
from numpy.typing import NDArray
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from ttt3r_ros.io.sequence import open_sequence
from ttt3r_ros.node.conversions import image_message
from ttt3r_ros.node.outputs import TOPICS
from ttt3r_ros.node.shared_memory import make_room_for_images

_REPLY = 5.0  # seconds that an image may take
_WARM = 8.0  # seconds before anything counts
_LOADING = 120.0  # seconds that the node may take to start
_MOST_IMAGES = 200
_MEGA = 1e6


@dataclass
class Heard:
    """What came from the node."""

    arrived: list[float]  # odometry, seconds since the epoch
    values: dict[str, str]  # of the newest diagnostics
    map_bytes: int = 0  # of the newest map


class Camera:
    """Images of a recording forth and back, or of a window that moves over a large picture."""

    def __init__(self, recording: Path | None) -> None:
        self._images: list[NDArray[np.uint8]] = []
        if recording is not None:
            for frame in open_sequence(recording):
                self._images.append(np.asarray(cv2.resize(frame.image(), (640, 480)), np.uint8))
                if len(self._images) == _MOST_IMAGES:
                    break
        noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
        self._picture = cv2.resize(noise, (1440, 1080), interpolation=cv2.INTER_CUBIC)

    def message(self, index: int) -> Any:
        """Return image number `index`, stamped now."""
        now = time.time_ns()
        header = Header(frame_id='camera')
        header.stamp.sec, header.stamp.nanosec = divmod(now, 1_000_000_000)
        return image_message(self._image(index), 'rgb8', header)

    def _image(self, index: int) -> NDArray[np.uint8]:
        if self._images:
            last = len(self._images) - 1
            return self._images[last - abs(last - index % (2 * last))]
        x = int(400 + 390 * np.sin(index / 97))
        y = int(300 + 290 * np.sin(index / 71))
        return np.ascontiguousarray(self._picture[y : y + 480, x : x + 640])


@contextmanager
def running_node(domain: int, cores: set[int], log: Path, **parameters: Any) -> Iterator[int]:
    """Start the node on some processors, and end it; yields its process id."""
    command = [sys.executable, '-m', 'ttt3r_ros.node.main', '--ros-args']
    for name, value in parameters.items():
        command += ['-p', f'{name}:={value}']
    environment = {**os.environ, 'ROS_DOMAIN_ID': str(domain)}
    environment['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    with log.open('wb') as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    os.sched_setaffinity(process.pid, cores)  # its threads, yet to come, inherit it
    try:
        deadline = time.monotonic() + _LOADING
        while 'waiting for images' not in log.read_text(errors='replace'):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f'the node did not start:\n{log.read_text(errors="replace")}')
            time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        process.wait(timeout=20)


@contextmanager
def listening_client(domain: int) -> Iterator[tuple[Node, Heard]]:
    """Subscribe to all that the node publishes; messages stay as they come, packed."""
    context = rclpy.Context()
    make_room_for_images()  # as for a camera that our launch files start
    rclpy.init(context=context, domain_id=domain)
    node = Node('bench', context=context)
    heard = Heard([], {})

    def diagnose(message: DiagnosticArray) -> None:
        for status in message.status:
            part = status.name.rpartition(': ')[2]
            heard.values |= {f'{part}: {item.key}': item.value for item in status.values}

    def arrive(_: bytes) -> None:
        heard.arrived.append(time.time())

    def hold(message: bytes) -> None:
        heard.map_bytes = len(message)

    special = {'odometry': arrive, 'map_points': hold}
    for name, kind in TOPICS.items():
        latched = name == 'map_points'
        quality = QoSProfile(
            depth=10,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
        callback = special.get(name, lambda _: None)
        node.create_subscription(kind, name, callback, quality, raw=True)
    node.create_subscription(TFMessage, '/tf', lambda _: None, 100, raw=True)
    node.create_subscription(DiagnosticArray, '/diagnostics', diagnose, 10)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def spin() -> None:
        try:
            executor.spin()
        except ExternalShutdownException:
            return

    threading.Thread(target=spin, daemon=True).start()
    try:
        yield node, heard
    finally:
        executor.shutdown()
        rclpy.try_shutdown(context=context)


def resident(process: int) -> float:
    """Return the memory that a process holds, MB (Linux)."""
    pages = int(Path(f'/proc/{process}/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE') / _MEGA


def processor_seconds(process: int) -> float:
    """Return the processor time that a process has taken so far (Linux)."""
    fields = Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def measure(
    cores: set[int],
    rate: float,
    seconds: float,
    recording: Path | None,
    reliability: str = 'reliable',
    **parameters: Any,
) -> dict[str, float | str]:
    """
    Let a camera run at a rate, and describe what comes of it.

    :param cores: processors that the node may use
    :param reliability: of the images, on both sides
    :param parameters: of the node
    """
    kept = 'reliable' if reliability == 'reliable' else 'sensor_data'
    domain = random.SystemRandom().randint(91, 101)
    camera = Camera(recording)
    with tempfile.TemporaryDirectory() as folder, listening_client(domain) as (node, heard):
        log = Path(folder) / 'node.log'
        with running_node(domain, cores, log, image_qos=kept, **parameters) as process:
            quality = QoSProfile(depth=2, reliability=ReliabilityPolicy[reliability.upper()])
            publisher = node.create_publisher(type(camera.message(0)), 'image', quality)
            began = time.monotonic()
            busy = 0.0
            for index in range(round((_WARM + seconds) * rate)):
                time.sleep(max(0.0, began + index / rate - time.monotonic()))
                publisher.publish(camera.message(index))
                if index == round(_WARM * rate):
                    busy = processor_seconds(process)
            end, busy = time.time(), processor_seconds(process) - busy
            time.sleep(1.5)  # for the last diagnostics
            counted = [at for at in heard.arrived if end - seconds < at <= end]
            return {
                'what': f'{len(cores)} core(s), camera at {rate:g} Hz, {reliability}',
                'frames/s': len(counted) / seconds,
                'processor ms per frame': 1000 * busy / max(1, len(counted)),
                **described(heard.values),
                'resident MB': resident(process),
            }


def soak(
    cores: set[int], frames: int, every: int, recording: Path | None, **parameters: Any
) -> Iterator[dict[str, float]]:
    """Send each image when the one before is done; say what it takes, every so many."""
    domain = random.SystemRandom().randint(91, 101)
    camera = Camera(recording)
    with tempfile.TemporaryDirectory() as folder, listening_client(domain) as (node, heard):
        log = Path(folder) / 'node.log'
        with running_node(domain, cores, log, image_qos='reliable', **parameters) as process:
            quality = QoSProfile(depth=2, reliability=ReliabilityPolicy.RELIABLE)
            publisher = node.create_publisher(type(camera.message(0)), 'image', quality)
            while not publisher.get_subscription_count():
                time.sleep(0.05)
            busy, replies = processor_seconds(process), []
            for index in range(frames):
                done, began = len(heard.arrived), time.monotonic()
                publisher.publish(camera.message(index))
                while len(heard.arrived) == done and time.monotonic() < began + _REPLY:
                    time.sleep(0.001)
                replies.append(1000 * (time.monotonic() - began))
                if (index + 1) % every == 0:
                    now = processor_seconds(process)
                    yield {
                        'images': index + 1,
                        'answered': len(heard.arrived),
                        'processor ms per image': 1000 * (now - busy) / every,
                        'reply p50 ms': float(np.median(replies)),
                        'slowest reply ms': max(replies),
                        'resident MB': resident(process),
                        'map message MB': heard.map_bytes / _MEGA,
                    }
                    busy, replies = processor_seconds(process), []


def described(values: dict[str, str]) -> dict[str, float]:
    """Pick from the diagnostics what the table shows."""
    wanted = ('latency', 'network', 'tracking', 'everything else')
    return {
        f'{name} {part} ms': float(values[f'output: {name} {part} [ms]'])
        for name in wanted
        for part in ('p50', 'p99')
    }


def main() -> None:
    """Print one measurement, or a soak's, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rate', type=float, default=20.0)
    parser.add_argument('--seconds', type=float, default=30.0)
    parser.add_argument('--cores', type=int, default=1, help='that the node may use')
    parser.add_argument('--recording', type=Path)
    parser.add_argument(
        '--reliability', choices=('reliable', 'best_effort'), default='reliable', help='of images'
    )
    parser.add_argument('--set', nargs=2, action='append', default=[], help='a parameter')
    parser.add_argument('--soak', type=int, help='so many images, one after the other, instead')
    parser.add_argument('--every', type=int, default=500, help='a line after so many of these')
    arguments = parser.parse_args()
    available = sorted(os.sched_getaffinity(0))
    cores = set(available[-arguments.cores :])
    os.sched_setaffinity(0, set(available) - cores or cores)
    recording, parameters = arguments.recording, dict(arguments.set)
    if arguments.soak:
        for line in soak(cores, arguments.soak, arguments.every, recording, **parameters):
            print(json.dumps(line), flush=True)
        return
    result = measure(
        cores,
        arguments.rate,
        arguments.seconds,
        recording,
        arguments.reliability,
        **parameters,
    )
    print(json.dumps(result))


if __name__ == '__main__':
    main()
