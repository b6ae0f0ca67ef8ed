"""Entry point of the executable `reconstruction_node`."""

from __future__ import annotations

from collections.abc import Callable
import faulthandler
import math
import os
from queue import SimpleQueue
import signal
import sys
import threading
import time
from typing import Any

_PATIENCE = 1.0  # seconds that a frame in work, or loading weights, may take at the end
_GOODBYE = 0.8  # seconds that taking leave of the other participants may take after that
_LAST_WAIT = 0.5  # of it, seconds until the executor has let go
_STUCK = 4.0  # seconds after which the end is forced, before `ros2 launch` escalates (5 s)
_THREADS = 3  # of the executor: services, lifecycle, timers
_STUMBLING = 1.0  # seconds over destroyed entities; what lasts longer never ends
_APART = 0.1  # seconds between two stumbles that have nothing to do with one another


class Ending:
    """
    The first reason to end the process.

    `tell` is safe in a signal handler, which may run in the midst of `wait`: `threading.Event` has
    a lock there, for which its `set` would wait for ever.
    """

    def __init__(self) -> None:
        self._statuses: SimpleQueue[int] = SimpleQueue()

    def tell(self, status: int) -> None:
        """
        Give a reason to end; only the first one counts.

        :param status: of the process
        """
        self._statuses.put(status)

    def wait(self) -> int:
        """Wait for a reason; return the status that it gives, once."""
        return self._statuses.get()


def main(args: list[str] | None = None) -> None:
    """
    Run the node until SIGINT or SIGTERM, and end with status 0.

    :param args: command line; by default that of the process
    """
    _on_signals(lambda *_: os._exit(0))
    # Here, for they take seconds, and a signal must end the process meanwhile too.
    from ttt3r_ros.node.memory import fill_small_blocks, tune_allocator

    tune_allocator()  # before the libraries below have threads
    from rclpy.executors import ExternalShutdownException
    from rclpy.signals import SignalHandlerOptions

    from ttt3r_ros.node.executor import PromptExecutor
    from ttt3r_ros.node.reconstruction_node import ReconstructionNode
    from ttt3r_ros.node.shared_memory import make_room_for_images, remove_unfinished_segments
    from ttt3r_ros.node.start import start_ros

    make_room_for_images()
    fill_small_blocks()
    removed = remove_unfinished_segments()
    ending = Ending()
    _on_signals(lambda *_: ending.tell(0))
    start_ros('reconstruction_node', args, signal_handler_options=SignalHandlerOptions.NO)
    node = ReconstructionNode(on_crash=lambda: ending.tell(1))
    for path in removed:
        node.get_logger().warning(f'{path} removed: a process was killed while it created it')
    executor = PromptExecutor(_THREADS)
    executor.add_node(node)

    def spin() -> None:
        try:
            spin_through(executor, node.get_logger().error)
        except ExternalShutdownException:
            ending.tell(0)
        finally:
            ending.tell(1)  # unless there was a reason to stop spinning

    spinner = threading.Thread(target=spin, name='executor', daemon=True)
    spinner.start()
    _end(node, executor, spinner, ending.wait())


def _on_signals(handler: Callable[..., None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _end(node: Any, executor: Any, spinner: threading.Thread, status: int) -> None:
    """Take leave of the other participants, and end the process in any case."""
    import rclpy

    # Where the middleware holds the interpreter's lock and never comes back, only this helps; it
    # says where every thread is.
    faulthandler.dump_traceback_later(_STUCK, exit=True)
    node.stop(_PATIENCE)
    late = threading.Timer(_GOODBYE, _leave_at_once, [status])
    late.daemon = True
    late.start()
    executor.shutdown(timeout_sec=0.2)
    spinner.join(_LAST_WAIT)  # what it still waits for cannot be destroyed
    node.destroy_node()
    rclpy.try_shutdown()
    _leave_at_once(status)


def _leave_at_once(status: int) -> None:
    """
    End the process without waiting for its threads.

    One that is inside the network, or loading weights, cannot be interrupted, and the interpreter
    would wait for it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def spin_through(executor: Any, log: Callable[[str], object]) -> None:
    """
    Spin until the executor is shut down; where memory runs out, only that message is lost.

    An entity that is destroyed while the executor serves it (deactivate does that to
    subscriptions) costs only its last message.

    :param log: of errors
    :raises rclpy.exceptions.InvalidHandle: for an entity that was destroyed and is still there, so
        that nothing is served any more
    """
    from rclpy.exceptions import InvalidHandle

    first = last = -math.inf  # times of stumbles in a row
    while True:
        try:
            executor.spin()
            return
        except MemoryError as error:  # noqa: PERF203
            log(f'a message is lost, for memory has run out: {error}')
        except InvalidHandle:
            now = time.monotonic()
            first, last = (now if now - last > _APART else first), now
            if now - first > _STUMBLING:
                raise


if __name__ == '__main__':
    main()
