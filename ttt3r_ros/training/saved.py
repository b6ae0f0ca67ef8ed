"""What a run's folder keeps: the checkpoint with all that resumes it, and the settings it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
import pickle
from typing import Any

from safetensors import SafetensorError
import torch

from ttt3r_ros.errors import CheckpointError
from ttt3r_ros.files import atomic_file
from ttt3r_ros.training.settings import TrainingSettings

CHECKPOINT = 'checkpoint.pt'
"""The file in a run's folder from which the run is resumed."""

_NEEDED = {
    'network': dict,
    'average': dict,
    'optimiser': dict,
    'step': int,
    'frames': int,
    'seconds': float,
}
_OF_A_COMMAND = {'log_steps', 'save_minutes', 'validate_minutes'}  # change nothing that is learnt


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """
    Name the file in the errors of several libraries about writing it.

    :raises OSError: with one line for a user
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        told = error.__context__  # by the system, of which PyTorch's writer says nothing
        reason = told if isinstance(told, OSError) else error
        words = (getattr(reason, 'strerror', None) or str(reason)).partition('\n')[0]
        raise OSError(f'{path} cannot be written: {words}') from error


def write_saved(folder: Path, content: Mapping[str, Any], settings: TrainingSettings) -> None:
    """
    Write a run's checkpoint, all or nothing.

    :raises OSError: it cannot be written
    """
    path = folder / CHECKPOINT
    with writing(path), atomic_file(path) as file:
        torch.save({**content, 'settings': to_keep(settings)}, file)


def read_saved(folder: Path, device: torch.device | None = None) -> dict[str, Any] | None:
    """
    Read the checkpoint in a run's folder.

    :param device: for its tensors, by default the CPU
    :return: what was written, or None if there is no checkpoint
    :raises CheckpointError: it is damaged, or not of a training run
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    try:
        saved = torch.load(path, map_location=device or 'cpu', weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, KeyError, ValueError) as error:
        raise CheckpointError(f'{path}: damaged, or not of a training run') from error
    if not isinstance(saved, dict) or not (
        all(isinstance(saved.get(name), kind) for name, kind in _NEEDED.items())
        and _are_settings(saved.get('settings', {}))
    ):
        raise CheckpointError(f'{path}: not of a training run of this version')
    return saved


def _are_settings(saved: Any) -> bool:
    return isinstance(saved, dict) and saved.keys() <= vars(TrainingSettings()).keys()


def settings_of_run(folder: Path, given: Mapping[str, Any]) -> TrainingSettings:
    """
    Return the settings of a run: those it began with, and for the rest what is given.

    :param given: settings that are asked for, by name
    :raises CheckpointError: see `read_saved`
    :raises ValueError: the run began with others, or a setting is out of its limits
    """
    saved = read_saved(folder) or {}
    kept = saved.get('settings', {})
    refuse_others(folder, kept, given)
    return TrainingSettings(**{**given, **kept})


def to_keep(settings: TrainingSettings) -> dict[str, Any]:
    """List by name the settings that stay those of a run."""
    return {name: x for name, x in vars(settings).items() if name not in _OF_A_COMMAND}


def refuse_others(folder: Path, kept: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """
    Compare what a run began with, by name, with what is asked for.

    :raises ValueError: naming the first setting that is another
    """
    for name, value in given.items():
        if name in kept and kept[name] != value:
            raise ValueError(
                f'{folder} was begun with {name} {kept[name]}, not {value}; '
                'leave that out, or choose another folder'
            )
