"""
One training run: its folder, its state on disk, and the loop.

A batch depends on the run's seed and the step alone, so that a resumed run goes on exactly where
it was stopped. A file `PAUSE` in the folder pauses; SIGTERM and SIGINT save and stop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import logging
from pathlib import Path
import signal
import time
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from ttt3r_ros.errors import TrainingError
from ttt3r_ros.model.checkpoint import read_metadata, read_tensors, save_safetensors
from ttt3r_ros.model.config import NetworkConfig
from ttt3r_ros.model.network import Network
from ttt3r_ros.training.gradients import Gradients
from ttt3r_ros.training.initialise import new_network
from ttt3r_ros.training.log import LOG, add_to_log, mend_log
from ttt3r_ros.training.saved import (
    CHECKPOINT,
    read_saved,
    refuse_others,
    to_keep,
    write_saved,
    writing,
)
from ttt3r_ros.training.settings import TrainingSettings, phase_at
from ttt3r_ros.training.sources import OnTheFly, Source
from ttt3r_ros.training.team import Team

_LOG = logging.getLogger(__name__)
_BETAS = (0.9, 0.98)
_PAUSE_SECONDS = 5.0
_CPU = torch.device('cpu')
_STEM = 'patch_embed.'
_ALIGNED = 'pose_head.mlp.fc2'  # says all of the motion, or what the alignment misses


def make_optimiser(network: Network, settings: TrainingSettings) -> torch.optim.AdamW:
    """Build AdamW with weight decay for matrices and kernels alone."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    return torch.optim.AdamW(
        [
            {
                'params': [p for p in parameters if p.ndim >= 2],
                'weight_decay': settings.weight_decay,
            },
            {'params': [p for p in parameters if p.ndim < 2], 'weight_decay': 0.0},
        ],
        lr=1e-3,
        betas=_BETAS,
        fused=parameters[0].is_cuda,
    )


