import math
from pathlib import Path
import sys

import pytest
import torch

from ttt3r_ros.model.roll import BINS, angles, load_roll_network
from ttt3r_ros.training.roll import main, make_batch, pictures, target, turned

WEIGHTS = Path(__file__).parents[2] / 'ttt3r_ros/weights/roll.safetensors'


def test_a_quarter_turn_is_exact() -> None:
    image = torch.rand(2, 3, 80, 80)
    quarter = turned(image, torch.tensor([math.pi / 2, -math.pi / 2]), (80, 80))
    torch.testing.assert_close(quarter[0], image[0].rot90(1, (1, 2)), rtol=0, atol=1e-4)
    torch.testing.assert_close(quarter[1], image[1].rot90(-1, (1, 2)), rtol=0, atol=1e-4)


def test_the_target_is_at_the_roll_and_nowhere_where_there_is_none() -> None:
    spread = target(torch.tensor([math.radians(30), 3.1, 1.0]), torch.tensor([1.0, 1.0, 0.0]))
    torch.testing.assert_close(spread.sum(1), torch.ones(3))
    assert math.degrees(angles()[spread[0].argmax()]) == pytest.approx(30.0)
    assert abs(float(angles()[spread[1].argmax()])) == pytest.approx(math.pi)
    torch.testing.assert_close(spread[2], torch.full((BINS,), 1 / BINS))


def test_cameras_that_look_ahead_are_about_level() -> None:
    _, roll, known = pictures(1 << 39, 6, 2)
    assert float(roll.abs().median()) < 0.3
    assert float(known.mean()) > 0.5


def test_the_shipped_weights_know_which_way_is_down() -> None:
    images, roll, known = make_batch(900, held_out=True)
    with torch.no_grad():
        said = load_roll_network(WEIGHTS)(images)
    off = torch.remainder(angles()[said.argmax(1)] - roll + math.pi, 2 * math.pi) - math.pi
    usual = (known == 1) & (roll.abs() < 1)
    assert usual.sum() > 40
    assert float(off[usual].abs().median()) < math.radians(12)


def test_training_writes_weights_that_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / 'roll.safetensors'
    monkeypatch.setattr(sys, 'argv', ['roll', '--out', str(path), '--steps', '2'])
    with caplog.at_level('INFO'):
        main()
    assert 'step 2' in caplog.text
    load_roll_network(path)
