"""Command line: `python -m ttt3r_ros.training --run training_runs/small`."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
import time

import torch

from ttt3r_ros.training.curves import draw_curves
from ttt3r_ros.training.run import Stop, TrainingRun, train
from ttt3r_ros.training.settings import TrainingSettings
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
    parser.add_argument('--start-from', type=Path, help='exported weights, for a new run')
    parser.add_argument('--export', type=Path, help='only write the averaged weights, and stop')
    parser.add_argument('--curves', type=Path, help='only draw the log as PNG, and stop')
    return parser.parse_args()


def main() -> None:
    """Train, resume, or export."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format='%(asctime)s %(message)s')
    torch.set_num_threads(1)
    if arguments.curves is not None:
        draw_curves(arguments.run / 'log.jsonl', arguments.curves)
        return
    settings = TrainingSettings(
        preset=arguments.preset,
        seed=arguments.seed,
        validate_minutes=arguments.validate_minutes,
    )
    run = TrainingRun(arguments.run, settings)
    if arguments.start_from is not None:
        run.start_from(arguments.start_from)
    if arguments.export is not None:
        run.export(arguments.export)
        _LOG.info('step %d written to %s', run.step, arguments.export)
        return
    if arguments.anneal and run.anneal is None:
        run.anneal = (run.step, run.step + arguments.anneal)
    _train(run, arguments.minutes)


def _train(run: TrainingRun, minutes: float) -> None:
    size = run.network.config.image_size
    held_out = HeldOut(24, 16, (size, 3 * size // 4))
    asked, end = Stop(), time.monotonic() + 60 * minutes

    def stop() -> bool:
        late = minutes > 0 and time.monotonic() > end
        return asked.wanted or late or (run.anneal is not None and run.step >= run.anneal[1])

    train(run, stop, lambda run: held_out.evaluate(run.averaged_network(), 'ttt3r'))
    run.export(run.folder / 'latest.safetensors')


if __name__ == '__main__':
    main()
