"""
Films of training scenes, rendered ahead by processes of their own.

A GPU trains on more frames than one core renders. Every film depends on the run's seed and its
number alone, and films come in the order of their numbers, however many processes render them.
"""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing import get_context, parent_process
from multiprocessing.queues import Queue
from queue import Full
from random import Random
import signal
import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.errors import TrainingError
from ttt3r_ros.geometry.se3 import quat_wxyz
from ttt3r_ros.synthetic.atlas import load_atlas
from ttt3r_ros.synthetic.sequence import SceneCamera
from ttt3r_ros.synthetic.settings import SceneSettings, train_seed

DEPTH_RANGE = (0.1, 20.0)
"""Metres, within which training and its measures know depth."""
SCENES = SceneSettings(tilted=0.2, overexposed=0.25)
"""From what training scenes are drawn."""
_FIRST = 1 << 31  # of a run's 2^32 scenes; those before are for batches made on the fly
_AHEAD = 4  # films that each process keeps ready
_REST = 0.001  # seconds between looks
_PATIENCE = 300.0  # seconds; the first film waits for the renderer to be compiled

Size = tuple[int, int]
"""Width and height, pixels."""


class Film(NamedTuple):
    """T frames of one camera in one scene."""

    rgb: NDArray[np.uint8]  # [T, H, W, 3]
    log_depth: NDArray[np.float16]  # of metres [T, H, W]
    focal: float  # pixels
    translation: NDArray[np.float32]  # of the camera in the first one's frame, metres [T, 3]
    quat_wxyz: NDArray[np.float32]  # [T, 4]

    @property
    def size(self) -> Size:
        """Width and height, pixels."""
        return self.rgb.shape[2], self.rgb.shape[1]


def shoot(run_seed: int, number: int, frames: int, sizes: Sequence[Size]) -> Film:
    """
    Render one film.

    :param run_seed: of the whole run
    :param number: of the film, from 0
    :param frames: of the film
    :param sizes: from which its picture size is drawn
    """
    width, height = Random(f'film {run_seed} {number}').choice(sizes)
    seed = train_seed((run_seed << 32) + _FIRST + number)
    made = SceneCamera(seed, SCENES, load_atlas()).film(frames, width, height)
    poses = made.T_world_camera
    return Film(
        made.rgb,
        np.log(made.depth.clip(*DEPTH_RANGE)).astype(np.float16),
        made.intrinsics.fx,
        poses[:, :3, 3].astype(np.float32),
        np.array([quat_wxyz(pose) for pose in poses], np.float32),
    )


class Studio:
    """
    Renders films in processes, from a number on without end; `close` ends them.

    :param run_seed: of the whole run
    :param first: number of the first film
    :param frames: of each film
    :param sizes: from which picture sizes are drawn
    :param processes: how many render
    """

    def __init__(
        self, run_seed: int, first: int, frames: int, sizes: Sequence[Size], processes: int
    ) -> None:
        context = get_context('spawn')
        self._next, self._first = first, first
        self._shelves: list[Queue[Film]] = [context.Queue(_AHEAD) for _ in range(processes)]
        self._workers = [
            context.Process(
                target=_render,
                args=(shelf, run_seed, first + rank, processes, frames, tuple(sizes)),
                daemon=True,
            )
            for rank, shelf in enumerate(self._shelves)
        ]
        for worker in self._workers:
            worker.start()

    def take(self) -> Film:
        """
        Return the next film; waits for it.

        :raises TrainingError: the process that renders it has gone or hangs
        """
        rank = (self._next - self._first) % len(self._shelves)
        shelf, began = self._shelves[rank], time.monotonic()
        while shelf.empty():
            late = time.monotonic() - began > _PATIENCE
            if late or not self._workers[rank].is_alive():
                raise TrainingError(
                    f'film {self._next} is not rendered: its process has gone or hangs'
                )
            time.sleep(_REST)
        self._next += 1
        return shelf.get()

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            worker.join()
        for shelf in self._shelves:
            shelf.cancel_join_thread()
            shelf.close()


def _render(
    shelf: Queue[Film],
    run_seed: int,
    first: int,
    stride: int,
    frames: int,
    sizes: tuple[Size, ...],
) -> None:
    # a terminal's Ctrl-C reaches all; who trains saves first, and ends the others
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    trainer, number = parent_process(), first
    while True:
        film = shoot(run_seed, number, frames, sizes)
        while not _put(shelf, film):
            if trainer is None or not trainer.is_alive():
                shelf.cancel_join_thread()
                return
        number += stride


def _put(shelf: Queue[Film], film: Film) -> bool:
    """Tell whether there was room for a film within a second."""
    try:
        shelf.put(film, timeout=1.0)
    except Full:
        return False
    return True