class TrainingRun:
    """
    A run that can be stopped and resumed at any step.

    :param folder: where it lives; resumed where it holds a checkpoint
    :param settings: of the run; a resumed one keeps the weights and the step it had
    :param team: the processes that train it together
    :param device: where the network computes
    :param trunk: see `new_network`
    :raises CheckpointError: a checkpoint or the trunk cannot be read
    :raises ValueError: the run began with other settings, or has another network
    """

    def __init__(
        self,
        folder: Path,
        settings: TrainingSettings,
        team: Team | None = None,
        device: torch.device = _CPU,
        trunk: Path | None = None,
    ) -> None:
        self.folder, self.settings, self.device = folder, settings, device
        self.team = team or Team()
        saved = read_saved(folder, device)
        if saved is not None:
            refuse_others(folder, saved.get('settings', {}), to_keep(settings))
        self.network = new_network(settings.preset, settings.seed, trunk).to(device)
        self.source: Source = OnTheFly(settings, self.team, self.network.config.detail)
        self._gradients = Gradients(self.network)
        self.average = {name: p.detach().clone() for name, p in self.network.named_parameters()}
        self.optimiser = make_optimiser(self.network, settings)
        self.step, self.frames, self.seconds = 0, 0, 0.0
        self.gpu_seconds = 0.0
        self.began = 0  # the step from which the optimiser's averages build up
        self.anneal: tuple[int, int] | None = None  # first and last step of a final decay
        folder.mkdir(parents=True, exist_ok=True)
        if saved is not None:
            self._resume(saved)

    @property
    def checkpoint(self) -> Path:
        """The file from which the run is resumed."""
        return self.folder / CHECKPOINT

    def _resume(self, saved: dict[str, Any]) -> None:
        settings = self.settings
        try:
            self.network.load_state_dict(saved['network'])
            self.optimiser.load_state_dict(saved['optimiser'])
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f'{self.checkpoint} holds another network than {settings.preset!r}'
            ) from error
        self.average = saved['average']
        self.step, self.frames, self.seconds = saved['step'], saved['frames'], saved['seconds']
        self.gpu_seconds = saved.get('gpu_seconds', 0.0)
        self.began = saved.get('began', 0)
        self.anneal = saved.get('anneal')
        if 'settings' not in saved:
            _LOG.info(
                '%s does not tell its settings: taken to be of preset %s, seed %d, faster %g',
                self.checkpoint, settings.preset, settings.seed, settings.faster,
            )  # fmt: skip
        _LOG.info('resumed %s at step %d', self.folder, self.step)

    def start_from(self, weights: Path) -> None:
        """
        Go on from exported weights, on a machine that does not have the run's folder.

        The optimiser's averages are not in them and build up again, with a new warm-up. Where
        this run's network aligns images and that of the weights does not, the pose head's last
        layer starts anew: it now says what the alignment misses. With another stem or encoder,
        what both networks have is taken over, and the curriculum starts anew.

        :raises CheckpointError: see `load_network`
        :raises ValueError: if the run has steps of its own, the network is another, or the file
            does not tell how it was trained
        """
        if self.step:
            raise ValueError(f'{self.folder} is at step {self.step} already')
        tensors, config = read_tensors(weights)
        mine = self.network.config
        if config is None or _beside_encoder(config) != _beside_encoder(mine):
            raise ValueError(f'{weights} holds another network than {self.settings.preset!r}')
        told = read_metadata(weights)
        if not told.keys() >= {'steps', 'frames', 'core_hours'}:
            raise ValueError(f'{weights} does not tell how it was trained')
        anew = [_ALIGNED] if config.motion_alignment != mine.motion_alignment else []
        anew += [_STEM] if config.stem != mine.stem else []
        own = self.network.state_dict()
        taken = {
            name: tensor
            for name, tensor in tensors.items()
            if name in own and not any(part in name for part in anew)
        }
        self.network.load_state_dict(taken if config == mine else {**own, **taken})
        self.average = {name: p.detach().clone() for name, p in self.network.named_parameters()}
        same = replace(config, motion_alignment=mine.motion_alignment) == mine
        self.step, self.frames = int(told['steps']) if same else 0, int(told['frames'])
        self.seconds = 3600 * float(told['core_hours'])
        self.gpu_seconds = 3600 * float(told.get('gpu_hours', 0))
        self.began = self.step
        _LOG.info('went on from %s, step %d', weights, self.step)

    def save(self) -> None:
        """
        Write all that is needed to resume, all or nothing.

        :raises OSError: it cannot be written
        """
        content = {
            'network': self.network.state_dict(),
            'average': self.average,
            'optimiser': self.optimiser.state_dict(),
            'step': self.step,
            'began': self.began,
            'anneal': self.anneal,
            'frames': self.frames,
            'seconds': self.seconds,
            'gpu_seconds': self.gpu_seconds,
        }
        write_saved(self.folder, content, self.settings)

    def export(self, path: Path, mean_with: Path | None = None) -> None:
        """
        Write the averaged weights in half precision, with how they came about.

        :param mean_with: weights exported earlier in the run; the mean with them is written
            (stochastic weight averaging, arXiv 1803.05407)
        :raises CheckpointError: see `load_network`
        :raises OSError: the file cannot be written
        :raises ValueError: they are of another network
        """
        tensors, told = {name: x.cpu() for name, x in self._averaged().items()}, {}
        if mean_with is not None:
            others, config = read_tensors(mean_with)
            if config != self.network.config:
                raise ValueError(f'{mean_with} holds another network')
            tensors = {name: (own + others[name].float()) / 2 for name, own in tensors.items()}
            told['mean_with_steps'] = read_metadata(mean_with).get('steps', 'unknown')
        tensors = {name: tensor.half() for name, tensor in tensors.items()}
        told |= {
            'preset': self.settings.preset,
            'steps': str(self.step),
            'frames': str(self.frames),
            'core_hours': f'{self.seconds / 3600:.2f}',
            'gpu_hours': f'{self.gpu_seconds / 3600:.3f}',
            'seed': str(self.settings.seed),
        }
        with writing(path):
            save_safetensors(path, tensors, self.network.config, told)

    def averaged_network(self) -> Network:
        """Return a copy of the network with the averaged weights, for evaluation."""
        copy = Network(self.network.config).to(self.device)
        copy.load_state_dict(self._averaged())
        return copy.requires_grad_(False).eval()

    def _averaged(self) -> dict[str, Tensor]:
        return {**self.network.state_dict(), **self.average}

    def rate(self) -> float:
        """Return the learning rate of the current step."""
        rate = self.settings.faster * phase_at(self.step).rate
        if self.settings.warmup:
            rate *= min(1.0, (self.step - self.began + 1) / self.settings.warmup)
        if self.anneal is not None:
            first, last = self.anneal
            rate *= max(0.0, (last - self.step) / (last - first))
        return rate

    def train_step(self) -> dict[str, float]:
        """Make one step; return the parts of the loss."""
        started, began = time.thread_time(), time.perf_counter()
        phase, settings = phase_at(self.step), self.settings
        lesson = self.source.lesson(self.step, phase)
        for group in self.optimiser.param_groups:
            group['lr'] = self.rate()
        parts = self._gradients(lesson, recurrent=phase.recurrent)
        self.team.average_gradients(self.network.parameters())
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        if bool(torch.isfinite(norm)):
            self.optimiser.step()
            self._average()
        else:
            _LOG.warning('step %d: the gradient is not finite; left out', self.step)
        self.step += 1
        self.frames += self.team.count * lesson.batch.log_depth.shape[:2].numel()
        losses = {'gradient': float(norm), **{name: float(x) for name, x in parts.items()}}
        if self.device.type == 'cuda':
            self.gpu_seconds += time.perf_counter() - began
        else:
            self.seconds += self.team.count * (time.thread_time() - started)
        return losses

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.settings.ema, (1 + self.step) / (10 + self.step))
        mine = [self.average[name] for name, _ in self.network.named_parameters()]
        torch._foreach_lerp_(mine, list(self.network.parameters()), 1 - decay)


