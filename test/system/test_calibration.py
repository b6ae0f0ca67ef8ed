"""`camera_info`: undistorts, gives the camera, is compared with the estimate, may be useless."""

from itertools import count

import cv2
from harness import HEIGHT, WIDTH, image, picture
import numpy as np
import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.node.conversions import camera_info_message
from ttt3r_ros.preprocess import fit_image

CAMERA = Intrinsics.centred(WIDTH, HEIGHT, 110.0)
MODELS = {
    'plumb_bob': [-0.3, 0.1, 0.001, -0.002, 0.0],
    'rational_polynomial': [-0.2, 0.05, 0.0, 0.001, 0.01, 0.1, 0.0, 0.02],
    'equidistant': [-0.05, 0.01, 0.0, 0.001],
}


def info(camera: Intrinsics, model: str = 'plumb_bob', distortion=()) -> CameraInfo:
    message = camera_info_message(camera, image(0, 1.0).header)
    message.distortion_model, message.d = model, list(distortion)
    return message


@pytest.fixture(scope='module')
def node(shared_system):
    process = shared_system.start(input_queue=30)
    shared_system.client.listen(
        'odometry', 'color/image', 'depth/camera_info', 'estimated_camera_info'
    )
    shared_system.client.listen_to_diagnostics()
    return process


@pytest.fixture
def client(node, anew):  # noqa: ARG001
    return anew


def images():
    return (image(3, 100.0 + index) for index in count())


def test_the_first_image_waits_for_camera_info_that_somebody_publishes(client):
    client.publisher('camera_info', CameraInfo)
    client.send(image(3, 50.0))
    client.send(info(CAMERA), topic='camera_info')
    found = client.wait_for_stamp('depth/camera_info', 50.0)
    expected = fit_image(picture(3), PRESETS['small'], crop=True)[1].to_output(CAMERA)
    assert np.allclose(found.k.reshape(3, 3), expected.matrix)


def test_camera_info_of_another_camera_is_a_warning_until_the_right_one_comes(client):
    client.send(image(3, 60.0))
    estimate = client.wait_for_stamp('estimated_camera_info', 60.0)
    right = Intrinsics.centred(WIDTH, HEIGHT, estimate.k[0])
    wrong = Intrinsics.centred(WIDTH, HEIGHT, 3 * estimate.k[0])
    series = images()
    for camera, level, text in (
        (wrong, b'\1', 'does not fit that of camera_info'),
        (right, b'\0', 'tracking'),
    ):
        client.send(info(camera), topic='camera_info')

        def told(level: bytes = level, text: str = text) -> bool:
            status = client.status(': reconstruction')
            return status.level == level and text in status.message

        client.send_until(told, series, text)


@pytest.mark.parametrize('model', MODELS)
def test_distorted_images_are_undistorted(client, model):
    client.send(info(CAMERA, model, MODELS[model]), topic='camera_info')
    K, D = CAMERA.matrix, np.array(MODELS[model])
    module = cv2.fisheye if model == 'equidistant' else cv2
    maps = module.initUndistortRectifyMap(K, D, np.eye(3), K, (WIDTH, HEIGHT), cv2.CV_32FC1)
    straight = cv2.remap(picture(3), *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    expected = fit_image(straight, PRESETS['small'], crop=True)[0].astype(float)
    distorted = fit_image(picture(3), PRESETS['small'], crop=True)[0].astype(float)
    assert np.abs(expected - distorted).mean() > 5

    def undistorted() -> bool:
        seen = client.newest('color/image')
        found = np.frombuffer(seen.data, np.uint8).reshape(seen.height, seen.width, 3)
        return bool(np.abs(found - expected).mean() < 1)

    client.send_until(undistorted, images(), 'an undistorted image')


@pytest.mark.parametrize(
    'useless',
    [
        info(CAMERA, distortion=[np.nan] * 5),
        info(CAMERA, model='bent', distortion=[0.1] * 5),
        info(Intrinsics.centred(WIDTH, WIDTH, 110.0)),
        CameraInfo(width=WIDTH, height=HEIGHT),
    ],
    ids=['nan', 'model', 'shape', 'zeros'],
)
def test_useless_camera_info_is_a_warning_and_the_images_are_taken_as_they_are(client, useless):
    before = client.count('with bad camera_info')
    client.send(useless, topic='camera_info')
    client.send_until(lambda: client.count('with bad camera_info') > before, images(), 'the count')
    assert any(
        status.level == b'\1' and 'camera_info' in status.message
        for message in client.received['diagnostics']
        for status in message.status
    )
    seen = client.newest('color/image')
    found = np.frombuffer(seen.data, np.uint8).reshape(seen.height, seen.width, 3)
    assert np.array_equal(found, fit_image(picture(3), PRESETS['small'], crop=True)[0])


@pytest.mark.parametrize('image_qos', ['sensor_data', 'reliable'])
def test_camera_info_is_heard_beside_a_remapped_image_also_best_effort(system, image_qos):
    system.start(image_qos=image_qos, remaps=['image:=/front/image_raw'])
    client, camera = system.client, Intrinsics.centred(WIDTH, HEIGHT, 90.0)
    client.listen('depth/camera_info', 'odometry')
    node, quality = client.node, ReliabilityPolicy.BEST_EFFORT
    images = node.create_publisher(Image, '/front/image_raw', 5)
    infos = node.create_publisher(
        CameraInfo, '/front/camera_info', QoSProfile(depth=5, reliability=quality)
    )
    expected = fit_image(picture(3), PRESETS['small'], crop=True)[1].to_output(camera).matrix
    stamps = count(50)

    def is_known() -> bool:
        infos.publish(info(camera))
        images.publish(image(3, float(next(stamps))))
        found = client.received['depth/camera_info']
        return bool(found) and np.allclose(found[-1].k.reshape(3, 3), expected)

    client.until(is_known, 'the camera')
    (found,) = node.get_subscriptions_info_by_topic('/front/camera_info')
    assert found.qos_profile.reliability == quality


def test_a_calibration_file_takes_the_place_of_camera_info(system, write_calibration):
    camera = Intrinsics.centred(WIDTH, HEIGHT, 90.0)
    path = write_calibration(camera, MODELS['plumb_bob'])
    system.start(camera_info_url=f'file://{path}', input_queue=30)
    client = system.client
    client.listen('color/image', 'depth/camera_info', 'odometry')
    client.send(image(3, 50.0))
    found = client.wait_for_stamp('depth/camera_info', 50.0)
    assert client.node.count_subscribers('/camera_info') == 0
    expected = fit_image(picture(3), PRESETS['small'], crop=True)[1].to_output(camera)
    assert np.allclose(found.k.reshape(3, 3), expected.matrix)
    seen = client.wait_for_stamp('color/image', 50.0)
    pixels = np.frombuffer(seen.data, np.uint8).reshape(seen.height, seen.width, 3)
    distorted = fit_image(picture(3), PRESETS['small'], crop=True)[0].astype(float)
    assert np.abs(pixels - distorted).mean() > 5


def test_a_calibration_file_that_is_no_use_is_an_error_that_names_it(system, tmp_path):
    path = tmp_path / 'front.yaml'
    path.write_text('a: 1')
    process = system.start(camera_info_url=str(path), wait='')
    process.says(f'cannot be configured: calibration file {path}: image_width is None')
