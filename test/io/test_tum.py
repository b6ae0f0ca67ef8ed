from pathlib import Path
import re

from made_up import gradient, save_png
import numpy as np
import pytest

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.io.sequence import open_sequence
from ttt3r_ros.io.tum import read_tum_trajectory


@pytest.fixture
def folder(tmp_path):
    for name, stamp in (('a', 1.0), ('b', 1.1), ('c', 1.2)):
        save_png(tmp_path / f'rgb/{name}.png', gradient(int(stamp * 10)))
        save_png(tmp_path / f'depth/{name}.png', np.full((30, 40), 5000 * stamp, np.uint16))
    (tmp_path / 'rgb.txt').write_text('# colour\n1.0 rgb/a.png\n1.1 rgb/b.png\n1.2 rgb/c.png\n')
    (tmp_path / 'depth.txt').write_text('1.001 depth/a.png\n1.105 depth/b.png\n1.25 depth/c.png\n')
    (tmp_path / 'groundtruth.txt').write_text(
        '# t tx ty tz qx qy qz qw\n0.999 1 2 3 0 0 0.70710678 0.70710678\n1.16 0 0 0 0 0 0 1\n'
    )
    return tmp_path


def test_frames_carry_what_lies_within_20_ms(folder):
    sequence = open_sequence(folder)
    assert (len(sequence), sequence.has_poses, sequence.has_depth) == (3, True, True)
    first, second, third = sequence
    assert [frame.stamp for frame in sequence] == [1.0, 1.1, 1.2]
    np.testing.assert_array_equal(first.image(), gradient(10))
    np.testing.assert_allclose(first.depth(), 1.0)
    np.testing.assert_allclose(
        first.T_world_camera, [[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]], atol=1e-7
    )
    assert second.depth() is not None
    assert (second.T_world_camera, third.depth()) == (None, None)


def test_depth_and_truth_may_be_absent(folder):
    (folder / 'depth.txt').unlink()
    (folder / 'groundtruth.txt').unlink()
    sequence = open_sequence(folder)
    assert (sequence.has_poses, sequence.has_depth, sequence[0].depth()) == (False, False, None)


def test_camera_is_told_by_the_recording_s_name(folder):
    assert open_sequence(folder).intrinsics is None
    listed = (folder / 'rgb.txt').read_text()
    (folder / 'rgb.txt').write_text(f"# file: 'rgbd_dataset_freiburg1_rpy.bag'\n{listed}")
    assert open_sequence(folder).intrinsics is None  # images of another size
    save_png(folder / 'rgb/a.png', gradient(1, 640, 480))
    assert open_sequence(folder).intrinsics.fx == 517.3


@pytest.mark.parametrize('break_it', [Path.unlink, lambda path: path.write_bytes(b'')])
def test_a_first_image_that_cannot_be_read_is_left_to_those_who_load_it(folder, break_it):
    listed = (folder / 'rgb.txt').read_text()
    (folder / 'rgb.txt').write_text(f'# freiburg2\n{listed}')
    save_png(folder / 'rgb/b.png', gradient(1, 640, 480))
    break_it(folder / 'rgb/a.png')
    sequence = open_sequence(folder)
    assert (len(sequence), sequence.intrinsics.fx) == (3, 520.9)
    with pytest.raises(DatasetError, match=r'a\.png'):
        sequence[0].image()


def test_a_byte_order_mark_is_no_number(folder):
    for name in ('rgb.txt', 'depth.txt', 'groundtruth.txt'):
        lines = [line for line in (folder / name).read_text().splitlines() if line[0] != '#']
        (folder / name).write_text('\n'.join(lines), encoding='utf-8-sig')
    first = open_sequence(folder)[0]
    assert first.stamp == 1.0
    assert first.T_world_camera is not None
    assert first.load_depth is not None


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('rgb.txt', '1.0 rgb/a.png\nnonsense\n', r'rgb\.txt:2'),
        ('rgb.txt', '# nothing\n', 'lists no images'),
        ('rgb.txt', '1.0 rgb/lost.png\n', r'lost\.png'),
        ('groundtruth.txt', '1.0 1 2 3 0 0 0\n', r'groundtruth\.txt:1'),
        ('groundtruth.txt', '1.0 1 2 3 0 0 0 0\n', r'groundtruth\.txt:1'),
    ],
)
def test_what_is_wrong_is_named(folder, name, text, message):
    (folder / name).write_text(text)
    with pytest.raises(DatasetError, match=message):
        open_sequence(folder)


@pytest.mark.parametrize('column', [1, 7])
def test_poses_that_are_not_finite_are_none(folder, caplog, column):
    lines = (folder / 'groundtruth.txt').read_text().splitlines()
    number = next(i for i, line in enumerate(lines) if line and not line.startswith('#'))
    known = sum(frame.T_world_camera is not None for frame in open_sequence(folder))
    fields = lines[number].split()
    fields[column] = 'nan'
    lines[number] = ' '.join(fields)
    (folder / 'groundtruth.txt').write_text('\n'.join(lines))
    left = sum(frame.T_world_camera is not None for frame in open_sequence(folder))
    assert left == known - 1
    assert 'are not finite' in caplog.text


def test_truth_of_another_time_is_told_of(folder, caplog):
    for name in ('depth.txt', 'groundtruth.txt'):
        text = (folder / name).read_text()
        (folder / name).write_text(re.sub(r'(?m)^\d', r'7\g<0>', text))
    sequence = open_sequence(folder)
    assert (sequence.has_poses, sequence.has_depth) == (False, False)
    for name, count in (('depth.txt', 3), ('groundtruth.txt', 2)):
        assert f'{folder / name}: none of {count} lies within 0.02 s of an image' in caplog.text


def test_real_recording(shared):
    sequence = open_sequence(shared / 'data' / 'tum_fr1_rpy')
    assert len(sequence) == 60
    assert all(frame.T_world_camera is not None for frame in sequence)
    assert sequence[59].image().shape == (480, 640, 3)
    assert 0.5 < np.nanmedian(sequence[0].depth()) < 5
    stamps, poses = read_tum_trajectory(shared / 'data' / 'tum_fr1_rpy/groundtruth.txt')
    assert len(stamps) == len(poses) > 60
