"""
Camera motions through a scene, free of collisions.

World axes as in `arrays`; yaw 0 looks along +x; pitch is up.
"""

from __future__ import annotations

from dataclasses import dataclass
import math
from random import Random

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.synthetic import arrays as a
from ttt3r_ros.synthetic.builder import Vector
from ttt3r_ros.synthetic.settings import SceneSettings

_SHARES = {'handheld': 0.35, 'closeup': 0.35, 'planar': 0.14, 'stopgo': 0.08, 'rotation': 0.08}
_MEMORY = 0.85  # of the velocities, from frame to frame
_DRIVE = math.sqrt(1 - _MEMORY**2)


def distance(
    point: NDArray[np.float64],
    centre: NDArray[np.float32],
    rotation: NDArray[np.float32],
    half: NDArray[np.float32],
) -> float:
    """
    Return the distance from a point to the nearest of some boxes, metres; 0 inside.

    :param centre: of the boxes [N, 3]
    :param rotation: of the boxes [N, 3, 3]
    :param half: of their sides [N, 3]
    """
    local = np.einsum('nki,nk->ni', rotation, point.astype(np.float32) - centre)
    outside = np.maximum(np.abs(local) - half, 0.0)
    return float(np.sqrt((outside * outside).sum(1).min()))


class FreeSpace:
    """Tells where a camera may be."""

    def __init__(self, scene: a.SceneArrays) -> None:
        solid = (scene.kind != a.SHELL) & (scene.mover < 0)
        self._centre, self._half = scene.centre[solid], scene.half[solid]
        self._rotation, self._size = scene.rotation[solid], scene.size
        self._boxes = scene.kind[solid] == a.BOX

    def clearance(self, point: NDArray[np.float64]) -> float:
        """Return a lower bound of the distance to the nearest surface, metres; < 0 outside."""
        walls = min(float(point.min()), float((self._size - point).min()))
        if len(self._centre) == 0 or walls < 0:
            return walls
        return min(walls, distance(point, self._centre, self._rotation, self._half))


@dataclass
class Camera:
    """A camera's pose and velocities while it moves."""

    position: NDArray[np.float64]
    yaw: float
    pitch: float
    roll: float

    def axes(self) -> NDArray[np.float64]:
        """Return right, down and forward in the world, as columns [3, 3]."""
        cy, sy = math.cos(self.yaw), math.sin(self.yaw)
        cp, sp = math.cos(self.pitch), math.sin(self.pitch)
        cr, sr = math.cos(self.roll), math.sin(self.roll)
        right, down = np.array([sy, -cy, 0.0]), np.array([cy * sp, sy * sp, -cp])
        forward = np.array([cy * cp, sy * cp, sp])
        return np.stack([right * cr + down * sr, down * cr - right * sr, forward], axis=1)


def look_at(position: NDArray[np.float64], target: Vector) -> tuple[float, float]:
    """Return yaw and pitch that look from a position to a point."""
    dx, dy, dz = (target[i] - position[i] for i in range(3))
    return math.atan2(dy, dx), math.atan2(dz, math.hypot(dx, dy))


def _log_uniform(rng: Random, low: float, high: float) -> float:
    low = max(low, 1e-6)
    return math.exp(rng.uniform(math.log(low), math.log(max(high, low))))


