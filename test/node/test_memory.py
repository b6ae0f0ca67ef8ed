import subprocess
import sys

import pytest

# Blocks of a map that grows, below one that was freed: glibc would keep their memory.
CODE = """
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


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='glibc only')
def test_large_blocks_are_given_back_when_they_are_freed():
    def left(mapped: str) -> float:
        command = [sys.executable, '-c', CODE, mapped]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert left('yes') < 4.0  # MB
    if left('no') < 20.0:
        pytest.skip('this allocator gives them back by itself')


WORK = """
import resource
from ttt3r_ros.node.memory import tune_allocator

tune_allocator()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def work():
    return [bytearray(b'x') * 1_000_000 for _ in range(3)]  # each page is touched

work()
before = faults()
for _ in range(20):
    work()
print(faults() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='glibc only')
def test_memory_of_one_image_serves_the_next():
    command = [sys.executable, '-c', WORK]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(result.stdout) < 200  # of 14,600 pages
