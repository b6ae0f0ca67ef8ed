"""The real node in a process of its own, and a client that talks to it over DDS."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
import threading
import time
from typing import Any

from builtin_interfaces.msg import Time
import cv2
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from node_processes import START, Domain, NodeProcess
import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from tf2_ros import Buffer, TransformListener

from ttt3r_ros.node.conversions import fill_bytes, image_message
from ttt3r_ros.node.outputs import TOPICS

HEIGHT, WIDTH = 96, 128


def stamp(seconds: float) -> Time:
    return Time(sec=int(seconds), nanosec=round(seconds % 1 * 1e9))


def seconds(time_message: Time) -> float:
    return time_message.sec + time_message.nanosec * 1e-9


def picture(index: int, *, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return a textured image that moves a little from one index to the next."""
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)
    wide = cv2.resize(noise, (width * 2, height * 2), interpolation=cv2.INTER_CUBIC)
    shift = (2 * index) % width
    return np.ascontiguousarray(wide[:height, shift : shift + width])


def image(
    index: int, at: float, *, frame_id: str = 'optical', height: int = HEIGHT, width: int = WIDTH
) -> Image:
    header = Header(stamp=stamp(at), frame_id=frame_id)
    return image_message(picture(index, height=height, width=width), 'rgb8', header)


def compressed_image(index: int, at: float) -> CompressedImage:
    data = cv2.imencode('.png', picture(index)[..., ::-1])[1]
    header = Header(stamp=stamp(at), frame_id='optical')
    msg = CompressedImage(header=header, format='png')
    fill_bytes(msg.data, data)
    return msg


class Client:
    """A node in this process, on the domain of the node under test."""

    def __init__(self, domain: int) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node('client', context=self.context)
        self.received: dict[str, list[Any]] = defaultdict(list)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        self._publishers: dict[str, Any] = {}
        self._subscriptions: dict[str, Any] = {}
        self._services: dict[str, Any] = {}
        self.buffer: Buffer | None = None

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def close(self) -> None:
        self._executor.shutdown()
        rclpy.try_shutdown(context=self.context)
        self._thread.join(5)

    def listen(self, *topics: str, namespace: str = '', reliable: bool = True) -> None:
        """Subscribe to outputs and wait until their publishers are found."""
        for name in topics:
            kind = TOPICS[name]
            durability = DurabilityPolicy.VOLATILE
            if name == 'map_points':
                durability = DurabilityPolicy.TRANSIENT_LOCAL
            policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
            qos = QoSProfile(depth=1000, reliability=policy, durability=durability)
            topic = f'{namespace}/{name}'
            received = self.received[topic.lstrip('/')]
            subscription = self.node.create_subscription(kind, topic, received.append, qos)
            self._subscriptions[topic.lstrip('/')] = subscription
            self.until(
                lambda s=subscription: s.get_publisher_count() > 0, f'a publisher of {topic}'
            )

    def stop_listening(self, topic: str) -> None:
        """Subscribe no longer."""
        self.node.destroy_subscription(self._subscriptions.pop(topic))

    def forget(self) -> None:
        """Throw away what has been received."""
        for messages in self.received.values():
            messages.clear()

    def listen_to_diagnostics(self, *, wait: bool = True) -> None:
        received = self.received['diagnostics']
        self.node.create_subscription(DiagnosticArray, '/diagnostics', received.append, 10)
        if wait:
            self.until(lambda: received, 'diagnostics')

    def listen_to_tf(self) -> Buffer:
        self.buffer = Buffer()
        self._listener = TransformListener(self.buffer, self.node)
        return self.buffer

    def publisher(self, topic: str, kind: type, depth: int = 1000) -> Any:
        """Return a reliable publisher that the node listens to already."""
        if topic not in self._publishers:
            made = self.node.create_publisher(kind, topic, QoSProfile(depth=depth))
            self._publishers[topic] = made
            self.until(lambda: made.get_subscription_count() > 0, f'a subscriber of {topic}')
        return self._publishers[topic]

    def send_until(self, condition: Callable[[], Any], images: Iterator[Any], what: str) -> None:
        """Send image after image, each when the last has come back as odometry, until it holds."""
        deadline = time.monotonic() + START
        for message in images:
            assert time.monotonic() < deadline, f'waited {START:.0f} s for {what}'
            self.send(message)
            self.wait_for_stamp('odometry', seconds(message.header.stamp))
            for _ in range(60):
                if condition():
                    return
                time.sleep(0.02)
        raise AssertionError(f'{what} did not come')

    def send(self, *messages: Any, topic: str = 'image') -> None:
        for message in messages:
            self.publisher(topic, type(message)).publish(message)

    def service(self, name: str, kind: type) -> Any:
        """Return a client of a service that is there."""
        if name not in self._services:
            self._services[name] = self.node.create_client(kind, name)
        assert self._services[name].wait_for_service(START), f'no service {name}'
        return self._services[name]

    def call(self, name: str, kind: type, request: Any = None) -> Any:
        """Call a service and return its response."""
        future = self.service(name, kind).call_async(request or kind.Request())
        self.until(future.done, f'the response of {name}')
        return future.result()

    def call_reset(self) -> None:
        """Let the reconstruction begin anew."""
        assert self.call('ttt3r/reset', Trigger).success

    def until(
        self, condition: Callable[[], Any], what: str = 'it', timeout: float = START
    ) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f'waited {timeout:.0f} s for {what}'
            time.sleep(0.02)

    def stamps(self, topic: str) -> list[float]:
        """Return the stamps that have come on a topic, in order."""
        return [round(seconds(message.header.stamp), 6) for message in list(self.received[topic])]

    def wait_for_stamp(self, topic: str, at: float) -> Any:
        """Wait for the output of the image of that time."""
        self.until(lambda: round(at, 6) in self.stamps(topic), f'{topic} of {at}')
        return self.received[topic][self.stamps(topic).index(round(at, 6))]

    def newest(self, topic: str) -> Any:
        """Return the last message of a topic; waits for the first."""
        self.until(lambda: self.received[topic], topic)
        return self.received[topic][-1]

    def status(self, part: str) -> DiagnosticStatus:
        """Return the newest status of a part of the node; waits for the first."""
        found: list[DiagnosticStatus] = []

        def look() -> list[DiagnosticStatus]:
            for message in reversed(list(self.received['diagnostics'])):
                found.extend(status for status in message.status if status.name.endswith(part))
                if found:
                    break
            return found

        self.until(look, f'diagnostics of {part}')
        return found[0]

    def value(self, part: str, key: str) -> str:
        """Return a value that diagnostics tell; empty if it is not there."""
        return {item.key: item.value for item in self.status(part).values}.get(key, '')

    def count(self, event: str) -> int:
        """Return how many images had that fate, as diagnostics tell."""
        return int(self.value(': input', f'images {event}') or 0)


