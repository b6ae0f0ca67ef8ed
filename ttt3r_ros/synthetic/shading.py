"""Compiled shading: texture coordinates, shadows and light of the points that rays meet."""

from __future__ import annotations

import math

import numpy as np

from ttt3r_ros.synthetic import arrays as a
from ttt3r_ros.synthetic.compile import compiled, inlined
from ttt3r_ros.synthetic.patterns import surface_colour
from ttt3r_ros.synthetic.raycast import FAR, meet

Vector = tuple[float, float, float]


@inlined
def _flat_face(
    face: int, qx: float, qy: float, qz: float, hx: float, hy: float, hz: float
) -> tuple[float, float, float, float, float]:
    """
    Return u, v in metres, u, v in [0, 1], and the longer side of a box's face.

    :param qx: the point in the unit cube; hx: the box's half size
    """
    axis, mirror = face >> 1, 1.0 if face & 1 else -1.0
    if axis == 0:
        u, v, half_u, half_v = qy * mirror, -qz, hy, hz
    elif axis == 1:
        u, v, half_u, half_v = -qx * mirror, -qz, hx, hz
    else:
        u, v, half_u, half_v = qx * mirror, -qy, hx, hy
    longer = 2.0 * max(half_u, half_v)
    return u * half_u, v * half_v, 0.5 + 0.5 * u, 0.5 + 0.5 * v, longer


@inlined
def _round_face(
    qx: float, qy: float, qz: float, hx: float, hz: float
) -> tuple[float, float, float, float, float]:
    """Return the same for a ball or a cylinder's side."""
    angle = math.atan2(qy, qx)
    longer = max(2 * math.pi * hx, 2.0 * hz)
    return angle * hx, -qz * hz, 0.5 + angle / (2 * math.pi), 0.5 - 0.5 * qz, longer


@inlined
def _local_normal(
    kind: int, face: int, qx: float, qy: float, qz: float, hx: float, hy: float, hz: float
) -> Vector:
    """Return the unit normal in the primitive's own axes."""
    if kind in (a.BOX, a.SHELL) or (kind == a.CYLINDER and face >= 4):
        axis, sign = face >> 1, 1.0 if face & 1 else -1.0
        if kind == a.SHELL:
            sign = -sign
        return (
            sign if axis == 0 else 0.0,
            sign if axis == 1 else 0.0,
            sign if axis == 2 else 0.0,
        )
    x, y, z = qx / hx, qy / hy, qz / hz if kind == a.BALL else 0.0
    inverse = 1.0 / math.sqrt(x * x + y * y + z * z)
    return x * inverse, y * inverse, z * inverse


@inlined
def lit_share(shadow: np.ndarray, focal: float, dx: float, dy: float, below: float) -> float:
    """
    Return how much of the first light reaches a point, by its shadow map (2 x 2 filter).

    :param dx: the point's offset from the light, metres; below: how far it is under the light
    """
    side = shadow.shape[0]
    if below < 0.05:
        return 1.0
    x = dx / below * focal + 0.5 * side - 0.5
    y = dy / below * focal + 0.5 * side - 0.5
    if not (1 < x < side - 2 and 1 < y < side - 2):
        return 1.0
    ix, iy = int(x), int(y)
    fx, fy = x - ix, y - iy
    lit, limit = 0.0, below * 0.97 - 0.03
    for j in range(2):
        for i in range(2):
            if shadow[iy + j, ix + i] > limit:
                lit += (fx if i else 1 - fx) * (fy if j else 1 - fy)
    return lit


@inlined
def _corner_darkening(air: np.ndarray, px: float, py: float, pz: float) -> float:
    """Darken what is near the room's edges, as light that bounces less does."""
    x = max(0.0, min(px, air[2, 0] - px))
    y = max(0.0, min(py, air[2, 1] - py))
    z = max(0.0, min(pz, air[2, 2] - pz))
    # 1 / (1 + 4d)^2 falls off about as exp(-6d), and is cheaper.
    dark = 1.0 - 0.25 / ((1 + 4 * x) * (1 + 4 * x))
    dark *= 1.0 - 0.25 / ((1 + 4 * y) * (1 + 4 * y))
    dark *= 1.0 - 0.25 / ((1 + 4 * z) * (1 + 4 * z))
    return float(dark / 0.75)


