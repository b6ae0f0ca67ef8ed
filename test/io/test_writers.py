import errno
import json
import os
import struct

import cv2
from made_up import pose
import numpy as np
import pytest
from rosbags.rosbag2 import Writer

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.io.bag_writer import write_bag
from ttt3r_ros.io.tum import read_tum_trajectory
from ttt3r_ros.io.writers import write_depth_png, write_intrinsics, write_ply, write_tum


def test_ply_has_the_bytes_its_header_promises(tmp_path):
    points = np.array([[1.5, -2.0, 3.25], [0.0, 0.5, -1.0]], np.float64)
    write_ply(tmp_path / 'p.ply', points, np.array([[1, 2, 3], [253, 254, 255]], np.uint8), 'hi')
    header, _, body = (tmp_path / 'p.ply').read_bytes().partition(b'end_header\n')
    lines = header.decode().splitlines()
    assert lines[:4] == [
        'ply',
        'format binary_little_endian 1.0',
        'comment hi',
        'element vertex 2',
    ]
    assert [line.split()[1:] for line in lines[4:]] == [
        ['float', 'x'], ['float', 'y'], ['float', 'z'],
        ['uchar', 'red'], ['uchar', 'green'], ['uchar', 'blue'],
    ]  # fmt: skip
    assert list(struct.iter_unpack('<fffBBB', body)) == [
        (1.5, -2.0, 3.25, 1, 2, 3),
        (0.0, 0.5, -1.0, 253, 254, 255),
    ]


def test_an_empty_cloud_is_a_file_too(tmp_path):
    write_ply(tmp_path / 'p.ply', np.empty((0, 3)), np.empty((0, 3), np.uint8))
    assert b'element vertex 0\n' in (tmp_path / 'p.ply').read_bytes()


def test_every_point_needs_a_colour(tmp_path):
    with pytest.raises(ValueError, match=r'\[N, 3\]'):
        write_ply(tmp_path / 'p.ply', np.zeros((2, 3)), np.zeros((3, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_trajectory_is_read_back(tmp_path):
    stamps, poses = [1305031229.528748, 1305031230.0], np.array([pose(1), pose(9)])
    write_tum(tmp_path / 't.txt', stamps, poses)
    read_stamps, read_poses = read_tum_trajectory(tmp_path / 't.txt')
    np.testing.assert_allclose(read_stamps, stamps, atol=1e-6)
    np.testing.assert_allclose(read_poses, poses, atol=1e-8)


def test_depth_in_millimetres_with_0_for_invalid(tmp_path):
    depth = np.array([[1.2344, 0.0004, np.nan, np.inf, -1.0, 65.534, 65.536, -np.inf]])
    write_depth_png(tmp_path / 'd.png', depth.astype(np.float32))
    read = cv2.imread(str(tmp_path / 'd.png'), cv2.IMREAD_UNCHANGED)
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, [[1234, 0, 0, 0, 0, 65534, 0, 0]])


def test_intrinsics_of_each_frame_and_their_median(tmp_path):
    cameras = [Intrinsics(640, 480, fx, fx + 1, 319.5, 239.5) for fx in (500.0, 900.0, 510.0)]
    write_intrinsics(tmp_path / 'i.json', [0, 5, 10], [0.0, 0.5, 1.0], cameras)
    content = json.loads((tmp_path / 'i.json').read_text())
    assert content['median'] == {
        'width': 640, 'height': 480, 'fx': 510.0, 'fy': 511.0, 'cx': 319.5, 'cy': 239.5
    }  # fmt: skip
    assert [(f['index'], f['stamp'], f['fx']) for f in content['frames']] == [
        (0, 0.0, 500.0), (5, 0.5, 900.0), (10, 1.0, 510.0)
    ]  # fmt: skip


def test_images_of_several_sizes_have_no_median(tmp_path):
    cameras = [Intrinsics(w, 10, 5.0, 5.0, 1.0, 1.0) for w in (10, 20)]
    write_intrinsics(tmp_path / 'i.json', [0, 1], [0.0, 1.0], cameras)
    assert json.loads((tmp_path / 'i.json').read_text())['median'] is None


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / 't.txt'
    path.write_text('old')
    with pytest.raises(ValueError, match='zip'):
        write_tum(path, [1.0, 2.0], np.eye(4)[None])
    assert path.read_text() == 'old'
    assert [entry.name for entry in tmp_path.iterdir()] == ['t.txt']


def test_a_file_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError) as nowhere:
        write_tum(tmp_path / 'no/t.txt', [], np.empty((0, 4, 4)))
    assert nowhere.value.filename == str(tmp_path / 'no/t.txt')

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match='No space left') as error:
        write_tum(tmp_path / 't.txt', [], np.empty((0, 4, 4)))
    assert error.value.filename == str(tmp_path / 't.txt')


def test_a_bag_that_cannot_be_written_is_named(tmp_path, monkeypatch, recording):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Writer, 'write', full)
    with pytest.raises(DatasetError, match=f'cannot write the bag {tmp_path}/bag: .*No space'):
        write_bag(tmp_path / 'bag', recording)
