"""What is said to `ttt3r evaluate`, and what of it makes sense together."""

from __future__ import annotations

import argparse
from pathlib import Path

from ttt3r_ros.cli.usage import UsageError, file_path, image_size, whole_number, whole_numbers
from ttt3r_ros.evaluation.datasets.registry import DATASETS
from ttt3r_ros.evaluation.datasets.synthetic import SIZE
from ttt3r_ros.evaluation.protocols import TASKS
from ttt3r_ros.model.update_rules import UPDATE_RULES

_TOPICS = ('topic', 'depth_topic', 'pose_topic')


def add_evaluation_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is to be measured of which methods, and where the results go."""
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
        '--root', type=file_path, help='folder of the data set as unpacked, or the recording'
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
        help='measure depth on every Nth row and column, to save time; of depth and synthetic '
        '(default: 1)',
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
        '--page',
        type=_page,
        default='',
        metavar='NAME',
        help='of the files (default: after task and data)',
    )
    parser.add_argument(
        '--out', type=file_path, default=Path('evaluation_out'), help='(default: evaluation_out)'
    )
    parser.add_argument('--quiet', action='store_true', help='show no progress')


def is_rendered(arguments: argparse.Namespace) -> bool:
    """Whether synthetic rooms are measured, not recordings."""
    return arguments.task == 'synthetic' or (
        arguments.task == 'efficiency' and arguments.root is None
    )


def refuse_ignored(arguments: argparse.Namespace) -> None:
    """
    Refuse options that mean nothing for what is measured.

    :raises UsageError: naming the first one
    """
    task, rendered = arguments.task, is_rendered(arguments)
    any_one = not rendered and arguments.dataset == 'sequence'
    given = {
        'rooms': (task == 'synthetic', 6),
        'size': (rendered, SIZE),
        'root': (task != 'synthetic', None),
        'dataset': (not rendered, 'sequence'),
        'depth_step': (task in ('depth', 'synthetic'), 1),
        'batch': (task != 'efficiency', 1),
    } | dict.fromkeys(_TOPICS, (any_one, ''))
    for name, (meant, default) in given.items():
        if not meant and getattr(arguments, name) != default:
            where = f'{task} of {"rooms" if rendered else arguments.dataset}'
            raise UsageError(f'--{name.replace("_", "-")} means nothing for {where}')


def _page(text: str) -> str:
    if Path(text).name != text:
        raise argparse.ArgumentTypeError(f'{text!r} is no name of a file')
    return text


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(',') if part.strip()]


def _chosen(text: str) -> list[str]:
    names = _names(text)
    if not names:
        raise argparse.ArgumentTypeError('it must name at least one')
    return names