class Mover:
    """
    Draws a start and then moves a camera frame by frame.

    :param rng: source of all randomness
    :param space: where the camera may be
    :param size: of the room, metres [3]
    :param targets: points worth looking at
    """

    def __init__(
        self, rng: Random, space: FreeSpace, size: NDArray[np.float32], targets: list[Vector],
        settings: SceneSettings,
    ) -> None:  # fmt: skip
        self.rng, self.space, self.size = rng, space, size
        kind = settings.motion
        if kind == 'mixed':
            kind = rng.choices(tuple(_SHARES), tuple(_SHARES.values()))[0]
        self.kind = kind
        self.tilted = settings.tilted
        self.turn = math.radians(_log_uniform(rng, settings.rotation_min, settings.rotation_max))
        self.speed = _log_uniform(rng, settings.translation_min, settings.translation_max)
        self.margin = 0.3 if kind != 'closeup' else 0.2
        self.target: Vector | None = None
        self.camera = self._start(targets)
        self.home = (self.camera.pitch, self.camera.roll)
        self.velocity = np.array([rng.gauss(0, self.speed) for _ in range(3)])
        if kind in ('planar', 'stopgo'):
            self.velocity[2] = 0.0
        self.spin = [rng.gauss(0, self.turn), 0.0, 0.0]
        self.moving = True

    def _start(self, targets: list[Vector]) -> Camera:
        planar = self.kind in ('planar', 'stopgo')
        best, best_score = None, -1e9
        for _ in range(30):
            camera = self._closeup(targets) if self.kind == 'closeup' and targets else None
            camera = camera or self._anywhere(targets, planar)
            clearance = self.space.clearance(camera.position)
            forward = camera.axes()[:, 2]
            ahead = min(self.space.clearance(camera.position + s * forward) for s in (0.3, 0.5))
            score = min(clearance, self.margin + 0.05) + 0.5 * min(ahead, 0.2)
            if score > best_score:
                best, best_score = camera, score
            if clearance > self.margin and ahead > 0.12:
                break
        assert best is not None
        return best

    def _anywhere(self, targets: list[Vector], planar: bool) -> Camera:
        rng, size = self.rng, self.size
        height = rng.uniform(0.25, 1.3) if planar else rng.uniform(0.9, 1.9)
        position = np.array(
            [rng.uniform(0.35, size[0] - 0.35), rng.uniform(0.35, size[1] - 0.35), height]
        )
        pitch = rng.gauss(-0.03, 0.08) if planar else rng.uniform(-0.75, 0.2)
        yaw = self._open_yaw(position)
        if targets and rng.random() < 0.6:
            yaw = look_at(position, rng.choice(targets))[0] + rng.gauss(0, 0.3)
        return Camera(position, yaw, pitch, 0.0 if planar else self._roll())

    def _open_yaw(self, position: NDArray[np.float64]) -> float:
        """Prefer directions in which there is something to see before the next wall."""
        best, best_free = 0.0, -1.0
        for _ in range(2):
            yaw = self.rng.uniform(-math.pi, math.pi)
            step = 1.2 * np.array([math.cos(yaw), math.sin(yaw), 0.0])
            free = self.space.clearance(position + step)
            if free > best_free:
                best, best_free = yaw, free
        return best

    def _closeup(self, targets: list[Vector]) -> Camera:
        rng = self.rng
        target = rng.choice(targets)
        target = (
            target[0] + rng.gauss(0, 0.25), target[1] + rng.gauss(0, 0.25),
            target[2] + rng.uniform(-0.25, 0.25),
        )  # fmt: skip
        reach, angle = _log_uniform(rng, 0.4, 3.0), rng.uniform(-math.pi, math.pi)
        rise = rng.uniform(0.05, 1.0) * reach
        position = np.array(
            [
                target[0] + reach * math.cos(angle), target[1] + reach * math.sin(angle),
                min(target[2] + rise, 2.0, float(self.size[2]) - 0.3),
            ]
        )  # fmt: skip
        self.target = target
        yaw, pitch = look_at(position, target)
        return Camera(position, yaw + rng.gauss(0, 0.15), pitch + rng.gauss(0, 0.1), self._roll())

    def _roll(self) -> float:
        if self.rng.random() < self.tilted:
            return self.rng.uniform(-0.9, 0.9)
        return self.rng.gauss(0.0, 0.05)

    def advance(self) -> None:
        """Move by one frame."""
        rng, camera = self.rng, self.camera
        if self.kind == 'stopgo' and rng.random() < 0.08:
            self.moving = not self.moving
        if not self.moving:
            return
        planar = self.kind in ('planar', 'stopgo')
        self._rotate(planar)
        if self.kind == 'rotation':
            return
        scale = np.array([0.15, 0.9, 0.0]) if planar else np.array([0.6, 0.6, 0.35])
        kick = np.array([rng.gauss(0, 1), rng.gauss(0, 1), rng.gauss(0, 1)])
        self.velocity = _MEMORY * self.velocity + _DRIVE * self.speed * scale * kick
        if planar:
            self.velocity[1] += 0.12 * self.speed
        cy, sy = math.cos(camera.yaw), math.sin(camera.yaw)
        for _ in range(8):
            side, ahead, up = self.velocity
            step = np.array([cy * ahead + sy * side, sy * ahead - cy * side, up])
            moved = camera.position + step
            if 0.15 < moved[2] < 2.1 and self.space.clearance(moved) > self.margin:
                camera.position = moved
                return
            angle = rng.uniform(-math.pi, math.pi)
            c, s = math.cos(angle), math.sin(angle)
            self.velocity = 0.9 * np.array([c * side - s * ahead, s * side + c * ahead, -0.5 * up])

    def _rotate(self, planar: bool) -> None:
        rng, camera = self.rng, self.camera
        share = (1.0, 0.1, 0.0) if planar else (1.0, 0.6, 0.5)
        limit = 3.5 * self.turn
        for i in range(3):
            kick = _DRIVE * self.turn * share[i] * rng.gauss(0, 1)
            self.spin[i] = max(-limit, min(limit, _MEMORY * self.spin[i] + kick))
        camera.yaw += self.spin[0]
        camera.pitch += self.spin[1] - 0.04 * (camera.pitch - self.home[0])
        camera.roll += self.spin[2] - 0.04 * (camera.roll - self.home[1])
        if self.target is not None:
            yaw, pitch = look_at(camera.position, self.target)
            pull = 0.5 * min(1.0, self.turn / 0.02) * 0.1
            camera.yaw += pull * math.remainder(yaw - camera.yaw, 2 * math.pi)
            camera.pitch += pull * (pitch - camera.pitch)
        camera.pitch = max(-1.3, min(0.7, camera.pitch))
