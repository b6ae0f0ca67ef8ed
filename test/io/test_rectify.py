import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, RegionOfInterest

from ttt3r_ros.errors import ImageError
from ttt3r_ros.geometry.camera import ImageMapping
from ttt3r_ros.io.rectify import (
    read_calibration,
    seen_by_lens,
    told_by,
    undistort,
    undistort_depth,
)

WIDTH, HEIGHT, FOCAL = 160, 120, 120.0
K = np.array([[FOCAL, 0, 79.5], [0, FOCAL, 59.5], [0, 0, 1]])
MODELS = {
    'plumb_bob': [-0.25, 0.08, 0.001, -0.002, 0.01],
    'rational_polynomial': [0.3, 0.05, 0.001, 0.001, 0.01, 0.6, 0.1, 0.02],
    'equidistant': [-0.02, 0.01, -0.005, 0.001],
}


def info(model: str = 'plumb_bob', d: list[float] | None = None, **changes) -> CameraInfo:
    msg = CameraInfo(width=WIDTH, height=HEIGHT, distortion_model=model)
    msg.k, msg.d = K.ravel(), [] if d is None else d
    msg.p = np.hstack([K * [[0.9], [0.9], [1]], np.zeros((3, 1))]).ravel()
    for name, value in changes.items():
        setattr(msg, name, value)
    return msg


