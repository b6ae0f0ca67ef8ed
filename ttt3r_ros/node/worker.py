"""The threads in which images are worked on, one after the other."""

from __future__ import annotations

from collections.abc import Callable
import threading
from typing import Generic

from ttt3r_ros.node.frame_queue import FrameQueue, Item


class Worker(Generic[Item]):
    """
    Works on what a queue holds until the queue is closed.

    An error that `work` does not handle is a mistake of ours: the thread ends with its traceback,
    and `on_crash` is called, so that the node does not stay behind doing nothing.

    :param queue: what waits
    :param work: done for each item
    :param on_crash: called if `work` raises
    :param ahead: done, in a second thread, for the item whose turn is next, while another is
        worked on; the item may yet be dropped
    """

    def __init__(
        self,
        queue: FrameQueue[Item],
        work: Callable[[Item], None],
        on_crash: Callable[[], None],
        ahead: Callable[[Item], None] | None = None,
    ) -> None:
        self._queue = queue
        self._work = work
        self._on_crash = on_crash
        self._thread = threading.Thread(target=self._run, name='reconstruction', daemon=True)
        self._thread.start()
        if ahead is not None:
            threading.Thread(
                target=self._run_ahead, args=(ahead,), name='preparation', daemon=True
            ).start()

    def join(self, timeout: float | None = None) -> bool:
        """
        Wait until the present item is done; the queue must be closed.

        :return: whether the thread has ended
        """
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run_ahead(self, ahead: Callable[[Item], None]) -> None:
        item: Item | None = None
        while (item := self._queue.peek(item)) is not None:
            ahead(item)

    def _run(self) -> None:
        crashed = True
        try:
            while (item := self._queue.get()) is not None:
                self._work(item)
            crashed = False
        finally:
            if crashed:
                self._on_crash()
