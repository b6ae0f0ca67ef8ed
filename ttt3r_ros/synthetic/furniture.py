"""
Furniture and clutter, each a function that adds primitives at a place.

A piece fills x in [-w/2, w/2] and y in [0, d] of its place: y = 0 is its back, against the wall.
"""

from __future__ import annotations

import math

from ttt3r_ros.synthetic.builder import Place, SceneBuilder


def _legs(b: SceneBuilder, at: Place, w: float, d: float, height: float, face: int) -> None:
    thick = b.rng.choice((0.03, 0.05, 0.08))
    is_round = b.rng.random() < 0.4
    for x in (-w / 2 + 0.06, w / 2 - 0.06):
        for y in (0.06, d - 0.06):
            if is_round:
                b.cylinder(at, x, y, 0, thick, height, face)
            else:
                b.box(at, x, y, 0, (thick, thick, height), face)


def item(b: SceneBuilder, at: Place, limit: float = 0.3) -> None:
    """Put some object at a place: a box, book, cup, bottle, ball, plant or paper."""
    rng, materials = b.rng, b.materials
    choice = rng.random()
    yaw = rng.uniform(-3.1, 3.1)
    if choice < 0.25:
        size = tuple(rng.uniform(0.05, limit) for _ in range(3))
        b.box(at, 0, 0, 0, (size[0], size[1], size[2]), materials.object(), yaw=yaw)
    elif choice < 0.45:
        cover, page = materials.picture(), materials.plain(materials.pale())
        thick = rng.uniform(0.004, 0.05)
        faces = (page, page, page, page, cover, cover)
        b.box(at, 0, 0, 0, (0.21, 0.29, thick), faces, yaw=yaw)
    elif choice < 0.6:
        b.cylinder(
            at, 0, 0, 0, rng.uniform(0.06, 0.1), rng.uniform(0.07, 0.13), materials.object()
        )
    elif choice < 0.7:
        face, width = materials.object(), rng.uniform(0.05, 0.09)
        b.cylinder(at, 0, 0, 0, width, 0.18, face)
        b.cylinder(at, 0, 0, 0.18, width * 0.4, 0.07, face)
    elif choice < 0.8:
        wide = rng.uniform(0.06, limit)
        b.ball(at, 0, 0, 0, (wide, wide, wide * rng.uniform(0.5, 1.2)), materials.object())
    elif choice < 0.88:
        plant(b, at, rng.uniform(0.2, 0.5))
    else:
        page = materials.paper()
        for _ in range(rng.randint(1, 4)):
            x, y, turn = rng.gauss(0, 0.08), rng.gauss(0, 0.08), rng.uniform(-3, 3)
            b.box(at, x, y, 0, (0.21, 0.297, 0.003), page, yaw=turn)


def plant(b: SceneBuilder, at: Place, height: float) -> None:
    """Add a pot with a few balls of leaves on stems."""
    rng, materials = b.rng, b.materials
    leaf = materials.add(
        5, (0.03, rng.uniform(0.1, 0.4), 0.04), (0.1, 0.3, 0.05), noise=0.5, noise_scale=0.05
    )
    width = height * rng.uniform(0.3, 0.5)
    b.cylinder(at, 0, 0, 0, width, height * 0.35, materials.object())
    for _ in range(rng.randint(2, 6)):
        size = height * rng.uniform(0.25, 0.6)
        x, y = rng.gauss(0, height * 0.15), rng.gauss(0, height * 0.15)
        z = height * rng.uniform(0.4, 0.9)
        b.ball(at, x, y, z, (size, size, size * rng.uniform(0.5, 1.0)), leaf)
        b.rod(at.point(0, 0, height * 0.3), at.point(x, y, z + size / 2), 0.012, leaf)


def clutter(b: SceneBuilder, at: Place, w: float, d: float, count: int) -> None:
    """Strew objects over a surface of width w and depth d."""
    for _ in range(count):
        x, y = b.rng.uniform(-w / 2 + 0.1, w / 2 - 0.1), b.rng.uniform(0.1, max(0.11, d - 0.1))
        item(b, at.at(x, y), min(0.35, d / 2))


