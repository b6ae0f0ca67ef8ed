"""The overlay's point clouds; these tests pass with the real sensor_msgs_py too."""

from array import array

import numpy as np
import pytest
from sensor_msgs.msg import PointCloud2, PointField
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header

XYZ = np.array([[1.0, 2.0, 3.0], [4.0, np.nan, 6.0], [7.0, 8.0, 9.0]], np.float32)
FIELDS = [
    PointField(name='x', offset=0, datatype=PointField.FLOAT32, count=1),
    PointField(name='y', offset=4, datatype=PointField.FLOAT32, count=1),
    PointField(name='ring', offset=8, datatype=PointField.UINT16, count=1),
]


def test_xyz_cloud_describes_itself():
    cloud = point_cloud2.create_cloud_xyz32(Header(frame_id='camera'), XYZ)
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (1, 3, 12, 36)
    assert [field.name for field in cloud.fields] == ['x', 'y', 'z']
    assert cloud.header.frame_id == 'camera'
    assert not cloud.is_bigendian
    np.testing.assert_array_equal(np.frombuffer(cloud.data, '<f4').reshape(3, 3), XYZ)


@pytest.mark.parametrize('points', [XYZ, XYZ.tolist()], ids=['array', 'list'])
def test_what_is_written_is_read(points):
    cloud = point_cloud2.create_cloud_xyz32(Header(), points)
    np.testing.assert_array_equal(point_cloud2.read_points_numpy(cloud), XYZ)
    records = point_cloud2.read_points(cloud)
    np.testing.assert_array_equal(records['z'], XYZ[:, 2])


def test_fields_may_be_chosen_and_nans_skipped():
    cloud = point_cloud2.create_cloud_xyz32(Header(), XYZ)
    chosen = point_cloud2.read_points_numpy(cloud, field_names=['x', 'z'])
    np.testing.assert_array_equal(chosen, XYZ[:, [0, 2]])
    finite = point_cloud2.read_points_numpy(cloud, skip_nans=True)
    np.testing.assert_array_equal(finite, XYZ[[0, 2]])


def test_fields_of_several_types():
    points = np.array([(1.5, 2.5, 7), (3.5, 4.5, 65535)], point_cloud2.dtype_from_fields(FIELDS))
    cloud = point_cloud2.create_cloud(Header(), FIELDS, points)
    assert cloud.point_step == 10
    read = point_cloud2.read_points(cloud)
    assert read['ring'].tolist() == [7, 65535]
    assert read['y'].tolist() == [2.5, 4.5]
    with pytest.raises(AssertionError):
        point_cloud2.read_points_numpy(cloud)


def test_padding_between_points_is_stepped_over():
    layout = np.dtype({'names': ['x'], 'formats': ['<f4'], 'offsets': [4], 'itemsize': 16})
    records = np.zeros(3, layout)
    records['x'] = 1, 2, 3
    cloud = PointCloud2(
        height=1,
        width=3,
        fields=[PointField(name='x', offset=4, datatype=PointField.FLOAT32, count=1)],
        point_step=16,
        row_step=48,
        data=array('B', records.tobytes()),
    )
    assert point_cloud2.read_points(cloud)['x'].tolist() == [1, 2, 3]


def test_big_endian_clouds_are_swapped():
    cloud = PointCloud2(
        height=1,
        width=2,
        is_bigendian=True,
        fields=[PointField(name='x', offset=0, datatype=PointField.FLOAT32, count=1)],
        point_step=4,
        row_step=8,
        data=array('B', np.array([1.5, -2.0], '>f4').tobytes()),
    )
    assert point_cloud2.read_points(cloud)['x'].tolist() == [1.5, -2.0]


def test_empty_cloud():
    cloud = point_cloud2.create_cloud_xyz32(Header(), np.zeros((0, 3), np.float32))
    assert (cloud.width, len(cloud.data)) == (0, 0)
    assert len(point_cloud2.read_points(cloud)) == 0


def test_wrong_types_are_refused():
    points = np.zeros(2, [('x', np.float64)])
    with pytest.raises(AssertionError):
        point_cloud2.create_cloud(Header(), FIELDS, points)
