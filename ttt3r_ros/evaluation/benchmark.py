"""
Runs methods over recordings and scores them after N frames, for all N in one pass.

The reconstruction is causal: what it says of the first N frames does not depend on later ones. So
one run over the longest N gives the results of all shorter ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
import hashlib
import json
import logging
from pathlib import Path
import re
from typing import Any
import zipfile

import numpy as np

from ttt3r_ros import __version__
from ttt3r_ros.errors import DatasetError
from ttt3r_ros.evaluation.datasets.dataset import Recording, camera_of, fingerprint_files
from ttt3r_ros.evaluation.lanes import Lane, Watch, run_lanes
from ttt3r_ros.evaluation.results import Method, Result, Score
from ttt3r_ros.evaluation.scorers import Arrays, Scorer
from ttt3r_ros.files import atomic_file
from ttt3r_ros.io.frames import Sequence as Recorded

Key = dict[str, Any]
_logger = logging.getLogger(__name__)


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
    choose: Callable[[Recorded], Recorded]
    scorers: Callable[[Recorded], list[Scorer]]
    settings: dict[str, Any]
    calibrated: bool = False

    def run(
        self,
        recordings: Sequence[Recording],
        methods: Sequence[Method],
        out: Path,
        watch: Watch,
        batch: int = 1,
    ) -> list[Result]:
        """
        Run what has not been run yet with the same settings, files and version of the package.

        :param recordings: opened when it is their turn
        :param methods: run on each
        :param out: folder for results; those in `results/` without problems are taken up
            again
        :param watch: shows the progress over frames under a title
        :param batch: so many recordings are open at a time; methods that can take those of one
            length and size side by side
        :return: of every recording and method
        """
        (out / 'results').mkdir(parents=True, exist_ok=True)
        done: dict[tuple[str, str], Result] = {}
        for start in range(0, len(recordings), batch):
            group = recordings[start : start + batch]
            files = {r.name: fingerprint_files(r.paths, without=out) for r in group}
            opened: dict[str, Recorded | str] = {}
            for method in methods:
                keys = {name: self._key(method, found) for name, found in files.items()}
                known = {name: self._load(name, method, out, key) for name, key in keys.items()}
                todo = [recording for recording in group if known[recording.name] is None]
                opened |= {r.name: self._open(r) for r in todo if r.name not in opened}
                frames = {r.name: opened[r.name] for r in todo}
                known |= self._run_group(frames, method, out, watch, keys)
                done |= {(name, method.name): r for name, r in known.items() if r is not None}
        return [done[r.name, method.name] for r in recordings for method in methods]

    def _open(self, recording: Recording) -> Recorded | str:
        """Return the frames, or why there are none."""
        try:
            return self.choose(recording.open())
        except DatasetError as error:
            _logger.warning('%s is left out: %s', recording.name, error)
            return str(error)

    def _run_group(
        self,
        group: dict[str, Recorded | str],
        method: Method,
        out: Path,
        watch: Watch,
        keys: dict[str, Key],
    ) -> dict[str, Result]:
        """Run a method on recordings, side by side where it can and they fit together."""
        results = {name: Result(name, method.name, method.baseline) for name in group}
        bundles: dict[object, list[Lane]] = {}
        for name, frames in group.items():
            if isinstance(frames, str):
                results[name].problems.append(frames)
                continue
            try:
                camera = camera_of(frames) if self.calibrated else None
                scorers = self.scorers(frames)
                key = name if method.create_batch is None else _extent(frames)
            except DatasetError as error:
                results[name].problems.append(str(error))
                continue
            lane = Lane(results[name], frames, scorers, self.lengths, camera)
            bundles.setdefault(key, []).append(lane)
        for lanes in bundles.values():
            run_lanes(lanes, method, watch)
            for lane in lanes:
                self._store(lane, method, out, keys[lane.result.recording])
        return results

    def _store(self, lane: Lane, method: Method, out: Path, key: Key) -> None:
        path = self._path(lane.result.recording, method.name, out)
        content = {'key': key, 'result': asdict(lane.result)}
        with atomic_file(path.with_suffix('.npz')) as file:
            np.savez_compressed(file, **lane.arrays())  # type: ignore[arg-type]
        with atomic_file(path) as file:
            file.write(json.dumps(content, indent=1).encode('utf-8'))

    def _key(self, method: Method, files: str) -> Key:
        own = {'name': self.name, 'lengths': self.lengths, 'calibrated': self.calibrated}
        key = {
            'protocol': own | self.settings,
            'method': method.settings,
            'files': files,
            'version': __version__,
        }
        parsed: Key = json.loads(json.dumps(key))
        return parsed

    def _path(self, recording: str, method: str, out: Path) -> Path:
        text = f'{self.name}-{recording}-{method}'
        whole = json.dumps([text, self.settings.get('source')])  # recordings may share a name
        digest = hashlib.sha256(whole.encode()).hexdigest()[:6]
        return out / 'results' / (re.sub(r'[^A-Za-z0-9_]+', '-', text) + f'-{digest}.json')

    def _load(self, recording: str, method: Method, out: Path, key: Key) -> Result | None:
        """Read a result of the same settings, if there is one."""
        path = self._path(recording, method.name, out)
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
            stored = content['result']
            stored['scores'] = [Score(**score) for score in stored['scores']]
            result = Result(**(stored | {'taken_up': True}))
        except (ValueError, LookupError, TypeError) as error:
            _logger.warning('%s is no result, and is run again: %r', path, error)
            return None
        if content.get('key') != key:
            _logger.info('%s is of other settings or files, and is run again', path)
            return None
        if result.problems:
            _logger.info('%s has problems, and is run again', path)
            return None
        return result

    def arrays(self, recording: str, method: str, out: Path) -> Arrays:
        """Read what was kept of a run for the figures."""
        path = self._path(recording, method, out).with_suffix('.npz')
        if not path.is_file():
            return {}
        try:
            with np.load(path, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            _logger.warning('%s cannot be read, and nothing is drawn of it: %r', path, error)
            return {}


def _extent(frames: Recorded) -> tuple[int, ...]:
    """Return what recordings must have in common to be run side by side."""
    return len(frames), *next(iter(frames)).image().shape
