"""Synthetic sequences: pictures with exact depth, poses and intrinsics, from a seed."""

from __future__ import annotations

from dataclasses import dataclass
import math
from random import Random

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.geometry.se3 import Transform, inverse
from ttt3r_ros.synthetic.arrays import SceneArrays
from ttt3r_ros.synthetic.atlas import Atlas, empty_atlas
from ttt3r_ros.synthetic.motion import Camera, FreeSpace, Mover, distance
from ttt3r_ros.synthetic.photometry import Photography
from ttt3r_ros.synthetic.renderer import render_view
from ttt3r_ros.synthetic.rooms import build_scene
from ttt3r_ros.synthetic.settings import SceneSettings


@dataclass(frozen=True)
class SyntheticSequence:
    """T frames of one camera; the world is the first frame's camera."""

    rgb: NDArray[np.uint8]  # [T, H, W, 3]
    depth: NDArray[np.float32]  # metres along the camera's axis [T, H, W]
    T_world_camera: NDArray[np.float64]  # OpenCV axes, metres [T, 4, 4]
    intrinsics: Intrinsics
    down: NDArray[np.float64] | None = None  # where gravity pulls, in the first camera [3]


_NEAREST = 0.25  # metres from a camera to what moves
_PUSHES = 12


class _MovingObjects:
    """Swings the moving objects about their places, out of the way of the camera."""

    def __init__(self, rng: Random, count: int) -> None:
        self._phase = np.array([[rng.uniform(0, 6.3) for _ in range(2)] for _ in range(count)])
        self._rate = np.array([[rng.uniform(0.02, 0.12) for _ in range(2)] for _ in range(count)])
        self._reach = np.array([[rng.uniform(0.1, 0.9) for _ in range(2)] for _ in range(count)])

    def centres(
        self, scene: SceneArrays, frame: int, camera: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """
        Return the centres of all primitives at a frame [N, 3].

        :param camera: where it is [3]
        """
        if len(self._phase) == 0:
            return scene.centre
        centre = scene.centre.copy()
        moving = scene.mover >= 0
        shift = self._reach * np.sin(self._phase + frame * self._rate)
        centre[moving, :2] += shift[scene.mover[moving]].astype(np.float32)
        for number in range(len(self._phase)):
            own = scene.mover == number
            centre[own, :2] += _out_of_the_way(camera, scene, centre, own)
        return centre


def _out_of_the_way(
    camera: NDArray[np.float64],
    scene: SceneArrays,
    centre: NDArray[np.float32],
    own: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Return by how much to push some primitives along the floor, away from the camera [2]."""
    away = centre[own, :2].mean(axis=0) - camera[:2]
    away /= max(float(np.linalg.norm(away)), 1e-6)
    push, rotation, half = np.zeros(3, np.float32), scene.rotation[own], scene.half[own]
    for _ in range(_PUSHES):
        gap = distance(camera, centre[own] + push, rotation, half)
        if gap >= _NEAREST:
            break
        push[:2] += (_NEAREST + 0.01 - gap) * away
    return push[:2]


def _pose(camera: Camera) -> Transform:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = camera.axes(), camera.position
    return pose


def _image_shift(before: Transform, after: Transform, focal: float) -> tuple[float, float]:
    """Estimate how far the middle of the image moved by rotation alone, pixels."""
    forward = after[:3, :3].T @ before[:3, 2]
    z = max(0.2, float(forward[2]))
    return focal * float(forward[0]) / z, focal * float(forward[1]) / z


class SceneCamera:
    """
    A scene that can be filmed again and again.

    :param seed: of everything random; see `train_seed` and `held_out_seed`
    :param settings: ranges, or None for the defaults
    :param atlas: photographic textures; without, pictures are the same on every machine
    """

    def __init__(
        self, seed: int, settings: SceneSettings | None = None, atlas: Atlas | None = None
    ) -> None:
        self._settings = settings or SceneSettings()
        self._rng = Random(seed)
        self._scene, movers, self._targets = build_scene(
            self._rng, atlas or empty_atlas(), self._settings.moving_objects
        )
        self._movers = _MovingObjects(self._rng, movers)
        self._space = FreeSpace(self._scene)

    def film(self, frames: int, width: int, height: int) -> SyntheticSequence:
        """
        Film a new sequence with a new camera on a new path.

        :param frames: how many
        :param width: of the pictures, pixels
        :raises ValueError: if a size is not positive
        """
        if frames < 1 or width < 1 or height < 1:
            raise ValueError(f'{frames} frames of {width}x{height} cannot be rendered')
        settings, rng = self._settings, self._rng
        fov = math.radians(rng.uniform(settings.fov_min, settings.fov_max))
        focal = 0.5 * max(width, height) / math.tan(fov / 2)
        mover = Mover(rng, self._space, self._scene.size, self._targets, settings)
        camera = (
            Photography.draw(rng, settings.overexposed)
            if settings.photometric
            else Photography.neutral()
        )
        rgb = np.empty((frames, height, width, 3), np.uint8)
        depth = np.empty((frames, height, width), np.float32)
        poses = np.empty((frames, 4, 4))
        for t in range(frames):
            if t:
                mover.advance()
            poses[t] = _pose(mover.camera)
            centre = self._movers.centres(self._scene, t, mover.camera.position)
            radiance = render_view(
                self._scene, centre, poses[t], focal, settings.supersampling, depth[t]
            )
            shift = _image_shift(poses[max(t - 1, 0)], poses[t], focal)
            rgb[t] = camera.picture(radiance, shift, rng.getrandbits(40))
        relative = inverse(poses[0]) @ poses
        intrinsics = Intrinsics.centred(width, height, focal)
        return SyntheticSequence(rgb, depth, relative, intrinsics, -poses[0, 2, :3])


def render_sequence(
    seed: int, frames: int, width: int, height: int, settings: SceneSettings | None = None
) -> SyntheticSequence:
    """
    Make one sequence.

    :param seed: of everything random; see `train_seed` and `held_out_seed`
    :param frames: how many
    :param width: of the pictures, pixels
    :param settings: ranges, or None for the defaults
    """
    return SceneCamera(seed, settings).film(frames, width, height)
