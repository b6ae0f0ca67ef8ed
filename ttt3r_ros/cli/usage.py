"""Wrong usage of the command line, its numbers and paths; argparse shows what is said of them."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from functools import partial
import math
from pathlib import Path
from typing import TypeVar

from ttt3r_ros.errors import Ttt3rError
from ttt3r_ros.files import user_path

Number = TypeVar('Number', int, float)

INCOMPLETE = 3  # exit status: the results are there, but not of everything


class UsageError(Ttt3rError):
    """An option has a value that makes no sense."""


def whole_number(least: int, most: float = math.inf) -> Callable[[str], int]:
    """Make an argument's type: a whole number within limits."""
    return partial(_read, int, 'whole number', least, most)


def real_number(least: float, most: float) -> Callable[[str], float]:
    """Make an argument's type: a number within limits."""
    return partial(_read, float, 'number', least, most)


def file_path(text: str) -> Path:
    """Read a path; an empty one, which would be the working directory, is refused."""
    if not text:
        raise ArgumentTypeError('it is empty: is a variable of the shell not set?')
    return user_path(text)


def whole_numbers(text: str) -> tuple[int, ...]:
    """Read `N,M,…`, each at least 1; return them in order, each once."""
    return tuple(sorted({whole_number(1)(part) for part in text.split(',')}))


def image_size(text: str) -> tuple[int, int]:
    """Read `WxH` in pixels."""
    parts = text.lower().split('x')
    if len(parts) != 2:
        raise ArgumentTypeError(f'{text!r} is not of the form WxH')
    width, height = (whole_number(1)(part) for part in parts)
    return width, height


def _read(
    kind: Callable[[str], Number], what: str, least: float, most: float, text: str
) -> Number:
    try:
        number = kind(text)
    except ValueError:
        raise ArgumentTypeError(f'{text!r} is no {what}') from None
    if not number >= least:
        raise ArgumentTypeError(f'{number} is not at least {least:g}')
    if number > most:
        raise ArgumentTypeError(f'{number} is not at most {most:g}')
    return number
