"""The bond, by a stand-in for bondpy that does with the node what bondpy 4.0 does."""

from collections.abc import Iterator
import sys
import time

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from std_msgs.msg import String

from ttt3r_ros.node.bond import create_bond
from ttt3r_ros.node.executor import PromptExecutor

_BONDPY = """
from std_msgs.msg import String

class Bond:
    def __init__(self, node, topic, name):
        self.asked, self.node, self.topic, self.told = (topic, name), node, topic, []
        self.pub = node.create_publisher(String, topic, 1)

    def start(self):
        self.sub = self.node.create_subscription(String, self.topic, self.told.append, 1)

    def shutdown(self):
        self.sub.destroy()
        self.pub.publish(String(data='dead'))
        self.pub.destroy()
"""


@pytest.fixture
def node() -> Iterator[Node]:
    context = Context()
    rclpy.init(context=context)
    yield Node('eye', context=context)
    rclpy.shutdown(context=context)


@pytest.fixture
def bond(node, monkeypatch, tmp_path):
    package = tmp_path / 'bondpy'
    package.mkdir()
    (package / '__init__.py').write_text('')
    (package / 'bondpy.py').write_text(_BONDPY)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ('bondpy', 'bondpy.bondpy'):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return create_bond(node)


def test_it_has_the_name_of_the_node(bond):
    assert bond._bond.asked == ('bond', 'eye')


def test_the_node_serves_others_when_it_has_ended(node, bond):
    heard: list[str] = []
    executor = PromptExecutor(2, context=node.context)
    executor.add_node(node)
    executor.spin_once(timeout_sec=0.1)
    bond.shutdown()
    node.create_subscription(String, 'others', lambda message: heard.append(message.data), 10)
    others = node.create_publisher(String, 'others', 10)
    deadline = time.monotonic() + 10
    while not heard and time.monotonic() < deadline:
        others.publish(String(data='here'))
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    assert heard[:1] == ['here']


def test_nothing_of_it_stays_with_the_node(node, bond):
    bond.shutdown()
    names = [entity.topic_name for entity in (*node.subscriptions, *node.publishers)]
    assert '/bond' not in names


def test_there_is_none_where_bondpy_is_not_installed(node, monkeypatch):
    monkeypatch.setitem(sys.modules, 'bondpy.bondpy', None)
    assert create_bond(node) is None
