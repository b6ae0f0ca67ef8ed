"""
Time in units that compare machines.

A GEMM-GFLOP is the time in which this machine, in this run, does 10^9 operations of a large
float32 matrix product: seconds times the product's GFLOP/s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
import math
from pathlib import Path
import resource
import statistics
import time

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

_ROWS, _INNER, _COLUMNS = 768, 1024, 4096
_GIGA = 1e9
_SHORT, _BURST = 0.5, 7  # seconds, calls


@dataclass(frozen=True)
class Timing:
    """How long one thing takes."""

    seconds: float  # median
    cost: float  # GEMM-GFLOP, median
    gemm: float  # GFLOP/s of the float32 product beside it, median


class Clock:
    """
    Measures calls on one device, each beside a matrix product.

    On a GPU the time is that between two events; the host waits once for each call measured, as
    the node does for each image.

    :param device: where the calls compute
    :param repeats: calls measured, after one that is not
    """

    def __init__(self, device: torch.device, repeats: int) -> None:
        self.device = device
        self.repeats = repeats
        self._factors: list[Tensor] = []

    def measure(
        self, work: Callable[[], object], *, warm: bool = True, repeats: int | None = None
    ) -> Timing:
        """
        Time a call.

        Short calls come in bursts, of which the median counts: the matrix product leaves the
        caches full of its own numbers, the image before those of the network.

        :param warm: call it once before, unmeasured
        :param repeats: calls measured, if not as many as the clock's
        """
        self._warm_up()
        short = self._once(work) < _SHORT if warm else False
        seconds, speeds = [], []
        for _ in range(repeats or self.repeats):
            before = self._once(self._product)
            burst = [self._once(work) for _ in range(_BURST if short else 1)]
            seconds.append(statistics.median(burst))
            after = self._once(self._product)
            speeds.append(2 * _ROWS * _INNER * _COLUMNS / _GIGA / ((before + after) / 2))
        costs = [second * speed for second, speed in zip(seconds, speeds, strict=True)]
        return Timing(
            statistics.median(seconds), statistics.median(costs), statistics.median(speeds)
        )

    def ratio(
        self,
        work: Callable[[], object],
        reference: Callable[[], object],
        *,
        repeats: int | None = None,
    ) -> float:
        """
        Compare two calls that differ by less than this machine's speed does.

        They take turns, and each pair is compared by itself; which is the first changes each time.

        :param repeats: pairs, or bursts of short ones, if not as many as the clock's
        :return: median of the time of the one over that of the other
        """
        short = max(self._once(work), self._once(reference)) < _SHORT
        ratios = []
        for pair in range((repeats or self.repeats) * (_BURST if short else 1)):
            if pair % 2:
                numerator, denominator = self._once(work), self._once(reference)
            else:
                denominator, numerator = self._once(reference), self._once(work)
            ratios.append(numerator / denominator)
        return statistics.median(ratios)

    def _product(self) -> object:
        return torch.mm(*self._factors)

    def _warm_up(self) -> None:
        """Make the product's factors only now: memory told before is without them."""
        if not self._factors:
            sizes = (_ROWS, _INNER), (_INNER, _COLUMNS)
            self._factors = [torch.rand(size, device=self.device) for size in sizes]
            self._once(self._product)

    def _once(self, work: Callable[[], object]) -> float:
        if self.device.type != 'cuda':
            # of this thread: what other programs take of the processor does not count
            began = time.thread_time() if torch.get_num_threads() == 1 else time.perf_counter()
            work()
            ended = time.thread_time() if torch.get_num_threads() == 1 else time.perf_counter()
            return ended - began
        start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        start.record()
        work()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1000


def count_flops(work: Callable[[], object]) -> float:
    """Count the operations of matrix products, convolutions and attention, in GFLOP."""
    counter = FlopCounterMode(display=False, custom_mapping=_packed_products())
    with counter:
        work()
    return float(counter.get_total_flops()) / _GIGA


def _packed_products() -> dict[object, Callable[..., int]]:
    """Tell how products of packed matrices are counted, where PyTorch has them."""

    def product(factor: Sequence[int], *_: object, out_shape: Sequence[int], **__: object) -> int:
        return 2 * factor[-1] * math.prod(out_shape)

    owners = (
        (torch.ops.mkldnn, '_linear_pointwise'),
        (torch.ops.onednn, 'qlinear_pointwise'),
        (torch.ops.quantized, 'linear_dynamic'),
    )
    return {getattr(owner, name): product for owner, name in owners if hasattr(owner, name)}


def peak_memory(device: torch.device) -> float:
    """Return the most memory this process has held so far, in GB; on a GPU, of the GPU."""
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device) / _GIGA
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _GIGA


def resident_memory() -> float:
    """Return the memory that this process holds now, in GB (Linux)."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * resource.getpagesize() / _GIGA
