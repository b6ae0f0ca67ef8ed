from __future__ import annotations

import argparse
import csv
from functools import partial
import json
from pathlib import Path
import shutil

import numpy as np
from PIL import Image
import pytest

from ttt3r_ros.cli import evaluate
from ttt3r_ros.cli.main import main
from ttt3r_ros.errors import ReconstructionError
from ttt3r_ros.evaluation.baselines import Baseline
from ttt3r_ros.evaluation.datasets.registry import DATASETS
from ttt3r_ros.evaluation.results import Method
from ttt3r_ros.io.bag_writer import write_bag
from ttt3r_ros.io.sequence import open_sequence
from ttt3r_ros.model.update_rules import UPDATE_RULES
from ttt3r_ros.reconstructor import ReconstructorConfig


@pytest.fixture
def walk(tmp_path) -> Path:
    """A 7-Scenes folder of 12 frames that moves along a curve, 2 m before a wall."""
    folder = tmp_path / 'walk'
    folder.mkdir()
    np.savetxt(folder / 'camera-intrinsics.txt', [[40, 0, 15.5], [0, 40, 11.5], [0, 0, 1]])
    for index in range(12):
        stem = folder / f'frame-{index:06d}'
        pose = np.eye(4)
        pose[:2, 3] = 0.1 * index, 0.01 * index**2
        np.savetxt(f'{stem}.pose.txt', pose)
        Image.new('RGB', (32, 24), (index, 0, 0)).save(f'{stem}.color.png')
        depth = np.tile(np.linspace(1500, 2500, 32).astype(np.uint16), (24, 1))
        Image.fromarray(depth).save(f'{stem}.depth.png')
    return folder


@pytest.fixture
def made(monkeypatch) -> list[ReconstructorConfig]:
    """Replace the network by a straight walk before a flat wall; tells what was asked for."""
    asked: list[ReconstructorConfig] = []

    def methods(configs):
        asked.extend(configs)
        wall = np.full((6, 8), 1.0, np.float32)
        return [
            Method(
                f'{config.update_rule}, {config.pose_source}',
                partial(Baseline, 0.1, wall),
                vars(config) | {'weights': 'fake'},
            )
            for config in configs
        ]

    monkeypatch.setattr(evaluate, 'network_methods', methods)
    return asked


def run(*arguments: object) -> int:
    return main(['evaluate', *map(str, arguments), '--quiet'])


@pytest.mark.parametrize(
    ('task', 'figure', 'column'),
    [
        ('pose', 'trajectory', 'ATE [m]'),
        ('depth', 'depth', 'AbsRel, scale'),
        ('reconstruction', 'cloud', 'Chamfer [m]'),
    ],
)
def test_a_recording_is_measured_end_to_end(walk, made, tmp_path, capsys, task, figure, column):
    out = tmp_path / 'out'
    assert run(task, '--root', walk, '--frames', '6,12', '--out', out) == 0
    page = (out / f'{task}-walk.md').read_text()
    assert column in page
    assert page.strip() in capsys.readouterr().out
    assert 'sequences scored: 1 of 1' in page
    assert (out / f'{task}-walk.csv').is_file()
    assert (out / f'{task}-walk.json').is_file()
    for name in (f'{task}-walk-curves.png', f'{task}-walk-{figure}-walk.png'):
        assert (out / name).is_file()
        assert f'({name})' in page
    assert {config.fit for config in made} == {'stretch' if task == 'depth' else 'crop'}


@pytest.mark.usefixtures('made')
def test_rules_and_sources_are_crossed(walk, tmp_path):
    out = tmp_path / 'out'
    run('pose', '--root', walk, '--out', out, '--update-rule', 'cut3r,ttt3r,const',
        '--pose-source', 'network,pnp')  # fmt: skip
    page = (out / 'pose-walk.md').read_text()
    for rule in ('cut3r', 'ttt3r', 'const'):
        for source in ('network', 'pnp'):
            assert f'| {rule}, {source} |' in page
    assert '| straight line |' in page
    assert 'After 12 frames' in page


def test_all_rules_can_be_compared_on_a_page_of_its_own(walk, made, tmp_path):
    out = tmp_path / 'out'
    assert run('pose', '--root', walk, '--out', out, '--update-rule', 'all', '--frames', '6,12',
               '--batch', '4', '--page', 'rules') == 0  # fmt: skip
    assert [config.update_rule for config in made] == list(UPDATE_RULES)
    page = (out / 'rules.md').read_text()
    assert all(f'| {rule}, auto |' in page for rule in UPDATE_RULES)
    assert '(rules-curves.png)' in page
    assert (out / 'rules-curves.png').is_file()
    assert not (out / 'pose-walk.md').exists()
    for kept in (out / 'results').iterdir():  # the results are not of the page
        assert kept.name.startswith('pose-walk-')


