"""What the tests of faults share: strangers on the domain, and a look at the node's process."""

from __future__ import annotations

from contextlib import contextmanager
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Any

from harness import image
from node_processes import START
import rclpy
from rclpy.context import Context
from rclpy.node import Node

STRANGER = """
import sys, time, rclpy
from rclpy.qos import QoSProfile
from rclpy.node import Node
sys.path.insert(0, {folder!r})
rclpy.init()
node = Node('stranger')
{body}
"""


def usage(pid: int) -> tuple[float, int, int]:
    """Return memory in MB, threads, and open files of a process."""
    folder = Path('/proc') / str(pid)
    status = dict(
        line.split(':', 1) for line in (folder / 'status').read_text().splitlines() if ':' in line
    )
    memory = int(status['VmRSS'].split()[0]) / 1024
    return memory, int(status['Threads']), len(list((folder / 'fd').iterdir()))


def environment(domain: int) -> dict[str, str]:
    """Return the environment of a process on a ROS domain of this machine."""
    return {
        **os.environ,
        'ROS_DOMAIN_ID': str(domain),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    }


@contextmanager
def stranger(domain: int, body: str) -> Any:
    """Run Python with a ROS node called `node` in a process of its own, which may be killed."""
    code = STRANGER.format(folder=str(Path(__file__).parent), body=body)
    process = subprocess.Popen([sys.executable, '-c', code], env=environment(domain))
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait(10)


class Participant:
    """A further node with a DDS participant of its own, in this process, which nobody spins."""

    def __init__(self, domain: int, name: str) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node(name, context=self.context)

    def close(self) -> None:
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


def stream(client: Any, begin: float, count: int, pause: float = 0.05) -> list[float]:
    """Send images at a rate, and return their stamps; nothing is waited for."""
    stamps = [round(begin + 0.05 * index, 6) for index in range(count)]
    for index, at in enumerate(stamps):
        client.send(image(index, at))
        time.sleep(pause)
    return stamps


def tracks_again(client: Any, begin: float) -> int:
    """
    Send images until one has come back as odometry; best effort may lose some.

    :return: how many were sent
    """
    deadline, count = time.monotonic() + START, 0
    while not any(stamp >= begin for stamp in client.stamps('odometry')):
        assert time.monotonic() < deadline, f'no odometry within {START:.0f} s'
        client.send(image(count, begin + 0.2 * count))
        count += 1
        time.sleep(0.2)
    return count
