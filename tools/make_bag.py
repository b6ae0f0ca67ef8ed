"""
Turns any recording that `ttt3r` reads into a rosbag2.

    python tools/make_bag.py RECORDING BAG [--storage sqlite3] [--jpeg] [--max-frames 50]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
import sys

from ttt3r_ros.cli.usage import whole_number
from ttt3r_ros.errors import Ttt3rError
from ttt3r_ros.io.bag_writer import STORAGES, write_bag
from ttt3r_ros.io.sequence import open_sequence


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the tool.

    :param argv: arguments without the script's name; those of the process if left out
    :return: exit status
    """
    parser = argparse.ArgumentParser(description='Turn any recording into a rosbag2.')
    parser.add_argument('recording', type=Path)
    parser.add_argument('bag', type=Path, help='folder to be made')
    parser.add_argument('--storage', choices=STORAGES, default='mcap')
    parser.add_argument('--jpeg', action='store_true', help='compress the images')
    parser.add_argument('--max-frames', type=whole_number(0), default=0, help='0: all')
    arguments = parser.parse_args(argv)
    try:
        sequence = open_sequence(arguments.recording)
        count = write_bag(
            arguments.bag,
            islice(sequence, arguments.max_frames or None),
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
