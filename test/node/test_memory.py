import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.node import memory, reconstruction_node
from ttt3r_ros.node.managed_node import Result
from ttt3r_ros.node.memory import SeldomTrim, trim_heap
from ttt3r_ros.node.reconstruction_node import ReconstructionNode

# Blocks of a map that grows, below one that was freed: glibc would keep their memory.
MAPPED = """
import sys
from ttt3r_ros.node.memory import tune_allocator

def resident():
    return int(open('/proc/self/statm').read().split()[1]) * 4096 / 1e6

if sys.argv[1] == 'yes':
    tune_allocator()
large = bytearray(30 << 20)
del large
before = resident()
blocks, last = [], []
for _ in range(8):
    blocks.append(bytearray(b'x') * (3 << 20))
    last.append(bytearray(b'x') * 100_000)  # what holds the heap's end
blocks.clear()
print(resident() - before)
"""

# Blocks of an image's arrays: what lies between those that stay, glibc keeps.
TRIMMED = """
import sys
from ttt3r_ros.node.memory import trim_heap

def resident():
    return int(open('/proc/self/statm').read().split()[1]) * 4096 / 1e6

before = resident()
blocks = [bytearray(b'x') * 50_000 for _ in range(1000)]
stay = blocks[::20]
blocks.clear()
if sys.argv[1] == 'yes':
    trim_heap()
print(resident() - before)
"""

# Copies of a message that grows, in threads that stay: each one's heap would keep its end.
THREADS = """
import sys
import threading
from ttt3r_ros.node import memory

def resident():
    return int(open('/proc/self/statm').read().split()[1]) * 4096 / 1e6

if sys.argv[1] == 'no':
    memory._M_ARENA_MAX = 0  # which glibc does not know
memory.tune_allocator()
before = resident()
ended, done = threading.Event(), threading.Semaphore(0)

def work():
    copies = [bytearray(b'x') * 1_000_000 for _ in range(15)]
    copies.clear()
    done.release()
    ended.wait()

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for _ in threads:
    done.acquire()
memory.trim_heap()
print(resident() - before)
ended.set()
"""

# Masks over points that are never equally many: NumPy keeps blocks of each size.
SMALL = """
import ctypes
import sys
import numpy as np
from ttt3r_ros.node.memory import fill_small_blocks

class Info(ctypes.Structure):
    _fields_ = [(f'_{i}', ctypes.c_size_t) for i in range(7)] + [('used', ctypes.c_size_t)] + [
        (f'_{i}', ctypes.c_size_t) for i in range(8, 10)
    ]

ask = getattr(ctypes.CDLL(None), 'mallinfo2', None)
if ask is None:
    print(0.0)
    sys.exit()
ask.restype = Info
if sys.argv[1] == 'yes':
    fill_small_blocks()
before = ask().used
for size in range(1, 1025):
    masks = [np.ones(size, np.bool_) for _ in range(7)]
    del masks
print((ask().used - before) / 1e6)
"""


def measure(code: str, protected: str) -> float:
    """Return what the code prints, in a process of its own."""
    command = [sys.executable, '-c', code, protected]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='glibc only')
def test_large_blocks_are_given_back_when_they_are_freed():
    assert measure(MAPPED, 'yes') < 4.0  # MB
    if measure(MAPPED, 'no') < 20.0:
        pytest.skip('this allocator gives them back by itself')


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='glibc only')
def test_what_threads_have_freed_is_given_back():
    assert measure(THREADS, 'yes') < 4.0  # MB
    if measure(THREADS, 'no') < 20.0:
        pytest.skip('this allocator gives it back by itself')


WORK = """
import resource
import sys
from ttt3r_ros.node.memory import tune_allocator

wide, size = int(sys.argv[1]), int(sys.argv[2])
tune_allocator(wide=wide)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def work():
    return [bytearray(b'x') * size for _ in range(2)]  # each page is touched

work()
before = faults()
for _ in range(20):
    work()
print(faults() - before)
"""


def count_faults(wide, size):
    """Return the page faults of 20 times two blocks of that many bytes, after the first."""
    command = [sys.executable, '-c', WORK, str(wide), str(size)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='glibc only')
@pytest.mark.parametrize(('wide', 'size'), [(0, 1_500_000), (2, 6_300_000), (4, 12_600_000)])
def test_memory_of_one_image_serves_the_next(wide, size):
    assert count_faults(wide, size) < 200  # of 14,600, 61,000 and 123,000 pages


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='glibc only')
def test_free_pages_in_the_midst_of_a_heap_are_given_back():
    assert measure(TRIMMED, 'yes') < 5.0  # MB
    if measure(TRIMMED, 'no') < 20.0:
        pytest.skip('this allocator gives them back by itself')


def test_arrays_of_ever_other_lengths_take_no_more_memory():
    assert measure(SMALL, 'yes') < 0.5  # MB
    if measure(SMALL, 'no') < 2.0:
        pytest.skip('this NumPy keeps no blocks, or this allocator cannot be asked')


@pytest.mark.parametrize(
    ('preset', 'dtype', 'expected'),
    [
        ('small', torch.float32, 0),
        ('cut3r_224_linear', torch.float32, 4),
        ('cut3r_224_linear', torch.bfloat16, 2),
    ],
)
def test_the_node_keeps_the_blocks_of_a_wide_network(
    preset, dtype, expected, context, monkeypatch
):
    def load(config):
        config = PRESETS[preset]
        return SimpleNamespace(
            network=SimpleNamespace(config=config), device='cpu', config=config, dtype=dtype
        )

    asked = []

    def recorder(*, wide):
        asked.append(wide)

    monkeypatch.setattr(reconstruction_node, 'tune_allocator', recorder)
    monkeypatch.setattr(ReconstructionNode, '_build', lambda *_: None)
    node = ReconstructionNode(make_reconstructor=load, context=context)
    assert node.trigger_configure() == Result.SUCCESS
    node.destroy_node()
    assert asked == [expected]


def test_the_node_gives_free_pages_back_again_and_again(context):
    node = ReconstructionNode(context=context)
    periods = [timer.timer_period_ns for timer in node.timers if timer.callback is trim_heap]
    assert len(periods) == 1
    assert periods[0] <= 60e9
    node.destroy_node()


def test_maps_that_come_often_have_the_heap_trimmed_once_a_second(monkeypatch):
    times, trims = iter([0.0, 0.4, 0.99, 1.0, 1.5, 7.0]), []
    monkeypatch.setattr(memory.time, 'monotonic', lambda: next(times))
    monkeypatch.setattr(memory, 'trim_heap', lambda: trims.append(True))
    trim = SeldomTrim()
    done = []
    for _ in range(6):
        trim()
        done.append(len(trims))
    assert done == [1, 1, 1, 2, 2, 3]
