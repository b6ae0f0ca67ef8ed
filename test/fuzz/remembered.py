"""
Lets rosbags compile each set of message types once, and not in every case.

Nine tenths of the time of a case go into parsing and compiling the types that a bag brings along,
which are the same in most cases. Types that a case has changed are parsed and compiled as ever.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from rosbags.highlevel import anyreader
from rosbags.serde import cdr, ros1
from rosbags.typesys.store import Typestore

_MOST = 1000  # entries that are kept


def remember_types() -> None:
    """Replace what parses and compiles by functions that remember; what is wrong raises anew."""
    anyreader.get_types_from_msg = lru_cache(_MOST)(anyreader.get_types_from_msg)
    cdr.compile_lines = ros1.compile_lines = _by_text(cdr.compile_lines)
    Typestore.register = _registering(Typestore.register)


def _by_text(compile_lines: Callable[[list[str]], Any]) -> Callable[[list[str]], Any]:
    @lru_cache(_MOST)
    def compiled(code: str) -> Any:
        return compile_lines(code.split('\n'))

    return lambda lines: compiled('\n'.join(lines))


def _registering(register: Callable[..., None]) -> Callable[..., None]:
    known: dict[str, tuple[Any, Any, Any]] = {}

    def recall(store: Any, types: Any) -> None:
        key = repr((list(store.fielddefs), types))
        if key not in known:
            register(store, types)
            if len(known) >= _MOST:
                known.clear()
            known[key] = store.fielddefs, store.types, store.cache
        store.fielddefs, store.types, store.cache = known[key]

    return recall
