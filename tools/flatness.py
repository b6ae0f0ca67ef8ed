"""
Feeds a long-running reconstructor, and every now and then a fresh one in turns with it.

Prints the time per image of both and the memory of the process; draws them, and says whether time
and memory have grown.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
import json
from pathlib import Path
import statistics
import subprocess
import sys
import time

import cv2
import numpy as np
from numpy.typing import NDArray
import torch

from ttt3r_ros.benchmark.clock import resident_memory
from ttt3r_ros.errors import Ttt3rError
from ttt3r_ros.reconstructor import Reconstructor

_WARM = 20  # images until a fresh reconstructor is in the midst of its sequence
_TURNS = 30  # images that both get, in turns
_LAST_TURNS = 300  # of these at the end, which decides
_LATE = 10  # samples over which the two are compared at the end: one alone varies by 5 %
_SETTLED = 500  # images after which memory should stay as it is


@dataclass(frozen=True)
class Sample:
    """What was measured around one image."""

    index: int
    long_ms: float
    fresh_ms: float
    memory_mb: float


class Walk:
    """Views of a large picture, along a curve that does not close."""

    def __init__(self) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
        self._picture = cv2.resize(noise, (1440, 1080), interpolation=cv2.INTER_CUBIC)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return view number `index` [480, 640, 3]."""
        x = int(400 + 390 * np.sin(index / 97))
        y = int(300 + 290 * np.sin(index / 71))
        return np.ascontiguousarray(self._picture[y : y + 480, x : x + 640])


def seconds(reconstructor: Reconstructor, image: NDArray[np.uint8]) -> float:
    """Return the processor time of this thread for one image; one refused counts too."""
    began = time.thread_time()
    try:
        reconstructor.add(image)
    except Ttt3rError as error:
        print(error)
    return time.thread_time() - began


def measure(frames: int, every: int) -> Iterator[Sample]:
    """Feed the images, and compare with a fresh reconstructor at every `every`th."""
    walk, long = Walk(), Reconstructor()
    index = 0
    while index < frames:
        seconds(long, walk.image(index))
        index += 1
        if index % every == 0:
            fresh = Reconstructor(long.config, long.network)
            count = _TURNS if index < frames else _LAST_TURNS
            turns = [
                [seconds(each, walk.image(image)) for each in (long, fresh)]
                for image in range(index, index + _WARM + count)
            ]
            both = turns[_WARM:]
            a, b = (1000 * statistics.median(column) for column in zip(*both, strict=True))
            del fresh
            yield Sample(index, a, b, 1000 * resident_memory())
            index += _WARM + count


def draw(samples: list[Sample], path: Path) -> None:
    """Draw time and memory over images."""
    from matplotlib.figure import Figure  # not in the process whose memory is measured

    figure = Figure(figsize=(7, 4), layout='constrained')
    time_axes, memory_axes = figure.subplots(2, 1, sharex=True)
    index = [sample.index for sample in samples]
    time_axes.plot(index, [s.long_ms for s in samples], label='long-running')
    time_axes.plot(index, [s.fresh_ms for s in samples], '--', label='fresh')
    time_axes.set_ylim(0, 1.2 * max(max(s.long_ms, s.fresh_ms) for s in samples))
    time_axes.set_ylabel('ms per image')
    time_axes.legend()
    memory_axes.plot(index, [s.memory_mb for s in samples])
    memory_axes.set_ylim(0, 1.2 * max(s.memory_mb for s in samples))
    memory_axes.set_ylabel('memory, MB')
    memory_axes.set_xlabel('images')
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure, draw and summarise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('frames', type=int, nargs='?', default=10_000)
    parser.add_argument('--every', type=int, default=500)
    parser.add_argument('--plot', type=Path, default=Path('docs/images/flatness.png'))
    parser.add_argument('--inside', action='store_true', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        for sample in measure(arguments.frames, arguments.every):
            print(json.dumps(asdict(sample)), flush=True)
        return
    samples: list[Sample] = []
    inside = [sys.executable, __file__, '--inside', *sys.argv[1:]]
    process = subprocess.Popen(inside, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if not line.startswith('{'):
            print(line, end='')
            continue
        sample = Sample(**json.loads(line))
        samples.append(sample)
        print(
            f'{sample.index}: {sample.long_ms:.1f} ms, fresh {sample.fresh_ms:.1f} ms, '
            f'{sample.memory_mb:.0f} MB',
            flush=True,
        )
        draw(samples, arguments.plot)  # each time: a run cut short has its figure too
    process.wait()
    last, late = samples[-1], samples[-_LATE:]
    ratio = sum(s.long_ms for s in late) / sum(s.fresh_ms for s in late)
    settled = next((s for s in samples if s.index >= _SETTLED), last)
    print(
        f'image {last.index}: time {last.long_ms / last.fresh_ms - 1:+.1%} of a fresh one '
        f'({ratio - 1:+.1%} over the last {len(late)} samples), '
        f'memory {last.memory_mb / settled.memory_mb - 1:+.1%} of that at {settled.index}'
    )


if __name__ == '__main__':
    main()
