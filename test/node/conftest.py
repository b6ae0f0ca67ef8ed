"""A stand-in for the network, so that the node's tests take no time, and ROS for one test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import rclpy
from rclpy.context import Context

from ttt3r_ros.geometry.camera import ImageMapping, Intrinsics
from ttt3r_ros.reconstructor import ReconstructorConfig
from ttt3r_ros.view import Health, Tracking, View

HEIGHT, WIDTH = 12, 16


@pytest.fixture
def context() -> Iterator[Context]:
    """Return a context of the test's own."""
    own = Context()
    rclpy.init(context=own)
    yield own
    rclpy.try_shutdown(context=own)


def make_view(
    *,
    index: int = 0,
    pose: np.ndarray | None = None,
    confidence: float = 2.0,
    depth: float = 2.0,
    tracking: Tracking | None = None,
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> View:
    """Return what the network could say of a wall straight ahead."""
    height, width = size
    camera = Intrinsics.centred(width, height, 20.0)
    return View(
        index=index,
        T_world_camera=np.eye(4) if pose is None else pose,
        points=camera.rays() * np.float32(depth),
        confidence=np.full(size, confidence, np.float32),
        image=np.full((*size, 3), 100, np.uint8),
        intrinsics=camera,
        input_intrinsics=camera,
        focal_spread=0.01,
        mapping=ImageMapping(width, height, width, height, 1.0, 1.0, 0, 0),
        tracking=tracking or Tracking(status='network'),
        health=Health(gain=0.5, change=0.1, drift=0.2),
    )


class FakeReconstructor:
    """Moves 10 cm ahead with every image; remembers what it was asked."""

    device = 'cpu'

    def __init__(self, config: ReconstructorConfig | None = None) -> None:
        self.config = config or ReconstructorConfig()
        self.index = 0
        self.resets = 0
        self.images: list[np.ndarray] = []
        self.cameras: list[Intrinsics | None] = []

    def reset(self) -> None:
        self.index = 0
        self.resets += 1

    def change(self, **changes) -> None:
        self.config = replace(self.config, **changes)

    def add(self, image, *, camera=None, update=True, world=False) -> View:  # noqa: ARG002
        self.images.append(image)
        self.cameras.append(camera)
        pose = np.eye(4)
        pose[2, 3] = 0.1 * self.index
        self.index += 1
        return make_view(index=self.index - 1, pose=pose, size=image.shape[:2])


@pytest.fixture
def fake_view():
    return make_view
