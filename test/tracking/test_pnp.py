"""The tracker on a rendered room: exact depth, bad depth, losses, and its promises."""

import cv2
import numpy as np
import pytest
from room import CAMERA, HEIGHT, MAPPING, WIDTH, feed, handheld, render, small_points
from scipy.spatial.transform import Rotation

from ttt3r_ros.errors import ImageError
from ttt3r_ros.evaluation.trajectories import umeyama
from ttt3r_ros.geometry.camera import ImageMapping, Intrinsics
from ttt3r_ros.geometry.se3 import inverse, rotation_angle
from ttt3r_ros.io.sequence import open_sequence
from ttt3r_ros.tracking import keyframes
from ttt3r_ros.tracking.landmarks import LandmarkMap
from ttt3r_ros.tracking.pnp import PnpTracker, TrackerConfig
from ttt3r_ros.tracking.vanishing import VanishingEstimate

FRAMES = 30
GLOBAL_SHUTTER = TrackerConfig(rolling_shutter=0.0, features=250)


@pytest.fixture(scope='module')
def film():
    poses = handheld(FRAMES)
    return poses, [render(pose) for pose in poses]


def tracker():
    return PnpTracker(GLOBAL_SHUTTER)


def errors(estimated, truth):
    """Return the position error after alignment by a similarity, and the scale of the track."""
    positions, true = np.array(estimated)[:, :3, 3], truth[:, :3, 3]
    similarity = umeyama(positions, true, True)
    distance = np.linalg.norm(similarity.apply(positions) - true, axis=1)
    return np.sqrt(np.mean(distance**2)), 1 / similarity.scale


def test_exact_depth_gives_the_exact_path(film):
    poses, frames = film
    track = tracker()
    found = [feed(track, image, depth, poses[0]) for image, depth in frames]
    assert [one.status for one in found] == ['first'] + ['tracked'] * (FRAMES - 1)
    estimated = np.array([one.T_world_camera for one in found])
    assert np.abs(estimated[:, :3, 3] - poses[:, :3, 3]).max() < 0.01  # of a path of 0.5 m
    assert rotation_angle(inverse(estimated) @ poses).max() < 0.005
    assert np.allclose([one.depth_scale for one in found], 1, atol=0.03)


def test_it_does_not_matter_who_finishes_a_frame(film, monkeypatch):
    _, frames = film
    refined = []

    def refine(*arguments):
        refined.append(len(poses))
        return original(*arguments)

    original = keyframes.refine
    monkeypatch.setattr(keyframes, 'refine', refine)
    runs = []
    for early in (False, True):
        track, poses = tracker(), []
        for image, depth in frames:
            poses.append(feed(track, image, depth, guess=0.9).T_world_camera)
            if early:
                count = len(refined)
                track.finish()
                at_once = len(refined) - count
                track.finish()
                assert len(refined) - count == at_once  # a second time there is nothing to do
        runs.append((np.array(poses).tobytes(), len(refined)))
    assert runs[0][0] == runs[1][0]
    assert runs[0][1] > 3  # keyframes


