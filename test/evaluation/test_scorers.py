from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import fakes
import numpy as np
import pytest

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.evaluation.reconstruction import ReconstructionScorer
from ttt3r_ros.evaluation.scorers import (
    DepthScorer,
    DepthStrip,
    EfficiencyScorer,
    PoseScorer,
    visible_part,
)
from ttt3r_ros.geometry.camera import ImageMapping


def watch(scorer, frames, estimator=None):
    estimator = estimator or fakes.Oracle()
    for frame in frames:
        scorer.add(frame, estimator.add(frame.image()), 0.1)
    return scorer


def test_true_poses_score_zero_and_tell_the_scale():
    score = watch(PoseScorer(), fakes.recording(30), fakes.Oracle(scale=0.5)).score()
    assert score['ate'] == pytest.approx(0.0, abs=1e-9)
    assert score['rpe_translation'] == pytest.approx(0.0, abs=1e-9)
    assert score['scale'] == pytest.approx(2.0)
    assert score['ate_se3'] > 0.1
    steps = np.diff([fakes.position(i)[:3, 3] for i in range(30)], axis=0)
    assert score['path'] == pytest.approx(np.linalg.norm(steps, axis=1).sum())


def test_rotations_are_in_degrees():
    class Turning(fakes.Oracle):
        def add(self, image, *, camera=None):
            view = super().add(image, camera=camera)
            angle = np.radians(2.0) * int(image[0, 0, 0])
            view.T_world_camera[:2, :2] = [
                [np.cos(angle), -np.sin(angle)],
                [np.sin(angle), np.cos(angle)],
            ]
            return view

    score = watch(PoseScorer(), fakes.recording(20), Turning()).score()
    assert score['rpe_rotation'] == pytest.approx(2.0)
    assert score['rotation'] == pytest.approx(2.0 * np.mean(np.arange(20)))


def test_the_error_is_told_as_part_of_the_path_too():
    score = watch(PoseScorer(), fakes.recording(30), fakes.Oracle(noise=0.1)).score()
    assert score['ate_of_path'] == pytest.approx(100 * score['ate'] / score['path'])
    still = watch(PoseScorer(), fakes.recording(5, pose=lambda _: np.eye(4))).score()
    assert 'ate_of_path' not in still


def test_frames_that_the_tracker_lost_are_told():
    class Tracked(NamedTuple):
        T_world_camera: np.ndarray
        tracking: SimpleNamespace

    scorer = PoseScorer()
    for index, frame in enumerate(fakes.recording(8)):
        status = 'lost' if index in (3, 4) else 'tracked'
        scorer.add(frame, Tracked(fakes.position(index), SimpleNamespace(status=status)), 0.1)
    assert scorer.score()['lost'] == 25.0
    assert 'lost' not in watch(PoseScorer(), fakes.recording(8)).score()


def test_frames_without_a_pose_are_not_counted():
    frames = fakes.recording(10, pose=lambda i: None if i == 4 else fakes.position(i))
    scorer = watch(PoseScorer(), frames)
    assert scorer.score()['ate'] == pytest.approx(0.0, abs=1e-9)
    assert scorer.arrays()['truth'].shape == (9, 4, 4)
    nothing = watch(PoseScorer(), fakes.recording(3, pose=lambda _: None))
    with pytest.raises(DatasetError, match='no frame'):
        nothing.score()


@pytest.mark.parametrize('count', [1, 2])
def test_poses_that_fit_any_trajectory_are_no_score(count):
    with pytest.raises(DatasetError, match=f'{count} of the frames have a true pose'):
        watch(PoseScorer(), fakes.recording(count), fakes.Oracle(noise=0.1)).score()
    assert watch(PoseScorer(), fakes.recording(3), fakes.Oracle(noise=0.1)).score()['ate'] > 1e-3


def test_frames_on_both_sides_of_a_gap_are_no_neighbours():
    class Leaping(fakes.Oracle):
        """Turns by a right angle at frame 4, which nobody can see."""

        def add(self, image, *, camera=None):
            view = super().add(image, camera=camera)
            if image[0, 0, 0] >= 4:
                view.T_world_camera[:2, :2] = [[0, -1], [1, 0]]
            return view

    frames = fakes.recording(10, pose=lambda i: None if i == 4 else fakes.position(i))
    score = watch(PoseScorer(), frames, Leaping()).score()
    assert score['rpe_rotation'] == pytest.approx(0.0)
    assert score['poses'] == 9


def test_lost_tracking_forbids_a_score():
    def lost(index):
        return np.full((4, 4), -np.inf) if index == 3 else fakes.position(index)

    with pytest.raises(DatasetError, match='tracking was lost'):
        watch(PoseScorer(), fakes.recording(5, pose=lost)).score()


def test_true_depth_scores_near_zero_under_all_alignments():
    score = watch(DepthScorer(), fakes.recording(4)).score()
    for alignment in ('metric', 'scale', 'scale_shift', 'median'):
        assert score[f'{alignment}/abs_rel'] < 5e-3
        assert score[f'{alignment}/delta_1'] == 1.0
    assert score['pixels'] == 4 * fakes.WIDTH * fakes.HEIGHT
    scaled = watch(DepthScorer(), fakes.recording(4), fakes.Oracle(scale=2.0)).score()
    assert scaled['metric/abs_rel'] == pytest.approx(1.0, abs=0.01)
    assert scaled['scale/abs_rel'] < 5e-3


