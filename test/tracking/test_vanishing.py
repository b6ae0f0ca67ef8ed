"""The focal length from the straight lines of an image."""

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ttt3r_ros.tracking import vanishing
from ttt3r_ros.tracking.focal import FocalEstimate
from ttt3r_ros.tracking.vanishing import LOG_FOCALS, VanishingEstimate, explained, segments

WIDTH, HEIGHT = 640, 480
TURN = (0.3, 0.5, 0.1)  # radians about x, y, z, of the camera in front of the boxes


def draw(ends, focal, turn=TURN, size=(WIDTH, HEIGHT)):
    """Return a picture of segments in space [N, 2, 3], metres, by a camera of so many widths."""
    width, height = size
    picture = np.full((height, width), 180, np.uint8)
    rotation = Rotation.from_euler('xyz', turn).as_matrix()
    for segment in ends @ rotation.T:
        if segment[:, 2].min() < 0.2:
            continue
        pixels = focal * width * segment[:, :2] / segment[:, 2:] + [width / 2, height / 2]
        a, b = np.round(pixels * 16).astype(int)
        if np.abs(pixels).max() < 4000:
            cv2.line(picture, tuple(a), tuple(b), 60, 2, cv2.LINE_AA, shift=4)
    return picture


def boxes(count=12, seed=3):
    """Return the edges of boxes that all stand alike [N, 2, 3]."""
    rng = np.random.default_rng(seed)
    ends = []
    for _ in range(count):
        middle, size = rng.uniform([-2, -1.5, 2], [2, 1.5, 5]), rng.uniform(0.3, 1.0, 3)
        for axis in range(3):
            for sides in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
                signs = np.insert(np.array(sides, float), axis, 0.0)
                reach = np.eye(3)[axis] * size / 2
                corner = middle + signs * size / 2
                ends.append((corner - reach, corner + reach))
    return np.array(ends)


def sticks(count=150, seed=5):
    """Return segments in all directions [N, 2, 3]."""
    rng = np.random.default_rng(seed)
    middle = rng.uniform([-2, -1.5, 2], [2, 1.5, 5], (count, 3))
    direction = rng.normal(size=(count, 3))
    direction *= 0.4 / np.linalg.norm(direction, axis=1, keepdims=True)
    return np.stack([middle - direction, middle + direction], axis=1)


def looked_at(*pictures):
    estimate = VanishingEstimate()
    for picture in pictures:
        estimate.look(picture)
    return estimate


def peak(estimate):
    fine = np.arange(LOG_FOCALS[0], LOG_FOCALS[-1], 0.005)
    return float(np.exp(fine[np.argmax(estimate.log_likelihood(fine))]))


@pytest.mark.parametrize('focal', [0.45, 0.6, 0.82, 1.1])
def test_boxes_tell_the_focal_length(focal):
    estimate = looked_at(draw(boxes(), focal))
    assert np.log(peak(estimate) / focal) == pytest.approx(0.0, abs=0.06)
    far = estimate.log_likelihood(np.log([0.8 * focal, 1.25 * focal]))
    assert estimate.log_likelihood(np.log([focal]))[0] > far.max() + 4.5


@pytest.mark.parametrize('roll', [0.0, 0.8, np.pi / 2])
def test_it_does_not_matter_how_the_camera_is_held(roll):
    picture = draw(boxes(), 0.7, (TURN[0], TURN[1], roll))
    assert np.log(peak(looked_at(picture)) / 0.7) == pytest.approx(0.0, abs=0.06)


def test_it_does_not_matter_how_large_the_image_is():
    picture = draw(boxes(), 0.7, size=(320, 240))
    assert np.log(peak(looked_at(picture)) / 0.7) == pytest.approx(0.0, abs=0.08)


def test_sticks_in_all_directions_say_little():
    def spread(ends):
        return np.ptp(looked_at(draw(ends, 0.7)).score)

    assert spread(sticks()) < 0.25 * spread(boxes())


def test_a_wall_seen_straight_on_says_nothing_between_usual_focal_lengths():
    wall = boxes()
    wall[..., 2] = 3.0
    likelihood = looked_at(draw(wall, 0.7, (0.0, 0.0, 0.2))).log_likelihood(LOG_FOCALS)
    assert np.ptp(likelihood) < 3


