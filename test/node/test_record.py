from builtin_interfaces.msg import Time
from nav_msgs.msg import Path
import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.node.record import Record, map_directory


def header(seconds: int, frame: str = 'odom') -> Header:
    return Header(stamp=Time(sec=seconds), frame_id=frame)


@pytest.fixture
def record() -> Record:
    record = Record(voxel_size=0.1, max_points=1000, max_path=3)
    for second in range(5):
        pose = np.eye(4)
        pose[0, 3] = second
        record.add_pose(pose, pose, header(second))
    points = np.array([[0, 0, 0], [1, 0, 0], [1.01, 0, 0]], np.float32)
    colors = np.full((3, 3), 9, np.uint8)
    record.add_points(points, colors, np.ones(3, np.float32), header(4, 'map'))
    return record


def test_path_keeps_the_newest_poses(record):
    path = deserialize_message(record.path_message(header(4)), Path)
    assert [pose.header.stamp.sec for pose in path.poses] == [2, 3, 4]
    assert path.poses[-1].pose.position.x == 4


def test_map_is_told_once_until_it_changes(record):
    msg = record.map_message('map')
    assert (msg.header.frame_id, msg.header.stamp.sec, msg.width) == ('map', 4, 2)
    assert record.map_message('map') is None
    record.clear()
    assert record.map_message('map').width == 0


def test_another_voxel_size_keeps_the_points(record):
    record.set_voxel_size(5.0)
    assert len(point_cloud2.read_points(record.map_message('map'))) == 1


def test_saving_leaves_two_whole_files(record, tmp_path):
    ply, tum = record.save(tmp_path / 'new' / 'maps', '/robot/ttt3r')
    assert sorted((tmp_path / 'new' / 'maps').iterdir()) == sorted([ply, tum])
    assert ply.name.startswith('robot_ttt3r_')
    assert np.loadtxt(tum)[:, 1].tolist() == [0, 1, 2, 3, 4]


def test_a_folder_beside_the_node_is_named_in_full(record, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = record.save(map_directory('maps'), '/ttt3r')
    assert {path.parent for path in paths} == {tmp_path / 'maps'}


def test_saving_twice_in_a_second_overwrites_nothing(record, tmp_path):
    first, second = record.save(tmp_path, 'a'), record.save(tmp_path, 'a')
    assert len({*first, *second}) == 4
    assert len(list(tmp_path.iterdir())) == 4


def test_nothing_is_saved_before_there_is_something(tmp_path):
    with pytest.raises(DatasetError, match='nothing'):
        Record(0.1, 10, 10).save(tmp_path, 'a')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', ['../../outside', '/etc/passwd', '..', ''])
def test_no_name_leads_out_of_the_folder(record, tmp_path, name):
    folder = tmp_path / 'maps'
    for path in record.save(folder, name):
        assert path.resolve().parent == folder.resolve()
    assert [path.name for path in tmp_path.iterdir()] == ['maps']


def test_a_link_that_leads_out_of_the_folder_is_not_followed(record, tmp_path, monkeypatch):
    folder, outside = tmp_path / 'maps', tmp_path / 'outside.ply'
    folder.mkdir()
    outside.write_text('mine', encoding='ascii')
    monkeypatch.setattr('time.strftime', lambda _: 'now')
    (folder / 'a_now.ply').symlink_to(outside)
    with pytest.raises(DatasetError, match='leads out'):
        record.save(folder, 'a')
    assert outside.read_text(encoding='ascii') == 'mine'


def test_a_folder_that_cannot_be_named_or_followed_is_refused(record, tmp_path, monkeypatch):
    with pytest.raises(DatasetError, match='~nobody_of_that_name'):
        record.save(map_directory('~nobody_of_that_name/maps'), 'a')
    monkeypatch.setattr('time.strftime', lambda _: 'now')
    circle = tmp_path / 'a_now.ply'
    circle.symlink_to(circle)
    with pytest.raises((DatasetError, OSError)):  # the latter from Python 3.13 on
        record.save(tmp_path, 'a')


def test_default_folder_is_where_ros_keeps_its_files(monkeypatch, tmp_path):
    monkeypatch.setenv('ROS_HOME', str(tmp_path))
    assert map_directory('') == tmp_path / 'ttt3r'
    assert str(map_directory('/maps')) == '/maps'
