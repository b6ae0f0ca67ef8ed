"""
Turns any recording that `ttt3r` reads into a rosbag2.

    python tools/make_bag.py INPUT BAG [--storage sqlite3] [--jpeg] [--max-frames 50]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
import sys

from ttt3r_ros.cli.inputs import add_input_arguments, open_input
from ttt3r_ros.errors import Ttt3rError
from ttt3r_ros.io.bag_writer import STORAGES, write_bag


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the tool.

    :param argv: arguments without the script's name; those of the process if left out
    :return: exit status
    """
    parser = argparse.ArgumentParser(description='Turn any recording into a rosbag2.')
    add_input_arguments(parser)
    parser.add_argument('bag', type=Path, help='folder to be made')
    parser.add_argument('--storage', choices=STORAGES, default='mcap')
    parser.add_argument('--jpeg', action='store_true', help='compress the images')
    arguments = parser.parse_args(argv)
    try:
        sequence = open_input(arguments)
        chosen = islice(sequence, 0, None, arguments.stride)
        count = write_bag(
            arguments.bag,
            islice(chosen, arguments.max_frames or None),
            storage=arguments.storage,
            jpeg=arguments.jpeg,
            camera=sequence.intrinsics,
        )
    except (Ttt3rError, OSError) as error:
        print(f'make_bag: error: {error}', file=sys.stderr)
        return 1
    print(f'{count} frames written to {arguments.bag}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
