import numpy as np
import pytest

from ttt3r_ros.errors import CalibrationError
from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.io.calibration_file import read_calibration_file
from ttt3r_ros.io.rectify import read_calibration

CAMERA = Intrinsics(40, 30, 36.0, 37.0, 19.0, 14.5)
# As camera_calibration writes it: to YAML 1.1 a number without a point, as 1e-05, is a text.
WRITTEN = """
image_width: 40
image_height: 30
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [36.     ,  0.     , 19.,
          0.     , 37.     , 14.5,
          0.     ,  0.     ,  1.     ]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.3, 0.1, 1e-05, -2E-4, 0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1., 0., 0.,
         0., 1., 0.,
         0., 0., 1.]
projection_matrix:
  rows: 3
  cols: 4
  data: [30.     ,  0.     , 18.,  0.     ,
          0.     , 31.     , 13.,  0.     ,
          0.     ,  0.     ,  1.     ,  0.     ]
"""


def test_what_camera_calibration_writes_is_read(tmp_path):
    path = tmp_path / 'ost.yaml'
    path.write_text(WRITTEN)
    info = read_calibration_file(path)
    assert (info.width, info.height, info.distortion_model) == (40, 30, 'plumb_bob')
    np.testing.assert_array_equal(info.d, [-0.3, 0.1, 1e-5, -2e-4, 0])
    calibration = read_calibration(info, 40, 30, rectified=False)
    assert calibration.lens == CAMERA
    assert calibration.intrinsics == Intrinsics(40, 30, 30.0, 31.0, 18.0, 13.0)
    assert calibration.doubt == ''
    twice = read_calibration(info, 80, 60, rectified=False).intrinsics
    assert (twice.fx, twice.cx) == (60.0, 36.5)


@pytest.mark.parametrize(
    ('model', 'distortion'),
    [('equidistant', [0.1, 0, 0, 0]), ('rational_polynomial', [0.1] * 8), ('plumb_bob', [])],
)
def test_all_lenses_of_camera_info_are_known(write_calibration, model, distortion):
    info = read_calibration_file(write_calibration(CAMERA, distortion, model=model))
    calibration = read_calibration(info, 40, 30, rectified=False)
    assert (calibration.model, list(calibration.distortion)) == (model, distortion)


def test_what_may_be_left_out(write_calibration):
    path = write_calibration(
        CAMERA, rectification_matrix=None, projection_matrix=None, distortion_model=None
    )
    calibration = read_calibration(read_calibration_file(path), 40, 30, rectified=False)
    assert calibration.intrinsics == CAMERA
    assert (calibration.model, calibration.doubt) == ('plumb_bob', '')


@pytest.mark.parametrize(
    ('changes', 'why'),
    [
        ({'image_width': None}, 'image_width is None'),
        ({'image_height': -3}, 'image_height is -3'),
        ({'image_height': 'thirty'}, "image_height is 'thirty'"),
        ({'camera_matrix': None}, 'camera_matrix has no data'),
        ({'camera_matrix': [1, 2]}, 'camera_matrix has no data'),
        ({'camera_matrix': {'data': [1.0] * 8}}, 'camera_matrix has 8 numbers, not 9'),
        ({'camera_matrix': {'data': ['a'] * 9}}, 'camera_matrix has no data'),
        ({'camera_matrix': {'data': [0.0] * 9}}, 'not calibrated: K is'),
        ({'camera_matrix': {'data': [float('nan')] * 9}}, 'not calibrated: K is'),
        ({'distortion_coefficients': None}, 'distortion_coefficients has no data'),
        ({'distortion_coefficients': {'data': [0.1] * 3}}, 'does not fit plumb_bob'),
        (
            {'distortion_model': 'bent', 'distortion_coefficients': {'data': [0.1]}},
            "'bent' is",
        ),
        ({'projection_matrix': {'data': [1.0]}}, 'projection_matrix has 1 numbers, not 12'),
    ],
)
def test_what_is_wrong_is_named(write_calibration, changes, why):
    path = write_calibration(CAMERA, **changes)
    with pytest.raises(CalibrationError, match=f'{path}: .*{why}'):
        read_calibration_file(path)


def test_images_that_are_rectified_need_p(write_calibration):
    path = write_calibration(CAMERA, projection_matrix=None)
    with pytest.raises(CalibrationError, match='P is'):
        read_calibration_file(path, rectified=True)


@pytest.mark.parametrize(
    ('content', 'why'),
    [
        (b'', 'no calibration file'),
        (b'- 1', 'no calibration file'),
        (b'\xff\xd8\xff\xe0', 'no YAML'),
        (b'a: [1, 2', 'no YAML from line 1 on'),
        (b'a: 2020-99-99', 'no YAML'),
        (b'[' * 5000, 'no YAML'),
        (b'#' * (1 << 21), 'no calibration file'),
    ],
    ids=range(7),
)
def test_another_file_is_refused(tmp_path, content, why):
    path = tmp_path / 'front.yaml'
    path.write_bytes(content)
    with pytest.raises(CalibrationError, match=f'{path} is {why}'):
        read_calibration_file(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for path in (tmp_path / 'none.yaml', tmp_path, tmp_path / 'a\0.yaml'):
        with pytest.raises(CalibrationError, match='cannot be read: '):
            read_calibration_file(path)
