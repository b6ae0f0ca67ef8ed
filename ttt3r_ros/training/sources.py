"""Where a run's batches come from: made on the fly, or drawn from films rendered ahead."""

from __future__ import annotations

from random import Random
from typing import NamedTuple, Protocol

import torch

from ttt3r_ros.training.archive import Archive
from ttt3r_ros.training.batches import Batch, for_network, train_batch
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
    :param detail: of the network
    """

    def __init__(self, settings: TrainingSettings, team: Team, detail: int = 1) -> None:
        self._settings, self._team, self._detail = settings, team, detail

    def lesson(self, step: int, phase: Phase) -> Lesson:
        """Make what a step learns from."""
        settings = self._settings
        gated = Random(f'rule {settings.seed} {step}').random() < settings.gated
        batch = train_batch(settings.seed, step, phase, self._team.rank, self._detail)
        return Lesson(batch, gated)

    def close(self) -> None:
        """Nothing works for it."""


class Filmed:
    """
    Draws batches from the newest films, of which each step brings some.

    :param settings: of the run
    :param films: how many, how long, and by how many processes
    :param first: step from which the run goes on
    :param device: that trains
    :param detail: of the network
    """

    def __init__(
        self,
        settings: TrainingSettings,
        films: FilmSettings,
        first: int,
        device: torch.device,
        detail: int = 1,
    ) -> None:
        self._films, self._detail = films, detail
        sizes = [(detail * width, detail * height) for width, height in films.sizes]
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
        return Lesson(for_network(self._archive.draw(step, count, length), self._detail), None)

    def close(self) -> None:
        """End the processes that render."""
        self._studio.close()
