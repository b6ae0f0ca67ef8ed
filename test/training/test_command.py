"""What the command line of training refuses before anything is written."""

import sys

import pytest

from ttt3r_ros.training.command import main


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--export', 'weights.safetensors'], 'holds no run'),
        (['--anneal', '-5'], '--anneal is -5'),
        (['--mean-with', 'other.safetensors'], 'needs --export'),
        (['--processes', '0'], '--processes is 0'),
        (['--processes', '2', '--device', 'cuda'], 'trains alone'),
    ],
)
def test_what_cannot_be_meant_is_refused(monkeypatch, tmp_path, options, message):
    run = tmp_path / 'run'
    monkeypatch.setattr(sys, 'argv', ['training', '--run', str(run), *options])
    with pytest.raises(SystemExit, match=message):
        main()
    assert not run.exists()
