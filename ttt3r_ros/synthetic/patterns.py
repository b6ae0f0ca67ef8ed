"""Compiled texture patterns: what colour a surface has at (u, v) metres, filtered by distance."""

from __future__ import annotations

import math

import numpy as np

from ttt3r_ros.synthetic import arrays as a
from ttt3r_ros.synthetic.compile import compiled, inlined

TILE_SIDE = 128
MIP_LEVELS = 5
_GREY = 0.45


@compiled
def hash_unit(x: int, y: int, seed: int) -> float:
    """Return a number in [0, 1) that depends on a lattice point and a seed."""
    h = (x * 374761393 + y * 668265263 + seed * 2246822519) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    h = h ^ (h >> 16)
    return (h & 0xFFFFFF) / 16777216.0


@compiled
def value_noise(x: float, y: float, seed: int) -> float:
    """Return smooth noise in [0, 1] with lattice spacing 1."""
    fx, fy = math.floor(x), math.floor(y)
    ix, iy = int(fx), int(fy)
    u, v = x - fx, y - fy
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    p, q = hash_unit(ix, iy, seed), hash_unit(ix + 1, iy, seed)
    r, s = hash_unit(ix, iy + 1, seed), hash_unit(ix + 1, iy + 1, seed)
    return (p + (q - p) * u) * (1 - v) + (r + (s - r) * u) * v


@compiled
def fractal_noise(x: float, y: float, footprint: float, seed: int) -> float:
    """
    Sum three octaves of noise, without those finer than a pixel.

    :param footprint: size of a pixel in units of the coarsest lattice
    """
    total, weight = 0.5, 1.0
    for octave in range(3):
        fade = min(1.0, max(0.0, 1.6 - 2.0 * footprint))
        if fade <= 0.0:
            break
        total += (value_noise(x, y, seed + octave) - 0.5) * weight * fade
        x, y, footprint, weight = 2 * x + 5.3, 2 * y + 9.1, 2 * footprint, 0.55 * weight
    return total


@compiled
def _bricks(x: float, y: float, seed: int) -> float:
    row = math.floor(y)
    x += 0.5 * (int(row) & 1)
    column = math.floor(x)
    if x - column < 0.07 or y - row < 0.12:
        return 1.0
    return 0.4 * hash_unit(int(column), int(row), seed)


@compiled
def _text(x: float, y: float, seed: int) -> float:
    """Lines of words: y counts lines, x counts letters."""
    line = math.floor(y)
    if y - line < 0.45 or hash_unit(int(line), 7, seed) < 0.15:
        return 0.0
    if hash_unit(math.floor(x * 0.25), int(line), seed) < 0.2:
        return 0.0
    return 1.0 if hash_unit(math.floor(x * 2), int(line), seed + 1) < 0.7 else 0.2


@compiled
def _keys(x: float, y: float) -> float:
    return 1.0 if (x - math.floor(x) < 0.22 or y - math.floor(y) < 0.22) else 0.0


@compiled
def _carpet(x: float, y: float, seed: int) -> float:
    row = math.floor(y)
    return 0.6 * hash_unit(math.floor(x * 0.04), row, seed) + 0.4 * hash_unit(
        math.floor(x), row, seed + 3
    )


@inlined
def _regular(kind: int, x: float, y: float, seed: int) -> float:
    """Return the share of the second colour in a pattern with sharp edges."""
    if kind == a.CHECKS:
        return float((math.floor(x) + math.floor(y)) & 1)
    if kind == a.STRIPES:
        return float(math.floor(x) & 1)
    if kind == a.BRICKS:
        return _bricks(x, y, seed)
    if kind == a.TEXT:
        return _text(x, y, seed)
    return _keys(x, y) if kind == a.KEYS else _carpet(x, y, seed)


