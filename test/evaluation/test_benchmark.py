from __future__ import annotations

from functools import partial
import json
import os

import fakes
import numpy as np
import pytest

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.evaluation import benchmark as module
from ttt3r_ros.evaluation.benchmark import Benchmark
from ttt3r_ros.evaluation.datasets.dataset import Recording
from ttt3r_ros.evaluation.datasets.registry import choose_frames
from ttt3r_ros.evaluation.results import Method
from ttt3r_ros.evaluation.scorers import PoseScorer
from ttt3r_ros.evaluation.statistics import lengths_of, methods_of, summarise
from ttt3r_ros.geometry.camera import Intrinsics


def benchmark(lengths=(5, 10), stride=1, calibrated=False, source=None):
    return Benchmark(
        name='pose-fake',
        lengths=lengths,
        choose=partial(choose_frames, start=0, stride=stride, count=max(lengths)),
        scorers=lambda _: [PoseScorer()],
        settings={'stride': stride, 'source': source},
        calibrated=calibrated,
    )


class Made:
    """A method that remembers the estimators it made."""

    def __init__(self, name='oracle', **settings) -> None:
        self.estimators: list[fakes.Oracle] = []
        self.method = Method(name, self._create, settings)
        self._settings = settings

    def _create(self):
        self.estimators.append(fakes.Oracle(**self._settings))
        return self.estimators[-1]


def recordings(*counts: int) -> list[Recording]:
    return [
        Recording(f'walk {i}', partial(fakes.recording, count)) for i, count in enumerate(counts)
    ]


def run(bench, recorded, methods, out):
    return bench.run(recorded, methods, out, lambda frames, *_: frames)


def test_one_pass_scores_all_lengths_as_runs_of_their_own(tmp_path):
    noisy = Made(noise=0.1)
    (result,) = run(benchmark((5, 10, 20)), recordings(30), [noisy.method], tmp_path)
    assert len(noisy.estimators) == 1
    assert len(noisy.estimators[0].cameras) == 20  # frames beyond the longest N are not run
    for score in result.scores:
        alone = Made(noise=0.1)
        out = tmp_path / str(score.frames)
        (single,) = run(benchmark((score.frames,)), recordings(30), [alone.method], out)
        assert single.scores[0].values == score.values


def test_a_shorter_recording_counts_as_a_whole(tmp_path):
    (result,) = run(benchmark((5, 10, 20)), recordings(7), [Made().method], tmp_path)
    assert [(score.frames, score.used) for score in result.scores] == [(5, 5), (10, 7), (20, 7)]


def test_what_has_been_run_is_not_run_again(tmp_path):
    first, again = Made(noise=0.1), Made(noise=0.1)
    bench = benchmark()
    before = run(bench, recordings(12, 12), [first.method], tmp_path)
    after = run(bench, recordings(12, 12), [again.method], tmp_path)
    assert after == before
    assert (len(first.estimators), len(again.estimators)) == (2, 0)
    more = Made(noise=0.1)
    run(bench, recordings(12, 12, 12), [more.method], tmp_path)
    assert len(more.estimators) == 1


def test_other_settings_are_run_again(tmp_path):
    run(benchmark(), recordings(12), [Made(noise=0.1).method], tmp_path)
    for bench, settings in (
        (benchmark(), {'noise': 0.2}),
        (benchmark(stride=2), {'noise': 0.2}),
        (benchmark(lengths=(4,)), {'noise': 0.2}),
        (benchmark(calibrated=True), {'noise': 0.2}),
    ):
        changed = Made(**settings)
        run(bench, recordings(12), [changed.method], tmp_path)
        assert len(changed.estimators) == 1


def test_data_that_have_changed_are_run_again(tmp_path):
    image = tmp_path / 'walk/rgb/0.png'
    image.parent.mkdir(parents=True)
    image.write_bytes(b'one')
    recorded = [Recording('walk 0', partial(fakes.recording, 12), (tmp_path / 'walk',))]
    out = tmp_path / 'walk/out'  # what is written there is none of the data

    def times_run() -> int:
        made = Made()
        (result,) = run(benchmark(), recorded, [made.method], out)
        assert result.taken_up is not bool(made.estimators)
        return len(made.estimators)

    assert [times_run(), times_run()] == [1, 0]
    (out / 'page.md').write_text('other')
    assert times_run() == 0
    image.write_bytes(b'two, longer')
    assert [times_run(), times_run()] == [1, 0]
    os.utime(image, (1, 1))  # of the same size
    assert [times_run(), times_run()] == [1, 0]
    os.close(
        os.open(os.fsencode(image.parent) + b'/\xff.png', os.O_CREAT)
    )  # a name in no encoding
    assert [times_run(), times_run()] == [1, 0]


def test_data_below_the_results_are_watched_too(tmp_path):
    image = tmp_path / 'walk/0.png'
    image.parent.mkdir()
    for content in (b'one', b'two, longer'):
        image.write_bytes(content)
        made = Made()
        recorded = [Recording('walk 0', partial(fakes.recording, 12), (image.parent,))]
        run(benchmark(), recorded, [made.method], tmp_path)
        assert len(made.estimators) == 1


def test_another_version_of_the_package_runs_again(tmp_path, monkeypatch):
    for version in ('1', '2'):
        monkeypatch.setattr(module, '__version__', version)
        made = Made()
        run(benchmark(), recordings(12), [made.method], tmp_path)
        assert len(made.estimators) == 1


