import pytest
import torch

from ttt3r_ros.cli.main import main
from ttt3r_ros.model.checkpoint import load_network
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.network import Network


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'in.pth'
    torch.save({'model': Network(PRESETS['small']).state_dict()}, path)
    return path


def test_converted_weights_are_the_same(checkpoint, tmp_path, capsys):
    target = tmp_path / 'out.safetensors'
    assert main(['convert', str(checkpoint), str(target), '--preset', 'small']) == 0
    assert 'MB' in capsys.readouterr().out
    before = torch.load(checkpoint, weights_only=True)['model']
    after = load_network(target).state_dict()  # the file describes its network
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_what_cannot_be_converted_is_named(checkpoint, tmp_path, capsys):
    target = str(tmp_path / 'out.safetensors')
    assert main(['convert', str(checkpoint), target]) == 1  # without the preset: CUT3R's
    assert main(['convert', str(tmp_path / 'no.pth'), target]) == 1
    assert main(['convert', str(checkpoint), str(tmp_path / 'out.bin')]) == 1
    assert main(['convert', str(checkpoint), str(tmp_path / 'a/b.safetensors')]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 4
    assert 'made for another network' in errors[0]
    assert list(tmp_path.iterdir()) == [checkpoint]
