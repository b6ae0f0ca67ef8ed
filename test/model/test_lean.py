"""Saving memory changes no result."""

import mmap
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ttt3r_ros.model import checkpoint, lean, strips
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.dpt import DptHead
from ttt3r_ros.reconstructor import Reconstructor


class LargestMap(TorchDispatchMode):
    """Notes the size of the largest tensor that an operation makes of its own."""

    def __init__(self, given):
        super().__init__()
        self.numbers, self._given = 0, given.untyped_storage().data_ptr()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run the operation."""
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.untyped_storage().data_ptr() != self._given:
            self.numbers = max(self.numbers, out.numel())
        return out


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('factor', [1, 2])
@pytest.mark.parametrize('height', [64, 80, 33])
def test_strips_say_what_the_whole_map_says(height, factor, dtype, monkeypatch):
    torch.manual_seed(0)
    _, _, convolve, *then = DptHead(PRESETS['golden_small'], 4).eval().to(dtype).head
    then = torch.nn.Sequential(*then)
    x = torch.randn(2, convolve.in_channels, height, 24, dtype=dtype)
    x = x.to(memory_format=torch.channels_last)
    with torch.inference_mode():
        whole = strips.convolve_enlarged(x, factor, convolve, then)
        monkeypatch.setattr(strips, '_NUMBERS', 0)
        with LargestMap(x) as largest:
            parts = strips.convolve_enlarged(x, factor, convolve, then)
    assert whole.shape == parts.shape == (2, 4, factor * height, factor * 24)
    assert whole.dtype == parts.dtype == dtype
    bound = 1e-5 if dtype == torch.float32 else 1e-2
    assert (whole - parts).float().norm() < bound * whole.float().norm()
    assert largest.numbers <= max(factor * x.numel() * 34 / height, parts.numel())


def test_converting_keeps_values_and_puts_channels_last():
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Linear(8, 8))
    before = {name: value.clone() for name, value in layers.state_dict().items()}
    lean.convert(layers, torch.device('cpu'), torch.bfloat16)
    assert layers[0].weight.is_contiguous(memory_format=torch.channels_last)
    for name, value in layers.state_dict().items():
        assert value.dtype == torch.bfloat16
        assert torch.equal(value, before[name].bfloat16())


def resident_pages(tensor):
    """Count the pages of a tensor that are in memory (/proc/self/smaps)."""
    begin = tensor.data_ptr()
    lines = Path('/proc/self/smaps').read_text().splitlines()
    for number, line in enumerate(lines):
        bounds = line.split(' ')[0].split('-')
        if len(bounds) == 2 and int(bounds[0], 16) <= begin < int(bounds[1], 16):
            rss = next(each for each in lines[number:] if each.startswith('Rss:'))
            return int(rss.split()[1]) * 1024 // mmap.PAGESIZE
    raise AssertionError('not mapped')


def map_file(path):
    """Return numbers, and the same as a file that is mapped into memory."""
    count = 4_000_000
    values = torch.arange(count, dtype=torch.float32)
    values.numpy().tofile(path)
    return values, torch.from_file(str(path), size=count, dtype=torch.float32)


def test_checking_the_weights_of_a_file_does_not_keep_them_in_memory(tmp_path):
    values, mapped = map_file(tmp_path / 'numbers')
    checkpoint._check_values(tmp_path, {'numbers': mapped})
    assert resident_pages(mapped) < values.nbytes / mmap.PAGESIZE / 10
    assert torch.equal(mapped, values)


def test_paging_out_frees_the_memory_of_a_file_and_loses_nothing(tmp_path):
    values, mapped = map_file(tmp_path / 'numbers')
    assert torch.equal(mapped, values)
    before = resident_pages(mapped)
    lean.page_out(mapped)
    assert resident_pages(mapped) < before / 10
    assert torch.equal(mapped, values)
    lean.page_out(values)
    assert torch.equal(mapped, values)


def test_a_network_that_is_shared_is_converted_once():
    """Each further reconstructor would move its weights, and leave holes in the heap."""
    network = Reconstructor().network
    tensors = (*network.parameters(), *network.buffers())
    before = [tensor.data_ptr() for tensor in tensors]
    assert Reconstructor(network=network).network is network
    assert [tensor.data_ptr() for tensor in tensors] == before
    layers = torch.nn.Linear(8, 8)
    for dtype in (torch.float32, torch.bfloat16, torch.float32):
        lean.convert(layers, torch.device('cpu'), dtype)
        assert layers.weight.dtype == dtype


def test_weights_of_a_file_are_copied_even_if_nothing_is_to_be_converted(tmp_path):
    path = tmp_path / 'numbers'
    torch.ones(64).numpy().tofile(path)
    layer = torch.nn.Linear(8, 8)
    mapped = torch.from_file(str(path), size=64, dtype=torch.float32).reshape(8, 8)
    layer.weight = torch.nn.Parameter(mapped)
    lean.convert(layer, torch.device('cpu'), torch.float32)
    assert layer.weight.data_ptr() != mapped.data_ptr()
    assert torch.equal(layer.weight, mapped)
