"""One method on one recording, or on several side by side; what fails ends by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
import logging
import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.errors import DatasetError, Ttt3rError
from ttt3r_ros.evaluation.results import Method, Result, Score
from ttt3r_ros.evaluation.scorers import Arrays, BatchEstimator, Estimate, Estimator, Scorer
from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.io.frames import Frame
from ttt3r_ros.io.frames import Sequence as Recorded

Watch = Callable[[Iterable[Any], str, int], Iterable[Any]]  # frames, title, their number
_logger = logging.getLogger(__name__)


class Lane:
    """
    A recording on its way through a method.

    :param result: where the scores go
    :param frames: of the recording
    :param scorers: fresh ones
    :param lengths: numbers of frames N after which to score
    :param camera: what the method is told of the camera
    """

    def __init__(
        self,
        result: Result,
        frames: Recorded,
        scorers: Sequence[Scorer],
        lengths: Sequence[int],
        camera: Intrinsics | None,
    ) -> None:
        self.result, self.frames, self.camera = result, frames, camera
        self.open = True
        self._scorers, self._lengths = scorers, lengths
        self._image = np.zeros((1, 1, 3), np.uint8)

    def image(self, frame: Frame) -> NDArray[np.uint8]:
        """Return the next image; once the lane is closed, the last one again [H, W, 3]."""
        if self.open:
            try:
                self._image = frame.image()
            except Ttt3rError as error:
                self.close(error)
        return self._image

    def take(self, frame: Frame, estimate: Estimate | Ttt3rError, seconds: float) -> None:
        """Score what was estimated of a frame; an error closes the lane."""
        if not self.open:
            return
        if isinstance(estimate, Ttt3rError):
            self.close(estimate)
            return
        try:
            for scorer in self._scorers:
                scorer.add(frame, estimate, seconds)
        except Ttt3rError as error:
            self.close(error)
            return
        for asked in self._due(frame.index + 1):
            self._score(asked, frame.index + 1)

    def close(self, error: Ttt3rError) -> None:
        """Note why there will be no more scores."""
        _logger.warning('%s on %s: %s', self.result.method, self.result.recording, error)
        self.result.problems.append(str(error))
        self.open = False

    def arrays(self) -> Arrays:
        """Return what the figures need."""
        if not self.result.scores:
            return {}
        return {k: v for scorer in self._scorers for k, v in scorer.arrays().items()}

    def _due(self, used: int) -> list[int]:
        """Tell which N to score now: a recording that is shorter than N counts as a whole."""
        return [n for n in self._lengths if n == used or (n > used == len(self.frames))]

    def _score(self, asked: int, used: int) -> None:
        try:
            values = [item for scorer in self._scorers for item in scorer.score().items()]
        except DatasetError as error:
            self.result.problems.append(f'after {asked} frames: {error}')
            return
        # what is not defined, as relative errors of a single frame, is left out
        finite = {name: value for name, value in values if math.isfinite(value)}
        self.result.scores.append(Score(asked, used, finite))


def run_lanes(lanes: Sequence[Lane], method: Method, watch: Watch) -> None:
    """
    Run a method over recordings of one length, one frame of each at a time.

    :param lanes: one, or several where the method takes batches
    :param watch: shows the progress over frames under a title
    """
    name = lanes[0].result.recording
    if len(lanes) == 1 or method.create_batch is None:
        (lane,) = lanes
        estimator: BatchEstimator = _Alone(method.create())
    else:
        name += f' and {len(lanes) - 1} more'
        estimator = method.create_batch(len(lanes))
    cameras = [lane.camera for lane in lanes]
    steps = zip(*(lane.frames for lane in lanes), strict=True)
    for frames in watch(steps, f'{name} {method.name}', len(lanes[0].frames)):
        images = [lane.image(frame) for lane, frame in zip(lanes, frames, strict=True)]
        if not any(lane.open for lane in lanes):
            break
        start = time.perf_counter()
        try:
            estimates = estimator.add(images, cameras)
        except Ttt3rError as error:
            estimates = [error] * len(lanes)
        seconds = (time.perf_counter() - start) / len(lanes)
        for lane, frame, estimate in zip(lanes, frames, estimates, strict=True):
            lane.take(frame, estimate, seconds)


class _Alone:
    """Makes an estimator one of batches of a single recording."""

    def __init__(self, estimator: Estimator) -> None:
        self._estimator = estimator

    def add(
        self, images: Sequence[NDArray[np.uint8]], cameras: Sequence[Intrinsics | None]
    ) -> Sequence[Estimate | Ttt3rError]:
        (image,), (camera,) = images, cameras
        return [self._estimator.add(image, camera=camera)]
