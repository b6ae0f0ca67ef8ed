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
import signal
import sys
from types import FrameType
import warnings

from ttt3r_ros import __version__
from ttt3r_ros.cli.usage import UsageError
from ttt3r_ros.errors import Ttt3rError

_COMMANDS = {
    'reconstruct': 'turn a recording into points, depth, trajectory and a picture',
    'evaluate': 'measure accuracy against ground truth',
    'demo': 'play a recording into the ROS node and record what comes out',
    'convert': 'convert a checkpoint from .pth to .safetensors',
}
_SIGNALLED = 128  # of an exit status: a signal ended it


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run `ttt3r`.

    :param argv: arguments without the program's name; those of the process if left out
    :return: exit status: 0, 1 after a known error, 2 for wrong usage, 3 for results
        that lack something, 130 when interrupted, 143 when terminated
    """
    logging.basicConfig(level=logging.WARNING, format='ttt3r: %(levelname)s: %(message)s')
    # A name in letters that the font of the pictures lacks: they show boxes, which says enough.
    warnings.filterwarnings('ignore', 'Glyph .* missing from font', UserWarning)
    arguments = sys.argv[1:] if argv is None else list(argv)
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        # Here, for it imports for seconds, in which a signal may come.
        parsed = _parser(arguments[0] if arguments else '').parse_args(arguments)
        return int(parsed.run(parsed))
    except (Ttt3rError, OSError) as error:
        print(f'ttt3r: error: {_in_words(error)}', file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except _Terminated:
        print('ttt3r: terminated', file=sys.stderr)
        return _SIGNALLED + signal.SIGTERM
    except KeyboardInterrupt:
        print('ttt3r: interrupted', file=sys.stderr)
        return _SIGNALLED + signal.SIGINT
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _in_words(error: Exception) -> str:
    """Say what is wrong, of a file first its name and no number."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f'{error.filename}: {error.strerror}'
    return str(error)


class _Terminated(KeyboardInterrupt):
    """SIGTERM: the command ends as by Ctrl-C, its processes and temporary files too."""


def _terminate(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the end is under way
    raise _Terminated


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='ttt3r', description='Metric 3D reconstruction from a plain RGB camera.'
    )
    parser.add_argument('--version', action='version', version=f'ttt3r {__version__}')
    commands = parser.add_subparsers(title='commands', metavar='COMMAND', required=True)
    for name, summary in _COMMANDS.items():
        subparser = commands.add_parser(
            name, help=summary, description=f'{summary[0].upper()}{summary[1:]}.'
        )
        if name == command:
            module = importlib.import_module(f'ttt3r_ros.cli.{name}')
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    return parser
