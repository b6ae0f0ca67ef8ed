import numpy as np
import pytest
import torch

from ttt3r_ros.errors import ImageError
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.preprocess import fit_image, plan_fit, to_tensor

LARGE, SQUARE, SMALL = (PRESETS[name] for name in ('cut3r_512_dpt', 'cut3r_224_linear', 'small'))


@pytest.mark.parametrize(
    ('config', 'size', 'wanted'),
    [
        (LARGE, (640, 480), (512, 384)),
        (LARGE, (1920, 1080), (512, 288)),
        (LARGE, (480, 640), (384, 512)),
        (LARGE, (600, 600), (512, 384)),  # squares are cropped to 4:3
        (LARGE, (320, 200), (512, 320)),  # grown
        (LARGE, (1242, 375), (512, 144)),
        (SQUARE, (640, 480), (224, 224)),
        (SQUARE, (100, 300), (224, 224)),
        (SMALL, (640, 480), (64, 48)),
        (SMALL, (1280, 720), (64, 32)),
        (SMALL, (8, 8), (64, 48)),
    ],
)
def test_sizes(config, size, wanted):
    image = np.zeros((size[1], size[0], 3), np.uint8)
    small, mapping, detailed = fit_image(image, config)
    assert (small.shape[1], small.shape[0]) == wanted == (mapping.width, mapping.height)
    assert detailed.shape[:2] == tuple(config.detail * side for side in small.shape[:2])
    stretched, stretch, _ = fit_image(image, config, crop=False)
    assert stretched.shape[0] % config.patch_size == 0
    assert (stretch.offset_x, stretch.offset_y) == (0, 0)
    assert stretch.scale_x * size[0] == pytest.approx(stretched.shape[1])
    assert stretch.scale_y * size[1] == pytest.approx(stretched.shape[0])


@pytest.mark.parametrize('config', [LARGE, SQUARE, SMALL])
@pytest.mark.parametrize('size', [(640, 480), (641, 479), (300, 900), (777, 777), (64, 48)])
def test_pixels_are_where_the_mapping_says(config, size):
    """A smooth pattern of the input, looked up through the mapping, is the output."""
    width, height = size
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    pattern = np.stack([255 * x / width, 255 * y / height, 0 * x], -1)
    fitted = fit_image(pattern.round().astype(np.uint8), config)
    for image, mapping in (
        (fitted.image, fitted.mapping),
        (fitted.detailed, fitted.mapping.enlarged(config.detail)),
    ):
        column, row = np.meshgrid(np.arange(mapping.width), np.arange(mapping.height))
        source = mapping.points_to_input(np.stack([column, row], -1))
        wanted = source / [width, height] * 255
        inside = (wanted > 4) & (wanted < 250)
        error = np.abs(image[..., :2].astype(float) - wanted)[inside]
        assert error.max() < 2.5
        assert error.mean() < 0.6


def test_crop_is_in_the_middle():
    mapping = plan_fit(1242, 375, LARGE)
    assert (mapping.offset_x, mapping.offset_y) == (0, (155 - 144) // 2)


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 10, 3), np.uint8),
        np.zeros((10000, 1, 3), np.uint8),
        np.zeros((7, 10, 3), np.uint8),
        [[[0, 0, 0]]],
        None,
    ],
)
def test_what_is_no_image(image):
    with pytest.raises(ImageError):
        fit_image(image, SMALL)


def test_range_of_the_tensor():
    image = np.zeros((2, 3, 3), np.uint8)
    image[0, 1] = (255, 0, 127)
    tensor = to_tensor([image, image], torch.device('cpu'), torch.float32)
    assert tensor.shape == (2, 3, 2, 3)
    torch.testing.assert_close(tensor[1, :, 0, 1], torch.tensor([1.0, -1.0, -0.00392157]))