def dot_image(pixel: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    blob = np.exp(-((x - pixel[0]) ** 2 + (y - pixel[1]) ** 2) / 8) * 255
    return np.repeat(blob[..., None], 3, axis=-1).astype(np.uint8)


def centroid(image: np.ndarray) -> np.ndarray:
    weights = image[..., 0].astype(float)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.array([(x * weights).sum(), (y * weights).sum()]) / weights.sum()


def distort(point: np.ndarray, model: str) -> np.ndarray:
    D = np.array(MODELS[model])
    if model == 'equidistant':
        return cv2.fisheye.projectPoints(point[None, None], np.zeros(3), np.zeros(3), K, D)[0][
            0, 0
        ]
    return cv2.projectPoints(point[None], np.zeros(3), np.zeros(3), K, D)[0][0, 0]


@pytest.mark.parametrize('model', list(MODELS))
def test_a_distorted_point_comes_back_to_where_a_pinhole_sees_it(model):
    point = np.array([0.35, -0.22, 1.0])
    seen = distort(point, model)
    pinhole = (K @ point)[:2]
    assert np.linalg.norm(seen - pinhole) > 0.8
    calibration = read_calibration(info(model, MODELS[model]), WIDTH, HEIGHT, rectified=False)
    image, _ = undistort(dot_image(seen), calibration)
    assert np.linalg.norm(centroid(image) - pinhole) < 0.25


def test_no_distortion_leaves_the_image_alone():
    calibration = read_calibration(info(d=[0.0] * 5), WIDTH, HEIGHT, rectified=False)
    image = dot_image(np.array([30.0, 40.0]))
    assert undistort(image, calibration) == (image, None)


def test_a_fisheye_lens_without_coefficients_is_no_pinhole():
    calibration = read_calibration(info('equidistant', [0.0] * 4), WIDTH, HEIGHT, rectified=False)
    corner = np.array([20.0, 20.0])
    angle = np.linalg.norm(corner - K[:2, 2]) / FOCAL  # from the axis, as such a lens sees it
    wanted = K[:2, 2] + (corner - K[:2, 2]) * np.tan(angle) / angle
    seen = undistort(dot_image(corner), calibration)[0][..., 0].astype(float)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    found = np.array([(x * seen).sum(), (y * seen).sum()]) / seen.sum()
    assert np.abs(found - wanted).max() < 0.6


def test_rectified_images_are_not_undistorted_again_and_take_p():
    msg = info('plumb_bob', MODELS['plumb_bob'])
    calibration = read_calibration(msg, WIDTH, HEIGHT, rectified=True)
    assert calibration.distortion == ()
    assert calibration.intrinsics.fx == pytest.approx(0.9 * FOCAL)


def test_scaled_images_scale_the_camera():
    camera = read_calibration(info(), WIDTH * 2, HEIGHT * 2, rectified=False).intrinsics
    assert (camera.fx, camera.cx) == pytest.approx((2 * FOCAL, 159.5))


def test_region_of_interest_and_binning():
    msg = info(binning_x=2, binning_y=2)
    msg.roi.x_offset, msg.roi.y_offset, msg.roi.width, msg.roi.height = 20, 10, 100, 80
    camera = read_calibration(msg, 50, 40, rectified=False).intrinsics
    assert (camera.fx, camera.cx, camera.cy) == pytest.approx((60.0, 29.5, 24.5))


def test_a_new_calibration_replaces_the_tables():
    image = dot_image(np.array([30.0, 40.0]))
    first = read_calibration(info(d=MODELS['plumb_bob']), WIDTH, HEIGHT, rectified=False)
    second = read_calibration(info(d=[0.2, 0, 0, 0, 0]), WIDTH, HEIGHT, rectified=False)
    before, _ = undistort(image, first)
    assert not np.array_equal(undistort(image, second)[0], before)
    assert np.array_equal(undistort(image, first)[0], before)


@pytest.mark.parametrize('model', list(MODELS))
@pytest.mark.parametrize(
    ('turned', 'focal'), [(False, 0.9 * FOCAL), (True, FOCAL)], ids=['one camera', 'stereo']
)
def test_a_distorted_image_becomes_image_rect_where_p_describes_that(model, turned, focal):
    turn = np.diag([1.0, -1.0, -1.0]) if turned else np.eye(3)
    msg = info(model, MODELS[model], r=turn.ravel())
    calibration = read_calibration(msg, WIDTH, HEIGHT, rectified=False)
    assert calibration.intrinsics.fx == pytest.approx(focal)
    point = np.array([0.35, -0.22, 1.0])
    image, _ = undistort(dot_image(distort(point, model)), calibration)
    wanted = calibration.intrinsics.project(point)
    assert np.linalg.norm(centroid(image) - wanted) < 0.3


def test_a_distorted_image_keeps_k_where_p_is_not_filled():
    msg = info(d=MODELS['plumb_bob'], r=np.eye(3).ravel(), p=np.zeros(12))
    calibration = read_calibration(msg, WIDTH, HEIGHT, rectified=False)
    assert (calibration.intrinsics.fx, calibration.doubt) == (FOCAL, '')


def test_a_p_that_is_of_no_use_is_told():
    msg = info(d=MODELS['plumb_bob'], r=np.eye(3).ravel(), p=np.full(12, np.nan))
    calibration = read_calibration(msg, WIDTH, HEIGHT, rectified=False)
    assert calibration.intrinsics.fx == FOCAL
    assert 'P is [nan' in calibration.doubt


def test_camera_info_that_says_something_else_is_told_from_one_that_comes_later():
    def told(**changes):
        return told_by(info(**({'d': MODELS['plumb_bob'], 'r': np.eye(3).ravel()} | changes)))

    later = info(d=MODELS['plumb_bob'], r=np.eye(3).ravel())
    later.header.stamp.sec = 5
    assert told_by(later) == told()
    others = [
        {name: np.full(size, 0.5)} for name, size in (('k', 9), ('p', 12), ('r', 9), ('d', 5))
    ]
    others += [{'width': 320}, {'height': 240}, {'binning_x': 2}, {'binning_y': 2}]
    others += [{'roi': RegionOfInterest(**{name: 8})} for name in ('x_offset', 'y_offset')]
    others += [{'roi': RegionOfInterest(**{name: 8})} for name in ('width', 'height')]
    others.append({'distortion_model': 'equidistant'})
    assert len({told(), *(told(**changes) for changes in others)}) == 1 + len(others)


def test_depth_is_of_the_nearest_pixel_and_unknown_where_the_lens_has_seen_nothing():
    bent = read_calibration(info(d=[0.5, 0.0, 0.0, 0.0]), WIDTH, HEIGHT, rectified=False)
    steps = np.where(np.arange(WIDTH) < WIDTH // 2, 1.0, 3.0).astype(np.float32)
    depth = undistort_depth(np.tile(steps, (HEIGHT, 1)), bent)
    seen = seen_by_lens(bent)
    assert set(np.unique(depth[seen])) == {1.0, 3.0}
    assert np.isnan(depth[0, 0])
    assert not seen[0, 0]


def test_what_the_lens_has_not_seen_is_known_and_no_edge():
    bent = read_calibration(info(d=[0.4, 0, 0, 0, 0]), WIDTH, HEIGHT, rectified=False)
    image, seen = undistort(np.full((HEIGHT, WIDTH, 3), 200, np.uint8), bent)
    assert image.min() == 200
    assert seen[HEIGHT // 2, WIDTH // 2]
    assert not seen[0, 0]
    assert 0.5 < seen.mean() < 0.95
    half = ImageMapping(WIDTH, HEIGHT, WIDTH // 2 - 8, HEIGHT // 2, 0.5, 0.5, 4, 0)
    rows, columns = np.arange(HEIGHT // 2), np.arange(4, WIDTH // 2 - 4)
    where = np.ix_(np.rint(2 * rows + 0.5).astype(int), np.rint(2 * columns + 0.5).astype(int))
    assert np.array_equal(half.pick(seen), seen[where])


@pytest.mark.parametrize(
    'msg',
    [
        info(k=np.zeros(9)),
        info(k=np.full(9, np.nan)),
        info(width=0),
        info(width=WIDTH * 2),
        info('unheard_of', [0.1]),
        info('plumb_bob', [0.1, 0.2]),
        info('plumb_bob', [float('nan')] * 5),
        info(k=(K * [[1e28], [1e28], [1]]).ravel()),
        info(k=(K * [[1e4], [1e-5], [1]]).ravel()),
        info(k=(K * [[1], [1], [1]] + [[0, 0, 1e6], [0, 0, 0], [0, 0, 0]]).ravel()),
    ],
    ids=[
        'uncalibrated',
        'nan',
        'no size',
        'other shape',
        'model',
        'too few',
        'nan distortion',
        'endless focal length',
        'other across than down',
        'far from its middle',
    ],
)
def test_camera_info_that_cannot_be_used_says_why(msg):
    with pytest.raises(ImageError):
        read_calibration(msg, WIDTH, HEIGHT, rectified=False)
