from dataclasses import replace

import numpy as np
from PIL import Image
import pytest

from ttt3r_ros.cli.picture import SeenMap, ShownFrame, draw_summary


def frame(index, true_depth=True):
    depth = np.linspace(1, 3, 48, dtype=np.float32).reshape(6, 8)
    depth[0, 0] = np.nan
    image = np.full((30, 40, 3), 90, np.uint8)
    return ShownFrame(index, image, depth, depth + 1, depth if true_depth else None)


def seen(points=50, step=0.5, truth=True):
    random = np.random.default_rng(0)
    poses = np.tile(np.eye(4), (5, 1, 1))
    poses[:, 0, 3] = step * np.arange(5)
    true_positions = poses[:, :3, 3] + 0.01
    true_positions[2] = np.nan
    cloud = random.normal(size=(points, 3)).astype(np.float32)
    colors = np.zeros((points, 3), np.uint8)
    return SeenMap(cloud, colors, poses, true_positions if truth else None)


def drawn(path, *arguments):
    draw_summary(path, *arguments)
    with Image.open(path) as picture:
        return np.asarray(picture.convert('RGB')).astype(int)


@pytest.mark.parametrize(
    ('frames', 'map_seen'),
    [
        ([frame(0), frame(3), frame(9)], seen()),
        ([frame(0, true_depth=False)], seen(truth=False)),
        ([frame(0)], seen(points=0)),
        ([frame(0)], seen(step=0.0)),
        ([frame(0), frame(1, true_depth=False)], seen(step=1e-4)),
    ],
)
def test_whatever_there_is_can_be_drawn(tmp_path, frames, map_seen):
    picture = drawn(tmp_path / 'p.png', 'title', 'figures', frames, map_seen)
    assert min(picture.shape[:2]) >= 600
    assert np.ptp(picture) == 255


def test_truth_gets_a_row_and_a_line_of_its_own(tmp_path):
    with_truth = drawn(tmp_path / 'a.png', 't', 'f', [frame(0)], seen())
    without = drawn(tmp_path / 'b.png', 't', 'f', [frame(0, true_depth=False)], seen(truth=False))
    assert with_truth.shape[0] > without.shape[0]


def test_the_estimated_way_is_drawn_in_its_colour(tmp_path):
    picture = drawn(tmp_path / 'p.png', 't', 'f', [frame(0)], seen())
    assert (np.abs(picture - [0xD6, 0x00, 0x6E]).max(axis=-1) < 12).sum() > 100


def test_photographs_are_not_joined_by_a_line(tmp_path):
    def pink(ordered):
        map_seen = replace(seen(points=0, truth=False), ordered=ordered)
        picture = drawn(tmp_path / 'p.png', 't', 'f', [frame(0)], map_seen)
        return (np.abs(picture - [0xD6, 0x00, 0x6E]).max(axis=-1) < 12).any(axis=0).sum()

    assert pink(ordered=False) < 0.5 * pink(ordered=True)


def test_a_name_with_dollars_is_no_formula(tmp_path):
    assert drawn(tmp_path / 'p.png', 'a$_{$', 'f', [frame(0)], seen()).any()


def test_many_lines_of_results_move_the_images_down(tmp_path):
    def first_row_of_image(lines):
        picture = drawn(tmp_path / 'p.png', 't', '\n'.join(lines), [frame(0)], seen())
        return (picture == 90).all(axis=-1).sum(axis=1).argmax()

    places = [first_row_of_image(['f'] * count) for count in (1, 3, 5)]
    assert places[0] == places[1] == places[2] - 44  # 0.4 inches of 110 pixels


def test_a_colour_bar_beside_low_images_has_room_for_its_numbers(tmp_path):
    low = np.full((1, 8), 2.0, np.float32)
    flat = replace(frame(0, true_depth=False), depth=low, confidence=low)
    picture = drawn(tmp_path / 'p.png', 't', 'f', [flat], seen(points=0, truth=False))
    far, middle = [122, 4, 3], [164, 252, 60]  # of the bar; the image has the nearest colour
    rows = [
        (np.abs(picture - rgb).max(axis=-1) < 20).any(axis=1).argmax() for rgb in (far, middle)
    ]
    assert rows[1] - rows[0] > 60


def test_nothing_covers_the_end_of_an_enlarged_way(tmp_path):
    poses = np.tile(np.eye(4), (5, 1, 1))
    poses[:, 2, 3] = 0.01 * np.arange(5)  # straight ahead, which is up the page
    map_seen = replace(seen(truth=False), T_world_camera=poses)
    picture = drawn(tmp_path / 'p.png', 't', 'f', [frame(0, true_depth=False)], map_seen)
    left = picture[:, picture.shape[1] * 2 // 5 : picture.shape[1] * 3 // 5]
    assert (left[..., 0] - left[..., 1] > 60).any(axis=1).sum() > 140
