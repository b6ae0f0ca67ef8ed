"""The motion between two images, from their pixels and depth."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
import torch

from ttt3r_ros.geometry.quaternion import compose
from ttt3r_ros.geometry.se3 import inverse
from ttt3r_ros.model.alignment import Reference, align, pyramid
from ttt3r_ros.model.checkpoint import load_network, save_safetensors
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.heads import pinhole_points
from ttt3r_ros.model.network import Network
from ttt3r_ros.synthetic.sequence import render_sequence
from ttt3r_ros.synthetic.settings import SceneSettings, held_out_seed

SIZE = (64, 48)


def tensor(rgb):
    return torch.from_numpy(rgb).movedim(-1, 1).float() / 127.5 - 1


def as_the_stem_reads(image):
    """Enlarge an image so that the network's own is the given one."""
    return torch.nn.functional.interpolate(image, scale_factor=PRESETS['small'].detail)


def reference(sequence, frames):
    focal = torch.full((len(frames),), sequence.intrinsics.fx / max(SIZE))
    depth = torch.from_numpy(sequence.depth[frames]).float().log()
    return Reference(pinhole_points(depth, focal), *pyramid(tensor(sequence.rgb[frames])))


@pytest.fixture(scope='module')
def sequences():
    settings = SceneSettings()
    return [render_sequence(held_out_seed(900 + i), 8, *SIZE, settings) for i in range(12)]


def errors(sequences, scale=1.0):
    """Return the errors and the true motions, of translations (m) and rotations (rad)."""
    rows = []
    for sequence in sequences:
        before = reference(sequence, list(range(7)))
        before = before._replace(points=before.points * scale)
        found = align(pyramid(tensor(sequence.rgb[1:])), before)
        poses = sequence.T_world_camera
        truth = inverse(poses[:-1]) @ poses[1:]
        turns = Rotation.from_quat(found.quat_wxyz.numpy(), scalar_first=True)
        true_turns = Rotation.from_matrix(truth[:, :3, :3])
        rows.append(
            (
                np.linalg.norm(found.translation.numpy() - truth[:, :3, 3], axis=1),
                np.linalg.norm(truth[:, :3, 3], axis=1),
                (true_turns.inv() * turns).magnitude(),
                true_turns.magnitude(),
            )
        )
    return [np.concatenate(part) for part in zip(*rows, strict=True)]


def test_true_depth_gives_the_motion(sequences):
    advance, true_advance, turn, true_turn = errors(sequences)
    assert advance.mean() < 0.65 * true_advance.mean()
    assert turn.mean() < 0.4 * true_turn.mean()
    assert np.median(turn) < np.radians(0.4)


def test_depth_that_is_twice_as_large_gives_twice_the_translation_and_the_same_rotation(sequences):
    fast = max(sequences, key=lambda each: np.linalg.norm(each.T_world_camera[7, :3, 3]))
    before = reference(fast, [0, 1, 2])
    current = pyramid(tensor(fast.rgb[1:4]))
    near = align(current, before)
    far = align(current, before._replace(points=2 * before.points))
    moved = near.translation.norm(dim=1) > 0.005
    assert moved.any()
    ratio = far.translation[moved].norm(dim=1) / near.translation[moved].norm(dim=1)
    assert ratio == pytest.approx(torch.full_like(ratio, 2.0), abs=0.4)
    assert (far.quat_wxyz - near.quat_wxyz).abs().max() < 0.004


def test_the_same_image_has_not_moved(sequences):
    before = reference(sequences[1], [3])
    found = align(before[1:], before)
    assert found.translation.abs().max() < 5e-4
    assert found.quat_wxyz[0] == pytest.approx(torch.tensor([1.0, 0, 0, 0]), abs=2e-4)
    assert found.agreement.item() == pytest.approx(1.0, abs=0.05)


def test_without_contrast_nothing_is_known_and_nothing_moves():
    grey = pyramid(torch.zeros(1, 3, 48, 64))
    before = Reference(pinhole_points(torch.zeros(1, 48, 64), torch.ones(1)), *grey)
    found = align(pyramid(torch.full((1, 3, 48, 64), 0.5)), before)
    assert found.translation.abs().max() < 1e-6
    assert torch.isfinite(found.deviation).all()


def test_an_image_of_another_place_gives_a_finite_motion_that_disagrees(sequences):
    before = reference(sequences[0], [0])
    same = align(pyramid(tensor(sequences[0].rgb[1:2])), before)
    other = align(pyramid(tensor(sequences[5].rgb[3:4])), before)
    assert all(torch.isfinite(part).all() for part in other)
    assert other.agreement < same.agreement


def test_sequences_of_a_batch_do_not_touch_one_another(sequences):
    before = reference(sequences[2], [0, 3])
    together = align(pyramid(tensor(sequences[2].rgb[[1, 4]])), before)
    alone = align(
        pyramid(tensor(sequences[2].rgb[[4]])), Reference(*(part[1:] for part in before))
    )
    for joint, single in zip(together, alone, strict=True):
        assert joint[1:] == pytest.approx(single, abs=1e-4)


def test_the_network_goes_on_from_what_the_alignment_found(sequences):
    network = Network(PRESETS['small']).requires_grad_(False).eval()
    last = network.downstream_head.pose_head.mlp.fc2
    last.weight.zero_()
    last.bias.copy_(torch.tensor([0.0, 0, 0, 1, 0, 0, 0]))
    images = tensor(sequences[3].rgb)[:, None]
    state = network.initial_state(1)
    pose = (torch.zeros(1, 3), torch.eye(1, 4))
    for image in images[:4]:
        levels = pyramid(image)
        if state.previous is not None:
            found = align(levels, state.previous.reference)
            pose = compose(*pose, (found.translation, found.quat_wxyz))
        seen, state = network.step(as_the_stem_reads(image), state)
        assert seen.translation == pytest.approx(pose[0], abs=1e-5)
        assert seen.quat_wxyz == pytest.approx(pose[1], abs=1e-5)


def test_an_image_of_another_size_is_not_aligned(sequences):
    network = Network(PRESETS['small']).requires_grad_(False).eval()
    image = as_the_stem_reads(tensor(sequences[0].rgb[:1]))
    _, state = network.step(image, network.initial_state(1))
    seen, _ = network.step(torch.zeros(1, 3, 128, 96), state)
    assert torch.isfinite(seen.translation).all()


def test_alignment_needs_a_pinhole_camera():
    with pytest.raises(ValueError, match='motion_alignment needs motion_radius and pinhole'):
        type(PRESETS['small'])(motion_alignment=True)


def test_a_network_with_alignment_is_loaded_whole(tmp_path):
    network = Network(PRESETS['small'])
    save_safetensors(tmp_path / 'w.safetensors', network.state_dict(), network.config)
    loaded = load_network(tmp_path / 'w.safetensors')
    image = torch.rand(1, 3, 96, 128) * 2 - 1
    _, state = loaded.step(image, loaded.initial_state(1))
    seen, _ = loaded.step(image, state)
    assert torch.isfinite(seen.translation).all()
