from dataclasses import replace

import numpy as np
import pytest

from ttt3r_ros.geometry.camera import ImageMapping, Intrinsics
from ttt3r_ros.view import Health, Tracking, View

DEPTHS = [np.nan, np.inf, -1.0, 0.0, 1.0, 5.0]


@pytest.fixture
def view() -> View:
    """Return a view of one row, whose pixels have the `DEPTHS` and confidences from 1 up."""
    points = np.ones((1, 6, 3), np.float32)
    points[0, :, 2] = DEPTHS
    camera = Intrinsics.centred(6, 1, 5.0)
    return View(
        index=0,
        T_world_camera=np.eye(4),
        points=points,
        confidence=np.arange(1, 7, dtype=np.float32)[None],
        image=np.zeros((1, 6, 3), np.uint8),
        intrinsics=camera,
        input_intrinsics=camera,
        focal_spread=0.0,
        mapping=ImageMapping(6, 1, 6, 1, 1.0, 1.0, 0, 0),
        tracking=Tracking(status='tracked'),
        health=Health(gain=1.0, change=0.0, drift=0.0),
    )


def usable(view: View, min_confidence: float = 1.0, max_depth: float = 0.0) -> list[float]:
    kept = view.usable(min_confidence=min_confidence, max_depth=max_depth)
    assert kept.shape == view.depth.shape
    return view.depth[kept].tolist()


def test_points_in_front_are_usable_as_far_and_as_sure_as_is_asked(view):
    assert usable(view) == [1.0, 5.0]
    assert usable(view, max_depth=5.0) == [1.0, 5.0]
    assert usable(view, max_depth=4.9) == [1.0]
    assert usable(view, min_confidence=6.0) == [5.0]


def test_limits_beyond_all_numbers_of_single_precision_are_limits_as_well(view):
    assert usable(view, max_depth=1e300) == [1.0, 5.0]
    assert usable(view, min_confidence=1e300) == []


def test_a_point_that_is_not_finite_is_of_no_use(view):
    view.points[0, 4, 0] = np.nan
    assert usable(view) == [5.0]


def test_no_point_of_an_image_that_shows_nothing_is_usable(view):
    unseen = replace(view, tracking=Tracking(status='lost', unseen=True))
    assert usable(unseen) == []
    assert usable(replace(view, tracking=Tracking(status='lost'))) == [1.0, 5.0]
