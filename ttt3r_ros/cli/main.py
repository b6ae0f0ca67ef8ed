"""
The command `ttt3r` and its subcommands.

A subcommand is a module with `add_arguments(parser)` and `run(arguments) -> int`; only the module
of the one that was asked for is imported, so that `ttt3r --help` is quick.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import importlib
import logging
import sys

from ttt3r_ros import __version__
from ttt3r_ros.errors import Ttt3rError

_COMMANDS = {
    'reconstruct': 'turn a recording into points, depth, trajectory and a picture',
    'evaluate': 'measure accuracy against ground truth',
    'demo': 'play a recording into the ROS node and record what comes out',
    'convert': 'convert a checkpoint from .pth to .safetensors',
}


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run `ttt3r`.

    :param argv: arguments without the program's name; those of the process if left out
    :return: exit status: 0, 1 after a known error, 2 for wrong usage, 3 for results
        that lack frames, 130 when interrupted
    """
    logging.basicConfig(level=logging.WARNING, format='ttt3r: %(levelname)s: %(message)s')
    arguments = sys.argv[1:] if argv is None else list(argv)
    parsed = _parser(arguments[0] if arguments else '').parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except (Ttt3rError, OSError) as error:
        print(f'ttt3r: error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('ttt3r: interrupted', file=sys.stderr)
        return 130


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='ttt3r', description='Metric 3D reconstruction from a plain RGB camera.'
    )
    parser.add_argument('--version', action='version', version=f'ttt3r {__version__}')
    commands = parser.add_subparsers(title='commands', metavar='COMMAND', required=True)
    for name, summary in _COMMANDS.items():
        subparser = commands.add_parser(name, help=summary, description=f'{summary}.'.capitalize())
        if name == command:
            module = importlib.import_module(f'ttt3r_ros.cli.{name}')
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    return parser
