"""The network computes what the reference does."""

import json

import pytest
import torch

from ttt3r_ros.model.checkpoint import select_tensors
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.network import Network

SMALL = {
    'small_ttt3r': '--rule ttt3r --images 6x64x80 --seed 11',
    'small_cut3r': '--rule cut3r --images 6x64x80 --seed 11',
    'small_ttt3r_reset': '--rule ttt3r --images 6x64x80 --seed 12 --reset-after 2 --no-update 4',
    'small_linear_ttt3r': '--head linear --images 4x64x64 --seed 13',
}


@pytest.mark.parametrize('name', SMALL)
def test_small_golden(name, shared, check_golden, capsys):
    path = shared / 'golden' / f'{name}.npz'
    status = check_golden.main([str(path), '--preset', 'golden_small', *SMALL[name].split()])
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert 'pts3d_in_self_view' in printed
    assert 'beta' in printed


@pytest.mark.parametrize('rule', ['filt3r', 'brake', 'ortho', 'ttsa3r', 'recal3r'])
def test_rule_golden(rule, shared, check_golden, capsys):
    path = shared / 'golden' / 'rules' / f'rule_{rule}.npz'
    options = f'--preset golden_small --rule {rule} --images 8x64x80 --seed 31 --subsample 4'
    assert check_golden.main([str(path), *options.split()]) == 0
    assert 'state_in' in capsys.readouterr().out


@pytest.mark.parametrize('name', SMALL)
def test_the_form_that_computes_wide_networks_gives_the_golden(
    name, shared, check_golden, capsys, monkeypatch
):
    monkeypatch.setattr('ttt3r_ros.model.config._NARROW', 0)
    monkeypatch.setattr('ttt3r_ros.model.lean.LARGE', 1)
    monkeypatch.setattr('ttt3r_ros.model.strips._NUMBERS', 0)
    path = shared / 'golden' / f'{name}.npz'
    options = ['--preset', 'golden_small', *SMALL[name].split(), '--ready']
    status = check_golden.main([str(path), *options])
    assert status == 0, capsys.readouterr().out


@pytest.mark.full
@pytest.mark.parametrize('form', [[], ['--ready']])
def test_full_golden(form, shared, check_golden):
    path = shared / 'golden' / 'full_512_dpt_ttt3r.npz'
    options = '--preset cut3r_512_dpt --images 3x384x512 --seed 21 --subsample 8 --tolerance 1e-4'
    assert check_golden.main([str(path), *options.split(), *form]) == 0


def test_wrong_golden_fails(shared, check_golden):
    path = shared / 'golden' / 'small_ttt3r.npz'
    options = '--preset golden_small --rule cut3r --images 6x64x80 --seed 11'
    assert check_golden.main([str(path), *options.split()]) == 1


@pytest.mark.parametrize('preset', ['cut3r_512_dpt', 'cut3r_224_linear'])
def test_names_and_shapes_are_those_of_the_public_weights(preset, shared):
    keys = json.loads((shared / 'golden' / f'{preset}.keys.json').read_text())
    with torch.device('meta'):
        network = Network(PRESETS[preset])
        public = {name: torch.empty(shape) for name, shape in keys.items()}
    selected = select_tensors(public, PRESETS[preset])
    network.load_state_dict(selected, strict=True, assign=True)


@pytest.mark.parametrize('head', ['dpt', 'linear'])
def test_a_batch_of_two_is_two_singles(head, check_golden):
    config = PRESETS['golden_small' if head == 'dpt' else 'golden_small_linear']
    network = check_golden.golden_network(config)
    rule = 'ttt3r'
    singles = [check_golden.golden_images(4, 32, 48, seed) for seed in (1, 2)]
    batch = list(check_golden.run(network, torch.stack(singles, dim=1), rule))
    for index, images in enumerate(singles):
        for together, alone in zip(batch, check_golden.run(network, images, rule), strict=True):
            for name, value in alone.items():
                error = (together[name][index] - value[0]).norm() / value[0].norm()
                assert error < 1e-4, name


def test_masks_differ_within_a_batch(check_golden):
    """One sequence is reset and one must not update, in the same batch."""
    network = check_golden.golden_network(PRESETS['golden_small'])
    images = check_golden.golden_images(3, 32, 32, 3)[:, None].expand(-1, 2, -1, -1, -1)
    with torch.inference_mode():
        state = network.initial_state(2)
        _, state = network.step(images[0], state)
        start = network.initial_state(2)
        mixed = state._replace(
            tokens=torch.stack([state.tokens[0], start.tokens[1]]),
            memory=torch.stack([state.memory[0], start.memory[1]]),
            first=torch.tensor([False, True]),
        )
        seen, after = network.step(images[1], mixed, update=torch.tensor([False, True]))
        fresh, fresh_after = network.step(images[1], start)
    torch.testing.assert_close(after.tokens[0], state.tokens[0])
    torch.testing.assert_close(after.memory[0], state.memory[0])
    torch.testing.assert_close(after.tokens[1], fresh_after.tokens[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(seen.translation[1], fresh.translation[1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(seen.translation[0], fresh.translation[0])
