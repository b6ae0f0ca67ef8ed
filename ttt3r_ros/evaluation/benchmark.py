"""
Runs methods over recordings and scores them after N frames, for all N in one pass.

The reconstruction is causal: what it says of the first N frames does not depend on later ones. So
one run over the longest N gives the results of all shorter ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
import json
import logging
import math
from pathlib import Path
import re
import time
from typing import Any

import numpy as np

from ttt3r_ros.errors import DatasetError, Ttt3rError
from ttt3r_ros.evaluation.datasets.dataset import Recording
from ttt3r_ros.evaluation.scorers import Arrays, Estimator, Scorer
from ttt3r_ros.files import atomic_file
from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.io.frames import Frame, FrameList

Watch = Callable[[FrameList, str], Iterable[Frame]]
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Method:
    """
    One way to reconstruct.

    :param name: for tables and figures
    :param create: makes a fresh estimator
    :param settings: all that its results depend on, as JSON
    :param baseline: whether it looks at no image
    """

    name: str
    create: Callable[[], Estimator]
    settings: dict[str, Any]
    baseline: bool = False


@dataclass(frozen=True)
class Score:
    """The errors after some frames."""

    frames: int  # N, as asked
    used: int  # frames there were: fewer than N in a shorter recording
    values: dict[str, float]


@dataclass
class Result:
    """What one method scored on one recording."""

    recording: str
    method: str
    baseline: bool
    scores: list[Score] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def at(self, frames: int) -> Score | None:
        """Return the score after N frames, if there is one."""
        return next((score for score in self.scores if score.frames == frames), None)


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """
    A protocol: which frames, scored how and when.

    :param name: task and data set, for file names and titles
    :param lengths: numbers of frames N after which to score
    :param choose: picks the protocol's frames of a recording
    :param scorers: makes fresh scorers for the frames of a recording
    :param settings: all else that results depend on, as JSON
    :param calibrated: give the camera's true intrinsics to the methods
    """

    name: str
    lengths: tuple[int, ...]
    choose: Callable[[FrameList], FrameList]
    scorers: Callable[[FrameList], list[Scorer]]
    settings: dict[str, Any]
    calibrated: bool = False

    def run(
        self, recordings: Sequence[Recording], methods: Sequence[Method], out: Path, watch: Watch
    ) -> list[Result]:
        """
        Run what has not been run yet with the same settings.

        :param recordings: opened one after the other
        :param methods: run on each
        :param out: folder for results; those in `results/` are taken up again
        :param watch: shows the progress over frames under a title
        :return: of every recording and method
        """
        (out / 'results').mkdir(parents=True, exist_ok=True)
        results = []
        for recording in recordings:
            todo = {method.name: self._load(recording, method, out) for method in methods}
            frames: FrameList | str | None = None
            for method in methods:
                result = todo[method.name]
                if result is None:
                    frames = self._open(recording) if frames is None else frames
                    result = self._run_one(recording, method, frames, out, watch)
                results.append(result)
        return results

    def _open(self, recording: Recording) -> FrameList | str:
        """Return the frames, or why there are none."""
        try:
            return self.choose(recording.open())
        except DatasetError as error:
            _logger.warning('%s is left out: %s', recording.name, error)
            return str(error)

    def _run_one(
        self,
        recording: Recording,
        method: Method,
        frames: FrameList | str,
        out: Path,
        watch: Watch,
    ) -> Result:
        result = Result(recording.name, method.name, method.baseline)
        if isinstance(frames, str):
            result.problems.append(frames)
            return result
        arrays: Arrays = {}
        try:
            self._score(result, arrays, method.create(), frames, watch)
        except Ttt3rError as error:
            _logger.warning('%s on %s: %s', method.name, recording.name, error)
            result.problems.append(str(error))
        path = self._path(recording.name, method.name, out)
        content = {'key': self._key(method), 'result': asdict(result)}
        with atomic_file(path.with_suffix('.npz')) as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        with atomic_file(path) as file:
            file.write(json.dumps(content, indent=1).encode('utf-8'))
        return result

    def _score(
        self,
        result: Result,
        arrays: Arrays,
        estimator: Estimator,
        frames: FrameList,
        watch: Watch,
    ) -> None:
        scorers = self.scorers(frames)
        camera = frames.intrinsics if self.calibrated else None
        for used, frame in enumerate(watch(frames, f'{result.recording} {result.method}'), 1):
            _feed(estimator, scorers, frame, camera)
            for frames_asked in self._due(used, len(frames)):
                try:
                    values = _values(scorers)
                except DatasetError as error:
                    result.problems.append(f'after {frames_asked} frames: {error}')
                    continue
                result.scores.append(Score(frames_asked, used, values))
        if result.scores:
            arrays |= {k: v for scorer in scorers for k, v in scorer.arrays().items()}

    def _due(self, used: int, available: int) -> list[int]:
        """Tell which N to score now: a recording that is shorter than N counts as a whole."""
        return [n for n in self.lengths if n == used or (n > used == available)]

    def _key(self, method: Method) -> dict[str, Any]:
        own = {'name': self.name, 'lengths': self.lengths, 'calibrated': self.calibrated}
        key = {'protocol': own | self.settings, 'method': method.settings}
        parsed: dict[str, Any] = json.loads(json.dumps(key))
        return parsed

    def _path(self, recording: str, method: str, out: Path) -> Path:
        text = f'{self.name}-{recording}-{method}'
        return out / 'results' / (re.sub(r'[^A-Za-z0-9_]+', '-', text) + '.json')

    def _load(self, recording: Recording, method: Method, out: Path) -> Result | None:
        """Read a result of the same settings, if there is one."""
        path = self._path(recording.name, method.name, out)
        if not path.is_file():
            return None
        content = json.loads(path.read_text(encoding='utf-8'))
        if content['key'] != self._key(method):
            _logger.info('%s is of other settings, and is run again', path)
            return None
        stored = content['result']
        stored['scores'] = [Score(**score) for score in stored['scores']]
        return Result(**stored)

    def arrays(self, recording: str, method: str, out: Path) -> Arrays:
        """Read what was kept of a run for the figures."""
        path = self._path(recording, method, out).with_suffix('.npz')
        if not path.is_file():
            return {}
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}


def _values(scorers: Iterable[Scorer]) -> dict[str, float]:
    """Ask all scorers; what is not defined, as relative errors of a single frame, is left out."""
    values = (item for scorer in scorers for item in scorer.score().items())
    return {name: value for name, value in values if math.isfinite(value)}


def _feed(
    estimator: Estimator, scorers: Iterable[Scorer], frame: Frame, camera: Intrinsics | None
) -> None:
    image = frame.image()
    start = time.perf_counter()
    estimate = estimator.add(image, camera=camera)
    seconds = time.perf_counter() - start
    for scorer in scorers:
        scorer.add(frame, estimate, seconds)
