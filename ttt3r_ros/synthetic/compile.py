"""How the renderer is compiled: numba, cached on disk, without checks in the inner loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

_OPTIONS: dict[str, Any] = {'cache': True, 'fastmath': True, 'nogil': True, 'error_model': 'numpy'}

_Function = TypeVar('_Function', bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile a function; it is called from Python."""
    return cast(_Function, njit(**_OPTIONS)(function))


def inlined(function: _Function) -> _Function:
    """Compile a function into its callers: passing many arrays costs more than most work here."""
    return cast(_Function, njit(**_OPTIONS, forceinline=True)(function))
