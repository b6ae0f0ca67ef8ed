"""The executor of the reconstruction node."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rclpy.executors import (
    ConditionReachedException,
    Executor,
    ExternalShutdownException,
    ShutdownException,
    TimeoutException,
)
from rclpy.subscription import Subscription

_NOTHING = (
    ConditionReachedException,
    ExternalShutdownException,
    ShutdownException,
    TimeoutException,
)


class PromptExecutor(Executor):
    """
    Runs the callbacks of subscriptions in the thread that spins, all others in a pool of threads.

    An image's callback puts it into a queue. To hand that to another thread, as rclpy's
    `MultiThreadedExecutor` does, takes longer than doing it: the list of all entities is built
    once more, and both threads wait for the interpreter, which the network uses meanwhile.
    Services, lifecycle transitions and timers may take seconds, and are not to delay images.

    :param num_threads: of the pool
    :param context: of rclpy; by default the global one
    """

    def __init__(self, num_threads: int, *, context: Any = None) -> None:
        super().__init__(context=context)
        self._pool = ThreadPoolExecutor(num_threads, 'executor')
        self._handed: list[Any] = []

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """
        Wait for one callback, and run it or hand it to the pool.

        :param timeout_sec: seconds to wait; by default for ever
        :raises Exception: what a callback raised, of the pool's by one of the next calls
        """
        try:
            handler, entity, _ = self.wait_for_ready_callbacks(timeout_sec=timeout_sec)
        except _NOTHING:
            return
        if isinstance(entity, Subscription):
            handler()
            handler.result()
            return
        self._pool.submit(handler)
        self._handed.append(handler)
        for done in [task for task in self._handed if task.done()]:
            self._handed.remove(done)
            done.result()

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """
        Begin no more callbacks, and wait until those of the pool have ended.

        :param timeout_sec: see `Executor.shutdown`
        """
        ended = bool(super().shutdown(timeout_sec))
        self._pool.shutdown()
        return ended
