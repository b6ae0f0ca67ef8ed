"""Which thread runs a callback, and that none of them holds up images."""

from collections.abc import Callable, Iterator
from contextlib import suppress
import threading
import time

import pytest
import rclpy
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import Trigger

from ttt3r_ros.node.executor import PromptExecutor

PATIENCE = 10.0  # seconds


@pytest.fixture
def node(context) -> Node:
    return Node('eye', context=context)


@pytest.fixture
def executor(context, node) -> Iterator[PromptExecutor]:
    executor = PromptExecutor(2, context=context)
    executor.add_node(node)
    yield executor
    executor.shutdown()


def spin_until(executor: PromptExecutor, done: Callable[[], object]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not done() and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    return bool(done())


def publish_until_heard(node: Node, executor: PromptExecutor, heard: list[object]) -> bool:
    publisher = node.create_publisher(String, 'images', 10)

    def published() -> bool:
        publisher.publish(String())
        return bool(heard)

    return spin_until(executor, published)


def test_subscriptions_are_served_by_the_thread_that_spins_timers_by_the_pool(node, executor):
    images: list[object] = []
    timers: list[object] = []
    node.create_subscription(
        String, 'images', lambda _: images.append(threading.current_thread()), 10
    )
    node.create_timer(0.01, lambda: timers.append(threading.current_thread()))
    assert publish_until_heard(node, executor, images)
    assert spin_until(executor, lambda: timers)
    assert set(images) == {threading.current_thread()}
    assert threading.current_thread() not in timers


def test_a_slow_service_does_not_hold_images_up(node, executor):
    images: list[object] = []
    answers: list[object] = []
    release = threading.Event()

    def slow(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = release.wait(PATIENCE)
        return response

    group = MutuallyExclusiveCallbackGroup()
    node.create_subscription(String, 'images', images.append, 10, callback_group=group)
    node.create_service(Trigger, 'slow', slow)
    client = node.create_client(Trigger, 'slow', callback_group=MutuallyExclusiveCallbackGroup())
    assert client.wait_for_service(PATIENCE)
    client.call_async(Trigger.Request()).add_done_callback(
        lambda future: answers.append(future.result())
    )
    assert publish_until_heard(node, executor, images)
    assert not answers
    release.set()
    assert spin_until(executor, lambda: answers)
    assert answers[0].success


@pytest.mark.parametrize('kind', ['subscription', 'timer'])
def test_what_a_callback_raises_is_raised_by_the_spin(kind, node, executor):
    def fail(*_: object) -> None:
        raise KeyError('x')

    if kind == 'timer':
        node.create_timer(0.01, fail)
    else:
        node.create_subscription(String, 'images', fail, 10)
    with pytest.raises(KeyError):
        publish_until_heard(node, executor, [])


def test_shutting_down_ends_the_spin_and_waits_for_the_pool(node, executor):
    begun, ended = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        time.sleep(0.2)
        ended.set()

    node.create_timer(0.01, slow)
    spinner = threading.Thread(target=executor.spin)
    spinner.start()
    assert begun.wait(PATIENCE)
    executor.shutdown()
    assert ended.is_set()
    spinner.join(PATIENCE)
    assert not spinner.is_alive()


def test_the_spin_ends_with_the_context(context, executor):
    def spin() -> None:
        with suppress(ExternalShutdownException):
            executor.spin()

    spinner = threading.Thread(target=spin)
    spinner.start()
    rclpy.shutdown(context=context)
    spinner.join(PATIENCE)
    assert not spinner.is_alive()