def table(b: SceneBuilder, at: Place, w: float, d: float) -> float:
    """Add a table with things on it; return its height."""
    rng = b.rng
    height = rng.uniform(0.68, 0.8) if rng.random() < 0.8 else rng.uniform(0.35, 0.5)
    face = b.materials.furniture()
    thick = rng.uniform(0.02, 0.06)
    if rng.random() < 0.15:
        b.cylinder(at, 0, d / 2, height - thick, min(w, d) * 1.1, thick, face)
        b.cylinder(at, 0, d / 2, 0, 0.08, height - thick, face)
    else:
        b.box(at, 0, d / 2, height - thick, (w, d, thick), face)
        _legs(b, at, w, d, height - thick, face if rng.random() < 0.7 else b.materials.furniture())
    clutter(b, at.at(0, 0, height), w, d, rng.randint(2, 10))
    b.targets.append(at.point(0, d / 2, height))
    return height


def monitor(b: SceneBuilder, at: Place) -> None:
    """Add a display on a foot, facing +y."""
    rng, materials = b.rng, b.materials
    w = rng.uniform(0.4, 0.7)
    h, yaw = w * rng.uniform(0.55, 0.75), rng.uniform(-0.4, 0.4)
    body = materials.plain(materials.colour(0.01, 0.2, 0.1))
    if rng.random() < 0.2:
        body = materials.plain(materials.pale())
    front = materials.screen()
    low = rng.uniform(0.06, 0.15)
    b.cylinder(at, 0, 0, 0, 0.22, 0.015, body)
    b.box(at, 0, -0.03, 0, (0.06, 0.03, low + h / 2), body, yaw=yaw)
    faces = (body, body, body, front, body, body)
    b.box(at, 0, 0, low, (w, 0.04, h), faces, yaw=yaw, roll=rng.uniform(-0.1, 0.1))


def desk(b: SceneBuilder, at: Place, w: float, d: float) -> None:
    """Add a desk with displays, keyboards, papers and a chair before it."""
    rng = b.rng
    height = table(b, at, w, d)
    top = at.at(0, 0, height)
    for i in range(rng.randint(1, 3 if w > 1.3 else 2)):
        monitor(b, top.at(-w / 2 + 0.35 + 0.6 * i, rng.uniform(0.15, 0.3), 0, rng.gauss(0, 0.15)))
    for _ in range(rng.randint(1, 2)):
        x, y = rng.uniform(-w / 4, w / 4), rng.uniform(0.45, 0.6) * d / 0.8
        b.box(top, x, y, 0, (0.44, 0.15, 0.025), b.materials.keyboard(), yaw=rng.gauss(0, 0.2))
    if rng.random() < 0.7:
        chair(b, at.at(rng.uniform(-0.3, 0.3), d + rng.uniform(0.1, 0.5), 0, rng.gauss(0, 0.5)))


def chair(b: SceneBuilder, at: Place) -> None:
    """Add a chair that looks towards -y: four legs or an office chair, slats or a panel."""
    rng = b.rng
    seat, w = rng.uniform(0.4, 0.5), rng.uniform(0.4, 0.5)
    face, cover = b.materials.furniture(), b.materials.furniture()
    if rng.random() < 0.35:
        b.cylinder(at, 0, w / 2, 0.06, 0.06, seat - 0.06, face)
        for i in range(5):
            angle = i * 2 * math.pi / 5
            tip = at.point(0.3 * math.cos(angle), w / 2 + 0.3 * math.sin(angle), 0.04)
            b.rod(at.point(0, w / 2, 0.08), tip, 0.04, face)
    else:
        _legs(b, at, w, w, seat, face)
    b.box(at, 0, w / 2, seat, (w, w, rng.uniform(0.03, 0.1)), cover)
    back, tilt = rng.uniform(0.35, 0.6), rng.uniform(-0.2, 0.0)
    if rng.random() < 0.5:
        b.box(at, 0, w + 0.03, seat + 0.08, (w, 0.04, back), cover, roll=tilt)
        return
    for x in (-w / 2 + 0.03, w / 2 - 0.03):
        b.box(at, x, w, seat, (0.05, 0.05, back + 0.08), face)
    for i in range(rng.randint(2, 4)):
        b.box(at, 0, w, seat + 0.15 + i * (back - 0.15) / 3, (w - 0.06, 0.03, 0.07), face)


