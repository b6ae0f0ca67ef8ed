import argparse
from dataclasses import replace
import os
import pickle
import tarfile

import pytest
import torch

from ttt3r_ros.errors import CheckpointError
from ttt3r_ros.model.checkpoint import convert_checkpoint, load_network, save_safetensors
from ttt3r_ros.model.config import PRESETS, NetworkConfig
from ttt3r_ros.model.network import Network

CONFIG = NetworkConfig(
    image_size=64,
    encoder_width=16,
    encoder_depth=1,
    encoder_heads=2,
    decoder_width=16,
    decoder_depth=2,
    decoder_heads=2,
    state_heads=2,
    state_tokens=4,
    memory_slots=2,
    dpt_widths=(8, 8, 8, 8),
    dpt_features=8,
    dpt_head_width=8,
)


@pytest.fixture(scope='module')
def weights():
    torch.manual_seed(0)
    return Network(CONFIG).state_dict()


@pytest.fixture
def public(tmp_path, weights, monkeypatch):
    """A file as CUT3R publishes it: prefixed names, aliases, and parts that images do not need."""
    monkeypatch.setitem(PRESETS, 'cut3r_512_dpt', CONFIG)
    model = {f'module.{name}': tensor for name, tensor in weights.items()}
    for level in range(4):
        name = f'module.downstream_head.dpt_self.scratch.layer_rn.{level}.weight'
        alias = name.replace(f'layer_rn.{level}', f'layer{level + 1}_rn')
        model[alias] = torch.full_like(model[name], 7.0)
    model['module.enc_blocks_ray_map.0.norm1.weight'] = torch.ones(16)
    model['module.masked_img_token'] = torch.zeros(1, 16)
    path = tmp_path / 'cut3r.pth'
    torch.save({'model': model, 'args': argparse.Namespace(epochs=1)}, path)
    return path


def assert_loaded(network, weights):
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


def test_public_pickle(public, weights):
    assert_loaded(load_network(public), weights)


@pytest.mark.usefixtures('public')
def test_pickle_of_before_torch_1_6(tmp_path, weights):
    path = tmp_path / 'old.pth'
    torch.save({'model': dict(weights)}, path, _use_new_zipfile_serialization=False)
    assert_loaded(load_network(path), weights)


def test_alias_alone_is_enough(public, weights, tmp_path):
    content = torch.load(public, weights_only=False)
    model = content['model']
    for level in range(4):
        name = f'module.downstream_head.dpt_self.scratch.layer_rn.{level}.weight'
        model[name.replace(f'layer_rn.{level}', f'layer{level + 1}_rn')] = model.pop(name)
    torch.save(content, tmp_path / 'alias.pth')
    assert_loaded(load_network(tmp_path / 'alias.pth'), weights)


def test_conversion_keeps_every_bit(public, tmp_path, weights):
    convert_checkpoint(public, tmp_path / 'cut3r.safetensors')
    network = load_network(tmp_path / 'cut3r.safetensors')
    assert network.config == CONFIG
    assert_loaded(network, weights)


@pytest.mark.parametrize('text', ['~/w.pth', '~nobody-of-that-name/w.pth'])
def test_a_tilde_in_the_name_is_the_home_folder(monkeypatch, tmp_path, text):
    monkeypatch.setenv('HOME', str(tmp_path))
    path = text.replace('~/', f'{tmp_path}/')
    with pytest.raises(CheckpointError, match=f'^{path}: no such weights file'):
        load_network(text)


def test_half_precision_file_is_computed_in_single(tmp_path, weights):
    halves = {name: tensor.half() for name, tensor in weights.items()}
    save_safetensors(tmp_path / 'half.safetensors', halves, CONFIG)
    network = load_network(tmp_path / 'half.safetensors')
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_heads_that_nobody_wants_are_left_out(public):
    network = load_network(public, outputs=frozenset())
    names = network.state_dict().keys()
    assert not any('dpt_cross' in name or 'final_transform' in name for name in names)
    assert not any('dpt_rgb' in name for name in names)


def test_missing_unexpected_and_misshapen_names_are_named(tmp_path, weights):
    wrong = dict(weights)
    del wrong['dec_norm.weight']
    wrong['stranger'] = torch.zeros(1)
    wrong['enc_norm.bias'] = torch.zeros(3)
    save_safetensors(tmp_path / 'wrong.safetensors', wrong, CONFIG)
    with pytest.raises(CheckpointError) as caught:
        load_network(tmp_path / 'wrong.safetensors')
    for part in ('wrong.safetensors', 'dec_norm.weight', 'stranger', 'enc_norm.bias [3]', '[16]'):
        assert part in str(caught.value)