def test_depth_can_be_measured_on_fewer_pixels():
    all_of_it = watch(DepthScorer(), fakes.recording(4)).score()
    some = watch(DepthScorer(step=4), fakes.recording(4)).score()
    assert some['pixels'] == all_of_it['pixels'] / 16
    assert some['scale/abs_rel'] == pytest.approx(all_of_it['scale/abs_rel'], abs=5e-3)


def test_fewer_pixels_are_compared_where_they_lie():
    ramp = np.tile(np.linspace(1, 9, fakes.WIDTH, dtype=np.float32), (fakes.HEIGHT, 1))
    size = (fakes.WIDTH, fakes.HEIGHT)
    exact = fakes.FakeView(np.eye(4), np.stack([ramp] * 3, axis=-1), fakes.whole_image(*size))
    scorer = DepthScorer(step=8)
    for frame in fakes.recording(1, depth=lambda _: lambda: ramp):
        scorer.add(frame, exact, 0.1)
    assert scorer.score()['metric/abs_rel'] == 0.0


def test_only_what_the_network_saw_is_compared():
    # 64x48 scaled by a half to 32x24, then 16x24 cropped out of the middle.
    mapping = ImageMapping(64, 48, 16, 24, 0.5, 0.5, 8, 0)
    picture = np.arange(64 * 48).reshape(48, 64)
    np.testing.assert_array_equal(visible_part(picture, mapping), picture[:, 16:48])
    half_size = picture[::2, ::2]
    np.testing.assert_array_equal(visible_part(half_size, mapping), half_size[:, 8:24])
    whole = visible_part(picture, fakes.whole_image())
    assert whole.shape == picture.shape


def test_frames_without_depth_are_passed_over():
    frames = fakes.recording(4, depth=lambda i: None if i < 2 else lambda: fakes.depth_map(i))
    score = watch(DepthScorer(), frames).score()
    assert score['pixels'] == 2 * fakes.WIDTH * fakes.HEIGHT
    assert len(watch(DepthStrip(), frames).arrays()['depths']) == 2


def test_depth_that_measured_nothing_is_not_drawn():
    blind = np.full((fakes.HEIGHT, fakes.WIDTH), np.nan, np.float32)
    frames = fakes.recording(4, depth=lambda i: lambda: fakes.depth_map(i) if i % 2 else blind)
    assert watch(DepthStrip(), frames).arrays()['numbers'].tolist() == [1, 3]


def test_a_strip_keeps_few_pictures_of_a_long_recording():
    kept = watch(DepthStrip(), fakes.recording(200)).arrays()
    shades = kept['images'][:, 0, 0, 0].tolist()
    assert 8 <= len(shades) <= 16
    assert shades[0] == 0
    assert shades[-1] > 150
    assert len(set(np.diff(shades))) == 1
    np.testing.assert_allclose(kept['depths'], kept['true_depths'], atol=0.05)
    np.testing.assert_array_equal(kept['numbers'], shades)


def test_efficiency_leaves_the_first_frames_out():
    scorer = EfficiencyScorer()
    frame, view = fakes.recording(1)[0], fakes.Oracle().add(np.zeros((2, 2, 3), np.uint8))
    for index in range(110):
        scorer.add(frame, view, 5.0 if index < 10 else 0.1 if index < 60 else 0.2)
    score = scorer.score()
    assert score['fps'] == pytest.approx(100 / 15)
    assert score['fps_last'] == pytest.approx(5.0)
    assert score['memory'] > 0.01


def test_the_true_cloud_scores_near_zero_after_scaling():
    frames = fakes.recording(6)
    score = watch(ReconstructionScorer(fakes.CAMERA), frames, fakes.Oracle(scale=0.4)).score()
    assert score['scale'] == pytest.approx(2.5, rel=0.01)
    assert score['accuracy'] < 0.01
    assert score['completeness'] < 0.01
    assert score['normal_consistency'] > 0.95


def test_a_cloud_with_wrong_poses_scores_worse():
    frames = fakes.recording(6)
    good = watch(ReconstructionScorer(fakes.CAMERA), frames).score()
    bad = watch(ReconstructionScorer(fakes.CAMERA), frames, fakes.Oracle(noise=0.3)).score()
    assert bad['chamfer'] > 3 * good['chamfer']


def test_only_the_middle_of_valid_depth_makes_the_cloud():
    def half_known(index):
        depth = fakes.depth_map(index)
        depth[:, : fakes.WIDTH // 2] = np.nan
        return lambda: depth

    cloud = watch(ReconstructionScorer(fakes.CAMERA), fakes.recording(2, depth=half_known))
    # The middle 14 x 14 of 32 x 24; the right half of it; 2 frames.
    assert len(cloud.arrays()['cloud']) == 2 * 14 * 7
    empty = watch(ReconstructionScorer(fakes.CAMERA), fakes.recording(2, depth=lambda _: None))
    with pytest.raises(DatasetError, match='both'):
        empty.score()
