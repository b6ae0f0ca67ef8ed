"""`ttt3r reconstruct`: a recording becomes points, depth, trajectory, intrinsics and a picture."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import islice
import logging
from pathlib import Path
import time
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ttt3r_ros.cli.camera import (
    add_camera_argument,
    camera_chooser,
    given_camera,
    undistorted,
)
from ttt3r_ros.cli.folders import refuse_foreign, refuse_recording
from ttt3r_ros.cli.inputs import add_input_arguments, open_input
from ttt3r_ros.cli.options import add_settings, settings_from
from ttt3r_ros.cli.results import OutputConfig, Results
from ttt3r_ros.cli.usage import INCOMPLETE, file_path
from ttt3r_ros.errors import DatasetError, ImageError, ReconstructionError, Ttt3rError
from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.io.frames import ColorImage, Frame, Sequence
from ttt3r_ros.reconstructor import Reconstructor, ReconstructorConfig
from ttt3r_ros.view import View

_logger = logging.getLogger(__name__)
_COLUMNS = 4  # frames in the picture


class Reconstruction(Protocol):
    """What is needed of a `Reconstructor`."""

    def add(self, image: ColorImage, *, camera: Intrinsics | None = None) -> View:
        """Reconstruct the next image."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_input_arguments(parser)
    parser.add_argument(
        '--out', type=file_path, required=True, metavar='DIR', help='folder for the results'
    )
    add_camera_argument(parser)
    add_settings(parser, 'reconstruction', ReconstructorConfig)
    add_settings(parser, 'output', OutputConfig)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    given = given_camera(arguments.camera)
    sequence = undistorted(open_input(arguments), given)
    refuse_recording(arguments.out, arguments.input)
    refuse_foreign(arguments.out)
    choose_camera = camera_chooser(arguments.camera, given, sequence.intrinsics)
    changes = {}
    if not sequence.ordered and arguments.pose_source == 'auto':
        changes['pose_source'] = 'network'  # photographs share too little to be tracked
    config = settings_from(arguments, ReconstructorConfig, **changes)
    output = settings_from(arguments, OutputConfig)
    try:
        reconstructor = Reconstructor(config)
    except ValueError as error:  # a device or precision that is not there
        raise Ttt3rError(str(error)) from error
    lines, left_out = reconstruct(
        sequence,
        reconstructor,
        arguments.out,
        output,
        choose_camera=choose_camera,
        stride=arguments.stride,
        max_frames=arguments.max_frames,
    )
    print('\n'.join([*lines, f'results in {arguments.out}']))
    return INCOMPLETE if left_out else 0


def reconstruct(
    sequence: Sequence,
    reconstructor: Reconstruction,
    folder: Path,
    config: OutputConfig,
    *,
    choose_camera: Callable[[int, int], Intrinsics | None] = lambda _width, _height: None,
    stride: int = 1,
    max_frames: int = 0,
) -> tuple[list[str], int]:
    """
    Reconstruct a recording and write the results; those so far, if it comes to an early end.

    :param sequence: the recording
    :param reconstructor: at its start
    :param folder: for the results
    :param config: of what is written
    :param choose_camera: returns the known intrinsics for an image's width and height
    :param stride: take every Nth image
    :param max_frames: stop after that many images; 0: take all
    :return: the results in words, and how many frames are left out
    :raises DatasetError: if no frame could be reconstructed, or the recording is damaged
    """
    total = -(-len(sequence) // stride)
    total = min(total, max_frames) if max_frames else total
    results = Results(folder, config, _columns(total, stride))
    frames = islice(sequence, 0, max_frames * stride if max_frames else None, stride)
    try:
        with logging_redirect_tqdm():  # a line of its own for each
            for frame in tqdm(frames, total=total, desc=sequence.name, unit='frame'):
                _add(frame, reconstructor, choose_camera, results, sequence.seen)
    except (KeyboardInterrupt, Ttt3rError):
        if results.count:
            results.finish(sequence.name, ordered=sequence.ordered)
            _logger.warning('the results of the first %d frames are in %s', results.count, folder)
        raise
    if not results.count:
        raise DatasetError(f'no frame of {sequence.name} could be reconstructed')
    return results.finish(sequence.name, ordered=sequence.ordered), results.left_out


def _add(
    frame: Frame,
    reconstructor: Reconstruction,
    choose_camera: Callable[[int, int], Intrinsics | None],
    results: Results,
    seen: Callable[[int, int], NDArray[np.bool_] | None],
) -> None:
    """Reconstruct a frame; one that cannot be read or used is left out."""
    try:
        image = frame.image()
        camera = choose_camera(image.shape[1], image.shape[0])
        start = time.perf_counter()
        view = reconstructor.add(image, camera=camera)
    except (DatasetError, ImageError, ReconstructionError) as error:
        results.leave_out(frame, error)
        return
    seconds = time.perf_counter() - start
    results.add(frame, image, view, seconds, seen(image.shape[1], image.shape[0]))


def _columns(total: int, stride: int) -> frozenset[int]:
    """Choose the frames of the picture; the first is always among them."""
    positions = np.unique(np.linspace(0, total - 1, _COLUMNS).round().astype(int))
    return frozenset((positions * stride).tolist())
