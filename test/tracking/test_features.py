"""Corners and flow."""

import cv2
import numpy as np
import pytest

from ttt3r_ros.tracking.exposure import Exposure
from ttt3r_ros.tracking.features import detect, follow, sharpness

NONE = np.zeros((0, 2), np.float32)


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    noise = rng.uniform(0, 255, (60, 80)).astype(np.float32)
    return (
        cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    )


def test_corners_are_spread_over_the_image(picture):
    corners = detect(picture, NONE, 200)
    assert len(corners) > 150
    cells, _, _ = np.histogram2d(*corners.T, bins=(4, 3), range=((0, 320), (0, 240)))
    assert cells.min() >= 5


def test_new_corners_keep_away_from_those_taken(picture):
    taken = detect(picture, NONE, 60)
    fresh = detect(picture, taken, 100)
    distance = np.linalg.norm(fresh[:, None] - taken[None], axis=-1)
    assert len(fresh) > 20
    assert distance.min() > 5


def test_corners_are_closer_together_where_most_of_the_image_is_plain(picture):
    plain = np.full_like(picture, 120)
    plain[:, 240:] = picture[:, 240:]
    corners = detect(plain, NONE, 200)
    assert 90 < len(corners) <= 200
    assert corners[:, 0].min() > 230
    assert len(detect(plain, corners, 100)) < 40


def test_nothing_is_found_in_an_even_image():
    assert len(detect(np.full((240, 320), 90, np.uint8), NONE, 100)) == 0


def test_a_shift_is_followed_and_what_leaves_is_not(picture):
    shift = np.array([7.5, -4.25], np.float32)
    moved = cv2.warpAffine(picture, np.array([[1, 0, shift[0]], [0, 1, shift[1]]]), (320, 240))
    corners = detect(picture, NONE, 150)
    there, good, clear = follow(picture, moved, corners, corners)
    assert clear[good].mean() > 0.95
    stays = ((corners + shift > 20) & (corners + shift < [300, 220])).all(axis=1)
    assert good[stays].mean() > 0.95
    error = np.abs(there[good] - corners[good] - shift).max(axis=1)
    assert np.median(error) < 0.05
    assert error.max() < 0.6
    gone = ((corners + shift)[:, 0] > 320) | ((corners + shift)[:, 1] < 0)
    assert not good[gone].any()


@pytest.mark.parametrize('gain', [0.4, 0.8, 0.97, 1.1, 1.8])
@pytest.mark.parametrize('off', [0.0, 6.0])
def test_points_are_found_where_the_light_changes(picture, gain, off):
    shift = np.array([6.5, -4.25], np.float32)
    picture = (0.5 * picture).astype(np.uint8)
    moved = cv2.warpAffine(picture, np.array([[1, 0, shift[0]], [0, 1, shift[1]]]), (320, 240))
    lit = (gain * moved).astype(np.uint8)
    corners = detect(picture, NONE, 150)
    guess = corners + shift + np.float32(off)
    _, in_same_light, _ = follow(picture, moved, corners, guess)
    there, good, clear = follow(picture, lit, corners, guess)
    assert good.sum() > 0.95 * in_same_light.sum()
    assert clear[good].mean() > 0.95
    assert np.median(np.abs(there[good] - corners[good] - shift).max(axis=1)) < 0.06


def test_an_image_in_the_same_light_stays_as_it_is(picture):
    moved = np.roll(picture, 6, axis=1)
    corners = detect(picture, NONE, 150)
    exposure = Exposure(picture, moved)
    assert exposure.guess(corners, corners) is picture
    assert exposure.correct(corners, corners + np.float32([6, 0])) is None


def test_what_enters_an_image_is_no_change_of_light(picture):
    corners = detect(picture, NONE, 150)
    entered = picture.copy()
    entered[:, :120] = 20
    there, good, _ = follow(picture, entered, corners, corners)
    stays = corners[:, 0] > 140
    assert good[stays].mean() > 0.95
    assert np.abs(there[stays & good] - corners[stays & good]).max() < 0.05


@pytest.mark.parametrize('noise', [0.6, 2.0, 6.0])
def test_noise_on_walls_and_along_edges_is_not_clear(noise):
    rng = np.random.default_rng(4)
    wall = np.full((240, 320), 120.0)
    wall[:, 160:] -= np.linspace(0, 20, 160)
    wall[100:104] -= 30.0
    corner = wall.copy()
    corner[104:, :40] += 40.0  # ends of the edge, and one more

    def noisy(scene):
        return np.clip(scene + noise * rng.normal(size=scene.shape), 0, 255).astype(np.uint8)

    corners = detect(noisy(wall), NONE, 150)
    assert len(corners) > 50
    before, after = noisy(corner), noisy(corner)
    _, good, clear = follow(before, after, corners, corners)
    at_corner = np.abs(corners - [40, 104]).max(axis=1) < 6
    assert (good & clear & ~at_corner).sum() < 0.03 * len(corners)
    place = np.array([[40.0, 104.0]], np.float32)
    pixels = np.concatenate([corners, place])
    _, _, clear = follow(before, after, pixels, pixels)
    assert clear[-1]


def test_without_noise_weak_corners_are_clear(picture):
    weak = (120 + 0.08 * (picture.astype(np.float32) - 120)).astype(np.uint8)
    corners = detect(weak, NONE, 150)
    _, good, clear = follow(weak, weak, corners, corners)
    assert (good & clear).mean() > 0.9


def test_blur_is_less_sharp(picture):
    assert sharpness(cv2.GaussianBlur(picture, (0, 0), 4)) < 0.3 * sharpness(picture)


def test_a_plain_wall_is_no_blur(picture):
    plain = np.full_like(picture, 120)
    plain[:, 240:] = picture[:, 240:]
    assert sharpness(plain) > 0.5 * sharpness(picture)
    assert sharpness(cv2.GaussianBlur(plain, (0, 0), 4)) < 0.3 * sharpness(picture)
