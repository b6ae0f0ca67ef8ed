"""A textured corner of a room, rendered exactly, and a tracker fed with it."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from ttt3r_ros.geometry.camera import ImageMapping, Intrinsics
from ttt3r_ros.geometry.se3 import Transform
from ttt3r_ros.tracking.pnp import PnpTracker, TrackedPose

WIDTH, HEIGHT = 320, 240
CAMERA = Intrinsics.centred(WIDTH, HEIGHT, 280.0)
MAPPING = ImageMapping(WIDTH, HEIGHT, 80, 60, 0.25, 0.25, 0, 0)
# Planes normal . x = distance: back, left and right walls, floor, and a board in front of them.
PLANES = (
    (np.array([0.1, 0.0, 1.0]), 3.0),
    (np.array([1.0, 0.0, 0.3]), -1.0),
    (np.array([1.0, 0.0, -0.4]), 0.8),
    (np.array([0.0, 1.0, -0.1]), 0.7),
)


@cache
def texture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.uniform(0, 255, (128, 128)), (1024, 1024), interpolation=1)
    fine = cv2.resize(rng.uniform(0, 255, (512, 512)), (1024, 1024), interpolation=1)
    return (0.6 * coarse + 0.4 * fine).astype(np.float32)


def render(
    T_world_camera: Transform, seed: int = 0, camera: Intrinsics = CAMERA
) -> tuple[np.ndarray, np.ndarray]:
    """
    Return the picture [H, W, 3] and depth [H, W] from a place in the room.

    :param T_world_camera: of all rows [4, 4], or of each [H, 4, 4]
    """
    of_rows = np.broadcast_to(T_world_camera, (camera.height, 4, 4))
    rays = np.einsum('hij,hwj->hwi', of_rows[:, :3, :3], camera.rays().astype(np.float64))
    origin = of_rows[:, None, :3, 3]
    depth = np.full(rays.shape[:2], np.inf)
    gray = np.zeros(rays.shape[:2], np.float32)
    for index, (normal, distance) in enumerate(PLANES):
        with np.errstate(divide='ignore'):
            along = (distance - origin @ normal) / (rays @ normal)
        nearer = (along > 0.1) & (along < depth)
        place = origin + np.where(nearer, along, 1.0)[..., None] * rays
        across = np.linalg.svd(normal[None])[2][1:]
        u, v = np.moveaxis((place @ across.T * 200.0) % 1023, -1, 0).astype(np.float32)
        shade = cv2.remap(texture(10 * seed + index), u, v, cv2.INTER_LINEAR)
        gray[nearer], depth[nearer] = shade[nearer], along[nearer]
    return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=2), depth.astype(np.float32)


def handheld(count: int) -> np.ndarray:
    """Return poses of a camera that moves sideways and turns a little [count, 4, 4]."""
    poses = np.tile(np.eye(4), (count, 1, 1))
    for k in range(count):
        poses[k, :3, :3] = Rotation.from_rotvec([0.002 * k, -0.004 * k, 0.001 * k]).as_matrix()
        poses[k, :3, 3] = [0.015 * k, 0.03 * np.sin(0.2 * k), 0.008 * k]
    return poses


def small_points(depth: np.ndarray) -> np.ndarray:
    """Return the pointmap that a perfect network would give [60, 80, 3]."""
    small = cv2.resize(depth, (MAPPING.width, MAPPING.height), interpolation=cv2.INTER_AREA)
    return MAPPING.to_output(CAMERA).rays() * small[..., None]


def feed(
    tracker: PnpTracker,
    image: np.ndarray,
    depth: np.ndarray,
    network_pose: Transform | None = None,
    *,
    guess: float = 1.0,
) -> TrackedPose:
    """Add a frame; with a guess other than 1, the camera is not known but by so much wrong."""
    points = small_points(depth)
    confidence = np.ones(points.shape[:2], np.float32)
    pose = np.eye(4) if network_pose is None else network_pose
    return tracker.add(
        image, points, confidence, MAPPING, CAMERA.zoomed(guess), pose, calibrated=guess == 1.0
    )
