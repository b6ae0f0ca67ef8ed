from dataclasses import replace

import numpy as np
import pytest

from ttt3r_ros.geometry.se3 import inverse, transform_points
from ttt3r_ros.synthetic.sequence import SceneCamera, SyntheticSequence, render_sequence
from ttt3r_ros.synthetic.settings import HELD_OUT_SEED, SceneSettings, held_out_seed, train_seed

STILL = SceneSettings(moving_objects=0.0, supersampling=1)


def share_seen_again(made: SyntheticSequence, first: int, second: int) -> float:
    """Carry one frame's points to another; return the share that lies on its depth map."""
    points = made.intrinsics.rays() * made.depth[first][..., None]
    poses = made.T_world_camera
    moved = transform_points(inverse(poses[second]) @ poses[first], points)
    pixels = made.intrinsics.project(moved).round()
    height, width = made.depth.shape[1:]
    inside = (pixels >= 0).all(-1) & (pixels < [width, height]).all(-1) & (moved[..., 2] > 0.1)
    x, y = pixels[inside].astype(int).T
    error = np.abs(made.depth[second][y, x] / moved[inside][:, 2] - 1)
    return float((error < 0.05).mean())


@pytest.mark.parametrize('seed', [3, 4, 5])
def test_frames_see_one_rigid_scene(seed: int) -> None:
    made = render_sequence(seed, 4, 96, 72, STILL)
    assert share_seen_again(made, 0, 3) > 0.8
    poses = made.T_world_camera.copy()
    moved = replace(made, T_world_camera=poses)
    poses[3, 2, 3] += 0.5
    assert share_seen_again(moved, 0, 3) < 0.5


def test_a_seed_says_everything() -> None:
    first, again = render_sequence(11, 2, 64, 48), render_sequence(11, 2, 64, 48)
    np.testing.assert_array_equal(first.rgb, again.rgb)
    np.testing.assert_array_equal(first.depth, again.depth)
    np.testing.assert_array_equal(first.T_world_camera, again.T_world_camera)
    assert not np.array_equal(first.rgb, render_sequence(12, 2, 64, 48).rgb)


def test_more_frames_begin_like_fewer() -> None:
    short, long = render_sequence(13, 2, 64, 48), render_sequence(13, 4, 64, 48)
    np.testing.assert_array_equal(short.rgb, long.rgb[:2])


def test_what_comes_out_is_sound() -> None:
    made = render_sequence(7, 3, 80, 60)
    assert made.rgb.shape == (3, 60, 80, 3)
    assert made.rgb.std() > 10
    assert np.isfinite(made.depth).all()
    assert 0.1 < made.depth.min() < made.depth.max() < 25
    np.testing.assert_allclose(made.T_world_camera[0], np.eye(4), atol=1e-12)
    rotations = made.T_world_camera[:, :3, :3]
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), [np.eye(3)] * 3, atol=1e-9
    )


def test_an_overexposed_camera_sees_the_same_in_too_much_light() -> None:
    seeds = range(20, 28)
    usual = [render_sequence(seed, 1, 64, 48, STILL) for seed in seeds]
    bright = [render_sequence(seed, 1, 64, 48, replace(STILL, overexposed=1.0)) for seed in seeds]
    white = [np.mean([(made.rgb > 250).mean() for made in kind]) for kind in (usual, bright)]
    assert white[1] > 2 * white[0]
    assert white[1] < 0.8
    for one, other in zip(usual, bright, strict=True):
        np.testing.assert_array_equal(one.depth, other.depth)


def test_field_of_view_stays_in_its_range() -> None:
    settings = replace(STILL, fov_min=60.0, fov_max=61.0)
    for width, height in ((64, 48), (48, 64)):
        camera = render_sequence(2, 1, width, height, settings).intrinsics
        fov = 2 * np.degrees(np.arctan(max(width, height) / 2 / camera.fx))
        assert 60 <= fov <= 61


def test_rotation_alone_does_not_move() -> None:
    made = render_sequence(5, 6, 32, 24, replace(STILL, motion='rotation', rotation_min=1.0))
    np.testing.assert_allclose(made.T_world_camera[:, :3, 3], 0, atol=1e-12)
    assert not np.allclose(made.T_world_camera[5], np.eye(4))


def test_a_robot_stays_on_its_floor() -> None:
    fast = replace(STILL, motion='planar', translation_min=0.05)
    made = render_sequence(6, 20, 32, 24, fast)
    travelled = made.T_world_camera[:, :3, 3]
    assert np.ptp(travelled, axis=0).max() > 0.05
    assert np.linalg.svd(travelled - travelled.mean(0))[1][2] < 1e-9


def test_stop_and_go_stops() -> None:
    made = render_sequence(8, 60, 32, 24, replace(STILL, motion='stopgo', translation_min=0.02))
    steps = np.linalg.norm(np.diff(made.T_world_camera[:, :3, 3], axis=0), axis=1)
    assert (steps == 0).any()
    assert (steps > 0).any()


def test_moving_objects_move() -> None:
    busy = replace(STILL, motion='rotation', moving_objects=1.0, rotation_min=0.0)
    still = replace(busy, rotation_max=1e-6)
    changed = [
        np.abs(np.diff(render_sequence(seed, 12, 64, 48, still).depth[[0, -1]], axis=0)).max()
        for seed in range(6)
    ]
    assert max(changed) > 0.2


@pytest.mark.parametrize('seed', [79195, 95033])
def test_what_moves_keeps_out_of_the_camera(seed: int) -> None:
    busy = replace(STILL, moving_objects=1.0, photometric=False)
    camera = SceneCamera(seed, busy)
    assert min(camera.film(24, 24, 18).depth.min() for _ in range(2)) > 0.1


def test_supersampling_leaves_depth_alone() -> None:
    fine, plain = (
        render_sequence(9, 1, 64, 48, replace(STILL, supersampling=rays)) for rays in (2, 1)
    )
    np.testing.assert_array_equal(fine.depth, plain.depth)
    assert not np.array_equal(fine.rgb, plain.rgb)


def test_held_out_scenes_cannot_be_trained_on() -> None:
    assert held_out_seed(0) == HELD_OUT_SEED
    assert train_seed(HELD_OUT_SEED - 1) < held_out_seed(0)
    with pytest.raises(ValueError, match='outside'):
        train_seed(HELD_OUT_SEED)


@pytest.mark.parametrize(('frames', 'width'), [(0, 64), (1, 0)])
def test_empty_sequences_are_refused(frames: int, width: int) -> None:
    with pytest.raises(ValueError, match='cannot be rendered'):
        render_sequence(1, frames, width, 48)


def test_unknown_motion_is_refused() -> None:
    with pytest.raises(ValueError, match='motion'):
        SceneSettings(motion='flying')