def test_wrong_preset(public):
    with pytest.raises(CheckpointError, match='made for another network'):
        load_network(public, preset='golden_small')
    with pytest.raises(ValueError, match='choose one of'):
        load_network(public, preset='huge')


@pytest.mark.parametrize('name', ['cut3r.pth', 'cut3r.safetensors'])
@pytest.mark.parametrize('share', [0.0, 0.001, 0.5, 0.99])
def test_truncated_file(name, share, public, tmp_path):
    if name.endswith('safetensors'):
        convert_checkpoint(public, tmp_path / name)
    path = tmp_path / name
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=name):
        load_network(path)


class Malicious:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize('as_zip', [True, False])
def test_a_malicious_pickle_is_refused_and_not_run(as_zip, tmp_path, weights):
    marker = tmp_path / 'executed'
    path = tmp_path / 'bad.pth'
    content = {'model': dict(weights), 'args': Malicious(marker)}
    torch.save(content, path, _use_new_zipfile_serialization=as_zip)
    with pytest.raises(CheckpointError, match='refused') as refusal:
        load_network(path)
    assert not marker.exists()
    assert f'({os.mkdir.__module__}.mkdir)' in str(refusal.value)
    path.write_bytes(pickle.dumps(Malicious(marker)))
    with pytest.raises(CheckpointError):
        load_network(path)
    assert not marker.exists()


def test_no_advice_to_run_what_is_in_a_file(tmp_path):
    (tmp_path / 'text.pth').write_text('no weights at all')
    (tmp_path / 'pickle.pth').write_bytes(pickle.dumps(Malicious(tmp_path), protocol=4))
    with tarfile.open(tmp_path / 'tar.pth', 'w') as archive:
        for name in ('storages', 'tensors', 'pickle'):
            archive.addfile(tarfile.TarInfo(name))
    for name in ('text.pth', 'pickle.pth', 'tar.pth'):
        with pytest.raises(CheckpointError, match='truncated, or') as refusal:
            load_network(tmp_path / name)
        assert 'weights_only' not in str(refusal.value)
        assert '\n' not in str(refusal.value)


def test_missing_folder_or_strange_content(tmp_path):
    with pytest.raises(CheckpointError, match='no such'):
        load_network(tmp_path / 'nothing.pth')
    with pytest.raises(CheckpointError, match='no such'):
        load_network(tmp_path)
    torch.save([1, 2, 3], tmp_path / 'list.pth')
    with pytest.raises(CheckpointError, match='no dictionary of tensors'):
        load_network(tmp_path / 'list.pth')
    torch.save({'model': {'weight': torch.zeros(1)}}, tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match='not the weights'):
        load_network(tmp_path / 'other.pth')


def test_a_failed_write_leaves_the_old_file(tmp_path, weights):
    path = tmp_path / 'kept.safetensors'
    save_safetensors(path, weights, CONFIG)
    before = path.read_bytes()
    with pytest.raises(AttributeError):
        save_safetensors(path, {'x': None}, CONFIG)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_config_refuses_what_does_not_fit():
    for wrong in (
        {'head': 'mlp'},
        {'encoder_heads': 5},
        {'patch_size': 12},
        {'image_size': 100},
        {'stem': 'conv'},
        {'motion_radius': 4},
        {'head': 'linear', 'points': 'pinhole'},
    ):
        with pytest.raises(ValueError, match=r'.'):
            replace(CONFIG, **wrong)


def test_weights_may_be_read_by_all_who_may_read_other_files(tmp_path):
    save_safetensors(tmp_path / 'weights.safetensors', {'a': torch.zeros(2)}, PRESETS['small'])
    (tmp_path / 'other').write_text('')
    modes = [(tmp_path / name).stat().st_mode for name in ('weights.safetensors', 'other')]
    assert modes[0] == modes[1]


@pytest.mark.usefixtures('public')
def test_a_tensor_with_and_without_the_prefix_is_refused(tmp_path, weights):
    model = dict(weights)
    model['module.register_tokens.weight'] = model['register_tokens.weight'] + 1
    torch.save({'model': model}, tmp_path / 'both.pth')
    save_safetensors(tmp_path / 'both.safetensors', model, CONFIG)
    for name in ('both.pth', 'both.safetensors'):
        with pytest.raises(CheckpointError, match='with and without'):
            load_network(tmp_path / name)


@pytest.mark.usefixtures('public')
@pytest.mark.parametrize('spoil', [torch.Tensor.to_sparse, lambda t: t.to('meta')])
def test_tensors_without_plain_values_are_refused(tmp_path, weights, spoil):
    name = 'register_tokens.weight'
    torch.save({'model': dict(weights) | {name: spoil(weights[name])}}, tmp_path / 'odd.pth')
    with pytest.raises(CheckpointError, match=f'{name} is sparse'):
        load_network(tmp_path / 'odd.pth')