@pytest.mark.parametrize('shape', [(480, 640), (5, 7), (1, 1)])
def test_where_there_are_no_lines_nothing_is_said(shape):
    plain = np.full(shape, 90, np.uint8)
    assert len(segments(plain)) == 0
    assert np.ptp(looked_at(plain).log_likelihood(LOG_FOCALS)) == 0


def test_few_segments_say_nothing():
    ends = segments(draw(boxes(), 0.7))
    assert explained(ends[:7], WIDTH, HEIGHT) is None
    assert explained(ends, WIDTH, HEIGHT).shape == LOG_FOCALS.shape


def test_segments_that_are_all_the_same_are_no_error():
    same = np.tile([100.0, 100.0, 300.0, 120.0], (20, 1))
    assert np.isfinite(explained(same, WIDTH, HEIGHT)).all()


def test_what_is_explained_is_a_part():
    found = explained(segments(draw(boxes(), 0.7)), WIDTH, HEIGHT)
    assert found.min() >= 0
    assert 0.8 < found.max() <= 1


def test_the_same_image_says_the_same():
    picture = draw(boxes(), 0.6)
    likelihoods = [looked_at(picture).log_likelihood(LOG_FOCALS) for _ in range(2)]
    np.testing.assert_array_equal(*likelihoods)


def test_more_images_make_surer_but_not_much():
    picture = draw(boxes(), 0.6)
    once, often = (np.ptp(looked_at(*n * [picture]).score) for n in (1, 9))
    assert 1.3 * once < often < 1.8 * once


def test_images_without_lines_make_less_sure():
    picture, plain = draw(boxes(), 0.6), np.full((HEIGHT, WIDTH), 90, np.uint8)
    alone, mixed = looked_at(picture, picture), looked_at(picture, plain)
    assert np.ptp(mixed.score) == pytest.approx(0.5 * np.ptp(alone.score))


def test_what_lines_say_may_be_wrong():
    picture = draw(boxes(), 0.6)
    likelihood = looked_at(*9 * [picture]).log_likelihood(LOG_FOCALS)
    assert 4 < np.ptp(likelihood) < 8


def test_a_zoom_is_followed():
    before, after = draw(boxes(), 0.6), draw(boxes(), 0.9)
    estimate = looked_at(*15 * [before])
    assert np.log(peak(estimate) / 0.6) == pytest.approx(0.0, abs=0.06)
    for _ in range(15):
        estimate.look(after)
    assert np.log(peak(estimate) / 0.9) == pytest.approx(0.0, abs=0.06)


def test_lines_correct_the_focal_length_of_the_network():
    focal = FocalEstimate()
    assert not focal.has_looked
    assert focal.correct(np.log(0.9)) == pytest.approx(0.0, abs=1e-12)
    focal.look(draw(boxes(), 0.7))
    assert focal.has_looked
    for guess in (0.55, 0.7, 0.9):
        assert focal.correct(np.log(guess)) == pytest.approx(np.log(0.7 / guess), abs=0.06)


def test_without_lines_the_network_is_believed():
    focal = FocalEstimate()
    focal.look(np.full((HEIGHT, WIDTH), 90, np.uint8))
    assert focal.correct(np.log(0.9)) == pytest.approx(0.0, abs=1e-12)


def test_only_some_keyframes_are_looked_at_and_late_ones_in_parts(monkeypatch):
    seen = []
    monkeypatch.setattr(vanishing, 'segments', lambda gray: seen.append(gray[0, 0]) or [])
    focal = FocalEstimate()
    for number in range(1, 61):
        focal.look(np.full((4, 4), number, np.uint8))
        images = focal._lines.images
        for _ in range(3):
            assert focal._lines.images == images  # an image counts after its last part
            focal.proceed()
        assert focal._lines.images == len(seen)
    assert seen == [*range(1, 9), 20, 40, 60]


def test_an_image_says_the_same_in_parts():
    picture = draw(boxes(), 0.7)
    at_once, parted = VanishingEstimate(), VanishingEstimate()
    at_once.look(picture)
    assert len(list(parted.look_in_parts(picture))) == 2
    np.testing.assert_array_equal(parted.score, at_once.score)
    whole = explained(segments(picture), WIDTH, HEIGHT)
    np.testing.assert_allclose(at_once._mean, whole, rtol=1e-12)


def test_real_images_tell_their_focal_length(shared):
    paths = sorted((shared / 'data' / 'seven_scenes_seq').glob('*.color.jpg'))[::25]
    pictures = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths]
    assert peak(looked_at(*pictures)) * 640 == pytest.approx(525, rel=0.06)