@pytest.mark.parametrize('content', ['', '[]', '{"result": {"scores": [3]}}', '{"key": 1'])
def test_results_that_are_broken_are_run_again(tmp_path, content, caplog):
    run(benchmark(), recordings(12), [Made().method], tmp_path)
    (kept,) = (tmp_path / 'results').glob('*.json')
    kept.write_text(content)
    made = Made()
    run(benchmark(), recordings(12), [made.method], tmp_path)
    assert len(made.estimators) == 1
    assert f'{kept} is no result' in caplog.text
    assert json.loads(kept.read_text())['result']['recording'] == 'walk 0'


def test_broken_arrays_are_not_drawn(tmp_path):
    bench = benchmark()
    run(bench, recordings(12), [Made().method], tmp_path)
    (kept,) = (tmp_path / 'results').glob('*.npz')
    kept.write_bytes(kept.read_bytes()[:40])
    assert bench.arrays('walk 0', 'oracle', tmp_path) == {}


def test_recordings_of_one_name_keep_their_own_results(tmp_path):
    here, there = benchmark(source={'--root': '/here'}), benchmark(source={'--root': '/there'})
    for bench in (here, there):
        run(bench, recordings(12), [Made().method], tmp_path)
    made = Made()
    run(here, recordings(12), [made.method], tmp_path)
    assert made.estimators == []


def test_what_had_problems_is_run_again(tmp_path):
    broken, whole = Made(fails_at=7), Made()
    for made in (broken, whole):  # of the same settings, as far as the benchmark can tell
        method = Method('oracle', made.method.create, {})
        (result,) = run(benchmark(), recordings(12), [method], tmp_path)
    assert len(whole.estimators) == 1
    assert result.problems == []
    assert [score.frames for score in result.scores] == [5, 10]


def test_a_damaged_recording_is_left_out_with_its_reason(tmp_path):
    def broken():
        raise DatasetError('frame 3 is truncated')

    recorded = [Recording('broken', broken), *recordings(12)]
    results = run(benchmark(), recorded, [Made().method], tmp_path)
    assert results[0].problems == ['frame 3 is truncated']
    assert results[0].scores == []
    assert len(results[1].scores) == 2


def test_a_method_that_fails_keeps_the_scores_before(tmp_path):
    (result,) = run(benchmark(), recordings(12), [Made(fails_at=7).method], tmp_path)
    assert [score.frames for score in result.scores] == [5]
    assert result.problems == ['the state has exploded']


def test_lost_tracking_excludes_only_the_lengths_that_reach_it(tmp_path):
    def lost(index):
        return np.full((4, 4), -np.inf) if index == 7 else fakes.position(index)

    recorded = [Recording('lost', partial(fakes.recording, 12, pose=lost))]
    (result,) = run(benchmark(), recorded, [Made().method], tmp_path)
    assert [score.frames for score in result.scores] == [5]
    assert 'after 10 frames' in result.problems[0]


def test_the_camera_is_told_only_if_asked(tmp_path):
    for calibrated in (False, True):
        made = Made()
        bench = benchmark(calibrated=calibrated)
        run(bench, recordings(12), [made.method], tmp_path / str(calibrated))
        expected = fakes.CAMERA if calibrated else None
        assert set(made.estimators[0].cameras) == {expected}


@pytest.mark.parametrize(
    ('camera', 'problem'),
    [
        (None, 'does not tell its camera'),
        (Intrinsics.centred(640, 480, 500.0), 'of images of 640x480, and they are 64x48'),
    ],
)
def test_a_camera_that_is_not_known_cannot_be_told(tmp_path, camera, problem):
    recorded = [Recording('walk', partial(fakes.recording, 12, camera=camera))]
    (result,) = run(benchmark(calibrated=True), recorded, [Made().method], tmp_path)
    assert result.scores == []
    assert problem in result.problems[0]
    (result,) = run(benchmark(), recorded, [Made().method], tmp_path)
    assert result.problems == []


def test_trajectories_are_kept_for_figures(tmp_path):
    bench = benchmark()
    run(bench, recordings(12), [Made(scale=2.0).method], tmp_path)
    kept = bench.arrays('walk 0', 'oracle', tmp_path)
    assert kept['estimate'].shape == kept['truth'].shape == (10, 4, 4)
    assert kept['estimate'][3, 0, 3] == pytest.approx(2 * kept['truth'][3, 0, 3])
    assert bench.arrays('walk 0', 'unknown', tmp_path) == {}


def test_recordings_are_averaged_with_their_spread(tmp_path):
    methods = [Made('good').method, Made('bad', noise=0.1).method]
    results = run(benchmark(), recordings(12, 12, 12), methods, tmp_path)
    assert methods_of(results) == ['good', 'bad']
    assert lengths_of(results) == [5, 10]
    bad = [result.at(10).values['ate'] for result in results if result.method == 'bad']
    summary = summarise(results, 'bad', 10, 'ate')
    assert summary.mean == pytest.approx(sum(bad) / 3)
    assert summary.count == 3
    assert summary.low <= sorted(bad)[1] <= summary.high
    assert summarise(results, 'bad', 10, 'chamfer') is None
    assert summarise(results, 'bad', 11, 'ate') is None