def test_settings_of_the_reconstruction_reach_it(walk, made, tmp_path):
    run('pose', '--root', walk, '--out', tmp_path, '--reset-interval', '50', '--device', 'cpu')
    assert (made[0].reset_interval, made[0].device) == (50, 'cpu')


@pytest.mark.usefixtures('made')
def test_speed_is_measured_too(walk, tmp_path):
    assert run('efficiency', '--root', walk, '--out', tmp_path, '--frames', '12') == 0
    assert 'frames/s' in (tmp_path / 'efficiency-walk.md').read_text()


@pytest.mark.usefixtures('made')
def test_the_synthetic_benchmark_renders_once(tmp_path):
    arguments = ('synthetic', '--rooms', '1', '--frames', '3,4', '--out', tmp_path)
    assert run(*arguments) == 0
    page = (tmp_path / 'synthetic-rooms.md').read_text()
    assert 'ATE [m]' in page
    assert 'AbsRel, metric' in page
    (folder,) = (tmp_path / 'rendered').iterdir()
    stored = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert run(*arguments, '--update-rule', 'const') == 0
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == stored
    # what was cut short, or is of another generator, is rendered anew
    pictures = np.load(folder / 'rgb.npy')
    (folder / 'poses.npy').unlink()
    assert run(*arguments, '--update-rule', 'brake') == 0
    np.save(folder / 'rgb.npy', 255 - pictures)
    assert run(*arguments, '--update-rule', 'ortho') == 0
    np.testing.assert_array_equal(np.load(folder / 'rgb.npy'), pictures)
    # results of another size stay beside these
    kept = {path: path.read_bytes() for path in (tmp_path / 'results').iterdir()}
    assert run(*arguments, '--size', '80x60') == 0
    assert (tmp_path / 'synthetic-rooms-80x60.md').is_file()
    assert kept.items() <= {p: p.read_bytes() for p in (tmp_path / 'results').iterdir()}.items()


@pytest.mark.parametrize(
    ('arguments', 'status', 'message'),
    [
        (['pose'], 2, '--root is needed'),
        (['pose', '--root', 'nowhere'], 1, 'does not exist'),
        (['depth', '--root', '.', '--dataset', 'scannet'], 2, 'ScanNet is for pose, not depth'),
        (['pose', '--root', 'WALK', '--protocol', 'short'], 2, 'no short protocol'),
        (['pose', '--root', 'WALK', '--weights', 'nowhere.pth'], 1, 'nowhere.pth'),
    ],
)
def test_what_cannot_be_measured_is_said(walk, tmp_path, capsys, arguments, status, message):
    arguments = [str(walk) if part == 'WALK' else part for part in arguments]
    assert run(*arguments, '--out', tmp_path / 'out') == status
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures('made')
@pytest.mark.parametrize('option', ['--update-rule', '--pose-source'])
def test_unknown_methods_are_wrong_usage(walk, tmp_path, capsys, option):
    known = {'--update-rule': 'cut3r', '--pose-source': 'pnp'}[option]
    arguments = ('pose', '--root', walk, '--out', tmp_path / 'out')
    assert run(*arguments, option, f'{known},magic') == 2
    assert "is 'magic'; choose one of" in capsys.readouterr().err


def test_one_room_can_be_told_from_another(tmp_path):
    from ttt3r_ros.evaluation.datasets.synthetic import synthetic_recordings

    first, second = (r.open() for r in synthetic_recordings(2, 2, tmp_path))
    assert not np.array_equal(first[0].image(), second[0].image())
    again = synthetic_recordings(1, 2, tmp_path)[0].open()
    np.testing.assert_array_equal(again[1].image(), first[1].image())
    assert np.nanmin(again[1].depth()) > 0


def test_rooms_can_be_made_larger(tmp_path):
    from ttt3r_ros.evaluation.datasets.synthetic import fingerprint, synthetic_recordings

    small = synthetic_recordings(1, 2, tmp_path)[0].open()
    large = synthetic_recordings(1, 2, tmp_path, (320, 200))[0].open()
    assert large[1].image().shape == (200, 320, 3)
    assert large[1].depth().shape == (200, 320)
    np.testing.assert_array_equal(large[1].T_world_camera, small[1].T_world_camera)
    assert fingerprint((320, 200)) != fingerprint()


