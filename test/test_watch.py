"""A view that is lost: neither state nor pose learn from it, and both go on when it returns."""

import numpy as np
import pytest
import torch

from ttt3r_ros.errors import CheckpointError, ReconstructionError
from ttt3r_ros.model.checkpoint import load_network, save_safetensors
from ttt3r_ros.model.config import NetworkConfig
from ttt3r_ros.reconstructor import SHIPPED_WEIGHTS, Reconstructor, ReconstructorConfig
from ttt3r_ros.synthetic.sequence import render_sequence
from ttt3r_ros.watch import ConfidenceWatch, shows_nothing


@pytest.fixture(scope='module')
def images():
    return list(render_sequence(2**40 + 11, 24, 160, 120).rgb)


def noise(like):
    return np.random.default_rng(1).integers(0, 256, like.shape, np.uint8)


@pytest.mark.parametrize('strange', [np.zeros_like, noise])
@pytest.mark.parametrize('source', ['network', 'pnp'])
def test_a_view_of_nothing_leaves_no_trace(images, source, strange):
    """With the shipped weights: 40 frames of it in the midst change nothing of what follows."""
    whole, broken = (Reconstructor(ReconstructorConfig(pose_source=source)) for _ in range(2))
    wanted = [whole.add(image) for image in images]
    for image in images[:15]:
        before = broken.add(image)
    for _ in range(40):
        lost = broken.add(strange(images[0]))
        assert lost.tracking.status == 'lost'
        np.testing.assert_array_equal(lost.T_world_camera, before.T_world_camera)
    for image, view in zip(images[15:], wanted[15:], strict=True):
        np.testing.assert_array_equal(broken.add(image).T_world_camera, view.T_world_camera)


@pytest.mark.parametrize('strange', [np.zeros_like, lambda like: np.full_like(like, 255), noise])
@pytest.mark.parametrize('source', ['network', 'pnp'])
def test_a_camera_that_sees_nothing_yet_starts_with_the_first_image_that_shows_something(
    images, source, strange
):
    plain, late = (Reconstructor(ReconstructorConfig(pose_source=source)) for _ in range(2))
    for _ in range(3):
        lost = late.add(strange(images[0]))
        assert lost.tracking.status == 'lost'
        assert not lost.tracking.belongs_in_map
        np.testing.assert_array_equal(lost.T_world_camera, np.eye(4))
        camera = lost.input_intrinsics
        assert (camera.width, camera.height) == (160, 120)
        assert np.isfinite([camera.fx, camera.fy, lost.focal_spread]).all()
    for image in images[:6]:
        found, wanted = late.add(image), plain.add(image)
        assert found.tracking.status == wanted.tracking.status
        assert found.input_intrinsics == wanted.input_intrinsics
        np.testing.assert_array_equal(found.T_world_camera, wanted.T_world_camera)
        np.testing.assert_array_equal(found.points, wanted.points)


@pytest.mark.parametrize('level', [0, 128, 255])
def test_a_view_without_contrast_shows_nothing(images, level):
    noise = np.random.default_rng(0).normal(level, 1.5, images[0].shape)
    assert shows_nothing(noise.clip(0, 255).astype(np.uint8))
    assert not any(shows_nothing(image) for image in images)
    assert not shows_nothing((images[0] // 4).astype(np.uint8))


@pytest.mark.parametrize('deviation', [10, 100])
def test_noise_shows_nothing(images, deviation):
    grain = np.random.default_rng(0).normal(120, deviation, images[0].shape)
    assert shows_nothing(grain.clip(0, 255).astype(np.uint8))
    grainy = images[0] + 0.2 * (grain - 120)
    assert not shows_nothing(grainy.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize('channel', [0, 1, 2])
def test_a_scene_under_coloured_light_is_seen(images, channel):
    for image in images:
        coloured = np.zeros_like(image)
        coloured[..., channel] = image[..., channel]
        assert not shows_nothing(coloured)


def test_what_is_usual_is_not_learnt_from_what_is_lost():
    watch = ConfidenceWatch()
    usual, low = np.full((2, 2), 1.03, np.float32), np.full((2, 2), 1.004, np.float32)
    assert not any(watch.collapsed(usual) for _ in range(20))
    assert all(watch.collapsed(low) for _ in range(200))
    assert not watch.collapsed(usual)


def test_memory_that_runs_out_is_one_of_our_errors(images, monkeypatch):
    reconstructor = Reconstructor()

    def fail(*_):
        raise RuntimeError('DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes')

    with monkeypatch.context() as patch:
        patch.setattr(reconstructor._preparation, '_encode', fail)
        with pytest.raises(ReconstructionError, match='memory has run out'):
            reconstructor.add(images[0])
    assert reconstructor.add(images[0]).tracking.status == 'first'


def test_weights_that_are_not_finite_are_refused(tmp_path):
    network = load_network(SHIPPED_WEIGHTS)
    weights = dict(network.state_dict())
    name = next(iter(weights))
    weights[name] = torch.full_like(weights[name], torch.nan)
    save_safetensors(tmp_path / 'nan.safetensors', weights, network.config)
    with pytest.raises(CheckpointError, match='NaN'):
        load_network(tmp_path / 'nan.safetensors')


@pytest.mark.parametrize('wrong', [{'encoder_depth': 10**9}, {'state_tokens': -1},
                                   {'dpt_features': 2.0}, {'dpt_widths': (1, 2)}])  # fmt: skip
def test_sizes_that_nobody_trains_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        NetworkConfig(**wrong)
