"""
Compiled ray casting of a scene's primitives, with lists of candidates per tile of pixels.

Rays start at the camera and have z = 1 along its axis, so the distance found is the depth.
"""

from __future__ import annotations

import math

import numpy as np

from ttt3r_ros.synthetic import arrays as a
from ttt3r_ros.synthetic.compile import compiled, inlined

TILE_PIXELS = 8
FAR = 1e6
_NEAR = 0.02


@compiled
def localise(
    kind: np.ndarray, centre: np.ndarray, rotation: np.ndarray, half: np.ndarray,
    textures: np.ndarray, camera: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """
    Gather what the rays of one camera need of every primitive.

    :param camera: position; right, down and forward as columns of rows 1 to 3 [4, 3]
    :return: columns as in `arrays` [N, SOLID_COLUMNS]
    """
    count = len(centre)
    solids = np.empty((count, a.SOLID_COLUMNS))
    for n in range(count):
        for i in range(3):
            scale = 1.0 / half[n, i]
            total = 0.0
            for k in range(3):
                total += rotation[n, k, i] * (camera[0, k] - centre[n, k])
                solids[n, a.TURN + 3 * k + i] = rotation[n, k, i]
            solids[n, a.ORIGIN + i] = total * scale
            for j in range(3):
                total = 0.0
                for k in range(3):
                    total += rotation[n, k, i] * camera[1 + k, j]
                solids[n, a.AXES + 3 * i + j] = total * scale
            solids[n, a.HALF + i] = half[n, i]
        solids[n, a.SOLID] = kind[n]
        for i in range(6):
            solids[n, a.FACES + i] = textures[n, i]
    return solids


@compiled
def screen_bounds(
    centre: np.ndarray, rotation: np.ndarray, half: np.ndarray, camera: np.ndarray, focal: float,
    width: int, height: int,
) -> np.ndarray:  # fmt: skip
    """
    Bound every primitive on the screen by the corners of its box.

    :param camera: as in `localise` [4, 3]
    :return: x0, y0, x1, y1 (pixels) and the nearest depth; x1 < x0 where it is out of sight [N, 5]
    """
    count = len(centre)
    bounds = np.empty((count, 5))
    for n in range(count):
        low_x, low_y, high_x, high_y = 1e9, 1e9, -1e9, -1e9
        nearest, farthest = 1e9, -1e9
        for corner in range(8):
            x, y, z = 0.0, 0.0, 0.0
            for k in range(3):
                world = centre[n, k] - camera[0, k]
                for i in range(3):
                    side = half[n, i] if (corner >> i) & 1 else -half[n, i]
                    world += rotation[n, k, i] * side
                x += camera[1 + k, 0] * world
                y += camera[1 + k, 1] * world
                z += camera[1 + k, 2] * world
            nearest, farthest = min(nearest, z), max(farthest, z)
            z = max(z, 1e-3)
            low_x, high_x = min(low_x, x / z), max(high_x, x / z)
            low_y, high_y = min(low_y, y / z), max(high_y, y / z)
        if farthest <= _NEAR:
            bounds[n, 0], bounds[n, 1], bounds[n, 2], bounds[n, 3] = 1.0, 1.0, 0.0, 0.0
            bounds[n, 4] = 0.0
        elif nearest < _NEAR:
            bounds[n, 0], bounds[n, 1], bounds[n, 2], bounds[n, 3] = 0.0, 0.0, width, height
            bounds[n, 4] = 0.0
        else:
            bounds[n, 0], bounds[n, 2] = low_x * focal + 0.5 * width, high_x * focal + 0.5 * width
            bounds[n, 1] = low_y * focal + 0.5 * height
            bounds[n, 3] = high_y * focal + 0.5 * height
            bounds[n, 4] = nearest
    return bounds


@compiled
def tile_candidates(bounds: np.ndarray, order: np.ndarray, x0: int, y0: int,
                    candidates: np.ndarray) -> int:  # fmt: skip
    """Write the primitives that may be seen in a tile, nearest first; return how many."""
    count = 0
    for n in order:
        if (
            bounds[n, 0] <= x0 + TILE_PIXELS
            and bounds[n, 2] >= max(float(x0), bounds[n, 0])
            and bounds[n, 1] <= y0 + TILE_PIXELS
            and bounds[n, 3] >= y0
        ):
            candidates[count] = n
            count += 1
    return count


@inlined
def _slab(o: float, d: float) -> tuple[float, float]:
    """Return where a line enters and leaves the interval [-1, 1]."""
    inverse = 1.0 / (d if abs(d) > 1e-9 else 1e-9)
    first, second = (-1.0 - o) * inverse, (1.0 - o) * inverse
    return min(first, second), max(first, second)


@inlined
def _hit_box(
    ox: float, oy: float, oz: float, dx: float, dy: float, dz: float
) -> tuple[float, int]:
    """Meet the cube [-1, 1]^3 from outside; face = 2 axis + side."""
    ax, bx = _slab(ox, dx)
    ay, by = _slab(oy, dy)
    az, bz = _slab(oz, dz)
    enter = max(ax, ay, az)
    if enter <= 0.0 or enter > min(bx, by, bz):
        return FAR, 0
    if enter == ax:
        return enter, 1 if dx < 0 else 0
    if enter == ay:
        return enter, 3 if dy < 0 else 2
    return enter, 5 if dz < 0 else 4


@inlined
def _hit_shell(
    ox: float, oy: float, oz: float, dx: float, dy: float, dz: float
) -> tuple[float, int]:
    """Meet the cube [-1, 1]^3 from inside."""
    bx, by, bz = _slab(ox, dx)[1], _slab(oy, dy)[1], _slab(oz, dz)[1]
    leave = min(bx, by, bz)
    if leave == bx:
        return leave, 1 if dx > 0 else 0
    if leave == by:
        return leave, 3 if dy > 0 else 2
    return leave, 5 if dz > 0 else 4


@inlined
def _hit_ball(ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> float:
    square = dx * dx + dy * dy + dz * dz
    half_b = ox * dx + oy * dy + oz * dz
    rest = half_b * half_b - square * (ox * ox + oy * oy + oz * oz - 1.0)
    if rest < 0.0:
        return FAR
    distance = (-half_b - math.sqrt(rest)) / square
    return distance if distance > 0.0 else FAR


@inlined
def _hit_cylinder(
    ox: float, oy: float, oz: float, dx: float, dy: float, dz: float
) -> tuple[float, int]:
    """Meet the cylinder of radius 1, |z| <= 1: face 0 is the side, 4 and 5 are the ends."""
    square = max(dx * dx + dy * dy, 1e-12)
    half_b = ox * dx + oy * dy
    rest = half_b * half_b - square * (ox * ox + oy * oy - 1.0)
    if rest < 0.0:
        return FAR, 0
    root = math.sqrt(rest)
    side = (-half_b - root) / square
    if side > 0.0 and abs(oz + side * dz) <= 1.0:
        return side, 0
    slope = dz if abs(dz) > 1e-9 else 1e-9
    end = ((1.0 if slope < 0 else -1.0) - oz) / slope
    if end > max(side, 0.0) and end < (-half_b + root) / square:
        return end, 5 if slope < 0 else 4
    return FAR, 0


@inlined
def meet(solids: np.ndarray, n: int, x: float, y: float) -> tuple[float, int]:
    """
    Find where a ray meets one primitive.

    :param solids: from `localise` [N, SOLID_COLUMNS]
    :param x: slope of the ray in the camera (its direction is (x, y, 1))
    :return: depth in metres (FAR for none), face
    """
    ox, oy, oz = solids[n, 0], solids[n, 1], solids[n, 2]
    dx = solids[n, 3] * x + solids[n, 4] * y + solids[n, 5]
    dy = solids[n, 6] * x + solids[n, 7] * y + solids[n, 8]
    dz = solids[n, 9] * x + solids[n, 10] * y + solids[n, 11]
    kind = solids[n, a.SOLID]
    if kind == a.BOX:
        return _hit_box(ox, oy, oz, dx, dy, dz)
    if kind == a.CYLINDER:
        return _hit_cylinder(ox, oy, oz, dx, dy, dz)
    if kind == a.BALL:
        return _hit_ball(ox, oy, oz, dx, dy, dz), 0
    return _hit_shell(ox, oy, oz, dx, dy, dz)


@compiled
def trace(
    solids: np.ndarray, bounds: np.ndarray, focal: float, depth: np.ndarray, hit: np.ndarray,
    face: np.ndarray,
) -> None:  # fmt: skip
    """
    Cast one ray through the centre of every pixel.

    :param solids: from `localise` [N, SOLID_COLUMNS]
    :param bounds: from `screen_bounds` [N, 5]
    :param depth: written [H, W]; hit: the primitive or -1; face: which face of it
    """
    height, width = depth.shape
    order = np.argsort(bounds[:, 4])
    candidates = np.empty(len(order), np.int64)
    for y0 in range(0, height, TILE_PIXELS):
        for x0 in range(0, width, TILE_PIXELS):
            count = tile_candidates(bounds, order, x0, y0, candidates)
            for row in range(y0, min(y0 + TILE_PIXELS, height)):
                for column in range(x0, min(x0 + TILE_PIXELS, width)):
                    x = (column + 0.5 - 0.5 * width) / focal
                    y = (row + 0.5 - 0.5 * height) / focal
                    best, best_n, best_face = FAR, -1, 0
                    for index in range(count):
                        n = candidates[index]
                        if bounds[n, 4] > best:
                            break
                        z, f = meet(solids, n, x, y)
                        if z < best:
                            best, best_n, best_face = z, n, f
                    depth[row, column] = best
                    hit[row, column], face[row, column] = best_n, best_face
