"""What needs no topics; the rest is tested over these (test/system/test_calibration.py)."""

import threading

import numpy as np
import pytest
from std_msgs.msg import Header

from ttt3r_ros.errors import CalibrationError
from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.node.calibration import CameraCalibration
from ttt3r_ros.node.conversions import camera_info_message
from ttt3r_ros.node.settings import NodeConfig
from ttt3r_ros.node.statistics import Statistics

CAMERA = Intrinsics.centred(16, 12, 12.0)
IMAGE = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)


def calibration(warn=print, **config):
    return CameraCalibration(NodeConfig(**config), Statistics(), warn)


class WaitedFor(threading.Event):
    """An event that tells when somebody waits for it, and is patient."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()

    def wait(self, timeout=None):  # noqa: ARG002
        self.begun.set()
        return super().wait(10)


def test_the_image_after_the_first_waits_for_camera_info_too():
    known = calibration()
    known._came = waits = WaitedFor()
    found = []

    def decode() -> None:
        known.wait(lambda: True)
        found.append(known.undistort(IMAGE).camera)

    threads = [threading.Thread(target=decode) for _ in range(2)]
    threads[0].start()
    assert waits.begun.wait(10)
    threads[1].start()
    threads[1].join(0.1)
    known.take(camera_info_message(CAMERA, Header()))
    for thread in threads:
        thread.join(10)
    assert found == [CAMERA, CAMERA]


def test_a_p_that_is_of_no_use_is_told_once():
    warnings: list[str] = []
    known = calibration(lambda _, text: warnings.append(text))
    info = camera_info_message(CAMERA, Header())
    info.d, info.p = [0.1] * 5, np.full(12, np.nan)
    for second in range(3):
        info.header.stamp.sec = second
        known.take(info)
        assert known.undistort(IMAGE).camera == CAMERA
    assert len(warnings) == 1
    assert 'P is [nan' in warnings[0]
    info.p = np.full(12, np.inf)
    known.undistort(IMAGE)
    assert len(warnings) == 2


@pytest.mark.parametrize('scheme', ['', 'file://'])
def test_a_file_gives_the_camera_and_nothing_is_waited_for(write_calibration, scheme):
    path = write_calibration(CAMERA)
    known = calibration(camera_info_url=f'{scheme}{path}')
    known.wait(lambda: pytest.fail('nobody should ask'))
    assert known.is_from_file
    assert known.undistort(IMAGE).camera == CAMERA


def test_a_file_of_a_package_is_found(monkeypatch, write_calibration):
    path = write_calibration(CAMERA)
    monkeypatch.setattr(
        'ttt3r_ros.node.calibration.get_package_share_directory',
        {'robot': path.parent.parent}.__getitem__,
    )
    known = calibration(camera_info_url=f'package://robot/{path.parent.name}/{path.name}')
    assert known.undistort(IMAGE).camera == CAMERA


def test_images_that_are_rectified_have_the_camera_of_p(write_calibration):
    path = write_calibration(CAMERA, distortion=[0.1] * 5, zoom=0.5)
    for rectified, fx in ((True, 6.0), (False, 6.0)):
        known = calibration(camera_info_url=str(path), rectified_input=rectified)
        assert known.undistort(IMAGE).camera.fx == fx
        assert (known.undistort(IMAGE).seen is None) == rectified


@pytest.mark.parametrize(
    ('url', 'why'),
    [
        ('/no/such/file.yaml', 'No such file'),
        ('package://no_such_package/front.yaml', "no package 'no_such_package'"),
        ('package:///front.yaml', "no package ''"),
        ('http://camera/front.yaml', 'No such file'),
    ],
)
def test_a_file_that_is_not_there_is_an_error(url, why):
    with pytest.raises(CalibrationError, match=why):
        calibration(camera_info_url=url)
