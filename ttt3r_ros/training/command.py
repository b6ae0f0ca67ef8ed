"""The command line of training (`python -m ttt3r_ros.training`)."""

from __future__ import annotations

import argparse
import logging
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
import time

import torch

from ttt3r_ros.devices import choose_device
from ttt3r_ros.training.batches import MOST_SHARES
from ttt3r_ros.training.curves import draw_curves
from ttt3r_ros.training.run import CHECKPOINT, Stop, TrainingRun, train
from ttt3r_ros.training.settings import FilmSettings, TrainingSettings
from ttt3r_ros.training.sources import Filmed
from ttt3r_ros.training.team import Team
from ttt3r_ros.training.validation import HeldOut

_LOG = logging.getLogger(__name__)


def _arguments() -> argparse.Namespace:
    defaults = TrainingSettings()
    parser = argparse.ArgumentParser(prog='ttt3r_ros.training', description=__doc__)
    parser.add_argument('--run', type=Path, default=Path('training_runs/small'), help='folder')
    parser.add_argument('--minutes', type=float, default=0.0, help='stop after; 0 never')
    parser.add_argument('--preset', default=defaults.preset)
    parser.add_argument('--seed', type=int, default=defaults.seed)
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
    parser.add_argument('--faster', type=float, default=1.0, help='factor of the learning rates')
    parser.add_argument(
        '--trunk', type=Path,
        help='weights of tools/build_trunk.py for the stem; by default those that are shipped',
    )  # fmt: skip
    parser.add_argument('--start-from', type=Path, help='exported weights, for a new run')
    parser.add_argument('--export', type=Path, help='only write the averaged weights, and stop')
    parser.add_argument('--mean-with', type=Path, help='export the mean with these, earlier ones')
    parser.add_argument('--curves', type=Path, help='only draw the log as PNG, and stop')
    return parser.parse_args()


def main() -> None:
    """Do what the command line says."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format='%(asctime)s %(message)s')
    torch.set_num_threads(1)
    if arguments.curves is not None:
        draw_curves(arguments.run / 'log.jsonl', arguments.curves)
        return
    _check(arguments)
    if arguments.processes == 1 or arguments.export is not None:
        work(arguments, Team())
        return
    with TemporaryDirectory() as folder:
        meeting, context = Path(folder) / 'meeting', get_context('spawn')
        others = [
            context.Process(target=join, args=(arguments, meeting, rank), daemon=True)
            for rank in range(1, arguments.processes)
        ]
        for other in others:
            other.start()
        join(arguments, meeting, 0)
        for other in others:
            other.join()


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what does not fit together."""
    if arguments.mean_with is not None and arguments.export is None:
        raise SystemExit('--mean-with needs --export')
    if arguments.export is not None and not (arguments.run / CHECKPOINT).is_file():
        raise SystemExit(f'--export: {arguments.run} holds no run ({CHECKPOINT} is not there)')
    if arguments.anneal < 0:
        raise SystemExit(f'--anneal is {arguments.anneal}; choose how many steps are left')
    if not 1 <= arguments.processes <= MOST_SHARES:
        raise SystemExit(f'--processes is {arguments.processes}; choose 1 to {MOST_SHARES}')
    if arguments.processes > 1 and arguments.device != 'cpu':
        raise SystemExit(f'--device {arguments.device} trains alone; leave --processes out')


def join(arguments: argparse.Namespace, meeting: Path, rank: int) -> None:
    """Train as one of several processes."""
    torch.set_num_threads(1)
    team = Team(meeting, rank, arguments.processes)
    work(arguments, team)
    team.part()


def work(arguments: argparse.Namespace, team: Team) -> None:
    """Train, resume, or export."""
    settings = TrainingSettings(
        preset=arguments.preset,
        seed=arguments.seed,
        validate_minutes=arguments.validate_minutes,
        faster=arguments.faster,
    )
    device = choose_device(arguments.device)
    run = TrainingRun(arguments.run, settings, team, device, arguments.trunk)
    if arguments.start_from is not None and run.step == 0:  # else the same command resumes
        run.start_from(arguments.start_from)
    if arguments.export is not None:
        run.export(arguments.export, arguments.mean_with)
        _LOG.info('step %d written to %s', run.step, arguments.export)
        return
    if arguments.anneal and run.anneal is None:
        run.anneal = (run.step, run.step + arguments.anneal)
    if device.type == 'cuda':
        films = FilmSettings(
            processes=arguments.film_processes,
            sequences=arguments.film_sequences,
            new=arguments.film_new,
        )
        run.source = Filmed(settings, films, run.step, device, run.network.config.detail)
    try:
        _train(run, arguments.minutes)
    finally:
        run.source.close()


def _train(run: TrainingRun, minutes: float) -> None:
    config = run.network.config
    size = (config.image_size, 3 * config.image_size // 4)
    first = run.team.rank == 0
    held_out = HeldOut(24, 16, size, config.detail) if first else None
    asked, end = Stop(), time.monotonic() + 60 * minutes

    def stop() -> bool:
        late = minutes > 0 and time.monotonic() > end
        return asked.wanted or late or (run.anneal is not None and run.step >= run.anneal[1])

    def validate(run: TrainingRun) -> dict[str, float]:
        return held_out.evaluate(run.averaged_network(), 'ttt3r') if held_out else {}

    train(run, stop, validate)
    if first:
        run.export(run.folder / 'latest.safetensors')
