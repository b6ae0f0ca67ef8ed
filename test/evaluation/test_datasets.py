from __future__ import annotations

from functools import partial
import logging
import os
from pathlib import Path
import weakref

import fakes
import numpy as np
import pytest
import replicas

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.evaluation.benchmark import Benchmark
from ttt3r_ros.evaluation.datasets import registry
from ttt3r_ros.evaluation.datasets.dataset import fingerprint_files
from ttt3r_ros.evaluation.datasets.registry import (
    DATASETS,
    choose_frames,
    choose_recordings,
    find_any,
)
from ttt3r_ros.evaluation.results import Method
from ttt3r_ros.evaluation.scorers import PoseScorer
from ttt3r_ros.io.frames import Frame, Sequence


def shades(sequence) -> list[int]:
    """Tell frames apart by their grey, which the replicas set to the frame's number."""
    return [int(frame.image()[0, 0, 0]) for frame in sequence]


def positions(sequence) -> list[float]:
    return [float(frame.T_world_camera[0, 3]) for frame in sequence]


def test_tum_dynamics_counts_images_that_have_a_pose(tmp_path, caplog):
    replicas.tum(tmp_path / 'rgbd_dataset_freiburg3_walking_xyz')
    replicas.tum(tmp_path / 'rgbd_dataset_freiburg3_sitting_rpy')
    replicas.tum(tmp_path / 'rgbd_dataset_freiburg3_sitting_rpy_validation')
    with caplog.at_level(logging.WARNING):
        recordings = DATASETS['tum-dynamics'].find(tmp_path)
    assert [recording.name for recording in recordings] == ['sitting_rpy', 'walking_xyz']
    assert 'lacks 6 recordings' in caplog.text
    sequence = recordings[0].open()
    assert shades(sequence) == [0, 2, 3]
    assert positions(sequence) == [0.0, 2.0, 3.0]
    assert [frame.index for frame in sequence] == [0, 1, 2]


def test_scannet_sorts_scenes_and_frames_by_number(tmp_path):
    for scene in ('scene0710_00', 'scene0707_00', 'scene0707_01'):
        replicas.scannet(tmp_path / 'scans_test' / scene, 12)
    recordings = DATASETS['scannet'].find(tmp_path)
    names = [recording.name for recording in recordings]
    assert names == ['scene0707_00', 'scene0707_01', 'scene0710_00']
    sequence = recordings[0].open()
    assert positions(sequence) == list(range(12))  # not 0, 1, 10, 11, 2, …
    assert positions(choose_frames(sequence, 0, 3, 3)) == [0.0, 3.0, 6.0]
    assert len(choose_frames(sequence, 0, 3, 100)) == 4


def test_scannet_shows_lost_tracking(tmp_path):
    replicas.scannet(tmp_path / 'scene0707_00', 4, lost=(2,))
    sequence = DATASETS['scannet'].find(tmp_path)[0].open()
    finite = [np.isfinite(frame.T_world_camera).all() for frame in sequence]
    assert finite == [True, True, False, True]


def test_scannet_is_read_as_downloaded(tmp_path):
    replicas.sens(tmp_path / 'scene0707_00/scene0707_00.sens', 5, lost=(3,))
    sequence = DATASETS['scannet'].find(tmp_path)[0].open()
    assert shades(sequence) == [0, 10, 20, 30, 40]
    assert sequence[0].image().shape == (24, 32, 3)
    assert sequence[4].T_world_camera[0, 3] == 4.0
    assert not np.isfinite(sequence[3].T_world_camera).any()


def test_a_damaged_sens_file_is_named(tmp_path):
    path = tmp_path / 'scene0707_00/scene0707_00.sens'
    replicas.sens(path, 5)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match='breaks off'):
        DATASETS['scannet'].find(tmp_path)[0].open()
    path.write_bytes(b'\x07' + whole[1:])
    with pytest.raises(DatasetError, match='version 4'):
        DATASETS['scannet'].find(tmp_path)[0].open()


