import argparse
from dataclasses import asdict, replace
import json

import cv2
import numpy as np
from PIL import Image
import pytest
from simulated import CAMERA, WALL, Film, Simulation, pose, wall_recording

from ttt3r_ros.cli import reconstruct as command
from ttt3r_ros.cli.camera import camera_chooser, given_camera, undistorted
from ttt3r_ros.cli.reconstruct import reconstruct
from ttt3r_ros.cli.results import OutputConfig, to_input_size
from ttt3r_ros.errors import DatasetError, Ttt3rError
from ttt3r_ros.geometry.camera import ImageMapping
from ttt3r_ros.io.frames import FrameList
from ttt3r_ros.io.images import load_depth
from ttt3r_ros.io.tum import read_tum_trajectory

CONFIG = OutputConfig(voxel_size=0.05, min_confidence=1.5)


def ply_points(path):
    header, _, body = path.read_bytes().partition(b'end_header\n')
    count = int(header.split(b'element vertex ')[1].split()[0])
    vertices = np.frombuffer(body, [('p', '<f4', 3), ('c', 'u1', 3)])
    assert len(vertices) == count
    return vertices['p'], vertices['c']


def test_all_results_are_written(tmp_path):
    lines, _ = reconstruct(wall_recording(), Simulation(), tmp_path / 'deep/out', CONFIG)
    out = tmp_path / 'deep/out'
    assert {entry.name for entry in out.glob('[!.]*')} == {
        'points.ply', 'trajectory.txt', 'depth', 'intrinsics.json', 'summary.png'
    }  # fmt: skip
    points, colors = ply_points(out / 'points.ply')
    np.testing.assert_allclose(points[:, 2], WALL, atol=1e-6)
    assert (colors[:, 1:] == [100, 200]).all()
    stamps, poses = read_tum_trajectory(out / 'trajectory.txt')
    np.testing.assert_allclose(stamps, 10.0 + np.arange(6))
    np.testing.assert_allclose(poses, [pose(i) for i in range(6)], atol=1e-8)
    intrinsics = json.loads((out / 'intrinsics.json').read_text())
    assert (intrinsics['median']['fx'], len(intrinsics['frames'])) == (CAMERA.fx, 6)
    with Image.open(out / 'summary.png') as picture:
        assert min(picture.size) > 500
    assert lines[0].startswith('6 frames')


def test_depth_is_registered_to_the_recorded_image(tmp_path):
    reconstruct(wall_recording(2), Simulation(), tmp_path, CONFIG)
    names = sorted(entry.name for entry in (tmp_path / 'depth').glob('*.png'))
    assert names == ['000000.png', '000001.png']
    depth = load_depth(tmp_path / 'depth/000001.png', per_metre=1000.0)
    seen = np.isfinite(depth)
    # The network saw columns 4..35 and rows 6..21; its first four columns were not confident.
    assert np.flatnonzero(seen.any(axis=1)).tolist() == list(range(6, 22))
    assert np.flatnonzero(seen.any(axis=0)).tolist() == list(range(13, 36))
    np.testing.assert_allclose(depth[seen], WALL)


def test_errors_against_the_truth(tmp_path):
    lines, _ = reconstruct(wall_recording(), Simulation(scale=1.25), tmp_path, CONFIG)
    assert 'ATE 0.000 m after Sim(3) alignment (scale 0.80)' in lines[1]
    assert 'depth AbsRel 0.250 metric, 0.000 after per-frame median scale' in lines[2]


def test_no_truth_no_claims(tmp_path):
    frames = [type(f)(f.index, f.stamp, f.load_image) for f in wall_recording()]
    recording = type(wall_recording())('plain', frames)
    assert len(reconstruct(recording, Simulation(), tmp_path, CONFIG)[0]) == 1


def test_stride_and_number_of_frames(tmp_path):
    simulation = Simulation()
    reconstruct(wall_recording(12), simulation, tmp_path, CONFIG, stride=3, max_frames=3)
    stamps, _ = read_tum_trajectory(tmp_path / 'trajectory.txt')
    assert stamps.tolist() == [10.0, 13.0, 16.0]
    assert (tmp_path / 'depth/000006.png').is_file()


def test_depth_images_of_earlier_results_are_removed(tmp_path):
    depth = tmp_path / 'depth'
    reconstruct(wall_recording(3), Simulation(), tmp_path, CONFIG)
    assert len(list(depth.glob('*.png'))) == 3
    own = {depth / name for name in ('0000007.png', 'chair.png', '000007.txt')}
    for path in own:
        path.touch()
    reconstruct(wall_recording(1), Simulation(), tmp_path, CONFIG)
    assert set(depth.iterdir()) == {depth / '000000.png'} | own


def test_earlier_results_stay_where_no_frame_succeeds(tmp_path):
    reconstruct(wall_recording(3), Simulation(), tmp_path, CONFIG)
    before = {path: path.read_bytes() for path in tmp_path.rglob('*.*') if path.is_file()}
    with pytest.raises(DatasetError, match='no frame of wall'):
        reconstruct(wall_recording(1), Simulation(refused={0}), tmp_path, CONFIG)
    assert {path: path.read_bytes() for path in before} == before


