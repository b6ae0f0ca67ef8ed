from dataclasses import astuple

import numpy as np
import pytest
import torch

from ttt3r_ros.geometry.camera import (
    FocalMemory,
    ImageMapping,
    Intrinsics,
    focal_from_corner,
    focal_from_points,
)

CAMERA = Intrinsics(640, 480, 520.0, 530.0, 318.0, 255.0)
MAPPING = ImageMapping(640, 480, 96, 64, 96 / 640, 72 / 480, 0, 4)


def test_rays_project_to_their_pixels():
    pixels = CAMERA.project(CAMERA.rays() * 2.5)
    x, y = np.meshgrid(np.arange(640), np.arange(480))
    np.testing.assert_allclose(pixels, np.stack([x, y], -1), atol=2e-3)


def test_mapping_commutes_with_projection():
    """A point projected into the small image is where its pixel of the large image goes."""
    points = np.random.default_rng(0).uniform([-1, -1, 1], [1, 1, 4], (50, 3))
    direct = MAPPING.to_output(CAMERA).project(points)
    np.testing.assert_allclose(direct, MAPPING.points_to_output(CAMERA.project(points)), atol=1e-9)


def test_mapping_there_and_back():
    found = MAPPING.to_input(MAPPING.to_output(CAMERA))
    np.testing.assert_allclose(astuple(found), astuple(CAMERA))
    pixels = np.random.default_rng(0).uniform(0, 400, (9, 2))
    back = MAPPING.points_to_input(MAPPING.points_to_output(pixels))
    np.testing.assert_allclose(back, pixels, atol=1e-9)


def test_image_corners_map_to_corners():
    """Pixel edges, not centres, are what scaling keeps."""
    whole = ImageMapping(640, 480, 96, 72, 0.15, 0.15, 0, 0)
    np.testing.assert_allclose(whole.points_to_output(np.array([-0.5, -0.5])), [-0.5, -0.5])
    np.testing.assert_allclose(whole.points_to_output(np.array([639.5, 479.5])), [95.5, 71.5])


@pytest.mark.parametrize('focal', [40.0, 83.7, 300.0])
def test_focal_of_an_exact_pinhole(focal):
    camera = Intrinsics.centred(96, 72, focal)
    depth = np.random.default_rng(1).uniform(0.5, 5, (72, 96, 1)).astype(np.float32)
    found = focal_from_points(torch.from_numpy(camera.rays() * depth)[None])
    assert float(found) == pytest.approx(focal, rel=1e-5)


def test_focal_is_robust_and_batched():
    camera = Intrinsics.centred(96, 72, 80.0)
    points = torch.from_numpy(camera.rays()).repeat(2, 1, 1, 1)
    points[1, :20, :, 2] *= 3  # a fifth of the rays point elsewhere
    points[1, 40, 40] = 0  # and one has no direction
    found = focal_from_points(points)
    torch.testing.assert_close(found, torch.tensor([80.0, 80.0]), rtol=2e-2, atol=0)


def test_the_focal_length_of_a_pinhole_is_told_by_one_pixel():
    camera = Intrinsics.centred(32, 24, 27.5)
    depth = np.random.default_rng(3).uniform(1, 9, (24, 32, 1)).astype(np.float32)
    points = torch.from_numpy(camera.rays() * depth)[None]
    assert focal_from_corner(points).item() == pytest.approx(27.5, rel=1e-6)
    assert focal_from_points(points).item() == pytest.approx(27.5, rel=1e-5)


@pytest.mark.parametrize(
    ('size', 'same'),
    [
        ((640, 480), True),
        ((320, 240), True),
        ((1279, 959), True),
        ((53, 40), True),  # 53.3 x 40
        ((640, 479), False),
        ((480, 640), False),
        ((480, 480), False),
        ((1280, 720), False),
    ],
)
def test_the_shape_of_images_outlives_scaling_alone(size, same):
    one, other = Intrinsics.centred(640, 480, 500.0), Intrinsics.centred(*size, 500.0)
    assert one.has_shape_of(other) == other.has_shape_of(one) == same


def test_the_memory_of_the_focal_length_follows_scaling_but_no_other_shape():
    memory = FocalMemory()
    unknown = Intrinsics.centred(64, 48, 40.0)
    assert memory.smooth(unknown, learn=False) == unknown
    assert memory.spread == 0.0
    for focal in (500.0, 550.0, 600.0):
        smooth = memory.smooth(Intrinsics.centred(640, 480, focal), learn=True)
    assert smooth.fx == pytest.approx(550.0)
    spread = memory.spread
    assert spread > 0.05
    half = Intrinsics.centred(320, 240, 100.0)
    assert memory.smooth(half, learn=False).fx == pytest.approx(275.0)
    portrait = Intrinsics.centred(480, 640, 700.0)
    assert memory.smooth(portrait, learn=False) == portrait
    assert memory.spread == spread  # what does not count changes nothing
    assert memory.smooth(portrait, learn=True).fx == pytest.approx(700.0)
    assert memory.spread == 0.0


@pytest.mark.parametrize('learn', [False, True])
def test_an_estimated_camera_has_square_pixels_and_its_middle_in_the_middle(learn):
    """However its images were stretched, and cropped by more on one side than on the other."""
    seen = ImageMapping(440, 480, 56, 64, 56 / 440, 64 / 480, 1, 0)
    camera = seen.to_input(Intrinsics.centred(56, 64, 70.0))
    assert camera.fx > 1.02 * camera.fy
    smooth = FocalMemory().smooth(camera, learn=learn)
    assert smooth.fx == smooth.fy == pytest.approx(np.sqrt(camera.fx * camera.fy))
    assert (smooth.cx, smooth.cy) == (219.5, 239.5)
