"""
A function of tensors, traced by TorchScript: its operations are called without Python in between.

They are the same operations on the same numbers, so that results are the same to the bit
(docs/decisions/0070-traces-on-a-processor.md).
"""

from __future__ import annotations

from collections.abc import Callable
import threading
from typing import Any
import warnings

import torch
from torch import Tensor

from ttt3r_ros.model.replay import Made, Replay, rebuild, tensors_in

Call = Callable[..., tuple[Tensor, ...]]

_one_at_a_time = threading.Lock()  # filters of warnings are those of the whole process


def trace(function: Callable[..., Made], given: tuple[Any, ...]) -> Replay[Made]:
    """
    Trace a function, for calls of one kind; see `Replayed`. Any number of threads may replay it.

    :raises Exception: it cannot be traced, or this PyTorch has no such functions
    """
    template = _without_tensors(given)
    made: list[Any] = []

    def flat(*tensors: Tensor) -> tuple[Tensor, ...]:
        result = function(*rebuild(template, iter(tensors)))
        made.append(_without_tensors(result))
        return tuple(tensors_in(result))

    # of one tensor in two places, a trace could not tell which of them is meant
    script = _script(flat, tuple(tensor.clone() for tensor in tensors_in(given)))
    (form,) = made

    def replay(given: tuple[Any, ...]) -> Made:
        # optimising costs half a second at the first calls, and gains nothing here
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            tensors = script(*tensors_in(given))
        result: Made = rebuild(form, iter(tensors))
        return result

    return replay


def _script(function: Call, tensors: tuple[Tensor, ...]) -> Call:
    """
    Return a function's trace, whose memory is given back with it.

    `torch.jit.trace` does the same, but keeps what it made for as long as the process lives.
    """
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of shapes that are taken as constants
        graph = torch._C._create_graph_by_tracing(
            function, tensors, lambda _: '', True, False, None, []
        )[0]
        script: Call = torch._C._create_function_from_graph('replay', graph)
    return script


def _without_tensors(tree: Any) -> Any:
    """Return the form of a tree, which does not hold its tensors' memory."""
    empty = torch.empty(0)
    return rebuild(tree, (empty for _ in tensors_in(tree)))
