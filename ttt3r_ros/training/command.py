"""The command line of training (`python -m ttt3r_ros.training`)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
import logging
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
import time
from typing import Any

import torch

from ttt3r_ros.devices import choose_device
from ttt3r_ros.errors import Ttt3rError
from ttt3r_ros.model.checkpoint import SHIPPED_WEIGHTS, load_network
from ttt3r_ros.model.config import PRESETS, NetworkConfig
from ttt3r_ros.synthetic.atlas import load_atlas
from ttt3r_ros.training.batches import MOST_SHARES
from ttt3r_ros.training.curves import draw_curves
from ttt3r_ros.training.log import LOG
from ttt3r_ros.training.run import Stop, TrainingRun, train
from ttt3r_ros.training.saved import CHECKPOINT, settings_of_run
from ttt3r_ros.training.settings import MOST_SEED, FilmSettings, TrainingSettings
from ttt3r_ros.training.sources import Filmed
from ttt3r_ros.training.team import Team
from ttt3r_ros.training.validation import FIGURES, HeldOut

_LOG = logging.getLogger(__name__)
_FRAMES = 16  # of a held-out sequence
_REMEMBERED = ('preset', 'seed', 'faster')  # options that a run keeps


def _arguments() -> argparse.Namespace:
    defaults = TrainingSettings()
    parser = argparse.ArgumentParser(prog='ttt3r_ros.training', description=__doc__)
    parser.add_argument('--run', type=Path, default=Path('training_runs/small'), help='folder')
    parser.add_argument('--minutes', type=float, default=0.0, help='stop after; 0 never')
    parser.add_argument(
        '--preset', choices=tuple(PRESETS), metavar='NAME',
        help=f'network of a new run: {", ".join(PRESETS)} (default: {defaults.preset})',
    )  # fmt: skip
    parser.add_argument(
        '--seed', type=int, help=f'of a new run, 0 to {MOST_SEED} (default: {defaults.seed})'
    )
    parser.add_argument('--validate-minutes', type=float, default=defaults.validate_minutes)
    parser.add_argument(
        '--anneal', type=int, default=0,
        help='last stretch: let the learning rate fall to 0 over so many steps, then stop; '
        'a run that was stopped within one goes on with that',
    )  # fmt: skip
    parser.add_argument(
        '--processes', type=int, default=1,
        help=f'that train together, up to {MOST_SHARES}: a step has so many batches',
    )  # fmt: skip
    parser.add_argument('--device', default='cpu', help='a GPU (cuda) is fed with films')
    films = FilmSettings()
    for name, help_ in (
        ('processes', 'on a GPU: processes that render films'),
        ('sequences', 'on a GPU: sequences of each batch'),
        ('new', 'on a GPU: films that each step brings'),
    ):
        parser.add_argument(f'--film-{name}', type=int, default=getattr(films, name), help=help_)
    parser.add_argument('--faster', type=float, help='factor of the learning rates of a new run')
    parser.add_argument(
        '--trunk', type=Path,
        help='weights of tools/build_trunk.py for the stem; by default those that are shipped',
    )  # fmt: skip
    parser.add_argument('--start-from', type=Path, help='exported weights, for a new run')
    parser.add_argument('--export', type=Path, help='only write the averaged weights, and stop')
    parser.add_argument('--mean-with', type=Path, help='export the mean with these, earlier ones')
    parser.add_argument('--curves', type=Path, help='only draw the log as PNG, and stop')
    parser.add_argument(
        '--score', type=Path, nargs='?', const=SHIPPED_WEIGHTS, metavar='WEIGHTS',
        help='only score weights on held-out sequences, and stop (default: those of the package)',
    )  # fmt: skip
    parser.add_argument(
        '--sequences', type=int, default=48, help='of 16 images, for --score (default: 48)'
    )
    return parser.parse_args()


def main() -> None:
    """Do what the command line says."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format='%(asctime)s %(message)s')
    torch.set_num_threads(1)
    _check(arguments)
    with _one_line():
        if arguments.curves is not None:
            draw_curves(arguments.run / LOG, arguments.curves)
            return
        if arguments.score is not None:
            _score(arguments.score, arguments.sequences)
            return
        settings = _settings(arguments)
        if arguments.processes == 1 or arguments.export is not None:
            work(arguments, settings, Team())
        else:
            _work_together(arguments, settings)


@contextmanager
def _one_line() -> Iterator[None]:
    """End with one line where files are not what they should be."""
    try:
        yield
    except (Ttt3rError, OSError) as error:
        raise SystemExit(f'training: error: {error}') from error


def _settings(arguments: argparse.Namespace) -> TrainingSettings:
    """Return the settings of the run; refuse what it was not begun with."""
    asked: dict[str, Any] = {name: getattr(arguments, name) for name in _REMEMBERED}
    given = {name: value for name, value in asked.items() if value is not None}
    with _wrong_settings():
        settings = settings_of_run(arguments.run, given)
        return replace(settings, validate_minutes=arguments.validate_minutes)


