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


class _Kept(Generic[Made]):
    """What was captured of a kind of call; to be trusted once it was right for other values."""

    def __init__(self, replay: Replay[Made]) -> None:
        self.replay = replay
        self.trusted = False


class Replayed(Generic[Made]):
    """
    A pure function whose calls are captured, once for each kind, and replayed from then on.

    A kind of call is the shapes and types of its tensors, and all its other arguments. The first
    replay is compared with the function. Where that shows something else, or capturing fails, one
    warning says so, nothing more is captured, and the function is called as before. Several
    threads may call it where they may replay.

    :param function: of tensors and hashable constants, in tuples and named tuples; returns such a
        tuple. It must not look at the values of tensors, nor change what it is given
    :param capture: how it is captured
    :param name: of what is captured, for the warning
    :param tolerance: difference allowed between function and replay, in parts of each tensor's
        largest value
    """

    def __init__(
        self,
        function: Callable[..., Made],
        capture: Capture[Made],
        name: str,
        tolerance: float,
    ) -> None:
        self._function, self._capture, self._name = function, capture, name
        self._tolerance = tolerance
        self._lock = threading.Lock()
        self._calls: dict[Hashable, int] = {}
        self._kept: OrderedDict[Hashable, _Kept[Made]] = OrderedDict()
        self._given_up = False

    def __call__(self, *given: Any) -> Made:
        """Return what the function returns; its tensors are the caller's own."""
        kind = _kind(given)
        with self._lock:
            kept = self._kept.get(kind)
            if kept is not None:
                self._kept.move_to_end(kind)
        if kept is not None and kept.trusted:
            return kept.replay(given)
        made = self._function(*given)
        if not self._given_up:
            with self._lock:
                self._learn(kind, given, made)
        return made

    def _learn(self, kind: Hashable, given: tuple[Any, ...], made: Made) -> None:
        """Capture a kind of call that has come often enough, or compare what was captured."""
        kept = self._kept.get(kind)
        try:
            if kept is not None:
                if not _is_close(kept.replay(given), made, self._tolerance):
                    raise ArithmeticError('it computes something else')
                kept.trusted = True
            elif self._is_due(kind):
                self._kept[kind] = _Kept(self._capture(self._function, given))
        except Exception as error:  # noqa: BLE001 - whatever it is, the function itself does
            # memory may have run out, for example, which was enough without
            logger.warning('the network goes on without %s: %s', self._name, error)
            self._given_up = True
            self._kept.pop(kind, None)

    def _is_due(self, kind: Hashable) -> bool:
        """Count a call, and say whether its kind comes often enough to be captured."""
        if len(self._calls) >= _MOST_KINDS:
            self._calls.clear()
        calls = self._calls[kind] = self._calls.get(kind, 0) + 1
        if calls <= _FIRST_CALLS:
            return False
        del self._calls[kind]
        if len(self._kept) >= _MOST_KEPT:
            self._kept.popitem(last=False)
        return True


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


def _is_close(made: object, wanted: object, tolerance: float) -> bool:
    return all(
        torch.allclose(
            one.float(),
            other.float(),
            rtol=0.0,
            atol=tolerance * float(other.float().nan_to_num().abs().amax()),
            equal_nan=True,
        )
        for one, other in zip(tensors_in(made), tensors_in(wanted), strict=True)
        if other.numel()
    )
