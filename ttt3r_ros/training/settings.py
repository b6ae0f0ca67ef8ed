"""Settings of a training run and its curriculum."""

from __future__ import annotations

from dataclasses import dataclass
import os

from ttt3r_ros.settings import check_settings, setting


@dataclass(frozen=True)
class Phase:
    """
    A stretch of training with one kind of batches.

    :param steps: how many, 0 for without end
    :param lengths: sequence lengths drawn from, in frames
    :param frames: of a batch, whatever the length of its sequences
    :param sizes: picture sizes drawn from (width, height), pixels
    :param rate: learning rate
    :param recurrent: train the whole network; else encoder and head alone
    """

    steps: int
    lengths: tuple[int, ...]
    frames: int
    sizes: tuple[tuple[int, int], ...]
    rate: float
    recurrent: bool = True


_COARSE = ((64, 48),) * 6 + ((64, 40), (48, 64))

CURRICULUM: tuple[Phase, ...] = (
    Phase(1000, (1,), 32, _COARSE, 1.0e-3, recurrent=False),
    Phase(0, (1, 4, 8), 32, _COARSE, 7e-4),
)


MOST_SEED = 63
"""Of a run: each has 2^32 scenes; those from 2^38 on are for `roll`, and held out from 2^40 on."""


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a run is made; its checkpoint remembers what bears on the weights."""

    preset: str = setting('small', 'Network to train, one of the presets.')
    seed: int = setting(1, 'Of the initial weights and of all batches.', ge=0, le=MOST_SEED)
    ema: float = setting(0.998, 'Decay of the averaged weights per step.', ge=0.0, le=1.0)
    weight_decay: float = setting(0.02, 'Of matrices, not of biases and norms.', ge=0.0)
    clip: float = setting(1.0, 'Largest norm of the gradient.', ge=0.0)
    warmup: int = setting(200, 'Steps of linear warm-up.', ge=0)
    faster: float = setting(1.0, 'Factor of the learning rates, for larger batches.', ge=0.0)
    gated: float = setting(0.5, 'Share of batches with the TTT3R gate.', ge=0.0, le=1.0)
    log_steps: int = setting(50, 'Steps between lines of the log.', ge=1)
    save_minutes: float = setting(5.0, 'Minutes between checkpoints.', ge=0.0)
    validate_minutes: float = setting(20.0, 'Minutes between validations.', ge=0.0)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class FilmSettings:
    """How a run on a GPU is fed: with films rendered ahead by other processes."""

    processes: int = setting(max(1, (os.cpu_count() or 1) - 1), 'That render.', ge=1)
    sequences: int = setting(128, 'Of each batch.', ge=1)
    length: int = setting(16, 'Of each sequence, frames.', ge=1)
    frames: int = setting(24, 'Of each film; a sequence is a stretch of one.', ge=1)
    new: int = setting(12, 'Films that each step brings.', ge=1)
    ahead: int = setting(512, 'Films there before the first step.', ge=0)
    kept: int = setting(6000, 'Films kept of each picture size.', ge=1)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.frames < self.length:
            raise ValueError(f'films of {self.frames} frames have no stretch of {self.length}')

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Picture sizes drawn from."""
        return CURRICULUM[-1].sizes


def phase_at(step: int) -> Phase:
    """Return the phase that a step belongs to."""
    for phase in CURRICULUM:
        if phase.steps == 0 or step < phase.steps:
            return phase
        step -= phase.steps
    return CURRICULUM[-1]
