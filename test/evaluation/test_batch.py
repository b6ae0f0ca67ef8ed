"""Recordings side by side score as they do one after the other."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import fakes
import numpy as np
import pytest
from tiny import TINY
import torch

from ttt3r_ros.errors import ReconstructionError
from ttt3r_ros.evaluation.batch import BatchReconstructor, can_batch
from ttt3r_ros.evaluation.benchmark import Benchmark
from ttt3r_ros.evaluation.datasets.dataset import Recording
from ttt3r_ros.evaluation.datasets.registry import choose_frames
from ttt3r_ros.evaluation.results import Method
from ttt3r_ros.evaluation.scorers import PoseScorer
from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.network import Network
from ttt3r_ros.model.update_rules import UPDATE_RULES
from ttt3r_ros.reconstructor import Reconstructor, ReconstructorConfig

CAMERA = Intrinsics.centred(64, 48, 50.0)


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(4)
    return Network(replace(TINY, points='pinhole')).requires_grad_(False).eval()


def single(network, **settings) -> Reconstructor:
    return Reconstructor(
        ReconstructorConfig(pose_source='network', device='cpu', **settings), network
    )


def walks(count, frames=4):
    rng = np.random.default_rng(5)
    small = rng.integers(0, 256, (count, frames, 6, 8, 3), np.uint8)
    return small.repeat(8, axis=2).repeat(8, axis=3)  # mere noise is no view


@pytest.mark.parametrize('rule', UPDATE_RULES)
@pytest.mark.parametrize('camera', [None, CAMERA])
def test_a_batch_of_recordings_is_as_many_reconstructors(rule, camera, network):
    images = walks(3)
    together = BatchReconstructor(single(network, update_rule=rule), 3)
    alone = [single(network, update_rule=rule) for _ in images]
    for step in range(4):
        estimates = together.add(list(images[:, step]), [camera] * 3)
        for estimate, one, walk in zip(estimates, alone, images, strict=True):
            view = one.add(walk[step], camera=camera)
            np.testing.assert_allclose(estimate.points, view.points, rtol=2e-3, atol=1e-4)
            np.testing.assert_allclose(estimate.T_world_camera, view.T_world_camera, atol=1e-4)
            assert estimate.mapping == view.mapping


@pytest.mark.parametrize('rule', ['ttt3r', 'filt3r'])
@pytest.mark.parametrize('small', [False, True])
def test_covered_cameras_are_lost_in_a_batch_too(rule, small, network):
    images = walks(3, frames=6)
    images[0, 0] = images[1, 2:4] = 0
    if small:
        torch.manual_seed(4)
        network = Network(PRESETS['small']).requires_grad_(False).eval()
    together = BatchReconstructor(single(network, update_rule=rule), 3)
    alone = [single(network, update_rule=rule) for _ in images]
    for step in range(6):
        estimates = together.add(list(images[:, step]), [None] * 3)
        for estimate, one, walk in zip(estimates, alone, images, strict=True):
            view = one.add(walk[step])
            assert estimate.tracking == view.tracking
            np.testing.assert_allclose(estimate.points, view.points, rtol=2e-3, atol=1e-4)
            np.testing.assert_allclose(estimate.T_world_camera, view.T_world_camera, atol=5e-3)


def test_output_that_is_not_finite_is_told_of_its_recording_alone(network):
    together = BatchReconstructor(single(network), 2)
    tokens = together._state.tokens * torch.tensor([1.0, np.nan])[:, None, None]
    together._state = together._state._replace(tokens=tokens)
    sound, broken = together.add(list(walks(2)[:, 0]), [None, None])
    assert np.isfinite(sound.points).all()
    assert isinstance(broken, ReconstructionError)


def test_only_plain_network_poses_go_in_batches(network):
    assert can_batch(single(network))
    assert not can_batch(single(network, reset_interval=5))
    assert not can_batch(single(network, upright='on'))
    assert not can_batch(Reconstructor(ReconstructorConfig(pose_source='pnp'), network))


class Fleet:
    """A method that takes batches of oracles, and remembers how many each batch had."""

    def __init__(self, fails_at: tuple[int, ...] = (-1, -1, -1)) -> None:
        self.sizes: list[int] = []
        self._fails_at = fails_at
        self.method = Method('oracle', self._create, {}, create_batch=self._create_batch)

    def _create(self):
        self.sizes.append(1)
        return fakes.Oracle(noise=0.1)

    def _create_batch(self, count):
        self.sizes.append(count)
        self._oracles = [fakes.Oracle(noise=0.1, fails_at=at) for at in self._fails_at[:count]]
        return self

    def add(self, images, cameras):
        return [self._one(*each) for each in zip(self._oracles, images, cameras, strict=True)]

    @staticmethod
    def _one(oracle, image, camera):
        try:
            return oracle.add(image, camera=camera)
        except ReconstructionError as error:
            return error


def run(fleet, counts, out, batch):
    benchmark = Benchmark(
        name='pose-fake', lengths=(5, 10), scorers=lambda _: [PoseScorer()], settings={},
        choose=partial(choose_frames, start=0, stride=1, count=10),
    )  # fmt: skip
    recordings = [
        Recording(f'walk {i}', partial(fakes.recording, count)) for i, count in enumerate(counts)
    ]
    return benchmark.run(recordings, [fleet.method], out, lambda frames, *_: frames, batch)


def test_batches_score_as_single_runs_and_are_taken_up_again(tmp_path):
    one_by_one, together, again = Fleet(), Fleet(), Fleet()
    counts = (12, 12, 12, 12)
    expected = run(one_by_one, counts, tmp_path / 'single', batch=1)
    assert run(together, counts, tmp_path / 'batch', batch=3) == expected
    assert (one_by_one.sizes, together.sizes) == ([1, 1, 1, 1], [3, 1])
    (kept,) = (tmp_path / 'batch/results').glob('pose-fake-walk-1-oracle-*.json')
    kept.unlink()
    assert run(again, counts, tmp_path / 'batch', batch=3) == expected
    assert again.sizes == [1]  # only what is missing


def test_only_recordings_of_one_length_go_together(tmp_path):
    fleet = Fleet()
    results = run(fleet, (12, 7, 30), tmp_path, batch=3)
    assert sorted(fleet.sizes) == [1, 2]  # of 12 and 30 frames, 10 are used
    assert [[score.used for score in result.scores] for result in results] == [
        [5, 10], [5, 7], [5, 10],
    ]  # fmt: skip


def test_what_fails_does_not_disturb_the_others(tmp_path):
    fleet = Fleet(fails_at=(-1, 7, 2))
    results = run(fleet, (12, 12, 12), tmp_path, batch=3)
    assert fleet.sizes == [3]
    assert [[score.frames for score in result.scores] for result in results] == [[5, 10], [5], []]
    assert [result.problems for result in results] == [
        [], ['the state has exploded'], ['the state has exploded'],
    ]  # fmt: skip
    assert results[0].scores == run(Fleet(), (12,), tmp_path / 'alone', batch=1)[0].scores


def test_a_batch_that_fails_as_a_whole_is_a_problem_of_each(tmp_path, monkeypatch):
    def fail(*_):
        raise ReconstructionError('memory has run out')

    monkeypatch.setattr(Fleet, 'add', fail)
    results = run(Fleet(), (12, 12), tmp_path, batch=2)
    assert [result.problems for result in results] == [['memory has run out']] * 2
