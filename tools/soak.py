#!/usr/bin/env python3
"""
Runs the real node for long, as a robot would use it, and says whether it stays as it was.

A camera of 20 Hz, listeners that join and leave (some never read), each a DDS participant of its
own. At the end: memory, threads and file descriptors over time, and for each image that was sent
whether its odometry came, or which counter of the node's diagnostics tells why not.

    python tools/soak.py 60 [--out soak.json]

Exit status 1 if something grew, or an image was lost without a reason.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
import json
import os
from pathlib import Path
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
import numpy as np
from numpy.typing import NDArray
import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from scipy.stats import linregress, t
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ttt3r_ros.node.conversions import image_message, nanoseconds
from ttt3r_ros.node.outputs import TOPICS
from ttt3r_ros.synthetic.sequence import render_sequence

RATE = 20.0  # Hz
_PATIENCE = 240.0  # seconds for the start
_SETTLE = 5.0  # seconds to find each other, and for the last images and diagnostics
_MAP = 100_000  # voxels
_GUESTS = 5  # listeners at once, at most
_STAY = 3.0  # seconds between two arrivals or departures
_SLOPE_LIMIT = 2.0  # MB/h
_REASONS = (
    'dropped', 'overflowed', 'discarded', 'out of order', 'ahead of the clock', 'paused', 'bad',
    'failed', 'waiting', 'lost in transport',
)  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """
    What the system says of the node's process at one time (seconds since the start).

    :param memory_mb: resident, with the program's files and what is shared with listeners
    :param own_mb: of that, what is neither
    """

    at: float
    memory_mb: float
    own_mb: float
    threads: int
    files: int


@dataclass
class Outcome:
    """What was seen in the whole run."""

    samples: list[Sample] = field(default_factory=list)
    sent: set[int] = field(default_factory=set)
    answered: set[int] = field(default_factory=set)
    values: dict[str, str] = field(default_factory=dict)
    guests: int = 0
    status: int | None = None
    log: str = ''

    def count(self, event: str) -> int:
        """Return a count that the node's diagnostics told last."""
        return int(self.values.get(f'images {event}', 0))

    def unexplained(self) -> int:
        """Return how many images have neither odometry nor a counted reason."""
        return len(self.sent - self.answered) - sum(self.count(event) for event in _REASONS)

    def slope(self, what: str, warm: float) -> tuple[float, float, float]:
        """
        Fit memory over time, by the means of half minutes, which are nearly independent.

        :param what: `memory_mb` or `own_mb`
        :param warm: seconds that are left out at the start
        :return: MB/h, and the ends of its 95 % interval
        """
        block = 30.0
        kept = [sample for sample in self.samples if sample.at >= warm]
        groups: dict[int, list[float]] = {}
        for sample in kept:
            groups.setdefault(int(sample.at // block), []).append(getattr(sample, what))
        hours = np.array([(key + 0.5) * block / 3600 for key in groups])
        fit = linregress(hours, [np.mean(group) for group in groups.values()])
        half = float(t.ppf(0.975, len(groups) - 2) * fit.stderr)
        return float(fit.slope), float(fit.slope) - half, float(fit.slope) + half

    def floors(self, what: str, warm: float) -> tuple[int, int]:
        """
        Compare how low a number came in the first and the last third after the warm-up.

        Listeners cost descriptors while they are there; what stays behind raises the floor.
        """
        values = [getattr(sample, what) for sample in self.samples if sample.at >= warm]
        third = max(1, len(values) // 3)
        return min(values[:third]), min(values[-third:])


class Peer:
    """A DDS participant of its own, with a thread that reads; without one if it never reads."""

    def __init__(self, domain: int, name: str, *, reads: bool = True) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node(name, context=self.context)
        self._thread: threading.Thread | None = None
        if reads:
            self._executor = SingleThreadedExecutor(context=self.context)
            self._executor.add_node(self.node)
            self._thread = threading.Thread(target=self._spin, daemon=True)
            self._thread.start()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def close(self) -> None:
        """Leave the domain."""
        if self._thread is not None:
            self._executor.shutdown()
            self._thread.join(5)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


class Guests:
    """Listeners that come and go, with topics and qualities of service drawn at random."""

    def __init__(self, domain: int, seed: int) -> None:
        self._domain, self._rng = domain, random.Random(seed)
        self._present: list[Peer] = []
        self.count = 0

    def stir(self) -> None:
        """Let one come or go."""
        if self._present and self._rng.random() < len(self._present) / (_GUESTS + 1):
            self._present.pop(self._rng.randrange(len(self._present))).close()
            return
        self.count += 1
        guest = Peer(self._domain, f'guest_{self.count}', reads=self._rng.random() < 0.7)
        for topic in self._rng.sample(sorted(TOPICS), self._rng.randint(1, 4)):
            reliability = self._rng.choice(
                [ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT]
            )
            durability = self._rng.choice(
                [DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL]
                if topic == 'map_points'
                else [DurabilityPolicy.VOLATILE]
            )
            qos = QoSProfile(
                depth=self._rng.choice([1, 10]), reliability=reliability, durability=durability
            )
            guest.node.create_subscription(TOPICS[topic], topic, lambda _: None, qos, raw=True)
        self._present.append(guest)

    def close(self) -> None:
        """Let all go."""
        while self._present:
            self._present.pop().close()


class Soak:
    """
    One run.

    :param folder: for the node's log
    :param images: shown forth and back [T, H, W, 3]
    :param domain: of ROS; by default any that no test uses
    """

    def __init__(self, folder: Path, images: NDArray[np.uint8], domain: int | None = None) -> None:
        self._images = [*images, *images[-2:0:-1]]
        self._outcome = Outcome()
        self._domain = domain or random.SystemRandom().randint(91, 101)
        self._log = folder / 'node.log'
        # Of other processes of the machine nothing is heard.
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
        command = [sys.executable, '-m', 'ttt3r_ros.node.main', '--ros-args']
        # Reliable, so that an image is lost in the node only, where it is counted.
        command += ['-p', 'image_qos:=reliable']
        # A map that is full after the warm-up: until then it takes the more, the more it holds.
        command += ['-p', f'max_map_points:={_MAP}']
        environment = {**os.environ, 'ROS_DOMAIN_ID': str(self._domain)}
        with self._log.open('wb') as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def run(self, minutes: float) -> Outcome:
        """Send images for some minutes, and end the node, also where a signal ends this."""
        try:
            self._attend(minutes)
        finally:
            self._end()
        return self._outcome

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._outcome.status = self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._outcome.status = self._process.wait()
        self._outcome.log = self._log.read_text(encoding='utf-8', errors='replace')

    def _attend(self, minutes: float) -> None:
        host = Peer(self._domain, 'soak')
        guests = Guests(self._domain, seed=7)
        try:
            camera = host.node.create_publisher(Image, 'image', QoSProfile(depth=10))
            host.node.create_subscription(Odometry, 'odometry', self._hear, QoSProfile(depth=100))
            host.node.create_subscription(DiagnosticArray, '/diagnostics', self._read, 10)
            self._wait(lambda: camera.get_subscription_count() and self._outcome.values)
            time.sleep(_SETTLE)  # the other side has to find this one too
            if (
                host.node.count_publishers('image') > 1
                or host.node.count_publishers('odometry') > 1
            ):
                raise RuntimeError(f'domain {self._domain} is in use')
            self._play(camera, guests, 60 * minutes)
            guests.close()
            time.sleep(_SETTLE)
        finally:
            guests.close()
            host.close()
            self._outcome.guests = guests.count

    def _wait(self, condition: Any) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not condition():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f'the node did not start:\n{self._log.read_text()}')
            time.sleep(0.1)

    def _play(self, camera: Any, guests: Guests, duration: float) -> None:
        begin = time.monotonic()
        next_guest = next_sample = next_word = 0.0
        index, now = 0, 0.0
        while now < duration and self._process.poll() is None:
            stamp = time.time_ns()
            header = Header(stamp=Time(sec=stamp // 10**9, nanosec=stamp % 10**9), frame_id='cam')
            self._outcome.sent.add(stamp)
            camera.publish(image_message(self._images[index % len(self._images)], 'rgb8', header))
            if now >= next_guest:
                threading.Thread(target=guests.stir).start()
                next_guest = now + _STAY
            if now >= next_sample:
                self._outcome.samples.append(read_process(self._process.pid, now))
                next_sample += 1.0
            if now >= next_word:
                self._say(now)
                next_word += 60.0
            index += 1
            time.sleep(max(0.0, begin + index / RATE - time.monotonic()))
            now = time.monotonic() - begin

    def _say(self, now: float) -> None:
        sample, outcome = self._outcome.samples[-1], self._outcome
        print(
            f'{now / 60:5.1f} min  {sample.memory_mb:7.1f} MB  {sample.threads} threads  '
            f'{sample.files} files  {len(outcome.sent)} sent  {len(outcome.answered)} answered',
            flush=True,
        )

    def _hear(self, msg: Odometry) -> None:
        self._outcome.answered.add(nanoseconds(msg.header.stamp))

    def _read(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            if status.name.endswith(': input'):
                self._outcome.values = {item.key: item.value for item in status.values}


def walk() -> NDArray[np.uint8]:
    """Return images of a walk through a made room, all of which can be tracked [T, H, W, 3]."""
    return render_sequence(2**40 + 13, 100, 320, 240).rgb


def read_process(pid: int, at: float) -> Sample:
    """Read memory, threads and open files of a process."""
    folder = Path('/proc') / str(pid)
    lines = (folder / 'status').read_text(encoding='ascii').splitlines()
    status = {name: rest.split() for name, _, rest in (line.partition(':') for line in lines)}
    return Sample(
        at,
        int(status['VmRSS'][0]) / 1024,
        int(status['RssAnon'][0]) / 1024,
        int(status['Threads'][0]),
        len(list((folder / 'fd').iterdir())),
    )


def judge(outcome: Outcome, minutes: float) -> tuple[list[str], list[str]]:
    """Return what is to be told of a run, and what is wrong."""
    warm = 20.0 * minutes  # a third: what keeps its fullest (buffers of DDS, heaps) fills slowly
    slope, low, high = outcome.slope('memory_mb', warm)
    own, own_low, own_high = outcome.slope('own_mb', warm)
    threads, files = (outcome.floors(what, warm) for what in ('threads', 'files'))
    counts = {event: outcome.count(event) for event in _REASONS if outcome.count(event)}
    answered = outcome.sent & outcome.answered  # another node may be on this domain
    kept = [sample.memory_mb for sample in outcome.samples if sample.at >= warm]
    lines = [
        f'{minutes:g} min at {RATE:g} Hz, {outcome.guests} listeners came, warm-up {warm:.0f} s',
        f'memory: {kept[0]:.1f} MB after the warm-up, {kept[-1]:.1f} MB at the end, '
        f'slope {slope:+.2f} MB/h (95 % interval {low:+.2f} to {high:+.2f}); of its own '
        f'{own:+.2f} MB/h ({own_low:+.2f} to {own_high:+.2f})',
        f'threads: floor {threads[0]} then {threads[1]}; files: floor {files[0]} then {files[1]}',
        f'images: {len(outcome.sent)} sent, {len(answered)} answered, counted: {counts}, '
        f'without a reason: {outcome.unexplained()}',
        f'node: {outcome.count("received")} received, {outcome.count("processed")} published; '
        f'exit status {outcome.status}',
    ]
    wrong = [
        problem
        for is_wrong, problem in (
            (low >= _SLOPE_LIMIT, f'memory grows by {slope:.2f} MB/h'),
            (threads[1] > threads[0], 'threads stay behind'),
            (files[1] > files[0], 'open files stay behind'),
            (outcome.unexplained() != 0, 'images are lost without a reason'),
            (outcome.status != 0, f'exit status {outcome.status}'),
        )
        if is_wrong
    ]
    return lines, wrong


def main() -> int:
    """
    Run the tool.

    :return: exit status
    """
    parser = argparse.ArgumentParser(description='Run the real node for long.')
    parser.add_argument('minutes', type=float)
    parser.add_argument('--out', type=Path, help='write all samples to this file (JSON)')
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # where nobody waits, SIGINT is ignored else
        signal.signal(number, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as folder:
        outcome = Soak(Path(folder), walk()).run(arguments.minutes)
    lines, wrong = judge(outcome, arguments.minutes)
    print('\n'.join([*lines, *(f'WRONG: {problem}' for problem in wrong)]))
    if arguments.out:
        samples = [vars(sample) for sample in outcome.samples]
        content = {'lines': lines, 'wrong': wrong, 'values': outcome.values, 'samples': samples}
        arguments.out.write_text(json.dumps(content), encoding='ascii')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