def test_unusable_frames_are_left_out_and_logged(tmp_path, caplog):
    simulation = Simulation(refused={0, 2})
    lines, left_out = reconstruct(wall_recording(), simulation, tmp_path, CONFIG)
    assert lines[0].startswith('4 frames (2 left out)')
    assert left_out == 2
    stamps, _ = read_tum_trajectory(tmp_path / 'trajectory.txt')
    assert stamps.tolist() == [11.0, 13.0, 14.0, 15.0]
    assert 'frame 2 is left out: the image is refused' in caplog.text


def unreadable(_=None):
    raise DatasetError('cannot read the image b.png')


def test_images_that_cannot_be_read_are_left_out_and_logged(tmp_path, caplog):
    frames = list(wall_recording())
    frames[0] = replace(frames[0], load_image=unreadable)
    frames[3] = replace(frames[3], load_image=unreadable)
    _, left_out = reconstruct(FrameList('wall', frames), Simulation(), tmp_path, CONFIG)
    assert left_out == 2
    stamps, _ = read_tum_trajectory(tmp_path / 'trajectory.txt')
    assert stamps.tolist() == [11.0, 12.0, 14.0, 15.0]
    assert 'frame 3 is left out: cannot read the image b.png' in caplog.text


def test_a_frame_whose_true_depth_cannot_be_read_is_kept(tmp_path, caplog):
    frames = list(wall_recording(3))
    frames[1] = replace(frames[1], load_depth=unreadable)
    lines, left_out = reconstruct(FrameList('wall', frames), Simulation(), tmp_path, CONFIG)
    assert lines[0].startswith('3 frames,')
    assert left_out == 0
    assert 'frame 1 is not compared with its depth: cannot read' in caplog.text


def test_true_depth_of_another_size_is_told_of(tmp_path):
    frames = list(wall_recording(3))
    frames[1] = replace(frames[1], load_depth=lambda: np.ones((15, 20), np.float32))
    lines, _ = reconstruct(FrameList('wall', frames), Simulation(), tmp_path, CONFIG)
    assert lines[-1] == '1 true depth images have another size than their images'


@pytest.mark.parametrize('end', [KeyboardInterrupt, DatasetError('the bag is damaged')])
def test_an_early_end_leaves_the_results_so_far(tmp_path, caplog, end):
    class Interrupted(FrameList):
        def __iter__(self):
            yield from list(super().__iter__())[:4]
            raise end

    recording = Interrupted('wall', list(wall_recording()))
    with pytest.raises(type(end) if isinstance(end, Exception) else end):
        reconstruct(recording, Simulation(), tmp_path, CONFIG)
    assert len(read_tum_trajectory(tmp_path / 'trajectory.txt')[0]) == 4
    for name in ('points.ply', 'intrinsics.json', 'summary.png'):
        assert (tmp_path / name).is_file()
    assert f'the results of the first 4 frames are in {tmp_path}' in caplog.text


def test_frames_are_not_kept(tmp_path):
    film = Film(wall_recording(12))
    reconstruct(film, Simulation(), tmp_path, CONFIG)
    assert film.most <= 2


def test_an_early_end_before_the_first_frame_is_the_only_error(tmp_path):
    frames = [replace(frame, load_image=interrupt) for frame in wall_recording(1)]
    with pytest.raises(KeyboardInterrupt):
        reconstruct(FrameList('wall', frames), Simulation(), tmp_path, CONFIG)
    assert not (tmp_path / 'trajectory.txt').exists()


def interrupt():
    raise KeyboardInterrupt


def test_there_is_a_picture_even_if_all_frames_chosen_for_it_fail(tmp_path):
    reconstruct(wall_recording(6), Simulation(refused={0, 2, 3, 5}), tmp_path, CONFIG)
    assert (tmp_path / 'summary.png').stat().st_size > 10_000


def test_frames_that_are_lost_count_and_stay_out_of_the_map(tmp_path):
    lines, _ = reconstruct(wall_recording(2), Simulation(lost={0, 1}), tmp_path, CONFIG)
    assert lines[0].startswith('2 frames (2 lost)')
    assert lines[-1] == 'no point was kept: the camera is lost in every frame'
    assert len(ply_points(tmp_path / 'points.ply')[0]) == 0


def test_frames_that_are_blurred_stay_out_of_the_map_and_are_not_lost(tmp_path):
    lines, _ = reconstruct(wall_recording(2), Simulation(blurred={0, 1}), tmp_path, CONFIG)
    assert lines[0].startswith('2 frames, ')
    assert len(ply_points(tmp_path / 'points.ply')[0]) == 0
    lines, _ = reconstruct(wall_recording(1), Simulation(), tmp_path, CONFIG)
    assert lines[0].startswith('1 frame, ')
    reconstruct(wall_recording(2), Simulation(blurred={0}), tmp_path, CONFIG)
    assert len(ply_points(tmp_path / 'points.ply')[0]) > 0


def test_nothing_usable_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match='no frame of wall'):
        reconstruct(wall_recording(2), Simulation(refused={0, 1}), tmp_path, CONFIG)


