import numpy as np
import pytest
from simulated import CAMERA, wall_recording

from ttt3r_ros.cli.camera import camera_chooser, given_camera, undistorted
from ttt3r_ros.cli.usage import UsageError


def chosen(text, recorded=None):
    return camera_chooser(text, given_camera(text), recorded)


def test_which_intrinsics_count():
    assert chosen('', CAMERA)(40, 30) == CAMERA
    assert chosen('', CAMERA)(80, 60) is None  # recorded for another size
    assert chosen('')(40, 30) is None
    assert chosen('estimate', CAMERA)(40, 30) is None
    given = chosen('50,51,20,15', CAMERA)(40, 30)
    assert (given.fx, given.fy, given.cx, given.cy, given.width) == (50, 51, 20, 15, 40)
    for wrong in (
        '50', '50,51,20', 'a,b,c,d', '0,1,2,3', 'nan,50,20,15', '50,inf,20,15', '50,50,nan,15',
        '50,50,20,-inf', '50,50,20,15,0.1', '50,50,20,15,0.1,0.1,0,nan', '50,50,20,15,0,0,0,0,0,0',
        'front.yml', 'front.yam',
    ):  # fmt: skip
        with pytest.raises(UsageError, match='--camera'):
            given_camera(wrong)
    for wrong in ('0.9,0.9,0.5,0.5', '0.05,50,20,15', '50,50,5000,15'):  # parts of the image
        with pytest.raises(UsageError, match='fits no camera with images of 40 x 30'):
            chosen(wrong)(40, 30)


def test_a_lens_that_is_given_is_taken_out_of_images_and_depth():
    recording = wall_recording(2)
    for text in ('', 'estimate'):
        assert undistorted(recording, given_camera(text)) is recording
    for text in ('40,40,19.5,14.5', '40,40,19.5,14.5,0,0,0,0'):
        straight = undistorted(recording, given_camera(text))
        assert straight.seen(40, 30) is None
        for frame, raw in zip(straight, recording, strict=True):
            np.testing.assert_array_equal(frame.image(), raw.image())
            np.testing.assert_array_equal(frame.depth(), raw.depth())
    bent = undistorted(recording, given_camera('40,40,19.5,14.5,0.4,0,0,0'))
    seen = bent.seen(40, 30)
    assert 0.3 < seen.mean() < 1
    for frame, raw in zip(bent, recording, strict=True):
        assert frame.image().shape == raw.image().shape
        known = np.isfinite(frame.depth())
        assert known[seen].all()
        assert (known & ~seen).sum() < 0.1 * seen.sum()  # beside the rim
    assert (len(bent), bent.has_depth, bent.has_poses) == (2, True, True)


def test_a_calibration_file_says_the_same_as_its_numbers(write_calibration):
    distortion = [0.4, 0.0, 0.01, 0.0, 0.0]
    path = write_calibration(CAMERA, distortion)
    camera = [CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy]
    numbers = given_camera(','.join(map(str, camera + distortion)))
    assert given_camera(str(path))(40, 30) == numbers(40, 30)
    assert chosen(str(path))(40, 30) == CAMERA
    assert chosen(str(path))(80, 60).fx == 2 * CAMERA.fx


def test_a_calibration_file_that_is_no_use_is_named(write_calibration):
    path = write_calibration(CAMERA)
    with pytest.raises(UsageError, match=f'--camera {path}: .* of another shape'):
        given_camera(str(path))(30, 40)
    path.write_text('')
    with pytest.raises(UsageError, match=f'--camera: {path} is no calibration file'):
        given_camera(str(path))
