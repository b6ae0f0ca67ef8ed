"""
A function of tensors, captured once for each kind of call, and replayed.

What is captured is called without Python: as a CUDA graph (`graphs.py`) or a trace (`traces.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
import logging
import threading
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

Made = TypeVar('Made')
Replay = Callable[[tuple[Any, ...]], Made]
"""Takes the arguments of a call, in a tuple."""
Capture = Callable[[Callable[..., Made], tuple[Any, ...]], Replay[Made]]
"""Takes a function and arguments; returns what replays it, for arguments of that kind."""

_FIRST_CALLS = 2  # of a kind that are not captured: most that are rare never come again
_MOST_KEPT = 4  # each has memory of its own, some 25 MB of a trace
_MOST_KINDS = 1000  # that are counted
_TOLERANCE = 0.02  # relative to the largest value


class Replayed(Generic[Made]):
    """
    A pure function whose calls are captured, once for each kind, and replayed from then on.

    A kind of call is the shapes and types of its tensors, and all its other arguments. Where
    capturing fails, or what is captured computes something else than the function, a warning says
    so and the function is called as before. Several threads may call it where they may replay.

    :param function: of tensors and hashable constants, in tuples and named tuples; returns such a
        tuple. It must not look at the values of tensors, nor change what it is given
    :param capture: how it is captured
    :param name: of what is captured, for the warning
    """

    def __init__(self, function: Callable[..., Made], capture: Capture[Made], name: str) -> None:
        self._function, self._capture, self._name = function, capture, name
        self._lock = threading.Lock()
        self._calls: dict[Hashable, int] = {}
        self._kept: OrderedDict[Hashable, Replay[Made] | None] = OrderedDict()

    def __call__(self, *given: Any) -> Made:
        """Return what the function returns; its tensors are the caller's own."""
        kind = _kind(given)
        with self._lock:
            replay = self._kept.get(kind)
            known = kind in self._kept
            if known:
                self._kept.move_to_end(kind)
        if replay is not None:
            return replay(given)
        made = self._function(*given)
        if not known:
            with self._lock:
                if self._is_due(kind):
                    self._kept[kind] = self._new(given, made)
        return made

    def _is_due(self, kind: Hashable) -> bool:
        """Count a call, and say whether its kind comes often enough to be captured."""
        if kind in self._kept:  # by another thread meanwhile
            return False
        if len(self._calls) >= _MOST_KINDS:
            self._calls.clear()
        calls = self._calls[kind] = self._calls.get(kind, 0) + 1
        if calls <= _FIRST_CALLS:
            return False
        del self._calls[kind]
        if len(self._kept) >= _MOST_KEPT:
            self._kept.popitem(last=False)
        return True

    def _new(self, given: tuple[Any, ...], made: Made) -> Replay[Made] | None:
        """Capture a kind of call, and check once what comes out."""
        try:
            replay = self._capture(self._function, given)
            if not _is_close(replay(given), made):
                raise RuntimeError('it computes something else')
        except RuntimeError as error:  # memory may have run out, too; it was enough without
            logger.warning('the network goes on without %s: %s', self._name, error)
            return None
        return replay


def tensors_in(tree: object) -> Iterator[Tensor]:
    """Yield the tensors in tuples of tuples, from left to right."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, tuple):
        for branch in tree:
            yield from tensors_in(branch)


def rebuild(tree: Any, tensors: Iterator[Tensor]) -> Any:
    """Return tuples of tuples with other tensors in their places."""
    if isinstance(tree, Tensor):
        return next(tensors)
    if not isinstance(tree, tuple):
        return tree
    branches = [rebuild(branch, tensors) for branch in tree]
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
        for one, other in zip(tensors_in(made), tensors_in(wanted), strict=True)
        if other.numel()
    )
