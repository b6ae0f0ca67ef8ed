"""`ttt3r demo`: a recording through the real node, over real ROS 2 topics, into a bag."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
import json
import logging
from pathlib import Path
import tempfile
import time

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.cli.folders import (
    make_results_folder,
    make_room_for_bag,
    mark_bag,
    refuse_foreign,
)
from ttt3r_ros.cli.inputs import SYNTHETIC, add_input_arguments, open_input
from ttt3r_ros.cli.outcome import read_outcome, write_outcome
from ttt3r_ros.cli.processes import RosProcesses, find_free_domain
from ttt3r_ros.cli.usage import INCOMPLETE, file_path, real_number, whole_number
from ttt3r_ros.errors import Ttt3rError
from ttt3r_ros.io.bag_writer import IMAGE_TOPIC, write_bag
from ttt3r_ros.io.frames import Frame, Sequence

_logger = logging.getLogger(__name__)
_DEFAULT_INPUT = f'{SYNTHETIC}7:100'
_START = 120.0  # seconds that node and recorder may take to find each other
_SETTLE = 1.5  # seconds after the last image, for what is published by timers
_QUEUE = 8  # images that may wait in the node; the player waits for each result


@dataclass(frozen=True)
class Traffic:
    """
    When images went in and results came out.

    :param played: stamp of each image to the monotonic time of its publication, ns
    :param received: by topic, stamp and monotonic time of receipt of each message, ns
    """

    played: dict[int, int]
    received: dict[str, list[tuple[int, int]]]

    def lines(self) -> list[str]:
        """
        Say it in words.

        :raises Ttt3rError: if more came out than went in
        """
        count = len(self.received['odometry'])
        dropped = len(self.played) - count
        if dropped < 0:
            raise Ttt3rError(
                f'{count} poses came for {len(self.played)} images: another node publishes on '
                'this ROS domain; choose another --domain'
            )
        lines = [f'frames: {len(self.played)} in, {count} out, {dropped} dropped']
        if count:
            last = max(time for _, time in self.received['odometry'])
            seconds = (last - min(self.played.values())) / 1e9
            lines.append(f'{count / seconds:.1f} frames/s from first image to last pose')
        for topic in ('odometry', 'points'):
            delays = self._delays(topic)
            if delays.size:
                median, high = np.percentile(delays, [50, 99])
                lines.append(
                    f'latency of {topic}: p50 {median:.0f} ms, p99 {high:.0f} ms '
                    '(player publishes to subscriber receives)'
                )
        return lines

    def _delays(self, topic: str) -> NDArray[np.float64]:
        delays = [
            time - self.played[stamp]
            for stamp, time in self.received[topic]
            if stamp in self.played
        ]
        return np.array(delays, dtype=np.float64) / 1e6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_input_arguments(parser, _DEFAULT_INPUT)
    parser.add_argument(
        '--out', type=file_path, default=Path('demo_out'), metavar='DIR',
        help='folder for the results',
    )  # fmt: skip
    parser.add_argument(
        '--rate', type=real_number(0.0, 1000.0), default=0.0, metavar='HZ',
        help='play this many images per second, dropping what the node cannot take '
        '(default: as fast as the node takes them, all of them)',
    )  # fmt: skip
    parser.add_argument(
        '--weights', default='', metavar='FILE', help='weights (default: the shipped small model)'
    )
    parser.add_argument(
        '--set', action='append', type=_parameter, default=[], metavar='NAME:=VALUE',
        dest='parameters',
        help='parameter of the node; may be given several times',
    )  # fmt: skip
    parser.add_argument(
        '--domain', type=whole_number(0, 232), default=0, metavar='ID',
        help='ROS domain, to watch with RViz (default: one on which nothing else is seen)',
    )  # fmt: skip


def _parameter(text: str) -> str:
    """
    Check the form of a parameter as ROS writes it; the rest is the node's to judge.

    :raises argparse.ArgumentTypeError: if it has another
    """
    name, separator, value = text.partition(':=')
    if not (name and separator and value):
        raise argparse.ArgumentTypeError(f'{text!r} is not of the form NAME:=VALUE')
    return text


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    out: Path = arguments.out
    sequence = open_input(arguments)
    bag = out / 'bag'
    refuse_foreign(out)
    make_room_for_bag(bag, arguments.input)
    make_results_folder(out)
    try:
        with tempfile.TemporaryDirectory(prefix='ttt3r_demo_') as folder:
            traffic, left_out = _play(arguments, sequence, Path(folder), bag)
    finally:
        mark_bag(bag)
    frames = _played_frames(arguments, sequence)
    outcome = read_outcome(bag)
    lines = [*traffic.lines(), *write_outcome(out, sequence.name, frames, outcome)]
    print('\n'.join([*lines, f'results in {out}: bag, points.ply, trajectory.txt, summary.png']))
    for text in left_out:
        _logger.warning('frame left out: %s', text)
    return INCOMPLETE if left_out else 0


def _play(
    arguments: argparse.Namespace, sequence: Sequence, folder: Path, bag: Path
) -> tuple[Traffic, list[str]]:
    """Play the recording into the node; return the timing, and why frames were left out."""
    played, received = folder / 'played.txt', folder / 'received.json'
    player: dict[str, object] = {
        'input': str(arguments.input),
        'topic': arguments.topic,
        'stride': arguments.stride,
        'max_frames': arguments.max_frames,
        'stamps': 'recorded',
        'listeners': 1,
        'log': str(played),
        'rate': arguments.rate,
        'ahead': 0 if arguments.rate else 1,
    }
    if arguments.input.startswith(SYNTHETIC):
        write_bag(folder / 'input', sequence, camera=sequence.intrinsics)
        player |= {'input': str(folder / 'input'), 'topic': IMAGE_TOPIC}
    queue = 0 if arguments.rate else _QUEUE
    domain = arguments.domain or find_free_domain()
    with RosProcesses(folder, domain) as processes:
        print(f'node, player and recorder talk on ROS domain {domain}')
        node = {'weights': arguments.weights, 'input_queue': queue}
        if not sequence.ordered:
            node['pose_source'] = 'network'  # photographs share too little to be tracked
        processes.start('main', node, arguments.parameters)
        processes.start('topic_recorder', {'bag': str(bag), 'log': str(received)})
        processes.wait_for_word('topic_recorder', 'ready', _START)
        processes.start('sequence_player', player)
        processes.wait('sequence_player')
        left_out = processes.lines('sequence_player', 'left out: ')
        for name in processes.lines('main', 'unknown parameter ignored: '):
            _logger.warning('--set %s: the node has no such parameter', name)
        time.sleep(_SETTLE)
        processes.stop('topic_recorder')
    times = [line.split() for line in played.read_text(encoding='ascii').splitlines()]
    traffic = Traffic(
        {int(stamp): int(when) for stamp, when in times},
        json.loads(received.read_text(encoding='ascii')),
    )
    return traffic, left_out


def _played_frames(arguments: argparse.Namespace, sequence: Sequence) -> Iterable[Frame]:
    """Read the frames that were played once more, one at a time."""
    chosen = islice(sequence, 0, None, arguments.stride)
    return islice(chosen, arguments.max_frames or None)
