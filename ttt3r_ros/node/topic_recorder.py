"""
The executable `topic_recorder`: writes all outputs of a node into an MCAP bag.

For machines without `ros2 bag`; messages go from the wire to the file as they are.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
import json
import struct
import sys
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
from rosbags.typesys import Stores, get_typestore
from tf2_msgs.msg import TFMessage

from ttt3r_ros.files import user_path
from ttt3r_ros.node.conversions import NANOSECONDS
from ttt3r_ros.node.outputs import TOPICS, topic_qos
from ttt3r_ros.node.parameters import Parameters
from ttt3r_ros.node.shared_memory import make_room_for_images
from ttt3r_ros.node.start import start_ros
from ttt3r_ros.settings import check_settings, setting

_STORE = get_typestore(Stores.ROS2_HUMBLE)
_FOR_EVER = QosTime(9223372036, 854775807)


@dataclass(frozen=True, kw_only=True)
class RecorderConfig:
    """Settings of the recorder; each becomes one ROS parameter."""

    bag: str = setting('', 'Folder of the bag; must not exist.')
    log: str = setting('', 'Write receipt times to this file (JSON: topic, stamp, time in ns).')

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.bag:
            raise ValueError('bag is empty; name a folder')


class TopicRecorder(Node):
    """Subscribes to every output of the node in its namespace, to /tf and /diagnostics."""

    def __init__(self) -> None:
        super().__init__('topic_recorder')
        self._config = Parameters(self, [RecorderConfig]).read(RecorderConfig)
        bag = user_path(self._config.bag)
        self._writer = Writer(bag, version=8, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        self._received: dict[str, list[tuple[int, int]]] = {}
        topics = {name: (kind, _qos(name)) for name, kind in TOPICS.items()}
        topics['/tf'] = TFMessage, QoSProfile(depth=1000)
        topics['/diagnostics'] = DiagnosticArray, QoSProfile(depth=100)
        self._outputs = [self._record(name, *how) for name, how in topics.items()]
        self._ready = self.create_timer(0.1, self._say_ready)

    def close(self) -> None:
        """Finish the bag."""
        self._writer.close()
        if self._config.log:
            user_path(self._config.log).write_text(json.dumps(self._received), encoding='ascii')

    def _record(self, name: str, kind: type[Any], qos: QoSProfile) -> str:
        topic = self.resolve_topic_name(name)
        kind_name = f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}'
        connection = self._writer.add_connection(
            topic, kind_name, typestore=_STORE, offered_qos_profiles=[_offer(qos)]
        )
        received = self._received.setdefault(name, [])

        def write(data: bytes) -> None:
            now = time.monotonic_ns()
            stamp = _stamp(data) if name in TOPICS else 0
            received.append((stamp, now))
            self._writer.write(connection, time.time_ns(), data)

        self.create_subscription(kind, topic, write, qos, raw=True)
        return topic

    def _say_ready(self) -> None:
        if all(self.count_publishers(topic) for topic in self._outputs):
            self.destroy_timer(self._ready)
            print('ready', flush=True)


def _qos(name: str) -> QoSProfile:
    """Return a profile that matches an output's and loses nothing."""
    latched = topic_qos(name).durability == DurabilityPolicy.TRANSIENT_LOCAL
    durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
    return QoSProfile(depth=100, durability=durability)


def _offer(qos: QoSProfile) -> Qos:
    """Return what a player of the bag is to offer: without it, no map would be latched."""
    return Qos(
        QosHistory.KEEP_LAST,
        qos.depth,
        QosReliability.RELIABLE,
        QosDurability[qos.durability.name],
        _FOR_EVER,
        _FOR_EVER,
        QosLiveliness.AUTOMATIC,
        _FOR_EVER,
        avoid_ros_namespace_conventions=False,
    )


def _stamp(data: bytes) -> int:
    """Read the stamp of a serialised message that begins with a header; nanoseconds."""
    seconds, rest = struct.unpack_from('<iI' if data[1] & 1 else '>iI', data, 4)
    return int(seconds) * NANOSECONDS + int(rest)


def main(args: list[str] | None = None) -> None:
    """
    Record until the process is ended by SIGINT or SIGTERM.

    :param args: command line; by default that of the process
    """
    make_room_for_images()
    start_ros('topic_recorder', args)
    try:
        recorder = TopicRecorder()
        with suppress(KeyboardInterrupt, ExternalShutdownException):
            rclpy.spin(recorder)
        recorder.close()
    except (OSError, ValueError, WriterError) as error:  # a folder or a disk that takes nothing
        print(f'topic_recorder: {error}', file=sys.stderr)
        sys.exit(1)
    finally:
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