@inlined
def _lamp(
    lights: np.ndarray, n: int, px: float, py: float, pz: float, normal: Vector
) -> tuple[float, Vector]:
    """Return the strength of a light at a point (falloff and Lambert's cosine), and its side."""
    x, y, z = lights[n, 0] - px, lights[n, 1] - py, lights[n, 2] - pz
    square = x * x + y * y + z * z
    inverse = 1.0 / math.sqrt(square + 1e-9)
    cosine = (x * normal[0] + y * normal[1] + z * normal[2]) * inverse
    strength = max(0.0, cosine) / (1.0 + lights[n, 6] * square)
    return strength, (x * inverse, y * inverse, z * inverse)


@inlined
def _highlight(towards: Vector, view: Vector, normal: Vector) -> float:
    """Return Blinn's highlight, exponent 32."""
    x, y, z = towards[0] - view[0], towards[1] - view[1], towards[2] - view[2]
    half = (x * normal[0] + y * normal[1] + z * normal[2]) / math.sqrt(x * x + y * y + z * z)
    power = max(0.0, half)
    for _ in range(5):
        power *= power
    return power


@inlined
def _illuminate(
    lights: np.ndarray, air: np.ndarray, shadow: np.ndarray, shadow_focal: float, gloss: float,
    px: float, py: float, pz: float, normal: Vector, sight: Vector,
) -> tuple[float, float, float, float]:  # fmt: skip
    """Return the red, green and blue light that falls on a point, and its highlight."""
    up, dark = 0.5 + 0.5 * normal[2], _corner_darkening(air, px, py, pz)
    red = (air[0, 0] * up + air[1, 0] * (1 - up)) * dark
    green = (air[0, 1] * up + air[1, 1] * (1 - up)) * dark
    blue = (air[0, 2] * up + air[1, 2] * (1 - up)) * dark
    shine = 0.0
    for k in range(len(lights)):
        strength, towards = _lamp(lights, k, px, py, pz, normal)
        if strength <= 0.0:
            continue
        if k == 0:
            dx, dy, below = px - lights[0, 0], py - lights[0, 1], lights[0, 2] - pz
            strength *= lit_share(shadow, shadow_focal, dx, dy, below)
        red += lights[k, 3] * strength
        green += lights[k, 4] * strength
        blue += lights[k, 5] * strength
        if gloss > 0.0:
            shine += gloss * strength * _highlight(towards, sight, normal)
    return red, green, blue, shine


@inlined
def _surface(
    solids: np.ndarray, n: int, face: int, depth: float, x: float, y: float
) -> tuple[Vector, tuple[float, float, float, float, float]]:
    """
    Return the normal in the world, and the texture coordinates, of a point on a primitive.

    :param n: the primitive that the ray (x, y, 1) met at `depth`, on its `face`
    """
    kind, s = int(solids[n, a.SOLID]), solids
    qx = s[n, 0] + depth * (s[n, 3] * x + s[n, 4] * y + s[n, 5])
    qy = s[n, 1] + depth * (s[n, 6] * x + s[n, 7] * y + s[n, 8])
    qz = s[n, 2] + depth * (s[n, 9] * x + s[n, 10] * y + s[n, 11])
    hx, hy, hz = s[n, a.HALF], s[n, a.HALF + 1], s[n, a.HALF + 2]
    lx, ly, lz = _local_normal(kind, face, qx, qy, qz, hx, hy, hz)
    t = a.TURN
    normal = (
        s[n, t] * lx + s[n, t + 1] * ly + s[n, t + 2] * lz,
        s[n, t + 3] * lx + s[n, t + 4] * ly + s[n, t + 5] * lz,
        s[n, t + 6] * lx + s[n, t + 7] * ly + s[n, t + 8] * lz,
    )
    if kind == a.BALL or (kind == a.CYLINDER and face < 4):
        return normal, _round_face(qx, qy, qz, hx, hz)
    return normal, _flat_face(face, qx, qy, qz, hx, hy, hz)


