"""Whole scenes: rooms, corridors and partitioned rooms with furniture, pictures and lights."""

from __future__ import annotations

from collections.abc import Callable
import math
from random import Random

import numpy as np

from ttt3r_ros.synthetic import arrays as a
from ttt3r_ros.synthetic import furniture
from ttt3r_ros.synthetic.atlas import Atlas
from ttt3r_ros.synthetic.builder import Place, SceneBuilder, Vector
from ttt3r_ros.synthetic.materials import Materials
from ttt3r_ros.synthetic.renderer import SHADOW_SIDE, render_shadow

Piece = Callable[[SceneBuilder, Place, float, float], object]

# What stands along walls and what stands free: piece, share, widths, depths.
AGAINST_WALLS: tuple[tuple[Piece, float, float, float, float, float], ...] = (
    (furniture.desk, 3.0, 1.0, 2.0, 0.6, 0.85),
    (furniture.cabinet, 3.0, 0.6, 2.8, 0.35, 0.65),
    (furniture.shelf, 2.0, 0.6, 1.6, 0.22, 0.4),
    (furniture.table, 1.0, 0.8, 1.8, 0.5, 0.9),
    (furniture.sofa, 1.0, 0.9, 2.2, 0.8, 0.95),
    (furniture.bed, 0.6, 0.9, 1.8, 1.9, 2.1),
    (furniture.pile, 1.5, 0.5, 1.5, 0.4, 0.8),
    (furniture.floor_lamp, 0.7, 0.4, 0.5, 0.4, 0.5),
)
FREE: tuple[tuple[Piece, float, float, float, float, float], ...] = (
    (furniture.desk, 2.0, 1.1, 1.9, 0.7, 0.9),
    (furniture.table, 3.0, 0.8, 2.2, 0.7, 1.1),
    (furniture.pile, 1.5, 0.5, 1.5, 0.4, 1.0),
    (furniture.sofa, 0.7, 0.9, 2.0, 0.8, 0.95),
    (furniture.floor_lamp, 0.5, 0.4, 0.5, 0.4, 0.5),
)


class Layout:
    """
    Keeps furniture apart by circles on the floor.

    :param size: of the room, metres
    """

    def __init__(self, size: Vector) -> None:
        self.size = size
        self._taken: list[tuple[float, float, float]] = []

    def take(self, x: float, y: float, radius: float) -> bool:
        """Reserve a circle of the floor; return whether it was free."""
        for other_x, other_y, other in self._taken:
            if math.hypot(x - other_x, y - other_y) < 0.85 * (radius + other):
                return False
        self._taken.append((x, y, radius))
        return True


def wall_place(rng: Random, size: Vector, width: float) -> Place | None:
    """Draw a place whose back lies on a random wall; None where the wall is too short."""
    side = rng.randrange(4)
    length = size[0] if side in (0, 2) else size[1]
    if width > length - 0.2:
        return None
    s = rng.uniform(width / 2 + 0.05, length - width / 2 - 0.05)
    if side == 0:
        return Place(s, 0.0, 0.0, 0.0)
    if side == 1:
        return Place(size[0], s, 0.0, math.pi / 2)
    if side == 2:
        return Place(s, size[1], 0.0, math.pi)
    return Place(0.0, s, 0.0, -math.pi / 2)


def _furnish(b: SceneBuilder, layout: Layout, count: int, *, free: bool) -> None:
    rng = b.rng
    pieces = FREE if free else AGAINST_WALLS
    weights = [piece[1] for piece in pieces]
    for _ in range(count):
        piece, _, low, high, near, far = rng.choices(pieces, weights)[0]
        w, d = rng.uniform(low, high), rng.uniform(near, far)
        if free:
            x = rng.uniform(0.2 * layout.size[0], 0.8 * layout.size[0])
            y = rng.uniform(0.2 * layout.size[1], 0.8 * layout.size[1])
            yaw = rng.choice((0.0, math.pi / 2, math.pi, rng.uniform(-3.1, 3.1)))
            place: Place | None = Place(x, y, 0.0, yaw).at(0.0, -d / 2)
        else:
            place = wall_place(rng, layout.size, w)
        if place is None:
            continue
        middle = place.point(0.0, d / 2, 0.0)
        if not layout.take(middle[0], middle[1], 0.55 * max(w, d)):
            continue
        piece(b, place, w, d)
        if piece is furniture.table and rng.random() < 0.75:
            for _ in range(rng.randint(1, 4)):
                side = rng.choice((-1, 1))
                x, y = rng.uniform(-w / 3, w / 3), d / 2 + side * (d / 2 + rng.uniform(-0.2, 0.3))
                yaw = (0.0 if side > 0 else math.pi) + rng.gauss(0, 0.3)
                furniture.chair(b, place.at(x, y, 0.0, yaw))


