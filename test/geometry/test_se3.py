import numpy as np
import pytest
from scipy.spatial.transform import Rotation
import torch

from ttt3r_ros.geometry import quaternion, se3


def random_motions(count, seed=0):
    rng = np.random.default_rng(seed)
    motions = np.tile(np.eye(4), (count, 1, 1))
    motions[:, :3, :3] = Rotation.random(count, rng).as_matrix()
    motions[:, :3, 3] = rng.normal(size=(count, 3))
    return motions


def test_group_axioms():
    a, b, c = random_motions(3)
    np.testing.assert_allclose(se3.inverse(a) @ a, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(se3.inverse(a @ b), se3.inverse(b) @ se3.inverse(a), atol=1e-12)
    np.testing.assert_allclose((a @ b) @ c, a @ (b @ c), atol=1e-12)


def test_inverse_of_many_is_the_inverse_of_each():
    many = random_motions(5)
    np.testing.assert_allclose(se3.inverse(many), np.linalg.inv(many), atol=1e-12)


def test_quaternion_round_trip_and_sign():
    for motion in random_motions(20):
        quat = se3.quat_wxyz(motion)
        assert quat[0] >= 0
        again = se3.from_translation_quat(motion[:3, 3], -3 * quat)
        np.testing.assert_allclose(again, motion, atol=1e-12)


def test_quaternion_order_is_wxyz():
    quarter_turn_about_z = se3.from_translation_quat([0, 0, 0], [1, 0, 0, 1])
    np.testing.assert_allclose(quarter_turn_about_z[:3, 0], [0, 1, 0], atol=1e-12)


@pytest.mark.parametrize('angle', [0.0, 1e-9, 1e-4, 1.0, np.pi - 1e-6])
def test_rotation_angle_is_accurate_at_its_ends(angle):
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_rotvec(angle * np.array([0.6, 0, 0.8])).as_matrix()
    assert se3.rotation_angle(motion) == pytest.approx(angle, rel=1e-6, abs=1e-15)


def test_orthonormalise_finds_the_nearest_rotation():
    (motion,) = random_motions(1)
    bent = motion.copy()
    bent[:3, :3] *= 1.02
    np.testing.assert_allclose(se3.orthonormalise(bent), motion, atol=1e-12)


def test_transform_points():
    (motion,) = random_motions(1)
    points = np.random.default_rng(1).normal(size=(4, 5, 3)).astype(np.float32)
    wanted = points.reshape(-1, 3) @ motion[:3, :3].T + motion[:3, 3]
    moved = se3.transform_points(motion, points)
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved.reshape(-1, 3), wanted, atol=1e-5)


def test_torch_composition_is_the_matrix_product():
    a, b = random_motions(2, seed=3)
    split = [
        (torch.from_numpy(m[None, :3, 3]), torch.from_numpy(se3.quat_wxyz(m)[None]))
        for m in (a, b)
    ]
    translation, quat = quaternion.compose(*split[0], split[1])
    found = se3.from_translation_quat(translation[0].numpy(), quat[0].numpy())
    np.testing.assert_allclose(found, a @ b, atol=1e-12)
    assert quat[0, 0] >= 0


def test_quaternions_are_scipys_for_turns_of_every_size_and_axis():
    axes = np.concatenate([np.eye(3), -np.eye(3), np.random.default_rng(1).normal(size=(20, 3))])
    for axis in axes / np.linalg.norm(axes, axis=1, keepdims=True):
        for angle in (0.0, 1e-9, 1e-4, 1.0, 2.0, 3.0, np.pi - 1e-4, np.pi):
            turn = Rotation.from_rotvec(angle * axis).as_matrix()
            theirs = Rotation.from_matrix(turn).as_quat(canonical=True)[[3, 0, 1, 2]]
            ours = se3.quat_wxyz(turn)
            assert ours[0] >= 0
            # a half turn has two quaternions with w = 0
            assert np.allclose(ours, theirs, atol=1e-12) or (
                ours[0] < 1e-9 and np.allclose(ours, -theirs, atol=1e-12)
            )
