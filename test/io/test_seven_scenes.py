from made_up import gradient, pose, save_png
import numpy as np
import pytest

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.io.sequence import open_sequence


@pytest.fixture
def folder(tmp_path):
    for index in (0, 1, 10, 2):
        stem = tmp_path / f'frame-{index:06d}'
        save_png(stem.with_suffix('.color.png'), gradient(index))
        save_png(stem.with_suffix('.depth.png'), np.full((30, 40), 1000 + index, np.uint16))
        np.savetxt(stem.with_suffix('.pose.txt'), pose(index))
    np.savetxt(tmp_path / 'camera-intrinsics.txt', [[35, 0, 19], [0, 36, 14], [0, 0, 1]])
    return tmp_path


def test_everything_is_read(folder):
    sequence = open_sequence(folder)
    assert sequence.intrinsics == Intrinsics(40, 30, 35.0, 36.0, 19.0, 14.0)
    assert (len(sequence), sequence.has_poses, sequence.has_depth) == (4, True, True)
    last = sequence[3]
    np.testing.assert_array_equal(last.image(), gradient(10))
    np.testing.assert_allclose(last.depth(), 1.010)
    np.testing.assert_allclose(last.T_world_camera, pose(10))


def test_parts_may_be_absent_and_poses_invalid(folder):
    (folder / 'camera-intrinsics.txt').unlink()
    (folder / 'frame-000000.depth.png').unlink()
    (folder / 'frame-000001.pose.txt').unlink()
    np.savetxt(folder / 'frame-000002.pose.txt', np.full((4, 4), -np.inf))
    first, second, third, _ = sequence = open_sequence(folder)
    assert sequence.intrinsics is None
    assert (first.depth(), second.T_world_camera, third.T_world_camera) == (None, None, None)


@pytest.mark.parametrize('name', ['frame-000001.pose.txt', 'camera-intrinsics.txt'])
def test_a_broken_matrix_is_named(folder, name):
    (folder / name).write_text('1 2 3')
    with pytest.raises(DatasetError, match=name):
        open_sequence(folder)


@pytest.mark.parametrize('content', [b'', b'no image'])
def test_a_first_image_that_cannot_be_read_is_left_to_those_who_load_it(folder, content):
    images = sorted(folder.glob('*.color.png'))
    images[0].write_bytes(content)
    sequence = open_sequence(folder)
    assert (len(sequence), sequence.intrinsics.width) == (4, 40)
    with pytest.raises(DatasetError, match=images[0].name):
        sequence[0].image()
    for image in images:
        image.write_bytes(content)
    with pytest.raises(DatasetError, match=images[0].name):
        open_sequence(folder)


def test_a_byte_order_mark_is_no_number(folder):
    for name in ('frame-000001.pose.txt', 'camera-intrinsics.txt'):
        path = folder / name
        path.write_text(path.read_text(), encoding='utf-8-sig')
    sequence = open_sequence(folder)
    assert sequence.intrinsics.fx == 35.0
    np.testing.assert_allclose(sequence[1].T_world_camera, pose(1))


def test_real_recording(shared):
    sequence = open_sequence(shared / 'data' / 'seven_scenes_seq')
    assert len(sequence) == 200
    assert sequence.intrinsics == Intrinsics(640, 480, 585.0, 585.0, 320.0, 240.0)
    assert sequence.has_poses
    assert sequence[199].depth().shape == sequence[199].image().shape[:2]
