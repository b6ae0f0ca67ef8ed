from pathlib import Path

import pytest
from simulated import demo_arguments, wall_recording

from ttt3r_ros.cli import demo
from ttt3r_ros.cli.folders import (
    make_results_folder,
    make_room_for_bag,
    mark_bag,
    refuse_foreign,
)
from ttt3r_ros.cli.main import main
from ttt3r_ros.errors import DatasetError, Ttt3rError
from ttt3r_ros.io.bag_writer import write_bag


@pytest.mark.parametrize('recording', ['bag', 'bag/bag.mcap', '.', 'link', '../session/bag'])
def test_a_demo_does_not_remove_the_recording_that_it_reads(tmp_path, capsys, recording):
    session = tmp_path / 'session'
    session.mkdir()
    write_bag(session / 'bag', wall_recording(2))
    mark_bag(session / 'bag')  # even if a demo has written it
    (session / 'link').symlink_to('bag')
    before = {path: path.read_bytes() for path in (session / 'bag').iterdir()}
    if recording == '.':
        (session / 'metadata.yaml').write_bytes((session / 'bag/metadata.yaml').read_bytes())
        (session / 'bag.mcap').write_bytes((session / 'bag/bag.mcap').read_bytes())
    assert main(['demo', str(session / recording), '--out', str(session)]) == 1
    assert 'is the recording to read; choose another --out' in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (session / 'bag').iterdir()} == before


def test_a_bag_of_another_origin_is_not_replaced(tmp_path):
    write_bag(tmp_path / 'bag', wall_recording(2))
    with pytest.raises(DatasetError, match='not written by ttt3r demo'):
        demo.run(demo_arguments('synthetic:1:1', '--out', tmp_path))
    assert (tmp_path / 'bag/metadata.yaml').is_file()


def test_the_bag_of_an_earlier_demo_is_replaced_even_if_it_failed(tmp_path, monkeypatch):
    def fail(_arguments, _sequence, _folder, bag):
        bag.mkdir()
        (bag / 'half.mcap').touch()
        raise Ttt3rError('the node failed')

    monkeypatch.setattr(demo, '_play', fail)
    for _ in range(2):
        with pytest.raises(Ttt3rError, match='the node failed'):
            demo.run(demo_arguments('synthetic:1:1', '--out', tmp_path / 'new'))
    make_room_for_bag(tmp_path / 'new/bag', 'synthetic:1:1')
    assert not (tmp_path / 'new/bag').exists()


@pytest.mark.parametrize('command', ['reconstruct', 'demo'])
@pytest.mark.parametrize(
    'name', ['points.ply', 'trajectory.txt', 'depth/1.25.png', '1.25.PNG', 'intrinsics.json']
)
def test_files_of_another_origin_are_neither_replaced_nor_mixed_with_results(
    tmp_path, capsys, command, name
):
    theirs = tmp_path / name
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_bytes(b'theirs')
    assert main([command, 'synthetic:1:1', '--out', str(tmp_path)]) == 1
    named = tmp_path / Path(name).parts[0]
    assert f'{named} was not written by ttt3r, so no results' in capsys.readouterr().err
    assert [path for path in tmp_path.rglob('*') if path.is_file()] == [theirs]
    assert theirs.read_bytes() == b'theirs'


def test_results_may_stand_beside_other_files_and_replace_earlier_ones(tmp_path):
    (tmp_path / 'log.txt').touch()
    refuse_foreign(tmp_path)
    refuse_foreign(tmp_path / 'new')
    make_results_folder(tmp_path)
    (tmp_path / 'points.ply').touch()
    refuse_foreign(tmp_path)
