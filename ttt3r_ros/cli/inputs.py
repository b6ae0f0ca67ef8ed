"""The recording that a command works on."""

from __future__ import annotations

import argparse

from ttt3r_ros.cli.usage import whole_number
from ttt3r_ros.errors import DatasetError
from ttt3r_ros.io.frames import FrameList, Sequence
from ttt3r_ros.io.sequence import open_sequence, refuse_topics

SYNTHETIC = 'synthetic:'
_SYNTHETIC_FRAMES = 60
_SYNTHETIC_SIZE = (320, 240)


def add_input_arguments(parser: argparse.ArgumentParser, default: str = '') -> None:
    """
    Add the arguments that `open_input` reads.

    :param default: input that is taken where none is given; empty: one must be given
    """
    parser.add_argument(
        'input',
        nargs='?' if default else None,
        default=default,
        metavar='INPUT',
        help='video, image, folder of images, TUM or 7-Scenes folder, rosbag2 (folder, .mcap, '
        f'.db3), or {SYNTHETIC}SEED[:FRAMES] for a sequence made on the fly',
    )
    group = parser.add_argument_group('input')
    group.add_argument(
        '--topic', default='', help='image topic of a bag (default: the only one there is)'
    )
    group.add_argument('--depth-topic', default='', help='ground truth depth in a bag')
    group.add_argument(
        '--pose-topic', default='', help='ground truth poses of the optical frame in a bag'
    )
    group.add_argument(
        '--unordered', action='store_true', help='the images are a collection of photographs'
    )
    group.add_argument(
        '--stride', type=whole_number(1), default=1, metavar='N', help='take every Nth image'
    )
    group.add_argument(
        '--max-frames', type=whole_number(0), default=0, metavar='N', help='stop after N images'
    )


def open_input(arguments: argparse.Namespace) -> Sequence:
    """
    Open the recording that the arguments name.

    :raises DatasetError: if it cannot be read
    """
    if not arguments.input:
        raise DatasetError('the input is empty: is a variable of the shell not set?')
    if arguments.input.startswith(SYNTHETIC):
        refuse_topics(
            arguments.input, arguments.topic, arguments.depth_topic, arguments.pose_topic
        )
        return synthetic_sequence(arguments.input)
    return open_sequence(
        arguments.input,
        topic=arguments.topic,
        depth_topic=arguments.depth_topic,
        pose_topic=arguments.pose_topic,
        unordered=arguments.unordered,
        undistort=not getattr(arguments, 'camera', ''),  # --camera is of the images as they are
    )


def synthetic_sequence(text: str) -> FrameList:
    """
    Make a sequence that no training has seen.

    :param text: `synthetic:SEED[:FRAMES]`
    :raises DatasetError: if the text is something else
    """
    seed, _, frames = text.removeprefix(SYNTHETIC).partition(':')
    if not seed.isdecimal() or (frames and not frames.isdecimal()) or frames == '0':
        raise DatasetError(f'{text!r} is not of the form {SYNTHETIC}SEED[:FRAMES]')
    # Here, for its compiled renderer takes seconds to load and most commands need none.
    from ttt3r_ros.evaluation.datasets.synthetic import as_recording
    from ttt3r_ros.synthetic.sequence import render_sequence
    from ttt3r_ros.synthetic.settings import held_out_seed

    made = render_sequence(
        held_out_seed(int(seed)), int(frames or _SYNTHETIC_FRAMES), *_SYNTHETIC_SIZE
    )
    return as_recording(f'synthetic {seed}', made)