class System:
    """A domain with one client and any number of nodes under test."""

    def __init__(self, folder: Path, weights: Path) -> None:
        self._folder, self._weights = folder, weights
        self._domain = Domain()
        self.domain = self._domain.number
        self.client = Client(self.domain)
        self.processes: list[NodeProcess] = []

    def start(
        self,
        *,
        remaps: list[str] | None = None,
        wait: str = 'waiting for images',
        executable: bool = False,
        **parameters: Any,
    ) -> NodeProcess:
        """
        Start a node and wait until its log says so.

        :param wait: the text to wait for; empty: do not wait
        :param executable: as a user does, see `node_processes`
        :param parameters: of the node
        """
        defaults: dict[str, Any] = {
            'weights': str(self._weights),
            'pose_source': 'network',
            'min_confidence': 1.0,
            'max_depth': 0.0,
        }
        process = self._run('main', defaults | parameters, remaps or [], executable)
        if wait:
            process.says(wait)
        return process

    def run(self, module: str, **parameters: Any) -> NodeProcess:
        """Start a companion of the node: the player, the recorder."""
        return self._run(module, parameters, [], executable=False)

    def _run(
        self, module: str, parameters: dict[str, Any], remaps: list[str], executable: bool
    ) -> NodeProcess:
        arguments = ['--ros-args']
        for name, value in parameters.items():
            text = f"'{value}'" if isinstance(value, str) else str(value).lower()
            arguments += ['-p', f'{name}:={text}']
        for remap in remaps:
            arguments += ['-r', remap]
        log = self._folder / f'{len(self.processes)}_{module}.log'
        process = NodeProcess(self.domain, log, module, arguments, executable=executable)
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            if process.status is None:
                process.end()
        self.client.close()
        self._domain.release()


@contextmanager
def running_system(folder: Path, weights: Path) -> Iterator[System]:
    system = System(folder, weights)
    try:
        yield system
    finally:
        system.close()
