"""The benchmarks as runs: which frames, which scorers and which baselines for which task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
import hashlib
from pathlib import Path

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.evaluation.baselines import Baseline, constant_map, training_mean_map
from ttt3r_ros.evaluation.batch import BatchReconstructor, can_batch
from ttt3r_ros.evaluation.benchmark import Benchmark
from ttt3r_ros.evaluation.datasets.dataset import Dataset, camera_of
from ttt3r_ros.evaluation.datasets.registry import choose_frames
from ttt3r_ros.evaluation.reconstruction import ReconstructionScorer
from ttt3r_ros.evaluation.results import Method
from ttt3r_ros.evaluation.scorers import (
    DepthScorer,
    DepthStrip,
    EfficiencyScorer,
    PoseScorer,
    Scorer,
)
from ttt3r_ros.io.frames import Sequence
from ttt3r_ros.model.network import Network
from ttt3r_ros.reconstructor import SHIPPED_WEIGHTS, Reconstructor, ReconstructorConfig

TASKS = ('pose', 'depth', 'reconstruction', 'efficiency', 'synthetic')


def make_benchmark(
    task: str,
    name: str,
    dataset: Dataset,
    *,
    lengths: tuple[int, ...],
    start: int,
    stride: int,
    source: dict[str, str],
    depth_step: int = 1,
    calibrated: bool = False,
) -> Benchmark:
    """
    Put a protocol together.

    :param task: one of `TASKS`
    :param name: for files and titles
    :param dataset: tells the limits of valid depth
    :param lengths: numbers of frames N after which to score
    :param start: first frame that is used
    :param stride: every how many frames one is used
    :param source: where the recordings come from, by option; results of another are not taken up
    :param depth_step: depth is measured on every so manieth row and column
    :param calibrated: give the true intrinsics to the methods
    """
    return Benchmark(
        name=name,
        lengths=lengths,
        choose=partial(choose_frames, start=start, stride=stride, count=max(lengths)),
        scorers=_scorer_factory(task, dataset, depth_step),
        settings={
            'task': task,
            'start': start,
            'stride': stride,
            'source': source,
            'depth_step': depth_step,
        },
        calibrated=calibrated,
    )


def network_methods(configs: list[ReconstructorConfig]) -> list[Method]:
    """
    Make the methods to compare, named by update rule and source of poses.

    :param configs: that differ in these two only
    :raises ValueError: a device or precision that this machine does not have
    :raises CheckpointError: if the weights cannot be loaded
    """
    weights = Path(configs[0].weights or SHIPPED_WEIGHTS)
    label = weights_label(weights)
    network = Reconstructor(configs[0]).network  # loaded once for all
    methods = []
    for config in configs:
        settings = asdict(config) | {'weights': label}
        rule, source = settings.pop('update_rule'), settings.pop('pose_source')
        methods.append(
            Method(
                f'{rule}, {source}',
                partial(Reconstructor, config, network),
                settings | {'rule': rule, 'source': source},
                create_batch=_batches(config, network),
            )
        )
    return methods


def _batches(
    config: ReconstructorConfig, network: Network
) -> Callable[[int], BatchReconstructor] | None:
    single = Reconstructor(config, network)
    return partial(BatchReconstructor, single) if can_batch(single) else None


def baseline_methods(task: str) -> list[Method]:
    """Return the baselines that make sense for a task."""
    still, line = 0.0, 1.0
    chosen: dict[str, tuple[float, bool]] = {
        'pose': {'static camera': (still, False), 'straight line': (line, False)},
        'depth': {'constant depth': (still, False), 'mean map': (still, True)},
        'reconstruction': {'static, mean map': (still, True)},
        'synthetic': {
            'static, constant depth': (still, False),
            'straight line, mean map': (line, True),
        },
    }.get(task, {})
    return [
        Method(name, partial(_baseline, step, mean), {'baseline': name}, baseline=True)
        for name, (step, mean) in chosen.items()
    ]


def weights_label(path: Path) -> str:
    """
    Identify a weights file by name and content.

    :raises DatasetError: if there is no such file
    """
    if not path.is_file():
        raise DatasetError(f'there is no weights file {path}')
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return f'{path.name} ({digest.hexdigest()[:8]})'


def _baseline(step: float, mean: bool) -> Baseline:
    depth = training_mean_map()
    return Baseline(step, depth if mean else constant_map(depth))


def _scorer_factory(task: str, dataset: Dataset, step: int) -> Callable[[Sequence], list[Scorer]]:
    def depth() -> list[Scorer]:
        return [DepthScorer(dataset.farthest, dataset.clip, step), DepthStrip()]

    def make(frames: Sequence) -> list[Scorer]:
        if task == 'pose':
            return [PoseScorer()]
        if task == 'depth':
            return depth()
        if task == 'synthetic':
            return [PoseScorer(), *depth()]
        if task == 'efficiency':
            return [EfficiencyScorer()]
        return [ReconstructionScorer(camera_of(frames))]  # without it there are no true points

    return make