@inlined
def mixing(kind: int, x: float, y: float, noise: float, footprint: float, seed: int) -> float:
    """
    Return how much of the second colour shows, in [0, 1].

    :param x: along the pattern, in units of its scale
    :param noise: fractal noise at this point
    :param footprint: size of a pixel in units of the pattern's scale
    """
    if kind == a.PLAIN:
        return 0.0
    if kind == a.CLOUDS:
        return min(1.0, max(0.0, (noise - 0.5) * 2.2 + 0.5))
    if kind == a.BLOTCHES:
        return min(1.0, max(0.0, (noise - 0.5) * 12.0 + 0.5))
    if kind == a.WOOD:
        ring = value_noise(x * 0.35, y * 5.0, seed) * 6.0
        return 0.7 * (ring - math.floor(ring)) + 0.3 * value_noise(x * 2.0, y * 40.0, seed + 1)
    fade = min(1.0, max(0.0, 1.7 - 1.4 * footprint))
    return _GREY + (_regular(kind, x, y, seed) - _GREY) * fade


@compiled
def photo_offset(u: float, v: float, footprint: float) -> int:
    """
    Return the index of the texel at (u, v), which repeat mirrored with period 2.

    :param footprint: size of a pixel in units of the tile's side
    """
    u, v = abs(u) % 2.0, abs(v) % 2.0
    u = 2.0 - u if u > 1.0 else u
    v = 2.0 - v if v > 1.0 else v
    side, start = TILE_SIDE, 0
    while footprint * side > 1.3 and side > TILE_SIDE >> (MIP_LEVELS - 1):
        start += side * side
        side >>= 1
    return start + min(side - 1, int(v * side)) * side + min(side - 1, int(u * side))


@inlined
def _photo_colour(
    table: np.ndarray, m: int, atlas: np.ndarray, u: float, v: float, footprint: float
) -> tuple[float, float, float]:
    tile, texel = int(table[m, a.TILE]), photo_offset(u, v, footprint)
    red = atlas[tile, texel, 0] / 255.0
    green = atlas[tile, texel, 1] / 255.0
    blue = atlas[tile, texel, 2] / 255.0
    return (
        red * red * table[m, a.RED0],
        green * green * table[m, a.RED0 + 1],
        blue * blue * table[m, a.RED0 + 2],
    )


@inlined
def surface_colour(
    table: np.ndarray, m: int, atlas: np.ndarray, u: float, v: float, fit_u: float, fit_v: float,
    side: float, footprint: float, face: int,
) -> tuple[float, float, float]:  # fmt: skip
    """
    Evaluate a texture.

    :param table: of textures [M, TEXTURE_COLUMNS]
    :param m: which of them
    :param u: position on the face, metres; fit_u: the same in [0, 1] over the face
    :param side: the face's longer side, metres
    :param footprint: size of a pixel on the surface, metres
    :param face: tells the faces of one box apart
    :return: linear red, green, blue
    """
    seed = int(table[m, a.SEED]) + 31 * face
    gain, noise, amount = 1.0, 0.5, table[m, a.NOISE]
    kind = int(table[m, a.KIND])
    if amount > 0.0 or kind == a.CLOUDS or kind == a.BLOTCHES:
        finer = 1.0 / table[m, a.NOISE_SCALE]
        noise = fractal_noise(u * finer, v * finer, footprint * finer, seed)
        gain = 1.0 + amount * 2.0 * (noise - 0.5)
    scale, cosine, sine = 1.0 / table[m, a.SCALE], table[m, a.COSINE], table[m, a.SINE]
    x, y = (u * cosine - v * sine) * scale, (u * sine + v * cosine) * scale
    if kind == a.PHOTO:
        if table[m, a.FIT] > 0.0:
            r, g, b = _photo_colour(table, m, atlas, fit_u, fit_v, footprint / side)
        else:
            r, g, b = _photo_colour(table, m, atlas, x + 100.0, y + 100.0, footprint * scale)
        return r * gain, g * gain, b * gain
    mix = mixing(kind, x, y * table[m, a.RATIO], noise, footprint * scale, seed)
    rest = 1.0 - mix
    return (
        (table[m, a.RED0] * rest + table[m, a.RED1] * mix) * gain,
        (table[m, a.RED0 + 1] * rest + table[m, a.RED1 + 1] * mix) * gain,
        (table[m, a.RED0 + 2] * rest + table[m, a.RED1 + 2] * mix) * gain,
    )