def test_points_beyond_the_limits_are_left_out(tmp_path):
    config = OutputConfig(max_depth=WALL / 2)
    lines, _ = reconstruct(wall_recording(2), Simulation(), tmp_path, config)
    assert len(ply_points(tmp_path / 'points.ply')[0]) == 0
    assert lines[-1] == 'no point was kept: lower --min-confidence or raise --max-depth'
    assert cv2.imread(str(tmp_path / 'depth/000000.png'), cv2.IMREAD_UNCHANGED).max() == 0


def test_known_intrinsics_reach_the_reconstructor(tmp_path):
    simulation = Simulation()
    choose = camera_chooser('', None, CAMERA)
    reconstruct(wall_recording(2), simulation, tmp_path, CONFIG, choose_camera=choose)
    assert simulation.cameras == [CAMERA, CAMERA]


def test_intrinsics_are_those_that_depth_is_made_with(tmp_path):
    lines, _ = reconstruct(wall_recording(2), Simulation(), tmp_path, CONFIG)
    intrinsics = json.loads((tmp_path / 'intrinsics.json').read_text())
    for told in (intrinsics['median'], *intrinsics['frames']):
        assert {name: told[name] for name in asdict(CAMERA)} == pytest.approx(asdict(CAMERA))
    assert f'focal length {CAMERA.fx:.0f} px for 40x30' in lines[0]


def test_what_the_lens_has_not_seen_is_no_point(tmp_path):
    whole = wall_recording(2)
    bent = undistorted(whole, given_camera('40,40,19.5,14.5,8,0,0,0'))
    for name, recording in (('whole', whole), ('bent', bent)):
        reconstruct(recording, Simulation(), tmp_path / name, CONFIG)
    depth = [
        load_depth(tmp_path / name / 'depth/000001.png', per_metre=1000.0)
        for name in ('whole', 'bent')
    ]
    kept, fewer = (np.isfinite(one) for one in depth)
    assert 0 < fewer.sum() < 0.9 * kept.sum()
    assert (
        fewer & ~bent.seen(40, 30)
    ).sum() < 0.1 * fewer.sum()  # the network's pixels are larger


def test_values_follow_the_mapping():
    mapping = ImageMapping(80, 60, 40, 24, 0.5, 0.5, 0, 3)
    ramp = np.tile(np.arange(40, dtype=np.float32), (24, 1))
    large = to_input_size(ramp, mapping)
    assert large.shape == (60, 80)
    np.testing.assert_array_equal(np.isfinite(large).all(axis=1), [6 <= y < 54 for y in range(60)])
    np.testing.assert_allclose(large[30, 1:79], (np.arange(1, 79) + 0.5) / 2 - 0.5, atol=1e-5)


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser


def test_photographs_are_not_tracked(parser, tmp_path, monkeypatch):
    for name, size in (('a', 8), ('b', 9)):
        Image.new('RGB', (size, size)).save(tmp_path / f'{name}.png')
    seen = []

    def stop(config):
        seen.append(config.pose_source)
        raise ValueError('far enough')

    monkeypatch.setattr(command, 'Reconstructor', stop)
    for extra in ([], ['--pose-source', 'pnp']):
        with pytest.raises(Ttt3rError, match='far enough'):
            command.run(parser.parse_args([str(tmp_path), '--out', str(tmp_path / 'out'), *extra]))
    assert seen == ['network', 'pnp']


def test_every_setting_is_an_option(parser):
    parsed = parser.parse_args(
        ['x', '--out', 'y', '--update-rule', 'cut3r', '--max-depth', '5', '--reset-interval', '9']
    )
    assert (parsed.update_rule, parsed.max_depth, parsed.reset_interval) == ('cut3r', 5.0, 9)


@pytest.mark.parametrize(('broken', 'status'), [([], 0), ([1], 3)])
def test_the_exit_status_tells_whether_frames_are_left_out(
    parser, tmp_path, monkeypatch, broken, status
):
    images = tmp_path / 'images'
    images.mkdir()
    for index in range(3):
        Image.effect_noise((40, 30), 50 + index).save(images / f'{index}.jpg')
    for index in broken:
        path = images / f'{index}.jpg'
        path.write_bytes(path.read_bytes()[:-400])  # header whole, pixels cut off
    monkeypatch.setattr(command, 'Reconstructor', lambda _: Simulation())
    given = parser.parse_args([str(images), '--out', str(tmp_path / 'out')])
    assert command.run(given) == status


@pytest.mark.parametrize('place', ['.', 'depth', 'depth/000000.png', 'depth/more', 'link'])
def test_results_do_not_go_among_the_images_of_the_recording(parser, tmp_path, place):
    more = tmp_path / 'depth/more'
    more.mkdir(parents=True)
    (tmp_path / 'link').symlink_to('depth')
    for folder in (tmp_path, tmp_path / 'depth', more):
        Image.new('RGB', (40, 30)).save(folder / '000000.png')
    given = parser.parse_args([str(tmp_path / place), '--out', str(tmp_path)])
    with pytest.raises(DatasetError, match='choose another --out'):
        command.run(given)
    assert (tmp_path / 'depth/000000.png').is_file()
