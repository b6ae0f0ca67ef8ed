"""What differs between the distributions of ROS; all else is tested over topics (test/system)."""

import inspect
from types import SimpleNamespace

import pytest
from sensor_msgs.msg import Image

from ttt3r_ros.node import receiver
from ttt3r_ros.node.receiver import ImageReceiver
from ttt3r_ros.node.settings import NodeConfig
from ttt3r_ros.node.statistics import Statistics


class FakeNode:
    """Keeps the callbacks of its subscriptions."""

    def __init__(self) -> None:
        self.callbacks: list = []

    def resolve_topic_name(self, name: str) -> str:
        return f'/{name}'

    def create_subscription(self, _kind, topic, callback, _qos, **_):
        self.callbacks.append(callback)
        return SimpleNamespace(topic=topic)

    def get_clock(self):
        return None


@pytest.mark.parametrize('tells_info', [False, True])
def test_images_come_with_and_without_what_the_middleware_tells_of_them(monkeypatch, tells_info):
    monkeypatch.setattr(receiver, '_TELLS_INFO', tells_info)
    node, statistics = FakeNode(), Statistics()
    received = ImageReceiver(
        node, NodeConfig(), statistics, SimpleNamespace(), announce=print, warn=print
    )
    received.subscribe()
    on_image = node.callbacks[0]
    assert len(inspect.signature(on_image).parameters) == 1 + tells_info
    msg = Image()
    msg.header.stamp.sec = 7
    on_image(*([msg, {'publication_sequence_number': 1}] if tells_info else [msg]))
    assert received.queue.get().msg is msg