def test_depth_that_is_wrong_and_jitters_is_made_consistent(film):
    poses, frames = film
    rng, track, found = np.random.default_rng(3), tracker(), []
    height, width = frames[0][1].shape
    scales = np.exp(rng.normal(0, 0.2, FRAMES))
    for (image, depth), scale in zip(frames, scales, strict=True):
        field = np.exp(0.2 * cv2.resize(rng.normal(size=(3, 4)), (width, height)))
        found.append(feed(track, image, np.float32(depth * scale * field)))
    error, size = errors([one.T_world_camera for one in found], poses)
    assert error < 0.012
    assert 0.75 < size < 1.3
    corrected = np.log([one.depth_scale * scale for one, scale in zip(found, scales, strict=True)])
    assert np.std(corrected[FRAMES // 2 :]) < 0.5 * np.std(np.log(scales[FRAMES // 2 :]))


def test_refining_beats_the_mean_of_the_network(film):
    """Depth with the same error in each frame does not average out: triangulation removes it."""
    poses, frames = film
    tilt = np.linspace(-0.5, 0.5, frames[0][1].shape[1], dtype=np.float32)
    results = []
    for refine in (True, False):
        config = TrackerConfig(rolling_shutter=0.0, features=250, refine=refine)
        track = PnpTracker(config)
        found = [feed(track, image, depth * np.exp(tilt)) for image, depth in frames]
        results.append(errors([one.T_world_camera for one in found], poses)[0])
    assert results[0] < 0.6 * results[1]


def test_depth_turned_inside_out_is_found_out(film):
    """Where near and far are exchanged, parallax has the last word."""
    poses, frames = film
    track = tracker()
    found = [feed(track, image, np.float32(2.5**2 / depth)) for image, depth in frames]
    assert errors([one.T_world_camera for one in found[8:]], poses[8:])[0] < 0.02


def test_triangulated_points_have_the_true_depth(film):
    _, frames = film
    track = tracker()
    for image, depth in frames:
        found = feed(track, image, depth)
    sure = found.landmark_sigma < 0.2
    assert sure.sum() > 50
    points = small_points(frames[-1][1])
    x, y = np.round(found.landmark_pixels[sure]).astype(int).T
    ratio = found.landmark_depth[sure] / points[np.clip(y, 0, 59), np.clip(x, 0, 79), 2]
    assert abs(np.median(ratio) - 1) < 0.02


def test_depths_are_sure_after_moving_and_not_after_turning():
    landmarks = LandmarkMap(np.eye(4))
    landmarks.insert(np.full((1, 2), 30, np.float32), np.full((1, 2), 30.0), np.zeros(1))
    rows = np.array([0])
    moved, turned = np.eye(4), np.eye(4)
    moved[0, 3] = 0.2
    turned[:3, :3] = cv2.Rodrigues(np.array([0.0, 0.3, 0.0]))[0]
    assert landmarks.parallax(rows, moved) == pytest.approx(0.2)
    assert landmarks.turned(rows, moved) == pytest.approx(0.0)
    assert landmarks.parallax(rows, turned) == pytest.approx(0.0)
    assert landmarks.turned(rows, turned) == pytest.approx(0.3)


def test_standing_still_stays_in_place(film):
    _, frames = film
    track = tracker()
    for _ in range(25):
        found = feed(track, *frames[0])
    assert found.status == 'tracked'
    assert np.abs(found.T_world_camera - np.eye(4)).max() < 1e-3


def test_a_camera_at_rest_forgets_nothing_and_does_not_turn(film):
    """With one view in all keyframes, the network's errors would win over what parallax told."""
    _, frames = film
    image, depth = frames[-1]
    tilt = np.exp(np.linspace(-0.5, 0.5, depth.shape[1], dtype=np.float32))
    track, rng = tracker(), np.random.default_rng(5)

    def rest(count):
        for _ in range(count):
            noisy = np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)
            found = feed(track, noisy, depth * tilt)
        assert found.status == 'tracked'
        return found.T_world_camera, track._mapper.landmarks.keyframes

    for moving, far in frames:
        feed(track, moving, far * tilt)
    arrived, keyframes_then = rest(21)
    stayed, keyframes_now = rest(180)
    assert keyframes_now == keyframes_then
    assert rotation_angle(inverse(arrived) @ stayed) < 1e-3


def test_a_light_that_flickers_does_not_matter(film):
    poses, frames = film
    track, found = tracker(), []
    for k, (image, depth) in enumerate(frames):
        found.append(feed(track, (image * (1.0, 0.65)[k % 2]).astype(np.uint8), depth, poses[0]))
    assert all(one.covariance is not None for one in found[1:])  # in one map
    estimated = np.array([one.T_world_camera for one in found])
    assert np.abs(estimated[:, :3, 3] - poses[:, :3, 3]).max() < 0.015
    assert rotation_angle(inverse(estimated) @ poses).max() < 0.007


def test_a_map_at_rest_gets_used_to_the_light(film):
    _, frames = film
    track = tracker()
    for image, depth in frames[:12]:
        feed(track, image, depth)
    track.finish()
    image, depth = frames[11]
    sharp = track._mapper._sharpness
    dim = (0.6 * image).astype(np.uint8)
    for _ in range(5 * TrackerConfig().keyframe_interval):
        feed(track, dim, depth)
    assert track._mapper._sharpness < 0.8 * sharp


def test_darkness_repeats_the_last_pose_until_there_is_light(film):
    poses, frames = film
    track = tracker()
    for image, depth in frames[:10]:
        before = feed(track, image, depth)
    jump = np.eye(4)
    jump[0, 3] = 5.0
    track.finish()  # the last good pose may be that of a keyframe, and refined
    held = None
    for _ in range(3):
        dark = feed(track, np.zeros_like(frames[0][0]), frames[0][1], jump)
        assert dark.status == 'lost'
        assert dark.covariance is None
        np.testing.assert_allclose(dark.T_world_camera, before.T_world_camera, atol=5e-3)
        assert held is None or np.array_equal(dark.T_world_camera, held)
        held = dark.T_world_camera
    again = feed(track, *frames[10])
    assert again.status == 'tracked'
    assert np.abs(again.T_world_camera - poses[10]).max() < 0.02


def test_through_a_blur_the_network_leads_and_the_map_is_kept(film):
    poses, frames = film
    track = tracker()
    for image, depth in frames[:10]:
        before = feed(track, image, 0.8 * depth)
    track.finish()
    step = np.eye(4)
    step[:3, :3] = Rotation.from_rotvec([0, 0.1, 0]).as_matrix()
    step[2, 3] = 0.08
    network = np.eye(4)
    for number, (image, depth) in enumerate(frames[10:13]):
        network = network @ step
        blurred = feed(track, cv2.GaussianBlur(image, (0, 0), 12), 0.8 * depth, network)
        assert (blurred.status, blurred.blurred) == ('network', True)
        assert blurred.covariance is None
        assert blurred.depth_scale == before.depth_scale
        since = inverse(before.T_world_camera) @ blurred.T_world_camera
        assert rotation_angle(since) == pytest.approx(0.1 * (number + 1), abs=5e-3)
        if number == 0:
            assert since[2, 3] == pytest.approx(0.08 * before.depth_scale, abs=5e-3)
    again = feed(track, *frames[13], network)
    assert (again.status, again.blurred) == ('tracked', False)
    assert again.covariance is not None  # in the map as it was, not at a place found again
    again.T_world_camera[:3, 3] /= 0.8
    assert np.abs(again.T_world_camera - poses[13]).max() < 0.05


def test_a_camera_that_sees_edges_alone_is_not_tracked(film):
    depth = film[1][0][1]
    rng = np.random.default_rng(2)
    wall = np.full((HEIGHT, WIDTH), 120.0)
    wall[90:94] -= 25.0
    wall[150:153] -= 15.0
    statuses = []
    track = tracker()
    for number in range(12):
        # the camera glides along the edges, which nobody can see
        network = np.eye(4)
        network[0, 3] = 0.02 * number
        noisy = np.clip(wall + 2 * rng.normal(size=wall.shape), 0, 255).astype(np.uint8)
        tracked = feed(track, np.repeat(noisy[..., None], 3, axis=2), depth, network)
        statuses.append(tracked.status)
    assert 'tracked' not in statuses
    assert tracked.T_world_camera[0, 3] == pytest.approx(0.22, abs=1e-6)


def test_a_place_seen_before_is_found_again(film):
    poses, frames = film
    track = tracker()
    for image, depth in frames[:12]:
        feed(track, image, depth)
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_rotvec([0, 1.2, 0]).as_matrix()
    away, away_depth = render(turned, seed=5)
    assert feed(track, away, away_depth).status == 'network'
    back = feed(track, *frames[4])
    assert back.status == 'tracked'
    assert np.abs(back.T_world_camera - poses[4]).max() < 0.05
    assert back.depth_scale == pytest.approx(1, abs=0.05)


def test_where_a_blur_lasts_the_new_map_begins_where_the_camera_was_thought(film):
    """Its way through the blur is measured as in the map before, whose depth is scaled."""
    _, frames = film
    track = tracker()
    for index, (image, depth) in enumerate(frames[:12]):
        factor = 0.5 if index > 9 else 1.0  # the network is wrong, and the map keeps its scale
        before = feed(track, image, factor * depth)
    assert before.depth_scale > 1.3
    image, depth = frames[12]
    blurred, network, step = cv2.GaussianBlur(image, (0, 0), 12), np.eye(4), np.eye(4)
    step[0, 3] = 0.05
    poses = []
    for _ in range(31):
        network = network @ step
        found = feed(track, blurred, 0.5 * depth, network)
        poses.append(found.T_world_camera[:3, 3])
    assert (found.status, found.blurred) == ('network', False)
    steps = np.linalg.norm(np.diff(poses, axis=0), axis=1)
    assert steps[-1] == pytest.approx(0.05 * before.depth_scale, rel=0.05)


def test_a_cut_takes_the_motion_of_the_network(film):
    _, frames = film
    track = tracker()
    network = np.eye(4)
    network[0, 3] = 10.0  # where the network thinks it is does not matter, but how it moved
    for image, depth in frames[:5]:
        before = feed(track, image, depth, network)
    moved = network.copy()
    moved[:3, 3] += [0.5, 0.1, -0.2]
    other, depth = render(np.eye(4), seed=7)
    cut = feed(track, other, depth, moved)
    assert (cut.status, cut.blurred) == ('network', False)
    expected = before.T_world_camera @ inverse(network) @ moved
    # the pose before may be that of a keyframe, and refined after it was given out
    assert np.allclose(cut.T_world_camera, expected, atol=5e-3)


def test_a_sudden_turn_is_followed_where_the_network_tells_of_it(film):
    poses, frames = film
    track = tracker()
    for image, depth in frames[:5]:
        feed(track, image, depth, poses[0])
    turn = Rotation.from_rotvec([0.0, 0.22, 0.0])  # 62 pixels: beyond what flow finds unguided
    sudden = poses[4].copy()
    sudden[:3, :3] = sudden[:3, :3] @ turn.as_matrix()
    seen_by_network = poses[0].copy()
    seen_by_network[:3, :3] = Rotation.from_rotvec([0.0, 0.2, 0.0]).as_matrix()
    found = feed(track, *render(sudden), seen_by_network)
    assert found.status == 'tracked'
    assert found.covariance is not None  # by the map, not by its keyframes' looks
    assert rotation_angle(inverse(found.T_world_camera) @ sudden) < 0.01


def test_where_the_map_is_wrong_the_camera_is_followed_from_image_to_image():
    """Near and far are so wrong that no pose fits; the motion of the points still tells."""
    start, motion = np.eye(4), np.eye(4)
    start[:3, :3] = Rotation.from_rotvec([0.0, 0.5, 0.0]).as_matrix()
    motion[:3, :3] = Rotation.from_rotvec([0.01, 0.03, 0.0]).as_matrix()
    motion[:3, 3] = [0.15, 0.1, 0.3]
    wrong = np.exp(np.random.default_rng(5).uniform(-1.0, 1.0, (6, 8)))
    image, depth = render(start)
    track = tracker()
    feed(track, image, depth * np.kron(wrong, np.ones((40, 40))).astype(np.float32), start)
    found = feed(track, *render(start @ motion), start)
    assert found.status == 'tracked'
    assert found.covariance is None  # not by the map
    moved = inverse(start) @ found.T_world_camera
    assert rotation_angle(inverse(moved) @ motion) < 0.01
    direction = moved[:3, 3] / np.linalg.norm(moved[:3, 3])
    assert direction @ motion[:3, 3] / np.linalg.norm(motion[:3, 3]) > 0.98
    again = feed(track, *render(start @ motion), start)  # in the new map
    assert again.covariance is not None
    assert np.abs(again.T_world_camera - found.T_world_camera).max() < 0.02


def test_a_new_image_size_goes_on_with_the_network(film):
    _, frames = film
    track = tracker()
    feed(track, *frames[0])
    image = cv2.resize(frames[1][0], (200, 150))
    mapping = ImageMapping(200, 150, 80, 60, 0.4, 0.4, 0, 0)
    points = small_points(frames[1][1])
    camera = mapping.to_input(MAPPING.to_output(CAMERA))
    found = track.add(image, points, np.ones((60, 80), np.float32), mapping, camera, np.eye(4))
    assert found.status in ('network', 'tracked')
    assert np.isfinite(found.T_world_camera).all()


@pytest.mark.parametrize('calibrated', [False, True])
def test_only_a_known_camera_finds_its_place_in_images_of_another_shape(film, calibrated):
    """The middle of an image has the same focal length, but not the one that was learnt."""
    poses, frames = film
    track = tracker()
    for image, depth in frames[:12]:
        before = feed(track, image, depth, guess=1.0 if calibrated else 1.1)
    track.finish()
    width = 180
    mapping = ImageMapping(width, HEIGHT, width // 4, HEIGHT // 4, 0.25, 0.25, 0, 0)
    camera = Intrinsics.centred(width, HEIGHT, CAMERA.fx)
    left = (WIDTH - width) // 2
    image = np.ascontiguousarray(frames[4][0][:, left : left + width])
    points = small_points(frames[4][1])[:, left // 4 : (left + width) // 4]
    moved = np.eye(4)
    moved[0, 3] = 0.4
    given = (points, np.ones(points.shape[:2], np.float32), mapping)
    found = track.add(image, *given, camera, moved, calibrated=calibrated)
    if calibrated:
        assert found.status == 'tracked'
        assert np.abs(found.T_world_camera - poses[4]).max() < 0.05
        return
    assert found.status == 'network'
    expected = before.T_world_camera @ moved
    np.testing.assert_allclose(found.T_world_camera, expected, atol=2e-2)
    assert found.focal_scale == tracker().focal_scale(image, camera)
    again = track.add(image, *given, camera, moved, calibrated=calibrated)
    assert again.status == 'tracked'
    np.testing.assert_allclose(again.T_world_camera, found.T_world_camera, atol=5e-3)


def test_images_larger_than_the_limit_give_the_same_path():
    poses = handheld(12)
    large = Intrinsics.centred(640, 480, 560.0)
    mapping = ImageMapping(640, 480, 80, 60, 0.125, 0.125, 0, 0)
    config = TrackerConfig(rolling_shutter=0.0, image_size=320)
    track = PnpTracker(config)
    for pose in poses:
        image, depth = render(pose, camera=large)
        points = small_points(cv2.resize(depth, (320, 240), interpolation=cv2.INTER_AREA))
        found = track.add(image, points, np.ones((60, 80), np.float32), mapping, large, np.eye(4))
    assert np.abs(found.T_world_camera - poses[-1]).max() < 0.01


@pytest.mark.parametrize('size', [(80, 60), (160, 120)])
def test_a_camera_of_few_pixels_is_tracked(film, size):
    poses, frames = film
    width, height = size
    camera = Intrinsics.centred(width, height, CAMERA.fx * width / WIDTH)
    mapping = ImageMapping(width, height, 80, 60, 80 / width, 60 / height, 0, 0)
    track = tracker()
    statuses = []
    for image, depth in frames[:20]:
        tiny = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        points = small_points(depth)
        found = track.add(tiny, points, np.ones((60, 80), np.float32), mapping, camera, np.eye(4))
        statuses.append(found.status)
    assert statuses == ['first'] + ['tracked'] * 19
    assert np.abs(found.T_world_camera - poses[19]).max() < 0.05


def test_reset_starts_anew_at_the_given_pose(film):
    _, frames = film
    track = tracker()
    for image, depth in frames[:4]:
        feed(track, image, depth)
    track.reset()
    start = np.eye(4)
    start[1, 3] = 2.0
    found = feed(track, *frames[4], start)
    assert found.status == 'first'
    assert np.array_equal(found.T_world_camera, start)


def test_the_same_images_give_the_same_poses(film):
    _, frames = film
    runs = []
    for _ in range(2):
        track = tracker()
        runs.append([feed(track, image, depth).T_world_camera for image, depth in frames[:15]])
    assert np.array_equal(*runs)


def test_covariance_grows_as_points_become_few(film):
    _, frames = film
    traces = []
    for features in (60, 400):
        track = PnpTracker(TrackerConfig(rolling_shutter=0.0, features=features))
        for image, depth in frames[:4]:
            found = feed(track, image, depth)
        assert np.allclose(found.covariance, found.covariance.T)
        assert np.linalg.eigvalsh(found.covariance).min() > 0
        assert np.sqrt(np.diag(found.covariance)).max() < 0.05
        traces.append(np.trace(found.covariance))
    assert traces[0] > 2 * traces[1]


def test_depth_without_use_is_not_followed(film):
    _, frames = film
    track = tracker()
    for image, depth in frames[:3]:
        found = feed(track, image, np.full_like(depth, np.nan))
    assert found.status == 'network'
    assert np.isfinite(found.T_world_camera).all()


@pytest.mark.parametrize('shape', [(10, 10, 3), (240, 320, 4), (240, 320)])
@pytest.mark.parametrize('guess', [1.0, 1.1])
def test_images_of_a_wrong_shape_are_named(film, shape, guess):
    with pytest.raises(ImageError, match='image is'):
        feed(tracker(), np.zeros(shape, np.uint8), film[1][0][1], guess=guess)


def test_real_images_with_bad_depth(shared):
    sequence = open_sequence(shared / 'data' / 'seven_scenes_seq')
    mapping = ImageMapping(640, 480, 96, 72, 0.15, 0.15, 0, 0)
    camera = Intrinsics.centred(640, 480, 525.0)
    rng, track, estimated, truth = np.random.default_rng(0), PnpTracker(), [], []
    for index in range(60, 160, 2):
        frame = sequence[index]
        depth = np.nan_to_num(frame.depth(), nan=2.0)
        field = np.exp(0.2 * cv2.resize(rng.normal(size=(3, 4)), (96, 72)) + rng.normal(0, 0.2))
        small = cv2.resize(depth, (96, 72), interpolation=cv2.INTER_AREA) * field
        points = (mapping.to_output(camera).rays() * small[..., None]).astype(np.float32)
        confidence = np.ones((72, 96), np.float32)
        found = track.add(frame.image(), points, confidence, mapping, camera, np.eye(4))
        assert found.status in ('first', 'tracked')
        estimated.append(found.T_world_camera)
        truth.append(frame.T_world_camera)
    error, size = errors(estimated, np.array(truth))
    assert error < 0.04
    assert 0.7 < size < 1.4


def test_only_an_estimated_camera_is_looked_at_for_lines(film, monkeypatch):
    _, frames = film
    seen = []

    def look(self, gray):
        self.images += 1
        seen.append(gray.shape)

    monkeypatch.setattr(VanishingEstimate, 'look', look)
    known, estimated = tracker(), tracker()
    for image, depth in frames[:4]:
        feed(known, image, depth)
    assert seen == []
    feed(estimated, *frames[0], guess=1.1)
    assert seen == [(HEIGHT, WIDTH)]  # before its pose
    for image, depth in frames[1:]:
        feed(estimated, image, depth, guess=1.1)
    assert 2 < len(seen) < FRAMES  # with keyframes


def test_the_focal_length_that_is_foreseen_is_the_one_that_is_used(film):
    _, frames = film
    track = tracker()
    for image, depth in frames[:12]:
        foreseen = track.focal_scale(image, CAMERA.zoomed(1.1))
        assert feed(track, image, depth, guess=1.1).focal_scale == foreseen
