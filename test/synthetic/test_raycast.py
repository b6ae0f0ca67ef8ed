import numpy as np
import pytest

from ttt3r_ros.synthetic import arrays as a
from ttt3r_ros.synthetic.raycast import FAR, localise, screen_bounds, trace

# A camera at the origin of a z-up world, looking along +x: right is -y, down is -z.
CAMERA = np.array([[0, 0, 0], [0, 0, 1], [-1, 0, 0], [0, -1, 0]], dtype=float)
SIZE, FOCAL = 21, 20.0
MIDDLE = SIZE // 2


def look(
    kind: int,
    centre: tuple[float, float, float],
    half: tuple[float, float, float],
    turn: float = 0.0,
):
    """Return depth, hit and face maps of one primitive, turned about the vertical."""
    c, s = np.cos(turn), np.sin(turn)
    rotation = np.array([[[c, -s, 0], [s, c, 0], [0, 0, 1]]], np.float32)
    kinds, faces = np.array([kind], np.int32), np.zeros((1, 6), np.int32)
    centres, halves = np.array([centre], np.float32), np.array([half], np.float32)
    solids = localise(kinds, centres, rotation, halves, faces, CAMERA)
    bounds = screen_bounds(centres, rotation, halves, CAMERA, FOCAL, SIZE, SIZE)
    depth = np.empty((SIZE, SIZE), np.float32)
    hit, face = np.empty((SIZE, SIZE), np.int32), np.empty((SIZE, SIZE), np.int32)
    trace(solids, bounds, FOCAL, depth, hit, face)
    return depth, hit, face


@pytest.mark.parametrize(
    ('kind', 'depth'), [(a.BOX, 2.5), (a.BALL, 2.5), (a.CYLINDER, 2.5), (a.SHELL, 3.5)]
)
def test_depth_straight_ahead(kind: int, depth: float) -> None:
    seen, hit, _ = look(kind, (3, 0, 0), (0.5, 0.5, 0.5))
    assert seen[MIDDLE, MIDDLE] == pytest.approx(depth)
    assert hit[MIDDLE, MIDDLE] == 0


@pytest.mark.parametrize('kind', [a.BOX, a.BALL, a.CYLINDER])
def test_rays_beside_it_meet_nothing(kind: int) -> None:
    seen, hit, _ = look(kind, (3, 0, 0), (0.5, 0.5, 0.5))
    assert hit[0, 0] == -1
    assert seen[0, 0] == FAR
    assert (look(kind, (-3, 0, 0), (0.5, 0.5, 0.5))[1] == -1).all()


def test_depth_is_along_the_axis_not_the_ray() -> None:
    seen, hit, _ = look(a.BOX, (3, 0, 0), (0.5, 2, 2))
    assert (hit == 0).all()
    np.testing.assert_allclose(seen, 2.5, rtol=1e-5)


def test_turned_box_shows_its_edge() -> None:
    seen, _, face = look(a.BOX, (3, 0, 0), (0.5, 0.5, 0.5), turn=np.pi / 4)
    assert seen[MIDDLE, MIDDLE] == pytest.approx(3 - np.sqrt(0.5), abs=1e-4)
    assert len({face[MIDDLE, MIDDLE - 2], face[MIDDLE, MIDDLE + 2]}) == 2


def test_cylinder_seen_from_above_shows_its_end() -> None:
    seen, hit, face = look(a.CYLINDER, (3, 0, -0.8), (0.5, 0.5, 0.5))
    top = face[hit == 0] == 5
    assert top.any()
    assert not top.all()
    assert seen[hit == 0].min() >= 2.5 - 1e-5
