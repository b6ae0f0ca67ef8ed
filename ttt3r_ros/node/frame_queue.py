"""Images waiting for the reconstruction."""

from __future__ import annotations

from collections import deque
import threading
from typing import Generic, TypeVar

Item = TypeVar('Item')


class FrameQueue(Generic[Item]):
    """
    Hands items from the thread that receives them to the one that works on them.

    :param capacity: 0: only the newest item waits, an older one is dropped; N > 0: up to N items
        wait in order, and what comes when it is full is dropped
    """

    def __init__(self, capacity: int = 0) -> None:
        self._capacity = capacity
        self._items: deque[Item] = deque()
        self._condition = threading.Condition()
        self._closed = False
        self._held = False

    def put(self, item: Item) -> bool:
        """
        Add an item; never blocks.

        :return: whether nothing had to be dropped
        """
        with self._condition:
            full = len(self._items) >= max(1, self._capacity)
            if full and self._capacity == 0:
                self._items.clear()
            if not full or self._capacity == 0:
                self._items.append(item)
                self._condition.notify_all()
            return not full

    def hold(self, held: bool) -> None:
        """Let items wait until this is called again, with False."""
        with self._condition:
            self._held = held
            self._condition.notify_all()

    def get(self) -> Item | None:
        """Wait for the next item, unless they are held; None once the queue is closed."""
        with self._condition:
            self._condition.wait_for(
                lambda: self._closed or (bool(self._items) and not self._held)
            )
            if self._closed:
                return None
            item = self._items.popleft()
            self._condition.notify_all()  # another is next now
            return item

    def peek(self, known: Item | None) -> Item | None:
        """
        Wait for an item whose turn is next, and leave it there; None once the queue is closed.

        :param known: one that is not waited for
        """
        with self._condition:
            self._condition.wait_for(
                lambda: self._closed or (bool(self._items) and self._items[0] is not known)
            )
            return None if self._closed else self._items[0]

    def clear(self) -> int:
        """
        Throw away what waits.

        :return: how many items that were
        """
        with self._condition:
            count = len(self._items)
            self._items.clear()
            return count

    def close(self) -> None:
        """Let every present and future `get` return None."""
        with self._condition:
            self._closed = True
            self._items.clear()
            self._condition.notify_all()
