"""Forward, loss and backward of a batch; on a GPU recorded once as a CUDA graph, and replayed."""

from __future__ import annotations

from collections.abc import Callable, Hashable
import logging
from typing import Any

import torch
from torch import Tensor

from ttt3r_ros.model.network import Network
from ttt3r_ros.model.update_rules import UpdateRule
from ttt3r_ros.training.batches import Batch
from ttt3r_ros.training.losses import total_loss
from ttt3r_ros.training.sources import Lesson
from ttt3r_ros.training.unroll import glance, half_gated, unroll

_LOG = logging.getLogger(__name__)
_WARM = 2  # calls before one is recorded

Parts = dict[str, Tensor]
"""Losses, without gradients."""


class Gradients:
    """
    Computes the gradients of a network's parameters.

    :param network: to be trained
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._parameters = list(network.parameters())
        self._places: dict[bool, list[Tensor | None]] = {}  # of gradients: recordings write there
        self._recordings: dict[Hashable, _Recording | None] = {}
        self._calls: dict[Hashable, int] = {}
        self._cuda = self._parameters[0].is_cuda
        self._pool = torch.cuda.graph_pool_handle() if self._cuda else None

    def __call__(self, lesson: Lesson, *, recurrent: bool) -> Parts:
        """
        Set the gradients to those of a batch; parameters that it does not reach have none.

        :param recurrent: of the whole network; else of encoder and head alone
        :return: the losses; `total` is what was minimised
        """
        if not self._cuda:
            self._network.zero_grad()
            return self._compute(lesson, recurrent=recurrent)
        recording = self._recording(lesson, recurrent=recurrent)
        self._clear(recurrent=recurrent)
        if recording is None:
            return self._compute(lesson, recurrent=recurrent)
        return recording.replay(lesson.batch)

    def _recording(self, lesson: Lesson, *, recurrent: bool) -> _Recording | None:
        """Return what replays a kind of batch, once it has come often enough."""
        kind = (lesson.batch.image.shape, lesson.gated, recurrent)
        if kind not in self._recordings:
            self._calls[kind] = self._calls.get(kind, 0) + 1
            if self._calls[kind] <= _WARM:
                return None
            self._recordings[kind] = self._record(lesson, recurrent=recurrent)
        return self._recordings[kind]

    def _compute(self, lesson: Lesson, *, recurrent: bool) -> Parts:
        batch = lesson.batch
        if recurrent:
            predicted = unroll(self._network, batch.image, _rule(lesson))
        else:
            predicted = glance(self._network, batch.image)
        total, parts = total_loss(predicted, batch)
        total.backward()  # type: ignore[no-untyped-call]
        self._places.setdefault(recurrent, [parameter.grad for parameter in self._parameters])
        return {'total': total.detach(), **parts}

    def _clear(self, *, recurrent: bool) -> None:
        """Set the gradients to zero, in the memory that recordings write to."""
        places = self._places.get(recurrent) or [None] * len(self._parameters)
        for parameter, place in zip(self._parameters, places, strict=True):
            parameter.grad = None if place is None else place.zero_()

    def _record(self, lesson: Lesson, *, recurrent: bool) -> _Recording | None:
        own = Batch(*(part.clone() for part in lesson.batch))

        def work() -> Parts:
            self._clear(recurrent=recurrent)
            return self._compute(Lesson(own, lesson.gated), recurrent=recurrent)

        try:
            return _Recording(own, work, self._pool)
        except RuntimeError as error:
            _LOG.warning('training goes on without a CUDA graph: %s', error)
            return None


def _rule(lesson: Lesson) -> str | UpdateRule:
    if lesson.gated is None:
        return half_gated(len(lesson.batch.image), lesson.batch.image.device)
    return 'ttt3r' if lesson.gated else 'cut3r'


class _Recording:
    """
    A CUDA graph of one kind of batch.

    :param own: a batch of that kind, read by each replay
    :param work: what is recorded
    :param pool: memory that graphs share, as none runs beside another
    """

    def __init__(self, own: Batch, work: Callable[[], Parts], pool: Any) -> None:
        self._own = own
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            work()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=pool):
            self._parts = work()

    def replay(self, batch: Batch) -> Parts:
        """Compute anew, for another batch of the kind."""
        for own, new in zip(self._own, batch, strict=True):
            own.copy_(new)
        self._graph.replay()
        return self._parts