@pytest.mark.usefixtures('made')
@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_bag_is_measured_as_its_recording(walk, tmp_path, storage):
    sequence = open_sequence(walk)
    write_bag(tmp_path / 'bag', sequence, storage=storage, camera=sequence.intrinsics)
    topics = ('--depth-topic', '/camera/depth', '--pose-topic', '/camera/pose')
    for task in ('pose', 'reconstruction'):
        assert run(task, '--root', walk, '--out', tmp_path / 'a') == 0
        assert run(task, '--root', tmp_path / 'bag', *topics, '--out', tmp_path / 'b') == 0
        folder = json.loads((tmp_path / f'a/{task}-walk.json').read_text())
        bag = json.loads((tmp_path / f'b/{task}-bag.json').read_text())
        for name, value in folder['results'][0]['scores'][0]['values'].items():
            assert bag['results'][0]['scores'][0]['values'][name] == pytest.approx(value, abs=1e-6)


@pytest.mark.usefixtures('made')
def test_other_topics_of_a_bag_are_measured_anew(walk, tmp_path):
    sequence = open_sequence(walk)
    write_bag(tmp_path / 'bag', sequence, camera=sequence.intrinsics)
    arguments = ('pose', '--root', tmp_path / 'bag', '--out', tmp_path / 'out')
    assert run(*arguments) == 1  # without the topic there is no truth
    assert run(*arguments, '--pose-topic', '/camera/pose') == 0
    assert run(*arguments) == 1


def copy(walk: Path, folder: Path) -> Path:
    shutil.copytree(walk, folder)
    return folder


@pytest.mark.usefixtures('made')
def test_results_that_are_taken_up_again_are_told(walk, tmp_path, capsys):
    out = tmp_path / 'out'
    arguments = ('pose', '--root', walk, '--frames', '6,12', '--out', out)
    run(*arguments)
    assert 'results are taken' not in capsys.readouterr().out
    run(*arguments)
    assert f'4 of 4 results are taken from {out / "results"}' in capsys.readouterr().out
    run(*arguments, '--update-rule', 'cut3r,const')
    assert f'3 of 4 results are taken from {out / "results"}' in capsys.readouterr().out
    pose = np.eye(4)
    pose[0, 3] = 5.0
    np.savetxt(walk / 'frame-000007.pose.txt', pose)
    before = (out / 'pose-walk.csv').read_text()
    run(*arguments)
    assert 'results are taken' not in capsys.readouterr().out
    assert (out / 'pose-walk.csv').read_text() != before


@pytest.mark.usefixtures('made')
def test_times_with_other_threads_are_taken_anew(walk, tmp_path, capsys, monkeypatch):
    for task, anew in (('efficiency', True), ('pose', False)):
        for threads in (1, 3):
            monkeypatch.setattr(evaluate.torch, 'get_num_threads', lambda n=threads: n)
            run(task, '--root', walk, '--frames', '12', '--out', tmp_path)
        assert ('results are taken' not in capsys.readouterr().out) is anew


@pytest.mark.usefixtures('made')
def test_the_page_of_another_recording_is_not_replaced(walk, tmp_path, capsys):
    out, other = tmp_path / 'out', copy(walk, tmp_path / 'other/walk')
    arguments = ('--frames', '12', '--out', out)
    assert run('pose', '--root', walk, *arguments) == 0
    page = (out / 'pose-walk.md').read_text()
    assert run('pose', '--root', other, *arguments) == 2
    assert f'pose-walk.json is of {walk}: choose' in capsys.readouterr().err
    assert (out / 'pose-walk.md').read_text() == page
    assert run('pose', '--root', other, *arguments, '--page', 'other') == 0
    capsys.readouterr()
    assert run('pose', '--root', walk, *arguments) == 0
    assert '4 of 4 results' in capsys.readouterr().out
    for broken in ('', '[]', '{"settings": 3}'):
        (out / 'pose-walk.json').write_text(broken)
        assert run('pose', '--root', walk, *arguments) == 0


@pytest.mark.usefixtures('made')
def test_a_camera_that_the_recording_does_not_tell_is_not_given(walk, tmp_path):
    arguments = ('pose', '--root', walk, '--frames', '12', '--calibrated')
    assert run(*arguments, '--out', tmp_path / 'known') == 0
    (walk / 'camera-intrinsics.txt').unlink()
    assert run(*arguments, '--out', tmp_path / 'unknown') == 1
    page = (tmp_path / 'unknown/pose-walk.md').read_text()
    assert 'walk does not tell its camera' in page
    assert '| cut3r, auto |' not in page