def _dress_walls(b: SceneBuilder, size: Vector) -> None:
    """Hang pictures, boards, windows and doors on the walls; fit skirting boards."""
    rng = b.rng
    for _ in range(rng.randint(1, 7)):
        _picture(b, size)
    for _ in range(rng.randint(0, 2)):
        place = wall_place(rng, size, 1.6)
        if place is not None:
            _window(b, place, min(1.4, size[2] - 1.1))
    if rng.random() < 0.6:
        place = wall_place(rng, size, 1.0)
        if place is not None:
            _door(b, place)
    if rng.random() < 0.5:
        _skirting(b, size)


def _picture(b: SceneBuilder, size: Vector) -> None:
    rng = b.rng
    w, h = rng.uniform(0.2, 1.3), rng.uniform(0.2, 0.9)
    place = wall_place(rng, size, w)
    if place is None:
        return
    face, frame = b.materials.picture(), b.materials.furniture()
    low = rng.uniform(1.0, max(1.05, size[2] - h - 0.3))
    b.box(place, 0, 0, low, (w, 0.04, h), (frame, frame, frame, face, frame, frame))


def _door(b: SceneBuilder, place: Place) -> None:
    materials = b.materials
    b.box(place, 0, 0, 0, (0.98, 0.06, 2.08), materials.plain(materials.pale()))
    b.box(place, 0, 0.02, 0, (0.85, 0.06, 2.0), materials.furniture())
    b.ball(place, 0.35, 0.07, 1.0, (0.06, 0.06, 0.06), materials.plain((0.5, 0.5, 0.5)))


def _skirting(b: SceneBuilder, size: Vector) -> None:
    pale = b.rng.random() < 0.5
    face = b.materials.plain(b.materials.pale()) if pale else b.materials.furniture()
    high, (x, y, _) = b.rng.uniform(0.06, 0.14), size
    b.box(Place(), x / 2, 0.01, 0, (x, 0.02, high), face)
    b.box(Place(), x / 2, y - 0.01, 0, (x, 0.02, high), face)
    b.box(Place(), 0.01, y / 2, 0, (0.02, y, high), face)
    b.box(Place(), x - 0.01, y / 2, 0, (0.02, y, high), face)


def _window(b: SceneBuilder, place: Place, height: float) -> None:
    rng, materials = b.rng, b.materials
    frame, glass = materials.plain(materials.pale()), materials.window()
    width = rng.uniform(0.7, 1.6)
    b.box(place, 0, 0, 0.9, (width, 0.01, height), glass)
    for x in (-width / 2, 0.0, width / 2):
        b.box(place, x, 0.02, 0.88, (0.06, 0.06, height + 0.04), frame)
    for z in (0.88, 0.9 + height):
        b.box(place, 0, 0.03, z, (width + 0.06, 0.1, 0.05), frame)
    if rng.random() < 0.5:
        curtain = materials.object()
        for x in (-width / 2 - 0.1, width / 2 + 0.1):
            b.box(place, x, 0.08, 0.1, (0.35, 0.08, height + 0.95), curtain)


def _partition(b: SceneBuilder, layout: Layout) -> None:
    """Divide the room by a wall that leaves an opening, or fill one corner of it."""
    rng, size = b.rng, layout.size
    face = b.materials.wall()
    if rng.random() < 0.4:
        w, d = rng.uniform(0.25, 0.45) * size[0], rng.uniform(0.25, 0.45) * size[1]
        x = w / 2 if rng.random() < 0.5 else size[0] - w / 2
        y = d / 2 if rng.random() < 0.5 else size[1] - d / 2
        b.box(Place(), x, y, 0, (w, d, size[2]), face)
        layout.take(x, y, 0.6 * max(w, d))
        return
    x, opening = rng.uniform(0.3, 0.7) * size[0], rng.uniform(0.8, 1.6)
    start = rng.uniform(0.0, size[1] - opening)
    for low, high in ((0.0, start), (start + opening, size[1])):
        if high - low > 0.05:
            b.box(Place(), x, (low + high) / 2, 0, (0.12, high - low, size[2]), face)
            layout.take(x, (low + high) / 2, 0.3 * (high - low))
    if rng.random() < 0.6:
        lintel = (0.12, opening, size[2] - 2.05)
        b.box(Place(), x, start + opening / 2, 2.05, lintel, face)


