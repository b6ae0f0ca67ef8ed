"""Convolutions by Winograd's method give what plain ones give."""

import copy

import pytest
import torch
from torch import nn

from ttt3r_ros.model import winograd
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.dpt import DptHead
from ttt3r_ros.model.network import Network
from ttt3r_ros.model.ready import make_ready
from ttt3r_ros.model.winograd import WinogradConv2d, use_winograd

CPU = torch.device('cpu')
DTYPE = torch.float32


def error(found, expected):
    return float((found.double() - expected).norm() / expected.norm())


def convolution(channels, out_channels, *, bias=True, **options):
    torch.manual_seed(0)
    conv = nn.Conv2d(channels, out_channels, 3, padding=1, bias=bias, **options)
    return conv.requires_grad_(False)


@torch.inference_mode()
@pytest.mark.parametrize('numbers', [1, 5000, 1_000_000])  # from strips of a row of tiles on
@pytest.mark.parametrize('size', [(1, 1), (2, 3), (4, 4), (5, 8), (23, 31), (12, 16), (18, 20)])
@pytest.mark.parametrize('bias', [True, False])
def test_it_gives_what_a_plain_convolution_gives(size, numbers, bias, monkeypatch):
    monkeypatch.setattr(winograd, '_NUMBERS', numbers)
    conv = convolution(24, 16, bias=bias)
    x = torch.randn(2, 24, *size)
    before = x.clone()
    expected = copy.deepcopy(conv).double()(x.double())
    for given in (x, x.to(memory_format=torch.channels_last), x.mT.contiguous().mT):
        found = WinogradConv2d(conv, DTYPE)(given)
        assert found.shape == expected.shape
        assert found.dtype == DTYPE
        assert error(found, expected) < 1e-5
    assert torch.equal(x, before)


@torch.inference_mode()
@pytest.mark.parametrize('height', [3, 6, 11, 18])
def test_inside_leaves_out_the_first_and_the_last_row(height, monkeypatch):
    monkeypatch.setattr(winograd, '_NUMBERS', 5000)
    conv = convolution(24, 16)
    x = torch.randn(1, 24, height, 20)
    found = WinogradConv2d(conv, DTYPE)(x, inside=True)
    assert found.shape[2] == height - 2
    assert error(found, conv(x)[:, :, 1:-1]) < 1e-5


@torch.inference_mode()
def test_errors_of_a_wide_convolution_are_those_of_float32():
    conv = convolution(256, 256)
    x = torch.randn(1, 256, 24, 32)
    expected = copy.deepcopy(conv).double()(x.double())
    assert error(WinogradConv2d(conv, DTYPE)(x), expected) < 5e-6


@torch.inference_mode()
def test_weights_kept_in_fewer_bits_are_rounded_and_nothing_else():
    conv, x = convolution(24, 16), torch.randn(1, 24, 12, 16)
    brief = WinogradConv2d(conv, torch.bfloat16)
    conv.weight.data = conv.weight.bfloat16().float()
    assert torch.equal(brief(x), WinogradConv2d(conv, DTYPE)(x))


@torch.inference_mode()
def test_values_that_are_not_finite_are_not_hidden():
    x = torch.zeros(1, 24, 12, 16)
    x[0, 3, 5, 7] = torch.nan
    assert WinogradConv2d(convolution(24, 16), DTYPE)(x)[0, :, 5, 7].isnan().all()


def test_weights_are_copied_once_and_then_shared():
    conv, x = convolution(8, 8), torch.randn(1, 8, 8, 8)
    layer = WinogradConv2d(conv, DTYPE)
    expected = layer(x)
    conv.weight.zero_()  # as a file that changes
    conv.bias.zero_()
    assert torch.equal(layer(x), expected)
    assert copy.deepcopy(layer) is layer


@pytest.fixture
def wide(monkeypatch):
    """Take a small network with CUT3R's heads for a wide one."""
    monkeypatch.setattr('ttt3r_ros.model.config._NARROW', 0)
    torch.manual_seed(0)
    return Network(PRESETS['golden_small']).requires_grad_(False).eval()


def replaced(network):
    return {name for name, each in network.named_modules() if isinstance(each, WinogradConv2d)}


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason='products are not MKL')
def test_a_wide_network_has_its_convolutions_of_3x3_replaced(wide):
    ready = use_winograd(wide, DTYPE, DTYPE)
    names = replaced(ready)
    assert {'downstream_head.dpt_self.head.0', 'downstream_head.dpt_self.head.2'} <= names
    for module in ready.modules():
        if isinstance(module, nn.Conv2d):
            assert module.kernel_size != (3, 3) or module.stride != (1, 1)
    assert not replaced(wide)
    assert use_winograd(ready, DTYPE, DTYPE) is ready


def test_others_stay_as_they_are(wide, monkeypatch):
    assert use_winograd(wide, torch.bfloat16, torch.bfloat16) is wide
    with monkeypatch.context() as patch:
        patch.setattr(torch.backends.mkl, 'is_available', lambda: False)
        assert use_winograd(wide, DTYPE, DTYPE) is wide
    monkeypatch.setattr('ttt3r_ros.model.config._NARROW', 1000)
    assert not replaced(make_ready(wide, 'float32', CPU)[0])


@torch.inference_mode()
@pytest.mark.parametrize('grid', [(3, 4), (3, 5), (5, 3)])
def test_a_head_in_strips_says_the_same(grid, monkeypatch):
    """Maps of odd sizes, through fusion, strips and all."""
    monkeypatch.setattr('ttt3r_ros.model.strips._NUMBERS', 0)
    config = PRESETS['golden_small']
    torch.manual_seed(0)
    head = DptHead(config, 4).requires_grad_(False).eval()
    tokens = grid[0] * grid[1]
    widths = [config.encoder_width, *[config.decoder_width] * 3]
    levels = [torch.randn(1, tokens, width) for width in widths]
    expected = head(levels, grid)
    for name, module in list(head.named_modules()):
        if winograd._is_suitable(module):
            parent, _, own = name.rpartition('.')
            setattr(head.get_submodule(parent), own, WinogradConv2d(module, DTYPE))
    found = head(levels, grid)
    assert error(found, expected.double()) < 1e-5
