import threading

from ttt3r_ros.node.frame_queue import FrameQueue
from ttt3r_ros.node.worker import Worker


def test_without_capacity_the_newest_wins():
    queue = FrameQueue()
    assert queue.put(1)
    assert not queue.put(2)
    assert not queue.put(3)
    assert queue.get() == 3


def test_with_capacity_order_is_kept_and_what_overflows_is_dropped():
    queue = FrameQueue(2)
    assert [queue.put(item) for item in (1, 2, 3)] == [True, True, False]
    assert [queue.get(), queue.get()] == [1, 2]


def test_closing_wakes_who_waits():
    queue = FrameQueue()
    results = []
    thread = threading.Thread(target=lambda: results.append(queue.get()))
    thread.start()
    queue.close()
    thread.join(timeout=5)
    assert results == [None]


def test_clearing_tells_how_many_waited():
    queue = FrameQueue(5)
    for item in range(3):
        queue.put(item)
    assert queue.clear() == 3
    assert queue.clear() == 0


def test_worker_does_all_items_in_order():
    queue, done = FrameQueue(10), []
    finished = threading.Event()

    def work(item):
        done.append(item)
        if item == 4:
            finished.set()

    worker = Worker(queue, work, lambda: None)
    for item in range(5):
        queue.put(item)
    assert finished.wait(5)
    queue.close()
    assert worker.join(5)
    assert done == [0, 1, 2, 3, 4]


def test_worker_reports_its_crash(monkeypatch):
    monkeypatch.setattr(threading, 'excepthook', lambda _: None)
    queue, crashed = FrameQueue(1), threading.Event()

    def fail(_):
        raise KeyError('a mistake')

    Worker(queue, fail, crashed.set)
    queue.put(1)
    assert crashed.wait(5)


def test_what_is_held_waits_in_order():
    queue = FrameQueue[int](3)
    queue.hold(True)
    for item in (1, 2):
        queue.put(item)
    taken: list[int | None] = []
    taker = threading.Thread(target=lambda: taken.extend([queue.get(), queue.get()]))
    taker.start()
    assert queue.peek(None) == 1
    assert not taken
    queue.hold(False)
    taker.join(10)
    assert taken == [1, 2]


def test_closing_ends_who_is_held():
    queue = FrameQueue[int](3)
    queue.hold(True)
    queue.put(1)
    queue.close()
    assert queue.get() is None