def _movers(b: SceneBuilder, size: Vector, share: float) -> int:
    """Add up to two objects that move; return how many."""
    if b.rng.random() >= share:
        return 0
    count = b.rng.randint(1, 2)
    for mover in range(count):
        b.mover = mover
        place = Place(b.rng.uniform(0.6, size[0] - 0.6), b.rng.uniform(0.6, size[1] - 0.6))
        if b.rng.random() < 0.6:
            furniture.person(b, place)
        else:
            furniture.item(b, Place(place.x, place.y, b.rng.uniform(0.0, 1.2)), 0.6)
    b.mover = -1
    return count


def _lights(b: SceneBuilder, size: Vector) -> tuple[np.ndarray, np.ndarray]:
    """Draw lamps and ambient light; return lights [L, 7] and ambient [2, 3]."""
    rng = b.rng
    lights = []
    for index in range(rng.randint(1, 3)):
        x, y = rng.uniform(0.15, 0.85) * size[0], rng.uniform(0.15, 0.85) * size[1]
        strength = rng.uniform(0.5, 1.3) if index == 0 else rng.uniform(0.1, 0.6)
        warm = rng.uniform(0.75, 1.1)
        colour = (strength * 1.05, strength, strength * warm)
        lights.append([x, y, size[2] - 0.06, *colour, rng.uniform(0.03, 0.2)])
        if rng.random() < 0.7:
            w, d = rng.choice(((0.3, 0.3), (1.2, 0.2), (0.6, 0.6)))
            b.box(Place(), x, y, size[2] - 0.05, (w, d, 0.05), b.materials.lamp())
    if rng.random() < 0.4:
        angle, power = rng.uniform(-3.1, 3.1), rng.uniform(0.2, 0.8)
        far = (60 * math.cos(angle), 60 * math.sin(angle), rng.uniform(15, 50))
        lights.append([*far, power, power, power * 0.9, 0.0])
    level = rng.uniform(0.25, 0.7)
    tint = [level * rng.uniform(0.9, 1.1) for _ in range(3)]
    bounce = rng.uniform(0.4, 0.9)
    return np.array(lights), np.array([tint, [bounce * t for t in tint]])


def _room_size(rng: Random) -> Vector:
    height = rng.uniform(2.3, 3.2)
    if rng.random() < 0.15:
        return rng.uniform(1.4, 2.4), rng.uniform(6.0, 15.0), height
    return rng.uniform(2.4, 7.5), rng.uniform(2.4, 7.5), height


def build_scene(
    rng: Random, atlas: Atlas, moving_share: float
) -> tuple[a.SceneArrays, int, list[Vector]]:
    """
    Draw a whole scene.

    :param rng: source of all randomness
    :param atlas: photographic tiles, may be empty
    :param moving_share: probability of moving objects
    :return: the scene, the number of moving objects, points worth looking at
    """
    materials = Materials(rng, atlas.groups)
    b = SceneBuilder(rng, materials)
    size = _room_size(rng)
    wall = materials.wall()
    walls = [wall if rng.random() < 0.7 else materials.wall() for _ in range(4)]
    ceiling = materials.plain(materials.pale()) if rng.random() < 0.8 else materials.wall()
    b.shell(size, (walls[0], walls[1], walls[2], walls[3], materials.floor(), ceiling))
    layout = Layout(size)
    if min(size[:2]) > 3.5 and rng.random() < 0.35:
        _partition(b, layout)
    is_corridor = min(size[:2]) < 2.4
    area = size[0] * size[1]
    if not is_corridor:
        _furnish(b, layout, rng.randint(0, max(1, round(area / 9))), free=True)
    _furnish(b, layout, rng.randint(2, 6 + round(area / 6)), free=False)
    if not is_corridor and rng.random() < 0.6:
        for _ in range(rng.randint(1, 4)):
            spot = (rng.uniform(0.3, size[0] - 0.3), rng.uniform(0.3, size[1] - 0.3))
            furniture.item(b, Place(*spot), 0.5)
    _dress_walls(b, size)
    movers = _movers(b, size, moving_share)
    lights, ambient = _lights(b, size)
    geometry = b.geometry()
    table = materials.table()
    scene = a.SceneArrays(
        **geometry,  # type: ignore[arg-type]
        table=table, atlas=atlas.tiles, lights=lights.astype(np.float32),
        air=np.vstack([ambient, size]).astype(np.float32),
        shadow=np.zeros((SHADOW_SIDE, SHADOW_SIDE), np.float32),
        shadow_focal=SHADOW_SIDE / 2 / math.tan(math.radians(72.0)),
    )  # fmt: skip
    shines = table[scene.textures[:, 0], a.EMISSION] > 0
    render_shadow(scene, ~shines & (scene.kind != a.SHELL) & (scene.mover < 0))
    return scene, movers, b.targets
