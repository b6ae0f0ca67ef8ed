from collections.abc import Callable
import sys
import threading
import time
from types import FrameType

import pytest
from rclpy.exceptions import InvalidHandle

from ttt3r_ros.node.main import Ending, spin_through


class Executor:
    """Raises what it is given, one after the other, then is shut down."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)

    def spin(self) -> None:
        if self._errors:
            raise self._errors.pop(0)


def test_where_memory_runs_out_only_that_message_is_lost():
    said: list[str] = []
    spin_through(Executor(MemoryError('9 GB'), MemoryError()), said.append)
    assert len(said) == 2
    assert '9 GB' in said[0]


def test_a_subscription_that_is_destroyed_while_it_is_served_ends_nothing():
    said: list[str] = []
    spin_through(Executor(InvalidHandle('destroyed')), said.append)
    assert said == []


def test_an_entity_that_is_stumbled_over_for_ever_ends_the_node():
    began = time.monotonic()

    class Stumbling:
        def spin(self) -> None:
            if time.monotonic() < began + 5:
                raise InvalidHandle('destroyed')

    with pytest.raises(InvalidHandle):
        spin_through(Stumbling(), print)


def test_many_stumbles_at_once_end_nothing():
    spin_through(Executor(*[InvalidHandle('destroyed')] * 1000), print)


def test_a_mistake_of_ours_is_not_hidden():
    with pytest.raises(KeyError):
        spin_through(Executor(KeyError('x')), print)


def test_a_signal_may_come_in_the_midst_of_waiting_for_it():
    ending = Ending()
    statuses: list[int] = []

    def signal_at_each_line(_frame: FrameType, _event: str, _: object) -> Callable[..., object]:
        sys.settrace(None)  # a handler is not interrupted by its own signal
        ending.tell(0)
        sys.settrace(signal_at_each_line)
        return signal_at_each_line

    def wait() -> None:
        sys.settrace(signal_at_each_line)
        statuses.append(ending.wait())

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    thread.join(10)
    assert statuses == [0]


def test_the_first_reason_to_end_counts():
    ending = Ending()
    ending.tell(1)
    ending.tell(0)
    assert ending.wait() == 1
