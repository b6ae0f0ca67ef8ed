"""`ttt3r evaluate`: measure accuracy and speed as the papers do."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ttt3r_ros.cli.options import add_settings, settings_from
from ttt3r_ros.cli.usage import image_size, whole_number, whole_numbers
from ttt3r_ros.errors import DatasetError, Ttt3rError
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
from ttt3r_ros.evaluation.protocols import (
    TASKS,
    baseline_methods,
    make_benchmark,
    network_methods,
)
from ttt3r_ros.evaluation.results import Method
from ttt3r_ros.evaluation.summary import write_summary
from ttt3r_ros.model.update_rules import UPDATE_RULES
from ttt3r_ros.reconstructor import ReconstructorConfig

_FRAMES = 'first {start} left out, stride {stride}; depth on every {depth_step}. row and column'
_CHOSEN_HERE = ('update_rule', 'pose_source', 'fit')
_SYNTHETIC = Dataset(
    title='synthetic rooms', tasks=('synthetic', 'efficiency'), find=lambda _: [], lengths=LENGTHS
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    parser.add_argument(
        'task',
        choices=TASKS,
        help='what to measure; "synthetic" is pose and depth in rooms that training never saw',
    )
    data = parser.add_argument_group('data')
    data.add_argument(
        '--dataset', choices=DATASETS, default='sequence', help='(default: any one recording)'
    )
    data.add_argument(
        '--root', type=Path, help='folder of the data set as unpacked, or the recording'
    )
    data.add_argument('--sequences', type=_names, default=[], metavar='A,B', help='(default: all)')
    data.add_argument(
        '--rooms',
        type=whole_number(1),
        default=6,
        metavar='N',
        help='synthetic sequences (default: 6)',
    )
    data.add_argument(
        '--size',
        type=image_size,
        default=SIZE,
        metavar='WxH',
        help=f'of synthetic images, pixels (default: {SIZE[0]}x{SIZE[1]})',
    )
    data.add_argument('--topic', default='', help='image topic of a bag')
    data.add_argument('--depth-topic', default='', help='ground truth depth in a bag')
    data.add_argument('--pose-topic', default='', help='ground truth poses in a bag')
    protocol = parser.add_argument_group('protocol')
    protocol.add_argument(
        '--protocol', choices=('long', 'short'), default='long', help='(default: long)'
    )
    protocol.add_argument(
        '--frames', type=whole_numbers, metavar='N,M', help='score after so many frames'
    )
    protocol.add_argument(
        '--stride', type=whole_number(1), metavar='N', help='take every Nth frame'
    )
    protocol.add_argument(
        '--start', type=whole_number(0), metavar='N', help='leave out the first N frames'
    )
    protocol.add_argument(
        '--depth-step',
        type=whole_number(1),
        default=1,
        metavar='N',
        help='measure depth on every Nth row and column, to save time (default: 1)',
    )
    protocol.add_argument(
        '--calibrated', action='store_true', help='tell the true intrinsics to the methods'
    )
    methods = parser.add_argument_group('methods')
    methods.add_argument(
        '--update-rule',
        type=_chosen,
        default=['cut3r', 'ttt3r'],
        metavar='A,B',
        help=f'any of {", ".join(UPDATE_RULES)}, or all (default: cut3r,ttt3r)',
    )
    methods.add_argument(
        '--pose-source',
        type=_chosen,
        default=['auto'],
        metavar='A,B',
        help='any of network, pnp, auto (default: auto)',
    )
    parser.add_argument(
        '--batch',
        type=whole_number(1),
        default=1,
        metavar='N',
        help='recordings of one length and size that go through the network together, where poses '
        'are its own; saves time, takes memory (default: 1)',
    )
    parser.add_argument(
        '--page', default='', metavar='NAME', help='of the files (default: after task and data)'
    )
    parser.add_argument(
        '--out', type=Path, default=Path('evaluation_out'), help='(default: evaluation_out)'
    )
    parser.add_argument('--quiet', action='store_true', help='show no progress')
    add_settings(parser, 'reconstruction', ReconstructorConfig, without=_CHOSEN_HERE)


def run(arguments: argparse.Namespace) -> int:
    """Run what is missing, write the summary, and show it."""
    dataset, recordings = _data(arguments)
    benchmark = _benchmark(arguments, dataset, recordings)
    methods = _methods(arguments)
    watch = partial(_watch, quiet=arguments.quiet)
    arguments.out.mkdir(parents=True, exist_ok=True)
    batch = 1 if arguments.task == 'efficiency' else arguments.batch
    results = benchmark.run(recordings, methods, arguments.out, watch, batch)
    title = f'{arguments.task.capitalize()}, {dataset.title}'
    page = write_summary(
        benchmark,
        results,
        arguments.out / (arguments.page or benchmark.name),
        title,
        _published(arguments, dataset, benchmark.lengths),
        _settings(arguments, benchmark, methods),
    )
    print(page.read_text(encoding='utf-8'))
    print(f'written to {page}')
    return 0 if any(result.scores for result in results) else 1


def _data(arguments: argparse.Namespace) -> tuple[Dataset, list[Recording]]:
    task, root = arguments.task, arguments.root
    if task == 'synthetic' or (task == 'efficiency' and root is None):
        rooms = arguments.rooms if task == 'synthetic' else 1
        frames = max(arguments.frames or _SYNTHETIC.lengths)
        store = arguments.out / 'rendered'
        made = synthetic_recordings(rooms, frames, store, arguments.size)
        return _SYNTHETIC, choose_recordings(made, arguments.sequences)
    if root is None:
        raise DatasetError('--root is needed: the folder of the data set, or the recording')
    dataset = DATASETS[arguments.dataset]
    if task != 'efficiency' and task not in dataset.tasks:
        raise DatasetError(f'{dataset.title} is for {", ".join(dataset.tasks)}, not {task}')
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
        raise DatasetError(f'{dataset.title} has no short protocol')
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
        source=fingerprint(arguments.size) if synthetic else _source(arguments),
        depth_step=arguments.depth_step,
        calibrated=arguments.calibrated,
    )


def _source(arguments: argparse.Namespace) -> str:
    """Name folder and topics: all that tells which images and truth are read."""
    topics = {
        '--topic': arguments.topic,
        '--depth-topic': arguments.depth_topic,
        '--pose-topic': arguments.pose_topic,
    }
    given = [f'{option} {topic}' for option, topic in topics.items() if topic]
    return ' '.join([str(arguments.root.resolve()), *given])


def _methods(arguments: argparse.Namespace) -> list[Method]:
    rules, sources = arguments.update_rule, arguments.pose_source
    if rules == ['all']:
        rules = list(UPDATE_RULES)
    configs = [
        settings_from(arguments, ReconstructorConfig, update_rule=rule, pose_source=source)
        for rule in rules
        for source in sources
    ]
    config = configs[0]
    fixed = {name: getattr(config, name) for name in vars(config) if name not in _CHOSEN_HERE}
    try:
        found = network_methods(fixed, rules, sources, arguments.task == 'depth')
    except ValueError as error:
        raise Ttt3rError(str(error)) from error
    return found + baseline_methods(arguments.task)


def _published(
    arguments: argparse.Namespace, dataset: Dataset, lengths: Iterable[int]
) -> dict[int, list[Published]]:
    if arguments.stride is not None or arguments.start is not None:
        return {}  # not the published protocol
    same = arguments.protocol == 'short' or dataset.stride == dataset.short_stride
    short = dataset.short if same else 0
    rows = {n: published(arguments.task, arguments.dataset, n, short) for n in lengths}
    return {n: found for n, found in rows.items() if found}


def _settings(
    arguments: argparse.Namespace, benchmark: Benchmark, methods: Sequence[Method]
) -> dict[str, Any]:
    known = methods[0].settings
    device = 'CPU'
    if torch.cuda.is_available() and known['device'] != 'cpu':
        device = torch.cuda.get_device_name()
    return {
        'weights': known['weights'],
        'device': f'{device}, {torch.get_num_threads()} threads' if device == 'CPU' else device,
        'frames': _FRAMES.format(**benchmark.settings),
        'camera': 'true intrinsics given' if arguments.calibrated else 'intrinsics not given',
    }


def _watch(frames: Sequence[Any], title: str, *, quiet: bool) -> Iterable[Any]:
    progress: Iterable[Any] = tqdm(frames, title, unit='frame', disable=quiet, leave=False)
    return progress


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(',') if part.strip()]


def _chosen(text: str) -> list[str]:
    names = _names(text)
    if not names:
        raise argparse.ArgumentTypeError('it must name at least one')
    return names
