"""What the command line of training refuses, in one line and before anything is written."""

import logging
from pathlib import Path
import sys

import pytest

from ttt3r_ros.model.checkpoint import SHIPPED_WEIGHTS, read_metadata
from ttt3r_ros.synthetic import atlas
from ttt3r_ros.training import roll
from ttt3r_ros.training.command import main
from ttt3r_ros.training.run import TrainingRun
from ttt3r_ros.training.settings import TrainingSettings
from ttt3r_ros.training.validation import FIGURES


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """Return the folder of a run with seed 5 whose learning rate has fallen to 0."""
    run = TrainingRun(tmp_path / 'begun', TrainingSettings(seed=5))
    run.step, run.anneal = 30, (10, 30)
    run.save()
    return run.folder


def command(monkeypatch: pytest.MonkeyPatch, run: Path, *options: str) -> None:
    monkeypatch.setattr(sys, 'argv', ['training', '--run', str(run), *options])
    main()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--export', 'weights.safetensors'], 'holds no run'),
        (['--anneal', '-5'], '--anneal is -5'),
        (['--minutes', '-5'], '--minutes is -5.0'),
        (['--minutes', 'nan'], '--minutes is nan'),
        (['--mean-with', 'other.safetensors'], 'needs --export'),
        (['--processes', '0'], '--processes is 0'),
        (['--processes', '2', '--device', 'cuda'], 'trains alone'),
        (['--seed', '64'], '--seed is 64; choose 0 to 63'),
        (['--seed', '-1'], '--seed is -1; choose 0 to 63'),
        (['--faster', '-1'], 'faster is -1.0; it must be at least 0'),
        (['--faster', 'nan'], 'faster is nan; it must be finite'),
        (['--film-new', '0'], 'new is 0; it must be at least 1'),
        (['--device', 'tpu'], "device is 'tpu'"),
        (['--trunk', 'none.safetensors'], 'none.safetensors: no such weights file'),
        (['--curves', 'curves.png'], r'No such file.*log\.jsonl'),
        (['--score', 'none.safetensors'], 'none.safetensors: no such weights file'),
        (['--score', '--sequences', '0'], '--sequences is 0; choose at least 1'),
    ],
)
def test_what_cannot_be_meant_is_refused(monkeypatch, tmp_path, options, message):
    run = tmp_path / 'run'
    with pytest.raises(SystemExit, match=message):
        command(monkeypatch, run, *options)
    assert not run.exists()


def test_unknown_presets_and_their_names_are_told(monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        command(monkeypatch, tmp_path, '--preset', 'huge')
    assert "invalid choice: 'huge'" in capsys.readouterr().err


def test_the_range_of_seeds_is_told(monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        command(monkeypatch, tmp_path, '--help')
    assert '0 to 63' in ' '.join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--seed', '7'], r'begun was begun with seed 5, not 7'),
        (['--seed', '7', '--processes', '2'], r'begun was begun with seed 5, not 7'),
        (['--preset', 'golden_small'], 'was begun with preset small, not golden_small'),
        (['--faster', '2'], 'was begun with faster 1.0, not 2.0'),
    ],
)
def test_a_run_does_not_become_another(monkeypatch, begun, options, message):
    for export in ([], ['--export', str(begun / 'out.safetensors')]):
        with pytest.raises(SystemExit, match=message):
            command(monkeypatch, begun, *options, *export)
    assert not (begun / 'out.safetensors').exists()


def test_an_export_tells_the_seed_of_its_run(monkeypatch, begun):
    path = begun / 'out.safetensors'
    command(monkeypatch, begun, '--export', str(path))
    assert read_metadata(path)['seed'] == '5'
    with pytest.raises(SystemExit, match=r'no/out.safetensors cannot be written: No such file'):
        command(monkeypatch, begun, '--export', str(begun / 'no/out.safetensors'))


def test_a_run_whose_rate_has_fallen_says_so(monkeypatch, begun, caplog):
    with caplog.at_level('INFO'):
        command(monkeypatch, begun, '--anneal', '20')
    assert 'has ended: its rate fell to 0 at step 30' in caplog.text
    assert not (begun / 'log.jsonl').exists()


@pytest.mark.parametrize('processes', ['1', '2'])
def test_a_damaged_checkpoint_is_one_line(monkeypatch, begun, processes):
    (begun / 'checkpoint.pt').write_bytes(b'PK')
    with pytest.raises(SystemExit, match=r'error: .*checkpoint.pt: damaged'):
        command(monkeypatch, begun, '--processes', processes)


def test_missing_textures_are_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv('TTT3R_TEXTURES', str(tmp_path / 'none.npz'))
    monkeypatch.setattr('ttt3r_ros.training.command.load_atlas', atlas.load_atlas.__wrapped__)
    with pytest.raises(SystemExit, match=r'none.npz: no such file of textures'):
        command(monkeypatch, tmp_path / 'run')


def test_the_roll_network_needs_a_folder_to_go_to(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, 'argv', ['roll', '--out', str(tmp_path / 'no' / 'roll.safetensors')])
    with pytest.raises(SystemExit):
        roll.main()
    assert f'--out: there is no folder {tmp_path}/no' in capsys.readouterr().err


def test_weights_are_scored_without_a_run(monkeypatch, tmp_path, caplog):
    run = tmp_path / 'run'
    with caplog.at_level(logging.INFO):
        command(monkeypatch, run, '--score', '--sequences', '1')
    sequences, weights, *lines = caplog.messages
    assert sequences == '1 held-out sequences of 16 frames'
    assert weights == f'of {SHIPPED_WEIGHTS}:'
    figures = {text: float(value) for value, text in (line.split(maxsplit=1) for line in lines)}
    assert list(figures) == list(FIGURES.values())
    assert 0.05 < figures[FIGURES['absrel_late']] < 0.6
    assert figures[FIGURES['rotation_share']] < 0.8
    assert not run.exists()