def shelf(b: SceneBuilder, at: Place, w: float, d: float) -> None:
    """Add a shelf, open or backed, with books and things."""
    rng, materials = b.rng, b.materials
    height, face = rng.choice((0.8, 1.2, 1.8, 2.1)), materials.furniture()
    boards = max(2, round(height / rng.uniform(0.3, 0.45)))
    for x in (-w / 2, w / 2):
        b.box(at, x, d / 2, 0, (0.025, d, height), face)
    if rng.random() < 0.7:
        b.box(at, 0, 0.01, 0, (w, 0.01, height), face)
    covers = [materials.object() for _ in range(8)]
    gap = height / boards
    for i in range(boards + 1):
        b.box(at, 0, d / 2, i * gap, (w, d, 0.02), face)
        if i == boards or rng.random() < 0.15:
            clutter(b, at.at(0, 0, i * gap + 0.02), w, d, 1)
            continue
        x, end = -w / 2 + 0.03, rng.uniform(-w / 4, w / 2 - 0.03)
        while x < end:
            thick, tall = rng.uniform(0.02, 0.12), gap * rng.uniform(0.5, 0.9)
            deep = d * rng.uniform(0.6, 0.9)
            size = (thick * 0.95, deep, tall)
            b.box(at, x + thick / 2, deep / 2, i * gap + 0.02, size, rng.choice(covers))
            x += thick
    b.targets.append(at.point(0, d, height * rng.uniform(0.4, 0.9)))


def cabinet(b: SceneBuilder, at: Place, w: float, d: float) -> None:
    """Add a cupboard or kitchen counter with doors, handles, things on top, a wall unit."""
    rng, materials = b.rng, b.materials
    height = rng.uniform(0.6, 1.0) if rng.random() < 0.75 else rng.uniform(1.4, 2.1)
    front, top, metal = materials.furniture(), materials.furniture(), materials.plain((0.5,) * 3)
    foot = rng.uniform(0.0, 0.15)
    b.box(at, 0, d / 2 - 0.03, 0, (w, max(0.1, d - 0.08), foot + 0.01), materials.furniture())
    b.box(at, 0, d / 2, foot, (w, d, height - foot), front)
    b.box(at, 0, d / 2 + 0.01, height, (w + 0.02, d + 0.03, 0.035), top)
    doors = max(1, round(w / rng.uniform(0.4, 0.6)))
    gap = materials.plain((0.01, 0.01, 0.01))
    for i in range(doors):
        x = -w / 2 + (i + 0.5) * w / doors
        if i:
            b.box(at, x - w / doors / 2, d / 2 + 0.002, foot, (0.008, d, height - foot), gap)
        b.box(at, x, d + 0.015, height - 0.1, (0.14, 0.02, 0.015), metal)
    if height < 1.1:
        clutter(b, at.at(0, 0, height + 0.035), w, d, rng.randint(1, max(1, int(4 * w))))
        b.targets.append(at.point(0, d / 2, height))
        if rng.random() < 0.5:
            b.box(at, 0, 0.16, 1.4, (w, 0.32, rng.uniform(0.5, 0.8)), front)


def sofa(b: SceneBuilder, at: Place, w: float, d: float) -> None:
    """Add a sofa or armchair."""
    rng, face = b.rng, b.materials.object()
    seat, back = rng.uniform(0.38, 0.46), rng.uniform(0.7, 0.95)
    b.box(at, 0, d / 2, 0.05, (w, d, seat - 0.05), face)
    b.box(at, 0, 0.12, seat, (w, 0.24, back - seat), face, roll=rng.uniform(0, 0.1))
    for x in (-w / 2 + 0.1, w / 2 - 0.1):
        b.box(at, x, d / 2, 0.05, (0.2, d, seat + 0.15), face)
    for _ in range(rng.randint(0, 3)):
        x, cover = rng.uniform(-w / 3, w / 3), b.materials.object()
        b.box(at, x, 0.35, seat, (0.45, 0.14, 0.42), cover, roll=0.35, yaw=rng.gauss(0, 0.2))
    b.targets.append(at.point(0, d / 2, seat))


