"""Collects the primitives of a scene; furniture is placed through a local frame."""

from __future__ import annotations

from dataclasses import dataclass
import math
from random import Random

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.synthetic import arrays as a
from ttt3r_ros.synthetic.materials import Materials

Vector = tuple[float, float, float]
Faces = int | tuple[int, int, int, int, int, int]


@dataclass(frozen=True)
class Place:
    """Where a piece of furniture stands: its floor point and its turn about the vertical."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    yaw: float = 0.0

    def point(self, x: float, y: float, z: float) -> Vector:
        """Take a point of the piece to the world."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return self.x + c * x - s * y, self.y + s * x + c * y, self.z + z

    def at(self, x: float, y: float, z: float = 0.0, yaw: float = 0.0) -> Place:
        """Return the place of something that stands on this one."""
        return Place(*self.point(x, y, z), self.yaw + yaw)


class SceneBuilder:
    """
    A growing list of primitives.

    :param rng: source of all randomness
    :param materials: draws textures from the same source
    """

    def __init__(self, rng: Random, materials: Materials) -> None:
        self.rng = rng
        self.materials = materials
        self.mover = -1
        self.targets: list[Vector] = []  # points worth looking at
        self._kind: list[int] = []
        self._centre: list[Vector] = []
        self._turn: list[Vector] = []
        self._half: list[Vector] = []
        self._faces: list[tuple[int, ...]] = []
        self._mover: list[int] = []

    def _add(self, kind: int, centre: Vector, turn: Vector, size: Vector, faces: Faces) -> None:
        self._kind.append(kind)
        self._centre.append(centre)
        self._turn.append(turn)
        self._half.append((max(size[0], 2e-3) / 2, max(size[1], 2e-3) / 2, max(size[2], 2e-3) / 2))
        self._faces.append((faces,) * 6 if isinstance(faces, int) else faces)
        self._mover.append(self.mover)

    def shell(self, size: Vector, faces: tuple[int, int, int, int, int, int]) -> None:
        """Add the room itself, from the origin to `size`."""
        self._add(a.SHELL, (size[0] / 2, size[1] / 2, size[2] / 2), (0, 0, 0), size, faces)

    def box(
        self, place: Place, x: float, y: float, z: float, size: Vector, faces: Faces,
        *, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0,
    ) -> None:  # fmt: skip
        """
        Add a box that stands at (x, y) with its lower side at height z.

        :param pitch: turn about its own y axis, after its yaw; roll: about its x axis
        """
        centre = place.point(x, y, z + size[2] / 2)
        self._add(a.BOX, centre, (place.yaw + yaw, pitch, roll), size, faces)

    def ball(self, place: Place, x: float, y: float, z: float, size: Vector, face: int) -> None:
        """Add an ellipsoid that rests at height z."""
        self._add(a.BALL, place.point(x, y, z + size[2] / 2), (place.yaw, 0, 0), size, face)

    def cylinder(
        self, place: Place, x: float, y: float, z: float, diameter: float, height: float,
        face: int, *, pitch: float = 0.0, roll: float = 0.0,
    ) -> None:  # fmt: skip
        """Add a cylinder with its lower end at height z (before it is tilted about its middle)."""
        centre = place.point(x, y, z + height / 2)
        self._add(a.CYLINDER, centre, (place.yaw, pitch, roll), (diameter, diameter, height), face)

    def rod(self, start: Vector, end: Vector, diameter: float, face: int) -> None:
        """Add a thin cylinder between two points of the world."""
        dx, dy, dz = (end[i] - start[i] for i in range(3))
        length = math.sqrt(dx * dx + dy * dy + dz * dz)
        yaw, pitch = math.atan2(dy, dx), math.acos(max(-1.0, min(1.0, dz / max(length, 1e-6))))
        centre = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, (start[2] + end[2]) / 2)
        self._add(a.CYLINDER, centre, (yaw, pitch, 0), (diameter, diameter, length), face)

    def geometry(self) -> dict[str, NDArray[np.generic]]:
        """Return the primitives as the matching fields of `SceneArrays`."""
        return {
            'kind': np.array(self._kind, np.int32),
            'centre': np.array(self._centre, np.float32),
            'rotation': _rotations(np.array(self._turn, np.float64)),
            'half': np.array(self._half, np.float32),
            'textures': np.array(self._faces, np.int32),
            'mover': np.array(self._mover, np.int32),
        }


def _rotations(turn: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return Rz(yaw) Ry(pitch) Rx(roll) for rows of (yaw, pitch, roll) [N, 3, 3]."""
    (cz, cy, cx), (sz, sy, sx) = np.cos(turn).T, np.sin(turn).T
    rows = [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
        [-sy, cy * sx, cy * cx],
    ]
    return np.ascontiguousarray(np.array(rows).transpose(2, 0, 1), dtype=np.float32)
