"""Where a run's batches come from: made on the fly, or drawn from films rendered ahead."""

from __future__ import annotations

from random import Random
from typing import NamedTuple, Protocol

import torch

from ttt3r_ros.training.archive import Archive
from ttt3r_ros.training.batches import Batch, train_batch
from ttt3r_ros.training.films import Studio
from ttt3r_ros.training.settings import FilmSettings, Phase, TrainingSettings
from ttt3r_ros.training.team import Team


class Lesson(NamedTuple):
    """What a step learns from."""

    batch: Batch
    gated: bool | None  # by TTT3R's gate, by CUT3R's rule; None: half of the sequences by each


class Source(Protocol):
    """Makes batches."""

    def lesson(self, step: int, phase: Phase) -> Lesson:
        """Make what a step learns from."""

    def close(self) -> None:
        """End what works for it."""


class OnTheFly:
    """
    Renders each batch when it is due.

    :param settings: of the run
    :param team: the processes that train together, of which each renders its share
    """

    def __init__(self, settings: TrainingSettings, team: Team) -> None:
        self._settings, self._team = settings, team

    def lesson(self, step: int, phase: Phase) -> Lesson:
        """Make what a step learns from."""
        settings = self._settings
        gated = Random(f'rule {settings.seed} {step}').random() < settings.gated
        return Lesson(train_batch(settings.seed, step, phase, self._team.rank), gated)

    def close(self) -> None:
        """Nothing works for it."""


class Filmed:
    """
    Draws batches from the newest films, of which each step brings some.

    :param settings: of the run
    :param films: how many, how long, and by how many processes
    :param first: step from which the run goes on
    :param device: that trains
    """

    def __init__(
        self, settings: TrainingSettings, films: FilmSettings, first: int, device: torch.device
    ) -> None:
        self._films = films
        sizes = films.sizes
        self._studio = Studio(
            settings.seed, first * films.new, films.frames, sizes, films.processes
        )
        self._archive = Archive(settings.seed, films.kept, device)
        self._missing = films.ahead

    def lesson(self, step: int, phase: Phase) -> Lesson:
        """Make what a step learns from; waits for films."""
        films = self._films
        wanted = films.new + self._missing
        self._missing = 0
        self._archive.add([self._studio.take() for _ in range(wanted)])
        length = films.length if phase.recurrent else 1
        count = films.sequences * films.length // length
        return Lesson(self._archive.draw(step, count, length), None)

    def close(self) -> None:
        """End the processes that render."""
        self._studio.close()