def test_a_scene_without_its_pose_file_is_named(tmp_path):
    replicas.scannet(tmp_path / 'scene0707_00', 3)
    (tmp_path / 'scene0707_00/pose/1.txt').unlink()
    with pytest.raises(DatasetError, match=r'1\.txt'):
        DATASETS['scannet'].find(tmp_path)[0].open()


@pytest.mark.parametrize('inner', ['training', '.'])
def test_sintel_turns_cameras_to_world_from_camera(tmp_path, inner):
    replicas.sintel(tmp_path / inner, 'alley_2', 3)
    replicas.sintel(tmp_path / inner, 'alley_1', 3)  # not one of the 14
    recordings = DATASETS['sintel'].find(tmp_path)
    assert [recording.name for recording in recordings] == ['alley_2']
    sequence = recordings[0].open()
    assert sequence[0].T_world_camera[0, 3] == 1.0
    assert sequence[1].T_world_camera is None
    assert sequence[2].T_world_camera[0, 3] == 3.0
    assert (sequence.intrinsics.fx, sequence.intrinsics.fy) == (100.0, 101.0)
    depth = sequence[2].depth()
    assert depth.shape == (24, 32)
    assert depth[1, 0] == 6.0
    assert depth[0, 0] > DATASETS['sintel'].farthest


def test_damaged_sintel_files_are_named(tmp_path):
    replicas.sintel(tmp_path, 'alley_2', 1)
    depth = tmp_path / 'depth/alley_2/frame_0001.dpt'
    depth.write_bytes(depth.read_bytes()[:-4])
    with pytest.raises(DatasetError, match=r'frame_0001\.dpt'):
        DATASETS['sintel'].find(tmp_path)[0].open()[0].depth()
    depth.write_bytes(b'RIFF' + bytes(8))
    with pytest.raises(DatasetError, match='tag'):
        DATASETS['sintel'].find(tmp_path)[0].open()[0].depth()


def test_bonn_pairs_sorted_files_by_position(tmp_path):
    replicas.bonn(tmp_path / 'rgbd_bonn_dataset/rgbd_bonn_crowd2', 36)
    (recording,) = DATASETS['bonn'].find(tmp_path)
    assert recording.name == 'crowd2'
    chosen = choose_frames(recording.open(), DATASETS['bonn'].start, 1, 4)
    assert shades(chosen) == [30, 31, 32, 33]
    depth = list(chosen)[1].depth()
    assert np.isnan(depth[0, 0])
    assert depth[1, 1] == pytest.approx(5031 / 5000)
    assert not chosen.has_poses


def test_kitti_joins_depth_with_the_raw_images(tmp_path, caplog):
    drive = '2011_09_26_drive_0002_sync'
    replicas.kitti(tmp_path, drive, range(5, 10), without_image=(7,))
    with caplog.at_level(logging.WARNING):
        (recording,) = DATASETS['kitti'].find(tmp_path)
        sequence = recording.open()
    assert recording.name == drive
    assert shades(sequence) == [5, 6, 8, 9]
    assert [float(frame.depth()[1, 1]) for frame in sequence] == [5.0, 6.0, 8.0, 9.0]
    assert np.isnan(sequence[0].depth()[0, 0])
    assert '0000000007.png' in caplog.text


def test_seven_scenes_takes_the_test_split(tmp_path):
    replicas.seven_scenes(tmp_path / 'heads/seq-01', 4)
    replicas.seven_scenes(tmp_path / 'heads/seq-02', 4)
    (recording,) = DATASETS['7scenes'].find(tmp_path)
    assert recording.name == 'heads/seq-01'
    sequence = recording.open()
    assert sequence.intrinsics.fx == 525.0
    depth = sequence[0].depth()
    assert np.isnan(depth[0, :3]).all()  # 65535, 0, beyond 10 m
    assert (depth[1:] == 2.0).all()
    assert positions(choose_frames(sequence, 0, 2, 10)) == [0.0, 2.0]


