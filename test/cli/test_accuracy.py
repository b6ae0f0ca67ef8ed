import numpy as np
import pytest
from simulated import pose

from ttt3r_ros.cli.accuracy import Accuracy
from ttt3r_ros.geometry.se3 import from_translation_quat

MOVED = from_translation_quat([5.0, -1.0, 2.0], [0.8, 0.1, -0.3, 0.5])


def gathered(scale=0.5, unknown=()):
    accuracy = Accuracy()
    for index in range(6):
        estimate = pose(index)
        estimate[:3, 3] *= scale
        accuracy.add_pose(estimate, None if index in unknown else MOVED @ pose(index))
    return accuracy


def test_truth_is_moved_onto_the_estimate():
    positions = gathered(unknown={3}).true_positions()
    assert np.isnan(positions[3]).all()
    expected = np.array([0.5 * pose(i)[:3, 3] for i in range(6)])
    known = [0, 1, 2, 4, 5]
    np.testing.assert_allclose(positions[known], expected[known], atol=1e-9)


def test_frames_without_truth_do_not_count():
    for unknown in ((), {3}):
        expected = 'ATE 0.000 m after Sim(3) alignment (scale 2.00)'
        assert gathered(unknown=unknown).lines()[0].startswith(expected)


@pytest.mark.parametrize('known', [0, 2])
def test_too_little_truth_says_nothing(known):
    accuracy = gathered(unknown=set(range(known, 6)))
    assert accuracy.true_positions() is None
    assert accuracy.lines() == []


def test_depth_counts_where_both_are_known():
    accuracy = Accuracy()
    nan = np.nan
    accuracy.add_depth(np.array([[1.1, 2.2, nan, 9.0]]), np.array([[1.0, 2.0, 5.0, nan]]))
    accuracy.add_depth(np.full((1, 4), nan), np.ones((1, 4)))
    assert 'AbsRel 0.100 metric, 0.000 after' in accuracy.lines()[0]
