"""Small images, depth maps and poses that can be told apart."""

import numpy as np
from PIL import Image

from ttt3r_ros.geometry.se3 import from_translation_quat


def gradient(seed, width=40, height=30):
    """Return a smooth image, so that lossy compression keeps it."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    channels = [255 * x, 255 * y, np.full_like(x, 20 * seed % 256)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def depth_map(seed, width=40, height=30):
    depth = np.full((height, width), 1.0 + 0.25 * seed, np.float32)
    depth[:5] = np.nan
    return depth


def pose(seed):
    return from_translation_quat([0.1 * seed, 0.2, -0.3], [1.0, 0.02 * seed, 0.0, 0.1])


def save_png(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path
