import math

import pytest

from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.node.focal import IntrinsicsSmoother


def test_one_wild_estimate_does_not_move_the_camera():
    smoother = IntrinsicsSmoother()
    for focal in (100, 101, 99, 100, 900):
        camera = smoother.update(Intrinsics.centred(64, 48, focal))
    assert camera.fx == 100
    assert 0 < smoother.spread < 0.05


def test_another_image_size_starts_anew():
    smoother = IntrinsicsSmoother()
    smoother.update(Intrinsics.centred(64, 48, 100))
    camera = smoother.update(Intrinsics.centred(128, 96, 200))
    assert (camera.width, camera.fx, camera.cx) == (128, 200, 63.5)
    assert smoother.spread == 0


def test_spread_before_the_first_frame_is_unknown():
    smoother = IntrinsicsSmoother()
    assert math.isnan(smoother.spread)
    smoother.update(Intrinsics.centred(64, 48, 100))
    smoother.clear()
    assert math.isnan(smoother.spread)
    assert smoother.update(Intrinsics.centred(64, 48, 50)).fx == pytest.approx(50)
