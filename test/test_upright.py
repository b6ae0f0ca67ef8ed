import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
import pytest
from scipy.spatial.transform import Rotation
import torch
from torch import Tensor

from ttt3r_ros.errors import CheckpointError
from ttt3r_ros.geometry.camera import ImageMapping, Intrinsics
from ttt3r_ros.model.roll import BINS, RollNetwork, angles, load_roll_network
from ttt3r_ros.reconstructor import Reconstructor, ReconstructorConfig
from ttt3r_ros.seen import Seen
from ttt3r_ros.synthetic.sequence import render_sequence
from ttt3r_ros.synthetic.settings import held_out_seed
from ttt3r_ros.tracking.pnp import TrackedPose
from ttt3r_ros.upright import Gimbal, turn_back, turn_image, turning_axes
from ttt3r_ros.view import Health

WEIGHTS = Path(__file__).parent.parent / 'ttt3r_ros/weights/roll.safetensors'
WIDE = ImageMapping(640, 480, 64, 48, 0.1, 0.1, 0, 0)
IMAGE = np.zeros((48, 64, 3), np.uint8)


class Said(RollNetwork):
    """Says what it is told, in degrees; None: it cannot tell."""

    def __init__(self, *degrees: float | None) -> None:
        super().__init__()
        self.degrees = list(degrees)

    def forward(self, image: Tensor) -> Tensor:
        told = self.degrees.pop(0) if len(self.degrees) > 1 else self.degrees[0]
        if told is None:
            return torch.zeros(len(image), BINS).log_softmax(1)
        off = torch.remainder(angles() - math.radians(told) + math.pi, 2 * math.pi) - math.pi
        return (-0.5 * (off / 0.1).square()).log_softmax(0).expand(len(image), -1)


def test_a_quarter_turn_is_exact() -> None:
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    mapping = ImageMapping(128, 128, 64, 64, 0.5, 0.5, 0, 0)
    halved = image.reshape(64, 2, 64, 2, 3).mean((1, 3))
    turned = turn_image(image, mapping, math.pi / 2)
    np.testing.assert_allclose(turned, np.rot90(halved), atol=2)


def test_a_stretched_image_is_turned_as_it_was_before() -> None:
    image = np.zeros((101, 201, 3), np.uint8)
    cv2.circle(image, (140, 50), 6, (255, 255, 255), -1)
    mapping = ImageMapping(201, 101, 64, 64, 64 / 201, 64 / 101, 0, 0)
    turned = turn_image(image, mapping, math.pi / 2)  # counter-clockwise: what is right goes up
    rows, columns = np.nonzero(turned[..., 1] > 127)
    expected = mapping.points_to_output(np.array([100.0, 10.0]))
    np.testing.assert_allclose([columns.mean(), rows.mean()], expected, atol=0.6)