class Film(Sequence):
    """Frames that hold their images, as those of a video do; fewer than the header declares."""

    def __init__(self) -> None:
        super().__init__('film')
        self.alive: weakref.WeakSet = weakref.WeakSet()

    def __len__(self) -> int:
        return 50

    def __iter__(self):
        for index in range(40):
            load = partial(np.full, (48, 64, 3), index, np.uint8)
            self.alive.add(load)
            yield Frame(index, index / 30, load, fakes.position(index))
            assert len(self.alive) < 5


def test_a_film_is_read_frame_by_frame(tmp_path, monkeypatch):
    film = Film()
    monkeypatch.setattr(registry, 'open_sequence', lambda *_, **__: film)
    (recording,) = find_any(tmp_path / 'film.mp4')
    sequence = recording.open()
    assert len(sequence) == 40
    assert recording.open() is sequence  # counted once
    chosen = choose_frames(sequence, 4, 3, 100)
    bench = Benchmark(
        name='film',
        lengths=(12,),
        choose=lambda _: chosen,
        scorers=lambda _: [PoseScorer()],
        settings={},
    )
    method = Method('oracle', fakes.Oracle, {})
    results = bench.run([recording], [method, method], tmp_path, lambda frames, *_: frames)
    assert [score.used for result in results for score in result.scores] == [12, 12]
    assert [frame.index for frame in chosen] == list(range(12))


@pytest.mark.parametrize('root', ['.', '../mine', 'inside/..'])
def test_a_folder_has_a_name_from_wherever_it_is_seen(tmp_path, monkeypatch, root):
    replicas.tum(tmp_path / 'mine')
    (tmp_path / 'mine/inside').mkdir()
    monkeypatch.chdir(tmp_path / 'mine')
    (recording,) = find_any(Path(root))
    assert (recording.name, recording.open().name) == ('mine', 'mine')


def test_every_recording_tells_its_files(tmp_path):
    replicas.tum(tmp_path / 'rgbd_dataset_freiburg3_walking_xyz')
    replicas.scannet(tmp_path / 'scene0707_00', 3)
    replicas.sens(tmp_path / 'scene0708_00/scene0708_00.sens', 3)
    replicas.sintel(tmp_path, 'alley_2', 3)
    replicas.bonn(tmp_path / 'rgbd_bonn_crowd2', 3)
    replicas.kitti(tmp_path, '2011_09_26_drive_0002_sync', range(3))
    replicas.seven_scenes(tmp_path / 'heads/seq-01', 3)
    for name in DATASETS.keys() - {'sequence'}:
        for recording in DATASETS[name].find(tmp_path):
            before = fingerprint_files(recording.paths, tmp_path / 'out')
            assert all(path.exists() for path in recording.paths)
            for path in recording.paths:
                file = next(p for p in [path, *path.rglob('*')] if p.is_file())
                os.utime(file, (1, 1))
                after = fingerprint_files(recording.paths, tmp_path / 'out')
                assert after != before, (name, path)
                before = after


def test_any_recording_can_be_measured(tmp_path):
    replicas.tum(tmp_path / 'mine')
    (recording,) = find_any(tmp_path / 'mine')
    sequence = recording.open()
    assert (recording.name, len(sequence), sequence.has_poses) == ('mine', 4, True)


@pytest.mark.parametrize('name', [name for name in DATASETS if name != 'sequence'])
def test_an_empty_root_is_refused(tmp_path, name):
    with pytest.raises(DatasetError, match=tmp_path.name):
        DATASETS[name].find(tmp_path)


def test_recordings_are_chosen_by_name(tmp_path):
    for scene in ('scene0707_00', 'scene0708_00'):
        replicas.scannet(tmp_path / scene, 1)
    recordings = DATASETS['scannet'].find(tmp_path)
    assert [r.name for r in choose_recordings(recordings, ['scene0708_00'])] == ['scene0708_00']
    assert choose_recordings(recordings, []) == recordings
    assert choose_recordings(recordings, ['scene0708_00'] * 2) == recordings[1:]
    with pytest.raises(DatasetError, match='scene0709_00'):
        choose_recordings(recordings, ['scene0709_00'])
    with pytest.raises(DatasetError, match='no usable frame'):
        choose_frames(recordings[0].open(), 30, 1, 10)
