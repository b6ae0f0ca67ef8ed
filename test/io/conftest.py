from functools import partial

from made_up import depth_map, gradient, pose
import pytest

from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.io.frames import Frame, FrameList


@pytest.fixture
def recording():
    """Five frames with everything a recording may carry."""
    frames = [
        Frame(i, 100.0 + i / 8, partial(gradient, i), pose(i), partial(depth_map, i))
        for i in range(5)
    ]
    return FrameList('made up', frames, intrinsics=Intrinsics(40, 30, 35.0, 36.0, 19.0, 14.5))