class Failing:
    """Walks straight on, until it fails."""

    def __init__(self, at: int) -> None:
        self._at, self._walk = at, Baseline(0.1, np.full((6, 8), 1.0, np.float32))

    def add(self, image, *, camera=None):
        if image[0, 0, 0] == self._at:
            raise ReconstructionError('the state has exploded')
        return self._walk.add(image, camera=camera)


@pytest.mark.parametrize(('fails_at', 'status'), [(99, 0), (8, 3), (0, 1)])
def test_the_status_tells_whether_the_network_was_scored(
    walk, tmp_path, monkeypatch, fails_at, status
):
    settings = {'weights': 'fake', 'device': 'cpu'}
    method = Method('failing', partial(Failing, fails_at), settings)
    monkeypatch.setattr(evaluate, 'network_methods', lambda *_: [method])
    arguments = ('pose', '--root', walk, '--frames', '6,12', '--out', tmp_path / 'out')
    assert run(*arguments) == status
    assert '| straight line |' in (tmp_path / 'out/pose-walk.md').read_text()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['pose', '--root', 'WALK', '--rooms', '3'], '--rooms means nothing for pose of sequence'),
        (['pose', '--root', 'WALK', '--size', '80x60'], '--size means nothing'),
        (['reconstruction', '--root', 'WALK', '--depth-step', '4'], '--depth-step means nothing'),
        (['efficiency', '--batch', '4'], '--batch means nothing for efficiency of rooms'),
        (['efficiency', '--rooms', '4'], '--rooms means nothing'),
        (['synthetic', '--root', 'WALK'], '--root means nothing for synthetic of rooms'),
        (['synthetic', '--dataset', 'bonn'], '--dataset means nothing'),
        (['synthetic', '--topic', 'a'], '--topic means nothing'),
        (['pose', '--root', 'WALK', '--dataset', 'sintel', '--pose-topic', 'a'],
         '--pose-topic means nothing for pose of sintel'),
        (['pose', '--root', 'WALK', '--page', 'a/b'], "'a/b' is no name of a file"),
        (['pose', '--root', 'WALK', '--unordered'], 'unrecognized arguments'),
    ],
)  # fmt: skip
def test_options_that_mean_nothing_are_refused(walk, tmp_path, capsys, arguments, message):
    arguments = [str(walk) if part == 'WALK' else part for part in arguments]
    try:
        status = run(*arguments, '--out', tmp_path / 'out')
    except SystemExit as end:
        status = end.code
    assert status == 2
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures('made')
def test_the_folder_itself_can_be_measured(walk, tmp_path, monkeypatch):
    monkeypatch.chdir(walk)
    assert run('pose', '--root', '.', '--frames', '12', '--out', tmp_path / 'out') == 0
    assert (tmp_path / 'out/pose-walk.md').is_file()


@pytest.mark.usefixtures('made')
def test_rooms_are_long_enough_for_the_stride(tmp_path):
    assert run('synthetic', '--rooms', '1', '--frames', '3,6', '--stride', '2', '--start', '1',
               '--size', '32x24', '--out', tmp_path) == 0  # fmt: skip
    with (tmp_path / 'synthetic-rooms-32x24.csv').open(newline='') as file:
        used = [(row['frames'], row['frames_used']) for row in csv.DictReader(file)]
    assert set(used) == {('3', '3'), ('6', '6')}


@pytest.mark.parametrize(
    ('options', 'count', 'shown'),
    [
        ([], 8, [1000]),
        (['--protocol', 'short'], 8, [90]),
        (['--frames', '80,90', '--stride', '3'], 8, [90]),
        (['--protocol', 'short', '--stride', '2'], 8, []),
        (['--protocol', 'short', '--start', '1'], 8, []),
        (['--protocol', 'short', '--frames', '80'], 8, []),
        (['--protocol', 'short', '--frames', '1000'], 8, []),
        (['--protocol', 'short', '--calibrated'], 8, []),
        (['--protocol', 'short'], 7, []),
    ],
)
def test_published_results_stand_beside_those_of_their_protocol(options, count, shown):
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    arguments = parser.parse_args(['pose', '--dataset', 'tum-dynamics', '--root', 'tum', *options])
    dataset = DATASETS['tum-dynamics']
    benchmark = evaluate._benchmark(arguments, dataset, [])
    assert list(evaluate._published(arguments, dataset, benchmark, count)) == shown


def test_a_recording_by_itself_has_one_name(walk, tmp_path, capsys):
    assert run('pose', '--root', walk, '--sequences', 'other', '--out', tmp_path) == 1
    assert "no recording 'other'; there are walk" in capsys.readouterr().err
