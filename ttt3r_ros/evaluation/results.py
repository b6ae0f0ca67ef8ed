"""What is run, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ttt3r_ros.evaluation.scorers import BatchEstimator, Estimator


@dataclass(frozen=True)
class Method:
    """
    One way to reconstruct.

    :param name: for tables and figures
    :param create: makes a fresh estimator
    :param settings: all that its results depend on, as JSON
    :param baseline: whether it looks at no image
    :param create_batch: makes one for so many recordings side by side, where there is such a thing
    """

    name: str
    create: Callable[[], Estimator]
    settings: dict[str, Any]
    baseline: bool = False
    create_batch: Callable[[int], BatchEstimator] | None = None


@dataclass(frozen=True)
class Score:
    """The errors after some frames."""

    frames: int  # N, as asked
    used: int  # frames there were: fewer than N in a shorter recording
    values: dict[str, float]


@dataclass
class Result:
    """What one method scored on one recording."""

    recording: str
    method: str
    baseline: bool
    scores: list[Score] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    taken_up: bool = field(default=False, compare=False)  # from an earlier run

    def at(self, frames: int) -> Score | None:
        """Return the score after N frames, if there is one."""
        return next((score for score in self.scores if score.frames == frames), None)