def bed(b: SceneBuilder, at: Place, w: float, d: float) -> None:
    """Add a bed with its head at the wall."""
    cover, frame = b.materials.object(), b.materials.furniture()
    b.box(at, 0, d / 2, 0, (w, d, 0.28), frame)
    b.box(at, 0, d / 2, 0.28, (w - 0.05, d - 0.05, 0.22), cover)
    b.box(at, 0, 0.02, 0, (w, 0.05, b.rng.uniform(0.6, 1.1)), frame)
    pillow = b.materials.plain(b.materials.pale())
    b.ball(at, -w / 5, 0.35, 0.45, (0.6, 0.45, 0.2), pillow)
    b.targets.append(at.point(0, d / 2, 0.5))


def floor_lamp(b: SceneBuilder, at: Place, w: float, d: float) -> None:
    """Add a lamp on a pole, or a hat stand; w and d only set where its middle is."""
    rng, metal = b.rng, b.materials.plain(b.materials.colour(0.02, 0.6, 0.2))
    height, y = rng.uniform(1.2, 1.9), min(w, d) / 2
    b.cylinder(at, 0, y, 0, 0.3, 0.03, metal)
    b.cylinder(at, 0, y, 0, rng.uniform(0.02, 0.05), height, metal)
    if rng.random() < 0.6:
        shade = b.materials.lamp()
        b.cylinder(at, 0, y, height, rng.uniform(0.2, 0.45), rng.uniform(0.2, 0.35), shade)
    else:
        for _ in range(4):
            tip = at.point(rng.gauss(0, 0.2), y + rng.gauss(0, 0.2), height + 0.1)
            b.rod(at.point(0, y, height - 0.1), tip, 0.02, metal)


def pile(b: SceneBuilder, at: Place, w: float, d: float) -> None:
    """Add boxes, a bin, a ball or a plant on the floor, some stacked."""
    rng, materials = b.rng, b.materials
    for _ in range(rng.randint(1, 3)):
        x, y, z = rng.uniform(-w / 3, w / 3), rng.uniform(0.2, max(0.3, d - 0.2)), 0.0
        kind = rng.random()
        if kind < 0.6:
            for _ in range(rng.randint(1, 3)):
                size = (rng.uniform(0.15, 0.6), rng.uniform(0.15, 0.6), rng.uniform(0.1, 0.5))
                b.box(at, x, y, z, size, materials.object(), yaw=rng.gauss(0, 0.4))
                z += size[2]
        elif kind < 0.75:
            b.cylinder(
                at, x, y, 0, rng.uniform(0.2, 0.35), rng.uniform(0.25, 0.6), materials.object()
            )
        elif kind < 0.85:
            wide = rng.uniform(0.2, 0.7)
            b.ball(at, x, y, 0, (wide, wide, wide), materials.object())
        else:
            plant(b, at.at(x, y), rng.uniform(0.5, 1.6))


def person(b: SceneBuilder, at: Place) -> None:
    """Add a standing figure of ellipsoids and cylinders."""
    rng, materials = b.rng, b.materials
    cloth, legs = materials.object(), materials.object()
    skin = materials.plain((rng.uniform(0.2, 0.8), rng.uniform(0.15, 0.5), rng.uniform(0.1, 0.35)))
    for x in (-0.1, 0.1):
        b.cylinder(at, x, 0, 0, 0.15, 0.85, legs)
        b.cylinder(at, 2.3 * x, 0, 0.75, 0.09, 0.65, cloth)
    b.ball(at, 0, 0, 0.75, (0.44, 0.28, 0.8), cloth)
    b.ball(at, 0, 0, 1.48, (0.19, 0.22, 0.26), skin)