@contextmanager
def _wrong_settings() -> Iterator[None]:
    """End with one line where settings are wrong."""
    try:
        yield
    except ValueError as error:
        raise SystemExit(f'training: error: {error}') from error


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what does not fit together."""
    if arguments.mean_with is not None and arguments.export is None:
        raise SystemExit('--mean-with needs --export')
    if arguments.export is not None and not (arguments.run / CHECKPOINT).is_file():
        raise SystemExit(f'--export: {arguments.run} holds no run ({CHECKPOINT} is not there)')
    for name, least in (('anneal', 0), ('minutes', 0), ('sequences', 1)):
        number = getattr(arguments, name)
        if not number >= least:
            raise SystemExit(f'--{name} is {number}; choose at least {least}')
    if not 0 <= (arguments.seed or 0) <= MOST_SEED:
        raise SystemExit(f'--seed is {arguments.seed}; choose 0 to {MOST_SEED}')
    if not 1 <= arguments.processes <= MOST_SHARES:
        raise SystemExit(f'--processes is {arguments.processes}; choose 1 to {MOST_SHARES}')
    if arguments.processes > 1 and arguments.device != 'cpu':
        raise SystemExit(f'--device {arguments.device} trains alone; leave --processes out')


def _work_together(arguments: argparse.Namespace, settings: TrainingSettings) -> None:
    """Train by several processes, of which this is the first."""
    with TemporaryDirectory() as folder:
        meeting, context = Path(folder) / 'meeting', get_context('spawn')
        others = [
            context.Process(target=join, args=(arguments, settings, meeting, rank), daemon=True)
            for rank in range(1, arguments.processes)
        ]
        for other in others:
            other.start()
        join(arguments, settings, meeting, 0)
        for other in others:
            other.join()


def join(
    arguments: argparse.Namespace, settings: TrainingSettings, meeting: Path, rank: int
) -> None:
    """Train as one of several processes."""
    torch.set_num_threads(1)
    team = Team(meeting, rank, arguments.processes)
    with _one_line():
        work(arguments, settings, team)
    team.part()


def work(arguments: argparse.Namespace, settings: TrainingSettings, team: Team) -> None:
    """Train, resume, or export."""
    with _wrong_settings():
        device = choose_device(arguments.device)
        films = FilmSettings(
            processes=arguments.film_processes,
            sequences=arguments.film_sequences,
            new=arguments.film_new,
        )
        run = TrainingRun(arguments.run, settings, team, device, arguments.trunk)
        if arguments.start_from is not None and run.step == 0:  # else the same command resumes
            run.start_from(arguments.start_from)
        if arguments.export is not None:
            run.export(arguments.export, arguments.mean_with)
            _LOG.info('step %d written to %s', run.step, arguments.export)
            return
    if _is_over(run):
        return
    if arguments.anneal and run.anneal is None:
        run.anneal = (run.step, run.step + arguments.anneal)
    load_atlas()  # what is wrong with textures is said here, not by those that render
    if device.type == 'cuda':
        run.source = Filmed(settings, films, run.step, device, run.network.config.detail)
    try:
        _train(run, arguments.minutes)
    finally:
        run.source.close()


def _is_over(run: TrainingRun) -> bool:
    """Tell whether the run's learning rate has fallen to 0, and say so."""
    if run.anneal is None or run.step < run.anneal[1]:
        return False
    _LOG.info(
        '%s has ended: its rate fell to 0 at step %d (--anneal); its weights go on in another '
        'folder, with --start-from', run.folder, run.anneal[1],
    )  # fmt: skip
    return True


def _score(weights: Path, sequences: int) -> None:
    """Say what weights do on sequences of held-out scenes."""
    network = load_network(weights)
    figures = _held_out(network.config, sequences).evaluate(network, 'ttt3r')
    _LOG.info('of %s:', weights)
    for name, text in FIGURES.items():
        _LOG.info('%.3f  %s', figures[name], text)


def _held_out(config: NetworkConfig, sequences: int) -> HeldOut:
    size = (config.image_size, 3 * config.image_size // 4)
    return HeldOut(sequences, _FRAMES, size, config.detail)


def _train(run: TrainingRun, minutes: float) -> None:
    first = run.team.rank == 0
    held_out = _held_out(run.network.config, 24) if first else None
    asked, end = Stop(), time.monotonic() + 60 * minutes

    def stop() -> bool:
        late = minutes > 0 and time.monotonic() > end
        return asked.wanted or late or (run.anneal is not None and run.step >= run.anneal[1])

    def validate(run: TrainingRun) -> dict[str, float]:
        return held_out.evaluate(run.averaged_network(), 'ttt3r') if held_out else {}

    train(run, stop, validate)
    if first:
        run.export(run.folder / 'latest.safetensors')
