"""The log of a run: whole after a kill, and clear where it cannot be written."""

import json
from pathlib import Path
import resource

import pytest
import torch

from ttt3r_ros.training.curves import draw_curves
from ttt3r_ros.training.log import add_to_log, mend_log, read_log
from ttt3r_ros.training.run import TrainingRun, train
from ttt3r_ros.training.settings import Phase, TrainingSettings

TINY = (Phase(0, (1,), 4, ((32, 24),), 1e-3),)
SETTINGS = TrainingSettings(log_steps=1, warmup=0)


@pytest.fixture(autouse=True)
def _tiny_curriculum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('ttt3r_ros.training.settings.CURRICULUM', TINY)


def steps(log: Path) -> list[int]:
    return [json.loads(line)['step'] for line in log.read_text().splitlines()]


def test_a_run_that_was_killed_takes_back_what_it_makes_again(tmp_path: Path) -> None:
    log = tmp_path / 'log.jsonl'
    run = TrainingRun(tmp_path, SETTINGS)
    train(run, lambda: run.step >= 1)
    for step in (2, 3):
        add_to_log(log, {'step': step, 'frames': 0})
    with log.open('a') as file:
        file.write('{"step": 4, "fra')
    run = TrainingRun(tmp_path, SETTINGS)
    train(run, lambda: run.step >= 2)
    assert steps(log) == [1, 2]


def test_a_log_that_fits_stays_as_it_is(tmp_path: Path) -> None:
    log = tmp_path / 'log.jsonl'
    mend_log(log, 5)
    assert not log.exists()
    add_to_log(log, {'step': 5, 'total': 0.125})
    add_to_log(log, {'step': 5, 'held_out_focal': 0.25})
    before = log.stat().st_ino
    mend_log(log, 5)
    assert steps(log) == [5, 5]
    assert log.stat().st_ino == before


def test_of_steps_made_twice_the_later_count_and_half_lines_are_left_out(tmp_path: Path) -> None:
    log = tmp_path / 'log.jsonl'
    told = [(50, 1), (100, 2), (150, 3), (100, 4), (100, 5)]
    lines = [json.dumps({'step': step, 'frames': 7, 'error': error}) for step, error in told]
    lines[3] = f'{{"step": 200, "err{lines[3]}'  # an older run went on where a line had ended
    log.write_text('\n'.join([*lines, '3', '{"step": 15']))
    assert [(e['step'], e['error']) for e in read_log(log)] == [(50, 1), (100, 5)]
    draw_curves(log, tmp_path / 'curves.png')


def test_what_was_learnt_is_saved_when_the_log_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = TrainingRun(tmp_path, SETTINGS)
    (tmp_path / 'log.jsonl').symlink_to('/dev/full')
    monkeypatch.setattr('ttt3r_ros.training.run.mend_log', lambda *_: None)  # endless
    with pytest.raises(OSError, match=r'log.jsonl cannot be written: No space left on device'):
        train(run, lambda: run.step >= 5)
    assert TrainingRun(tmp_path, SETTINGS).step == 1


def test_a_checkpoint_that_cannot_be_written_is_named_and_the_old_one_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = TrainingRun(tmp_path, SETTINGS)
    run.save()

    def full(*_: object) -> None:
        raise RuntimeError('PytorchStreamWriter failed writing file\nframe #0: …')

    monkeypatch.setattr(torch, 'save', full)
    with pytest.raises(OSError, match=r'checkpoint.pt cannot be written: Pytorch.* file$'):
        run.save()
    assert TrainingRun(tmp_path, SETTINGS).step == 0


def test_what_the_system_says_of_a_file_is_told(tmp_path: Path) -> None:
    run = TrainingRun(tmp_path, SETTINGS)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r'checkpoint.pt cannot be written: File too large$'):
            run.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