@inlined
def _point_colour(
    solids: np.ndarray, camera: np.ndarray, table: np.ndarray, atlas: np.ndarray,
    lights: np.ndarray, air: np.ndarray, shadow: np.ndarray, shadow_focal: float,
    n: int, face: int, depth: float, x: float, y: float, pixel: float,
) -> Vector:  # fmt: skip
    """
    Return the light that a point sends to the camera.

    :param n: the primitive that the ray (x, y, 1) met at `depth`, on its `face`
    :param pixel: size of a pixel at depth 1
    """
    vx = camera[1, 0] * x + camera[1, 1] * y + camera[1, 2]
    vy = camera[2, 0] * x + camera[2, 1] * y + camera[2, 2]
    vz = camera[3, 0] * x + camera[3, 1] * y + camera[3, 2]
    normal, uv = _surface(solids, n, face, depth, x, y)
    inverse = 1.0 / math.sqrt(vx * vx + vy * vy + vz * vz)
    sight = (vx * inverse, vy * inverse, vz * inverse)
    facing = abs(sight[0] * normal[0] + sight[1] * normal[1] + sight[2] * normal[2])
    # A slanted pixel covers more of the surface: the root lies between its two sides.
    footprint = depth * pixel / math.sqrt(max(0.06, facing))
    m = int(solids[n, a.FACES + face])
    red, green, blue = surface_colour(
        table, m, atlas, uv[0], uv[1], uv[2], uv[3], uv[4], footprint, face
    )
    emission = table[m, a.EMISSION]
    if emission > 0.0:
        return red * emission, green * emission, blue * emission
    px, py, pz = camera[0, 0] + vx * depth, camera[0, 1] + vy * depth, camera[0, 2] + vz * depth
    light = _illuminate(
        lights, air, shadow, shadow_focal, table[m, a.GLOSS], px, py, pz, normal, sight
    )
    return red * light[0] + light[3], green * light[1] + light[3], blue * light[2] + light[3]


@inlined
def _is_plain(
    solids: np.ndarray, table: np.ndarray, hit: np.ndarray, face: np.ndarray, row: int, column: int
) -> bool:
    """Tell whether one ray will do: no edge to the four neighbours, no sharp pattern."""
    n, side = hit[row, column], face[row, column]
    top, low = max(0, row - 1), min(hit.shape[0] - 1, row + 1)
    left, right = max(0, column - 1), min(hit.shape[1] - 1, column + 1)
    if hit[top, column] != n or hit[low, column] != n:
        return False
    if hit[row, left] != n or hit[row, right] != n:
        return False
    if face[top, column] != side or face[low, column] != side:
        return False
    if face[row, left] != side or face[row, right] != side:
        return False
    kind = int(table[int(solids[n, a.FACES + side]), a.KIND])
    return kind == a.PLAIN or kind == a.CLOUDS or kind == a.WOOD or kind == a.PHOTO


@inlined
def _meet_neighbours(
    solids: np.ndarray, hit: np.ndarray, row: int, column: int, x: float, y: float
) -> tuple[float, int, int]:
    """Find what a ray between pixel centres meets, among what the pixels around it show."""
    best, best_n, best_face = FAR, -1, 0
    height, width = hit.shape
    for k in range(5):
        py = min(height - 1, max(0, row + (k == 1) - (k == 2)))
        px = min(width - 1, max(0, column + (k == 3) - (k == 4)))
        n = hit[py, px]
        if n < 0 or (k > 0 and n == hit[row, column]):
            continue
        depth, face = meet(solids, n, x, y)
        if depth < best:
            best, best_n, best_face = depth, n, face
    return best, best_n, best_face


@compiled
def shade(
    solids: np.ndarray, camera: np.ndarray, table: np.ndarray, atlas: np.ndarray,
    lights: np.ndarray, air: np.ndarray, shadow: np.ndarray, shadow_focal: float,
    focal: float, rays: int, depth: np.ndarray, hit: np.ndarray, face: np.ndarray,
    radiance: np.ndarray,
) -> None:  # fmt: skip
    """
    Find the light of every pixel, with `rays` x `rays` rays where one would not do.

    :param solids: from `raycast.localise`; the next six are fields of `SceneArrays`
    :param camera: position; right, down and forward as columns of rows 1 to 3 [4, 3]
    :param depth: at the pixels' centres; hit: the primitive met; face: which face [H, W]
    :param radiance: written, linear [H, W, 3]
    """
    height, width = depth.shape
    for row in range(height):
        for column in range(width):
            total_r, total_g, total_b = 0.0, 0.0, 0.0
            side = 1
            if rays > 1 and not _is_plain(solids, table, hit, face, row, column):
                side = rays
            for sample in range(side * side):
                x = (column + (sample % side + 0.5) / side - 0.5 * width) / focal
                y = (row + (sample // side + 0.5) / side - 0.5 * height) / focal
                z, n, f = float(depth[row, column]), int(hit[row, column]), int(face[row, column])
                if side > 1:
                    z, n, f = _meet_neighbours(solids, hit, row, column, x, y)
                if n < 0:
                    continue
                red, green, blue = _point_colour(
                    solids, camera, table, atlas, lights, air, shadow, shadow_focal,
                    n, f, z, x, y, 1.0 / (focal * side),
                )  # fmt: skip
                total_r, total_g, total_b = total_r + red, total_g + green, total_b + blue
            share = 1.0 / (side * side)
            radiance[row, column, 0] = total_r * share
            radiance[row, column, 1] = total_g * share
            radiance[row, column, 2] = total_b * share
