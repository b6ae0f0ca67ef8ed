"""A recorder that cannot write says so in one line."""

import pytest

from ttt3r_ros.node import topic_recorder


def test_a_bag_that_cannot_be_made_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'none').touch()
    with pytest.raises(SystemExit):
        topic_recorder.main(['--ros-args', '-p', "bag:='~/none/bag'"])
    told = capsys.readouterr().err
    assert told.startswith('topic_recorder: ')
    assert f'{tmp_path}/none' in told
    assert len(told.splitlines()) == 1