def _beside_encoder(config: NetworkConfig) -> NetworkConfig:
    """Return a network's sizes without what may differ between a run and what it starts from."""
    return replace(config, stem='patch', encoder_depth=1, motion_alignment=False)


Validate = Callable[[TrainingRun], dict[str, float]]
"""Measures a run's averaged network."""


class Stop:
    """Turns SIGTERM and SIGINT into a wish to stop after the current step."""

    def __init__(self) -> None:
        self.wanted = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.wanted = True


def train(run: TrainingRun, stop: Callable[[], bool], validate: Validate | None = None) -> None:
    """
    Train until asked to stop; save now and then, and at the end.

    Of several processes the first writes, and any stops all.

    :param stop: asked before every step
    :param validate: called every `validate_minutes`; its figures go to the log
    :raises OSError: the log or the weights cannot be written; the run is saved first, if it can be
    :raises TrainingError: another process has gone; the run is saved first
    """
    journal = _Journal(run, validate) if run.team.rank == 0 else None
    try:
        failure: Exception | None = _train_on(run, stop, journal)
    except TrainingError as error:
        failure = error
    if journal:
        run.save()
    if failure:
        raise failure


def _train_on(
    run: TrainingRun, stop: Callable[[], bool], journal: _Journal | None
) -> OSError | None:
    """Train until asked to stop, or until something cannot be written: return that error."""
    failure: OSError | None = None
    while not run.team.any_says(failure is not None or stop()):
        # decided by all: one that waited for others' gradients meanwhile would run out of time
        if run.team.any_says((run.folder / 'PAUSE').exists()):
            time.sleep(_PAUSE_SECONDS)
            continue
        parts = run.train_step()
        try:
            if journal:
                journal.note(parts)
        except OSError as error:
            failure = error
    return failure


class _Journal:
    """Logs, saves and validates a run when it is time."""

    def __init__(self, run: TrainingRun, validate: Validate | None) -> None:
        self._run, self._validate = run, validate
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._saved = self._validated = time.monotonic()
        mend_log(run.folder / LOG, run.step)

    def note(self, parts: dict[str, float]) -> None:
        """Add the losses of a step, and do what is due."""
        run, settings = self._run, self._run.settings
        for name, value in parts.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1
        if run.step % settings.log_steps == 0:
            means = {name: self._sums[name] / self._counts[name] for name in self._sums}
            write_log(run, {'rate': run.rate(), **means})
            self._sums, self._counts = {}, {}
        now = time.monotonic()
        if now - self._saved > 60 * settings.save_minutes:
            run.save()
            self._saved = now
        if self._validate and now - self._validated > 60 * settings.validate_minutes:
            figures = self._validate(run)
            write_log(run, {f'held_out_{name}': value for name, value in figures.items()})
            run.export(run.folder / 'latest.safetensors')
            self._validated = time.monotonic()


def write_log(run: TrainingRun, figures: dict[str, float]) -> None:
    """Append one line of figures to the run's log."""
    line = {
        'step': run.step,
        'frames': run.frames,
        'seconds': round(run.seconds, 1),
        'gpu_seconds': round(run.gpu_seconds, 1),
        **{name: round(value, 6) for name, value in figures.items()},
    }
    add_to_log(run.folder / LOG, line)
    _LOG.info('%s', line)
