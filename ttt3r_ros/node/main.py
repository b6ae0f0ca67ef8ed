"""Entry point of the executable `reconstruction_node`."""

from __future__ import annotations

from collections.abc import Callable
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

_PATIENCE = 1.0  # seconds that a frame in work, or loading weights, may take at the end
_THREADS = 4  # of the executor: images, services, lifecycle, timers


def main(args: list[str] | None = None) -> None:
    """
    Run the node until SIGINT or SIGTERM, and end with status 0.

    :param args: command line; by default that of the process
    """

    def leave(*_: int | FrameType | None) -> None:
        sys.exit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    # Here, for they take seconds, and a signal must end the process meanwhile too.
    import rclpy
    from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    from ttt3r_ros.node.reconstruction_node import ReconstructionNode

    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    ended, crashed = threading.Event(), threading.Event()

    def crash() -> None:
        crashed.set()
        ended.set()

    node = ReconstructionNode(on_crash=crash)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    executor = MultiThreadedExecutor(num_threads=_THREADS)
    executor.add_node(node)

    def spin() -> None:
        try:
            spin_through(executor, node.get_logger().error)
        except ExternalShutdownException:
            ended.set()
        finally:
            if not ended.is_set():
                crash()

    threading.Thread(target=spin, name='executor', daemon=True).start()
    ended.wait()
    node.stop(_PATIENCE)
    executor.shutdown(timeout_sec=0.2)
    node.destroy_node()
    rclpy.try_shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # A thread inside the network, or loading weights, cannot be interrupted, and the interpreter
    # would wait for it.
    os._exit(1 if crashed.is_set() else 0)


def spin_through(executor: Any, log: Callable[[str], object]) -> None:
    """
    Spin until the executor is shut down; where memory runs out, only that message is lost.

    :param log: of errors
    """
    while True:
        try:
            executor.spin()
            return
        except MemoryError as error:  # noqa: PERF203
            log(f'a message is lost, for memory has run out: {error}')


if __name__ == '__main__':
    main()
