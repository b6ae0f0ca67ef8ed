"""Means and spreads over recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ttt3r_ros.evaluation.results import Result


@dataclass(frozen=True)
class Summary:
    """One error of one method after N frames, over recordings."""

    mean: float
    low: float  # first quartile
    high: float  # third quartile
    count: int  # recordings


def summarise(results: Sequence[Result], method: str, frames: int, value: str) -> Summary | None:
    """
    Average one value over the recordings of a method.

    Depth is weighted by valid pixels, as its protocol asks; all else counts each recording once.

    :param results: of any methods
    :param frames: N
    :param value: name of the value
    :return: None where no recording has it
    """
    scores = [result.at(frames) for result in results if result.method == method]
    found = [score.values for score in scores if score is not None and value in score.values]
    numbers = np.array([values[value] for values in found])
    if not len(numbers):
        return None
    weights = np.array([values['pixels'] if '/' in value else 1.0 for values in found])
    low, high = np.percentile(numbers, [25, 75]).tolist()
    return Summary(float(np.average(numbers, weights=weights)), low, high, len(numbers))


def methods_of(results: Sequence[Result]) -> list[str]:
    """List the methods in order: those that look at images, then the baselines."""
    return list(
        dict.fromkeys(r.method for r in sorted(results, key=lambda result: result.baseline))
    )


def lengths_of(results: Sequence[Result]) -> list[int]:
    """List all N for which there are scores."""
    return sorted({score.frames for result in results for score in result.scores})
