"""`ttt3r evaluate`: measure accuracy and speed as the papers do."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
import json
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ttt3r_ros.cli.evaluation_options import (
    add_evaluation_arguments,
    is_rendered,
    refuse_ignored,
)
from ttt3r_ros.cli.options import add_settings, settings_from
from ttt3r_ros.cli.usage import INCOMPLETE, UsageError
from ttt3r_ros.errors import Ttt3rError
from ttt3r_ros.evaluation.benchmark import Benchmark
from ttt3r_ros.evaluation.datasets.dataset import Dataset, Recording
from ttt3r_ros.evaluation.datasets.registry import DATASETS, choose_recordings, find_any
from ttt3r_ros.evaluation.datasets.synthetic import (
    LENGTHS,
    SIZE,
    fingerprint,
    synthetic_recordings,
)
from ttt3r_ros.evaluation.paper import Published, published
from ttt3r_ros.evaluation.protocols import baseline_methods, make_benchmark, network_methods
from ttt3r_ros.evaluation.results import Method, Result
from ttt3r_ros.evaluation.summary import write_summary
from ttt3r_ros.model.update_rules import UPDATE_RULES
from ttt3r_ros.reconstructor import ReconstructorConfig

_FRAMES = 'first {start} left out, stride {stride}'
_DEPTH = '; depth on every {depth_step}. row and column'
_CHOSEN_HERE = ('update_rule', 'pose_source', 'fit')
_SYNTHETIC = Dataset(
    title='synthetic rooms', tasks=('synthetic', 'efficiency'), find=lambda _: [], lengths=LENGTHS
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    add_evaluation_arguments(parser)
    add_settings(parser, 'reconstruction', ReconstructorConfig, without=_CHOSEN_HERE)


def run(arguments: argparse.Namespace) -> int:
    """Run what is missing, write the summary, and show it."""
    refuse_ignored(arguments)
    dataset, recordings = _data(arguments)
    benchmark = _benchmark(arguments, dataset, recordings)
    base = arguments.out / (arguments.page or benchmark.name)
    _refuse_page_of_others(base.with_name(f'{base.name}.json'), benchmark)
    methods = _methods(arguments)
    watch = partial(_watch, quiet=arguments.quiet)
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = benchmark.run(recordings, methods, arguments.out, watch, arguments.batch)
    title = f'{arguments.task.capitalize()}, {dataset.title}'
    page = write_summary(
        benchmark,
        results,
        base,
        title,
        _published(arguments, dataset, benchmark, len(recordings)),
        _settings(arguments, benchmark, methods),
    )
    print(page.read_text(encoding='utf-8'))
    taken = sum(result.taken_up for result in results)
    if taken:
        print(f'{taken} of {len(results)} results are taken from {arguments.out / "results"}')
    print(f'written to {page}')
    return _status(results)


def _status(results: Sequence[Result]) -> int:
    """Tell by the exit status whether the networks were scored, and whether on everything."""
    if not any(result.scores for result in results if not result.baseline):
        return 1
    return INCOMPLETE if any(result.problems for result in results) else 0


def _refuse_page_of_others(path: Path, benchmark: Benchmark) -> None:
    """Refuse to replace the page of other recordings, which only happen to have these names."""
    try:
        root = json.loads(path.read_text(encoding='utf-8'))['settings']['source']['--root']
    except (OSError, ValueError, LookupError, TypeError):
        return  # none, or of rooms
    if root != benchmark.settings['source'].get('--root', root):
        raise UsageError(f'{path} is of {root}: choose another --page or --out')


def _data(arguments: argparse.Namespace) -> tuple[Dataset, list[Recording]]:
    task, root = arguments.task, arguments.root
    if is_rendered(arguments):
        rooms = arguments.rooms if task == 'synthetic' else 1
        frames = max(arguments.frames or _SYNTHETIC.lengths)
        frames = (arguments.start or 0) + (arguments.stride or 1) * frames
        store = arguments.out / 'rendered'
        made = synthetic_recordings(rooms, frames, store, arguments.size)
        return _SYNTHETIC, choose_recordings(made, arguments.sequences)
    if root is None:
        raise UsageError('--root is needed: the folder of the data set, or the recording')
    dataset = DATASETS[arguments.dataset]
    if task != 'efficiency' and task not in dataset.tasks:
        raise UsageError(f'{dataset.title} is for {", ".join(dataset.tasks)}, not {task}')
    if arguments.dataset != 'sequence':
        return dataset, choose_recordings(dataset.find(root), arguments.sequences)
    found = find_any(root, arguments.topic, arguments.depth_topic, arguments.pose_topic)
    recordings = choose_recordings(found, arguments.sequences)
    opened = recordings[0].open()
    count = -(-(len(opened) - (arguments.start or 0)) // (arguments.stride or 1))
    lengths = (*(n for n in dataset.lengths if n < count), max(count, 1))
    return replace(dataset, title=recordings[0].name, lengths=lengths), recordings


def _benchmark(
    arguments: argparse.Namespace, dataset: Dataset, recordings: Sequence[Recording]
) -> Benchmark:
    short = arguments.protocol == 'short'
    if short and not dataset.short:
        raise UsageError(f'{dataset.title} has no short protocol')
    lengths = (dataset.short,) if short else dataset.lengths
    stride = dataset.short_stride if short else dataset.stride
    what = recordings[0].name if dataset.find is find_any else arguments.dataset
    synthetic = dataset is _SYNTHETIC
    if synthetic:
        what = 'rooms' if arguments.size == SIZE else 'rooms-{}x{}'.format(*arguments.size)
    return make_benchmark(
        arguments.task,
        f'{arguments.task}-{what}{"-short" if short else ""}',
        dataset,
        lengths=arguments.frames or lengths,
        start=dataset.start if arguments.start is None else arguments.start,
        stride=arguments.stride or stride,
        source={'rooms': fingerprint(arguments.size)} if synthetic else _source(arguments),
        depth_step=arguments.depth_step,
        calibrated=arguments.calibrated,
    )


def _source(arguments: argparse.Namespace) -> dict[str, str]:
    """Name folder and topics: all that tells which images and truth are read."""
    return {
        '--root': str(arguments.root.resolve()),
        '--topic': arguments.topic,
        '--depth-topic': arguments.depth_topic,
        '--pose-topic': arguments.pose_topic,
    }


def _methods(arguments: argparse.Namespace) -> list[Method]:
    rules, sources = arguments.update_rule, arguments.pose_source
    if rules == ['all']:
        rules = list(UPDATE_RULES)
    fit = 'stretch' if arguments.task == 'depth' else 'crop'  # the depth protocol crops nothing
    configs = [
        settings_from(
            arguments, ReconstructorConfig, update_rule=rule, pose_source=source, fit=fit
        )
        for rule in rules
        for source in sources
    ]
    try:
        found = network_methods(configs)
    except ValueError as error:
        raise Ttt3rError(str(error)) from error
    # Times depend on the number of threads, errors hardly.
    device = _device(configs[0].device, threads=arguments.task == 'efficiency')
    here = [replace(method, settings=method.settings | {'on': device}) for method in found]
    return here + baseline_methods(arguments.task)


def _published(
    arguments: argparse.Namespace, dataset: Dataset, benchmark: Benchmark, count: int
) -> dict[int, list[Published]]:
    """Look up published results of the same frames of all recordings, without their cameras."""
    start, stride, step = (benchmark.settings[name] for name in ('start', 'stride', 'depth_step'))
    if (start, step, count) != (dataset.start, 1, dataset.count) or arguments.calibrated:
        return {}
    task, name = arguments.task, arguments.dataset
    rows = {n: published(task, name, n, stride) for n in benchmark.lengths}
    return {n: found for n, found in rows.items() if found}


def _settings(
    arguments: argparse.Namespace, benchmark: Benchmark, methods: Sequence[Method]
) -> dict[str, Any]:
    known = methods[0].settings
    frames = _FRAMES + (_DEPTH if arguments.task in ('depth', 'synthetic') else '')
    return {
        'weights': known['weights'],
        'device': _device(known['device'], threads=True),
        'frames': frames.format(**benchmark.settings),
        'camera': 'true intrinsics given' if arguments.calibrated else 'intrinsics not given',
    }


def _device(chosen: str, *, threads: bool) -> str:
    if torch.cuda.is_available() and chosen != 'cpu':
        return torch.cuda.get_device_name()
    return f'CPU, {torch.get_num_threads()} threads' if threads else 'CPU'


def _watch(frames: Iterable[Any], title: str, count: int, *, quiet: bool) -> Iterable[Any]:
    progress: Iterable[Any] = tqdm(frames, title, count, unit='frame', disable=quiet, leave=False)
    return progress
