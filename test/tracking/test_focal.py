"""The focal length of a camera that nobody calibrated."""

from functools import partial
from itertools import pairwise
from unittest.mock import DEFAULT, Mock

import numpy as np
import pytest
from room import CAMERA, feed, handheld, render
from scipy.spatial.transform import Rotation

from ttt3r_ros.tracking import focal, vanishing
from ttt3r_ros.tracking.pnp import PnpTracker, TrackerConfig
from ttt3r_ros.tracking.vanishing import LOG_FOCALS, VanishingEstimate

FRAMES = 60


def looking_around(count: int, turn: float) -> np.ndarray:
    """Return poses of a camera that moves and looks about by so many radians [count, 4, 4]."""
    poses = handheld(count)
    for k in range(count):
        angles = turn * np.sin([0.11 * k, 0.07 * k, 0.0])
        poses[k, :3, :3] = Rotation.from_rotvec(angles[[1, 0, 2]]).as_matrix()
    return poses


def ends(turn: float, guess: float) -> list[float]:
    """Return the focal lengths that come out, as parts of the true one."""
    track = PnpTracker(TrackerConfig(rolling_shutter=0.0, features=250))
    frames = [render(pose) for pose in looking_around(FRAMES, turn)]
    return [guess * feed(track, image, depth, guess=guess).focal_scale for image, depth in frames]


@pytest.mark.parametrize('guess', [0.82, 1.22])
def test_turning_tells_the_focal_length(guess):
    found = ends(0.35, guess)
    assert found[0] == pytest.approx(guess, rel=0.06)  # walls at no right angles say little
    assert found[-1] == pytest.approx(1.0, abs=0.07)
    assert max(abs(np.log(b / a)) for a, b in pairwise(found)) < 0.2


@pytest.mark.parametrize('guess', [0.7, 1.5])
def test_a_focal_length_that_is_far_off_is_found(guess):
    assert ends(0.35, guess)[-1] == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize('wrong', [0.75, 1.3])
def test_turning_overrules_lines_at_other_than_right_angles(wrong, monkeypatch):
    true = np.log(CAMERA.fx / CAMERA.width)

    def look_in_parts(self, _gray):
        yield
        self.images += 1  # as clear a peak as in a room whose lines are right
        self._mean = 0.3 * np.exp(-0.5 * ((LOG_FOCALS - true - np.log(wrong)) / 0.08) ** 2)

    monkeypatch.setattr(VanishingEstimate, 'look_in_parts', look_in_parts)
    found = ends(0.35, 1.1)
    assert found[0] == pytest.approx(wrong, rel=0.06)
    assert found[-1] == pytest.approx(1.0, abs=0.06)


def tell(done, name, *_):
    """Note a call; what it wraps goes on."""
    done.append(name)
    return DEFAULT


def test_what_can_wait_takes_one_part_an_image_however_often_one_finishes(monkeypatch):
    """So views are the same, and no image pays for another's part."""
    done = []
    for module, name in ((focal, '_cost'), (vanishing, 'segments'), (vanishing, 'explained')):
        counted = Mock(wraps=getattr(module, name), side_effect=partial(tell, done, name))
        monkeypatch.setattr(module, name, counted)
    frames = [render(pose) for pose in looking_around(FRAMES, 0.35)]
    runs = []
    for times in (0, 1, 4):
        track, found, parts = PnpTracker(TrackerConfig(features=250)), [], []
        for image, depth in frames:
            done.clear()
            found.append(feed(track, image, depth, guess=0.82).focal_scale)
            for _ in range(times):
                track.finish()
            parts.append(tuple(done))
        runs.append(found)
        late = parts[30:]
        assert late.count(('_cost',)) >= 6  # two comparisons
        assert late.count(('segments',)) == 1
        assert late.count(('explained',)) == 2
        assert max(len(some) for some in late) == 1
    assert runs[0] == runs[1] == runs[2]


def test_where_every_image_is_a_keyframe_what_waits_is_done_too(monkeypatch):
    parts, original = [], focal._cost
    monkeypatch.setattr(focal, '_cost', lambda *args: (parts.append(0), original(*args))[1])
    track, counts = PnpTracker(TrackerConfig(features=250, keyframe_interval=1)), []
    for pose in looking_around(40, 0.35):
        parts.clear()
        feed(track, *render(pose), guess=0.82)
        counts.append(len(parts))
    assert counts[20:].count(1) >= 9
    assert max(counts[20:]) <= 2  # what the next comparison finds undone is done at once


def test_without_turning_the_guess_stays():
    assert ends(0.0, 1.1)[-1] == pytest.approx(1.1, abs=0.08)


def test_a_calibrated_camera_is_left_alone():
    assert ends(0.35, 1.0) == [1.0] * FRAMES
