"""
A function of tensors, recorded as a CUDA graph.

On a GPU, the host is busy calling hundreds of small operations; a graph is one call. It
reads and writes the same memory each time, so inputs are copied in and outputs out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic

import torch

from ttt3r_ros.model.replay import Capture, Made, rebuild, tensors_in

Record = Callable[[Callable[[], Made]], tuple[Made, Callable[[], object]]]
"""Takes work; returns what it made, and what makes it anew, in the same memory."""


class CudaRecorder:
    """
    Records work as CUDA graphs.

    What work needs meanwhile, all graphs have in one place: none runs beside another, and results
    are copied before the next. Other threads may use the GPU, as `Reconstructor.prepare` does.

    :param device: a GPU
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Callable[[], Made]) -> tuple[Made, Callable[[], object]]:
        """
        Record, without computing anything.

        :raises RuntimeError: the work cannot be recorded; for example, it waits for the GPU
        """
        with torch.cuda.device(self._device):
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                work()  # libraries make themselves ready for a stream, which cannot be recorded
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(
                graph, pool=self._pool, stream=stream, capture_error_mode='thread_local'
            ):
                made = work()
        return made, graph.replay


def in_own_memory(record: Record[Made]) -> Capture[Made]:
    """
    Return a way of capturing functions by recordings that each have memory of their own.

    :param record: how work is recorded, for example a `CudaRecorder`
    """
    return lambda function, given: _Graph(function, given, record).replay


class _Graph(Generic[Made]):
    """One recording, with its own memory for inputs and outputs."""

    def __init__(self, function: Callable[..., Made], given: Any, record: Record[Made]) -> None:
        own = rebuild(given, (tensor.clone() for tensor in tensors_in(given)))
        self._inputs = list(tensors_in(own))
        self._made, self._run = record(lambda: function(*own))

    def replay(self, given: object) -> Made:
        for own, new in zip(self._inputs, tensors_in(given), strict=True):
            own.copy_(new, non_blocking=True)
        self._run()
        copy: Made = rebuild(self._made, (tensor.clone() for tensor in tensors_in(self._made)))
        return copy
