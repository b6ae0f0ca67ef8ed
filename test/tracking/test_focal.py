"""The focal length of a camera that nobody calibrated."""

from itertools import pairwise

import numpy as np
import pytest
from room import feed, handheld, render
from scipy.spatial.transform import Rotation

from ttt3r_ros.tracking.pnp import PnpTracker, TrackerConfig

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
    assert found[-1] == pytest.approx(1.0, abs=0.04)
    assert max(abs(np.log(b / a)) for a, b in pairwise(found)) < 0.2


@pytest.mark.parametrize('guess', [0.7, 1.5])
def test_a_focal_length_that_is_far_off_is_found(guess):
    assert ends(0.35, guess)[-1] == pytest.approx(1.0, abs=0.06)


def test_without_turning_the_guess_stays():
    assert ends(0.0, 1.1)[-1] == pytest.approx(1.1, abs=0.08)


def test_a_calibrated_camera_is_left_alone():
    assert ends(0.35, 1.0) == [1.0] * FRAMES
