"""
A function of tensors, recorded as a CUDA graph and replayed.

On a GPU, the host is busy calling hundreds of small operations; a graph is one call. What is
replayed reads and writes the same memory each time, so inputs are copied in and outputs out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
import logging
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

Made = TypeVar('Made')
Record = Callable[[Callable[[], Made]], tuple[Made, Callable[[], object]]]
"""Takes work; returns what it made, and what makes it anew, in the same memory."""

_FIRST_CALLS = 2  # of a kind that are not recorded: most that are rare never come again
_MOST_GRAPHS = 8  # each has memory of its own for inputs and outputs
_MOST_KINDS = 1000  # that are counted
_TOLERANCE = 0.02  # relative to the largest value


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


class Replayed(Generic[Made]):
    """
    A pure function whose calls are recorded, once for each kind, and replayed from then on.

    A kind of call is the shapes and types of its tensors, and all its other arguments. Where
    recording fails, or a graph computes something else than the function, a warning says so and
    the function is called as before.

    :param function: of tensors and hashable constants, in tuples and named tuples; returns such a
        tuple. It must not wait for the device, nor change what it is given
    :param record: how work is recorded, for example a `CudaRecorder`
    """

    def __init__(self, function: Callable[..., Made], record: Record[Made]) -> None:
        self._function, self._record = function, record
        self._calls: dict[Hashable, int] = {}
        self._graphs: OrderedDict[Hashable, _Graph[Made] | None] = OrderedDict()

    def __call__(self, *given: Any) -> Made:
        """Return what the function returns; its tensors are the caller's own."""
        kind = _kind(given)
        if kind in self._graphs:
            self._graphs.move_to_end(kind)
            graph = self._graphs[kind]
            return graph.replay(given) if graph else self._function(*given)
        made = self._function(*given)
        if self._is_due(kind):
            self._graphs[kind] = self._new_graph(given, made)
        return made

    def _is_due(self, kind: Hashable) -> bool:
        """Count a call, and say whether its kind comes often enough to be recorded."""
        if len(self._calls) >= _MOST_KINDS:
            self._calls.clear()
        calls = self._calls[kind] = self._calls.get(kind, 0) + 1
        if calls <= _FIRST_CALLS:
            return False
        del self._calls[kind]
        if len(self._graphs) >= _MOST_GRAPHS:
            self._graphs.popitem(last=False)
        return True

    def _new_graph(self, given: tuple[Any, ...], made: Made) -> _Graph[Made] | None:
        """Record a kind of call, and check once what the graph computes."""
        try:
            graph = _Graph(self._function, given, self._record)
            if not _is_close(graph.replay(given), made):
                raise RuntimeError('the graph computes something else')
        except RuntimeError as error:  # memory may have run out, too; it was enough without
            logger.warning('the network goes on without a CUDA graph: %s', error)
            return None
        return graph


class _Graph(Generic[Made]):
    """One recording, with its own memory for inputs and outputs."""

    def __init__(self, function: Callable[..., Made], given: Any, record: Record[Made]) -> None:
        own = _rebuild(given, (tensor.clone() for tensor in _tensors(given)))
        self._inputs = list(_tensors(own))
        self._made, self._run = record(lambda: function(*own))

    def replay(self, given: object) -> Made:
        for own, new in zip(self._inputs, _tensors(given), strict=True):
            own.copy_(new, non_blocking=True)
        self._run()
        copy: Made = _rebuild(self._made, (tensor.clone() for tensor in _tensors(self._made)))
        return copy


def _tensors(tree: object) -> Iterator[Tensor]:
    """Yield the tensors in tuples of tuples, from left to right."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, tuple):
        for branch in tree:
            yield from _tensors(branch)


def _rebuild(tree: Any, tensors: Iterator[Tensor]) -> Any:
    """Return tuples of tuples with other tensors in their places."""
    if isinstance(tree, Tensor):
        return next(tensors)
    if not isinstance(tree, tuple):
        return tree
    branches = [_rebuild(branch, tensors) for branch in tree]
    return type(tree)(*branches) if hasattr(tree, '_fields') else tuple(branches)


def _kind(tree: Any) -> Hashable:
    if isinstance(tree, Tensor):
        return tree.shape, tree.dtype, tree.device
    if isinstance(tree, tuple):
        return (type(tree), *map(_kind, tree))
    hashable: Hashable = tree
    return hashable


def _is_close(made: object, wanted: object) -> bool:
    return all(
        torch.allclose(
            one.float(),
            other.float(),
            rtol=0.0,
            atol=_TOLERANCE * float(other.float().nan_to_num().abs().amax()),
            equal_nan=True,
        )
        for one, other in zip(_tensors(made), _tensors(wanted), strict=True)
        if other.numel()
    )