def plane(camera: Intrinsics, axes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the points of a slanted plane as a camera with other axes sees it."""
    normal = axes[:3, :3] @ np.array([0.2, -0.5, 0.8])
    rays = camera.rays()
    return np.asarray(rays * (2.0 / (rays @ normal))[..., None], np.float32)


@pytest.mark.parametrize('pinhole', [True, False])
@pytest.mark.parametrize('degrees', [20.0, -50.0, 170.0])
def test_what_is_seen_of_the_turned_image_is_turned_back(pinhole: bool, degrees: float) -> None:
    angle = math.radians(degrees)
    camera = Intrinsics.centred(64, 48, 60.0)
    seen = Seen(
        np.eye(4), plane(camera, turning_axes(angle)), np.full((48, 64), 3.0, np.float32),
        None, 60.0, Health(gain=0, change=0, drift=0),
    )  # fmt: skip
    back = turn_back(seen, WIDE, angle, pinhole=pinhole)
    expected = plane(camera, np.eye(4))
    inside = back.confidence == 3.0
    assert 0.5 < inside.mean() < 1.0
    np.testing.assert_allclose(back.points[inside], expected[inside], rtol=2e-3, atol=2e-3)
    assert np.isfinite(back.points).all()
    assert back.confidence.min() >= 1.0


def test_the_first_image_is_turned_at_once_and_a_level_one_never() -> None:
    assert Gimbal(Said(40.0)).follow(IMAGE, np.eye(3)) == pytest.approx(
        math.radians(40.0), abs=0.06
    )
    level = Gimbal(Said(8.0))
    assert [level.follow(IMAGE, np.eye(3)) for _ in range(30)] == [0.0] * 30


def test_the_gimbal_follows_evenly_and_then_rests() -> None:
    gimbal = Gimbal(Said(0.0, 40.0))
    followed = [gimbal.follow(IMAGE, np.eye(3)) for _ in range(60)]
    steps = np.abs(np.diff(followed))
    assert np.rad2deg(steps.max()) < 6.01
    assert np.rad2deg(followed[-1]) == pytest.approx(40.0, abs=4.0)
    assert not steps[-20:].any()


def test_one_image_that_says_something_else_and_ones_that_tell_nothing_turn_nothing() -> None:
    gimbal = Gimbal(Said(*[0.0] * 8, 80.0, 0.0, None))
    assert {gimbal.follow(IMAGE, np.eye(3)) for _ in range(60)} == {0.0}


def test_after_a_reset_nothing_is_remembered() -> None:
    gimbal = Gimbal(Said(*[40.0] * 8, 0.0))
    first = [gimbal.follow(IMAGE, np.eye(3)) for _ in range(9)]
    gimbal.reset()
    assert first[0] > 0.6
    assert gimbal.follow(IMAGE, np.eye(3)) == 0.0


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / 'roll.safetensors'
    for content in (b'', b'nothing of the kind', WEIGHTS.read_bytes()[:-100]):
        broken.write_bytes(content)
        with pytest.raises(CheckpointError, match=r'roll\.safetensors'):
            load_roll_network(broken)
    with pytest.raises(CheckpointError, match=r'weights of the roll network'):
        load_roll_network(WEIGHTS.with_name('small.safetensors'))


def rolled_rooms(
    count: int, degrees: float
) -> list[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Film rooms that training never sees, with a camera that is rolled: pictures and depth."""
    rooms = []
    for index in range(count):
        film = render_sequence(held_out_seed(5000 + index), 1, 160, 160)
        matrix = cv2.getRotationMatrix2D((79.5, 79.5), degrees, 1.0)
        picture = cv2.warpAffine(film.rgb[0], matrix, (160, 160))[32:128, 16:144]
        depth = cv2.warpAffine(film.depth[0], matrix, (160, 160), flags=cv2.INTER_NEAREST)
        rooms.append((np.ascontiguousarray(picture), depth[32:128, 16:144][::2, ::2]))
    return rooms


def test_depth_of_a_rolled_camera_is_better_for_it() -> None:
    errors: dict[str, list[float]] = {'off': [], 'on': []}
    for upright, scores in errors.items():
        reconstructor = Reconstructor(ReconstructorConfig(upright=upright, pose_source='network'))
        for picture, depth in rolled_rooms(16, -45.0):
            reconstructor.reset()
            error = np.log(reconstructor.add(picture).depth / depth)
            scores.append(float(np.abs(np.exp(error - np.median(error)) - 1).mean()))
    assert np.mean(errors['on']) < 0.95 * np.mean(errors['off'])


@pytest.mark.parametrize('source', ['network', 'pnp'])
def test_images_prepared_with_an_old_roll_give_the_same_bits(source: str) -> None:
    [(picture, _)] = rolled_rooms(1, 40.0)
    images = [np.roll(picture, step, axis=1) for step in range(6)]
    config = ReconstructorConfig(upright='on', pose_source=source, reset_interval=4)
    plain, ahead = Reconstructor(config), Reconstructor(config)
    views = [plain.add(image) for image in images]
    prepared = [ahead.prepare(image) for image in images]
    assert any(frame.roll == 0 for frame in prepared)
    for frame, view in zip(prepared, views, strict=True):
        again = ahead.add(frame)
        np.testing.assert_array_equal(again.points, view.points)
        np.testing.assert_array_equal(again.T_world_camera, view.T_world_camera)
    np.testing.assert_allclose(views[0].T_world_camera, np.eye(4), atol=0.01)
    assert ahead.prepare(picture).roll != 0


def test_poses_are_those_of_the_camera_and_not_of_its_image_as_turned() -> None:
    film = render_sequence(held_out_seed(5000), 1, 480, 480)
    reconstructor = Reconstructor(ReconstructorConfig(pose_source='pnp'))
    turned = []
    for degrees in (30.0, 31.0, 32.0, 33.0):
        matrix = cv2.getRotationMatrix2D((239.5, 239.5), degrees, 1.0)
        picture = cv2.warpAffine(film.rgb[0], matrix, (480, 480))[112:368, 70:410]
        view = reconstructor.add(np.ascontiguousarray(picture))
        turned.append(reconstructor.prepare(picture).roll)
    assert turned[-1] != 0.0
    rotation = Rotation.from_matrix(view.T_world_camera[:3, :3]).as_rotvec(degrees=True)
    np.testing.assert_allclose(rotation, [0, 0, 3.0], atol=0.5)


class Watched:
    """Stands for the watch: remembers what it is shown, and calls it a collapse where it shall."""

    def __init__(self, *collapses: int) -> None:
        self.collapses, self.shown = collapses, list[NDArray[np.float32]]()

    def collapsed(self, confidence: NDArray[np.float32]) -> bool:
        self.shown.append(confidence)
        return len(self.shown) - 1 in self.collapses


def test_the_corners_of_a_turned_image_are_no_collapse(monkeypatch: pytest.MonkeyPatch) -> None:
    [(picture, _)] = rolled_rooms(1, 40.0)
    reconstructor, watch = Reconstructor(ReconstructorConfig(pose_source='pnp')), Watched()
    monkeypatch.setattr(reconstructor, '_watch', watch)
    view = reconstructor.add(picture)
    assert (view.confidence == 1).mean() > 0.05  # the corners
    assert (watch.shown[0] == 1).mean() < 0.01


def test_an_image_without_confidence_tells_nothing_of_gravity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [(picture, _)] = rolled_rooms(1, 0.0)
    reconstructor = Reconstructor(ReconstructorConfig(pose_source='pnp'))
    monkeypatch.setattr(reconstructor, '_gimbal', Gimbal(Said(*[0.0] * 4, 90.0)))
    monkeypatch.setattr(reconstructor, '_watch', Watched(*range(4, 24)))
    statuses = [reconstructor.add(picture).tracking.status for _ in range(24)]
    assert statuses[4:] == ['lost'] * 20
    assert reconstructor.prepare(picture).roll == 0.0


@pytest.mark.parametrize(
    ('between', 'spins'),
    [
        (('lost', False), [0, 0, 1, 0, 0, 1]),
        (('network', True), [0, 0, 1, 2, 0, 1]),  # the network's motion, in a blur, goes on
    ],
)
def test_the_leap_of_a_camera_that_is_found_again_is_not_expected_once_more(
    between: tuple[str, bool], spins: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    [(picture, _)] = rolled_rooms(1, 0.0)
    reconstructor = Reconstructor(ReconstructorConfig(pose_source='pnp'))
    foreseen, poses = [], []
    turned = Rotation.from_rotvec([0.0, 0.3, 0.0]).as_matrix()
    tracked = ('tracked', False)
    told = iter([('first', False), tracked, between, tracked, tracked, tracked])
    angles = iter([0, 1, 1 if between[0] == 'lost' else 3, 7, 8, 9])

    def follow(_: NDArray[np.uint8], R_world_camera: NDArray[np.float64]) -> float:
        foreseen.append(R_world_camera)
        return 0.0

    def track(*_: object, **__: object) -> TrackedPose:
        pose = np.eye(4)
        pose[:3, :3] = np.linalg.matrix_power(turned, next(angles))
        poses.append(pose[:3, :3])
        status, blurred = next(told)
        return TrackedPose(
            T_world_camera=pose, status=status, blurred=blurred,
            inliers=0, matches=0, covariance=None,
            focal_scale=1.0, depth_scale=1.0, landmark_pixels=np.zeros((0, 2)),
            landmark_depth=np.zeros(0), landmark_sigma=np.zeros(0),
        )  # fmt: skip

    monkeypatch.setattr(reconstructor._gimbal, 'follow', follow)
    monkeypatch.setattr(reconstructor._tracker, 'add', track)
    for _ in range(6):
        reconstructor.add(picture)
    turns = [np.linalg.matrix_power(turned, spin) for spin in spins]
    expected = [pose @ turn for pose, turn in zip([np.eye(3), *poses[:-1]], turns, strict=True)]
    np.testing.assert_allclose(foreseen, expected, atol=1e-9)
