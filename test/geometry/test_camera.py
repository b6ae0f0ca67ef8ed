from dataclasses import astuple

import numpy as np
import pytest
import torch

from ttt3r_ros.geometry.camera import (
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
