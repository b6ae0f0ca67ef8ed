"""`ttt3r convert`: a checkpoint becomes safetensors, checked against its network."""

from __future__ import annotations

import argparse
from pathlib import Path

from ttt3r_ros.errors import CheckpointError
from ttt3r_ros.model.checkpoint import convert_checkpoint
from ttt3r_ros.model.config import PRESETS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('source', type=Path, metavar='IN.pth', help='checkpoint to read')
    parser.add_argument('target', type=Path, metavar='OUT.safetensors', help='file to write')
    parser.add_argument(
        '--preset',
        default='',
        choices=tuple(PRESETS),
        help='sizes of the network (default: as the file says)',
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.target.suffix != '.safetensors':
        raise CheckpointError(f'{arguments.target}: the name must end in .safetensors')
    if not arguments.target.parent.is_dir():
        raise CheckpointError(f'{arguments.target.parent} is no folder')
    convert_checkpoint(arguments.source, arguments.target, preset=arguments.preset)
    size = arguments.target.stat().st_size / 1e6
    print(f'{arguments.target}: {size:.1f} MB')
    return 0
