"""Large matrices in other forms: what they compute, and where they are used."""

import copy

import pytest
import torch
from torch import nn

from ttt3r_ros import devices
from ttt3r_ros.model import packed, quantise, rope
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.layers import CrossAttention, SelfAttention
from ttt3r_ros.model.lean import replace_matrices
from ttt3r_ros.model.linear import KeptLinear, Shared, plus_linear
from ttt3r_ros.model.network import Network
from ttt3r_ros.model.packed import PackedLinear
from ttt3r_ros.model.quantise import Int7Linear, Int8Linear
from ttt3r_ros.model.ready import make_ready
from ttt3r_ros.model.update_rules import UPDATE_RULES

CPU = torch.device('cpu')
DTYPE = torch.float32
integers = pytest.mark.skipif(
    not (devices.multiplies_int8() and quantise._is_exact()),
    reason='this processor adds products of 8 bits in 16, or PyTorch lacks the operators',
)
brief = pytest.mark.skipif(
    not packed._is_available(), reason='PyTorch lacks the operators for packed matrices'
)


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return nn.Linear(512, 96).requires_grad_(False)


@pytest.fixture
def wide(monkeypatch):
    """Take a small network with CUT3R's heads for a wide one with large matrices."""
    monkeypatch.setattr('ttt3r_ros.model.config._NARROW', 0)
    monkeypatch.setattr('ttt3r_ros.model.lean.LARGE', 1)
    torch.manual_seed(0)
    return Network(PRESETS['golden_small']).requires_grad_(False).eval()


def error(found, expected):
    return float((found.float() - expected).norm() / expected.norm())


@torch.inference_mode()
def points(network, dtype):
    """Return the points of two images."""
    torch.manual_seed(1)
    state = network.initial_state(1)
    for image in torch.rand(2, 1, 3, 48, 64) * 2 - 1:
        encoded = network.encode(image.to(dtype))
        prediction, state = network.decode(encoded, state, UPDATE_RULES['ttt3r'])
    return prediction.points.float()


def kinds(network):
    return {type(module) for module in network.modules()}


def test_a_packed_matrix_multiplies_as_before(linear):
    x = torch.randn(1, 7, 512)
    assert error(PackedLinear(linear, torch.float32)(x), linear(x)) < 1e-6
    linear.bias = None
    assert error(PackedLinear(linear, torch.float32)(x), linear(x)) < 1e-6


@brief
@pytest.mark.parametrize('count', [1, 7, 768])
def test_a_packed_matrix_of_bfloat16_gives_the_same_bits(linear, count):
    x = torch.randn(1, count, 512).bfloat16()
    plain = copy.deepcopy(linear).bfloat16()
    assert torch.equal(PackedLinear(linear, torch.bfloat16)(x), plain(x))


def test_outputs_come_in_the_order_that_is_asked_for(linear):
    x = torch.randn(1, 7, 512)
    order = torch.randperm(96)
    expected = linear(x)[..., order]
    assert error(PackedLinear(linear, torch.float32, order)(x), expected) < 1e-6
    assert error(Int7Linear(linear, order)(x), expected) < 0.024
    assert error(KeptLinear(linear, DTYPE, DTYPE, order)(x), expected) < 1e-6
    if devices.multiplies_int8() and quantise._is_exact():
        assert error(Int8Linear(linear, order)(x), expected) < 0.012


def test_a_matrix_kept_in_fewer_bits_computes_in_more(linear):
    x = torch.randn(1, 7, 512)
    kept = KeptLinear(linear, DTYPE, torch.bfloat16)
    assert kept.weight.dtype == torch.bfloat16
    linear.weight.data = linear.weight.bfloat16().float()
    assert torch.equal(kept(x), linear(x))


FORMS = {
    'plain': lambda linear: linear,
    'kept': lambda linear: KeptLinear(linear, DTYPE, DTYPE),
    'packed': lambda linear: PackedLinear(linear, DTYPE),
}


@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('form', FORMS)
def test_a_sum_with_a_linear_layer(form, bias):
    torch.manual_seed(0)
    linear = nn.Linear(24, 16, bias=bias)
    layer, y = FORMS[form](linear), torch.randn(2, 7, 24)
    for x in (torch.randn(2, 7, 16), torch.randn(2, 16, 7).transpose(1, 2)):
        before = x.clone()
        with torch.no_grad():
            found, expected = plus_linear(x, layer, y), x + linear(y)
        if form == 'plain':
            assert torch.equal(found, expected)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
        assert torch.equal(x, before)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_pairs_side_by_side_are_rotated_alike(dtype):
    x = torch.randn(2, 1, 3, 35, 32, dtype=dtype)
    table = rope.rotation(rope.grid_positions(5, 7), 32)
    paired = rope.rotate(x[..., rope.pair_order(32)], table, paired=True)
    assert torch.equal(paired, rope.rotate(x, table))


def test_attention_with_ordered_matrices_reads_the_same(wide):
    layers = replace_matrices(wide, lambda linear, order: PackedLinear(linear, DTYPE, order))
    attentions = [m for m in layers.modules() if isinstance(m, SelfAttention | CrossAttention)]
    assert attentions
    assert all(module.paired for module in attentions)
    assert not any(getattr(module, 'paired', False) for module in wide.modules())
    assert error(points(layers, DTYPE), points(wide, DTYPE)) < 1e-4


def test_attention_is_left_alone_where_one_of_its_matrices_is(wide):
    block = wide.dec_blocks[0].cross_attn
    block.projk = nn.Identity()  # stands for what is no linear layer
    layers = replace_matrices(wide, lambda linear, order: PackedLinear(linear, DTYPE, order))
    assert not layers.dec_blocks[0].cross_attn.paired
    assert layers.dec_blocks[1].cross_attn.paired


@brief
def test_a_wide_network_is_packed_for_bfloat16_and_computes_the_same(wide, monkeypatch):
    monkeypatch.setattr(devices, 'multiplies_bfloat16', lambda: True)
    monkeypatch.setattr(devices, 'bfloat16_is_faster', lambda: True)
    plain = copy.deepcopy(wide).bfloat16()
    ready, dtype = make_ready(wide, 'bfloat16', CPU)
    assert dtype == torch.bfloat16
    assert PackedLinear in kinds(ready)
    assert nn.Linear not in kinds(ready)
    assert error(points(ready, dtype), points(plain, dtype)) < 0.02
    again, _ = make_ready(ready, 'auto', CPU)
    assert again is ready


@pytest.mark.parametrize(('first', 'then'), [('float32', 'bfloat16'), ('int8', 'float32')])
def test_a_network_made_ready_is_not_taken_for_another_precision(first, then):
    torch.manual_seed(0)
    network = Network(PRESETS['small']).requires_grad_(False).eval()
    ready, _ = make_ready(network, first, CPU)
    assert ready is not network
    assert make_ready(ready, first, CPU)[0] is ready
    with pytest.raises(ValueError, match=f'ready for {first} on cpu, not for {then} on cpu'):
        make_ready(ready, then, CPU)
    if then == 'bfloat16':  # whose parameters would change below those who have it
        with pytest.raises(ValueError, match=f'ready for {first} on cpu, not for {then} on cpu'):
            make_ready(network, then, CPU)
    else:
        assert make_ready(network, then, CPU)[0] is not ready


@pytest.mark.parametrize('precision', ['float32', 'bfloat16', 'int8'])
def test_a_wide_network_computes_in_float32_where_that_is_fastest(precision, wide, monkeypatch):
    monkeypatch.setattr(devices, 'multiplies_bfloat16', lambda: False)
    monkeypatch.setattr(devices, 'bfloat16_is_faster', lambda: False)
    exact = points(wide, DTYPE)
    ready, dtype = make_ready(wide, precision, CPU)
    assert dtype == torch.float32
    kept = [module for module in ready.modules() if isinstance(module, KeptLinear)]
    brief = torch.float32 if precision == 'float32' else torch.bfloat16
    assert {layer.weight.dtype for layer in kept} == {brief}
    assert {layer.bias.dtype for layer in kept} == {torch.float32}
    attentions = [m for m in ready.modules() if isinstance(m, SelfAttention | CrossAttention)]
    assert all(module.paired for module in attentions)
    bounds = {'float32': 1e-4, 'bfloat16': 0.02, 'int8': 0.2}
    assert error(points(ready, DTYPE), exact) < bounds[precision]
    assert make_ready(ready, precision, CPU)[0] is ready
    assert torch.equal(points(wide, DTYPE), exact)


def test_a_small_network_and_one_on_a_gpu_keep_their_layers(wide, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr('ttt3r_ros.model.ready.convert', lambda *_: None)  # there may be no GPU
        ready, _ = make_ready(copy.deepcopy(wide), 'float16', torch.device('cuda'))
    assert kinds(ready) == kinds(wide)
    monkeypatch.setattr('ttt3r_ros.model.config._NARROW', 1000)
    small, _ = make_ready(wide, 'bfloat16', CPU)
    assert not any(issubclass(kind, Shared) for kind in kinds(small))


def test_where_pytorch_lacks_the_operators_nothing_is_packed(wide, monkeypatch):
    def missing(*_):
        raise AttributeError

    monkeypatch.setattr(packed, 'PackedLinear', missing)
    monkeypatch.setattr(devices, 'bfloat16_is_faster', lambda: True)
    plain = copy.deepcopy(wide).bfloat16()
    ready, dtype = make_ready(wide, 'bfloat16', CPU)
    assert dtype == torch.bfloat16
    assert KeptLinear in kinds(ready)
    assert error(points(ready, dtype), points(plain, dtype)) < 0.02


@pytest.mark.parametrize(
    ('has', 'brief', 'expected'),
    [(True, 9.0, True), (False, 9.0, False), (False, 0.9, False), (False, 0.5, True)],
)
def test_units_or_a_trial_tell_where_bfloat16_is_faster(has, brief, expected, monkeypatch):
    def seconds(work):
        return brief if work().dtype == torch.bfloat16 else 1.0

    monkeypatch.setattr(devices, 'multiplies_bfloat16', lambda: has)
    monkeypatch.setattr(devices, '_seconds', seconds)
    assert devices.bfloat16_is_faster.__wrapped__() == expected


@pytest.mark.parametrize(
    ('kind', 'bound'), [pytest.param(Int8Linear, 0.012, marks=integers), (Int7Linear, 0.024)]
)
@pytest.mark.parametrize('offset', [0.0, 2.0, -2.0])
def test_a_rounded_matrix_is_as_exact_as_its_steps(kind, bound, offset, linear):
    x = torch.randn(1, 64, 512) + offset
    rounded = kind(linear)
    with torch.inference_mode():
        assert 0 < error(rounded(x), linear(x)) < bound
        brief = rounded(x.bfloat16())
    assert brief.dtype == torch.bfloat16
    assert error(brief, linear(x)) < bound + 0.004


@pytest.mark.parametrize('kind', [pytest.param(Int8Linear, marks=integers), Int7Linear])
def test_the_largest_sums_of_a_rounded_matrix_do_not_overflow(kind):
    linear = nn.Linear(4096, 32).requires_grad_(False)
    linear.weight.fill_(0.5)
    x = torch.full((1, 64, 4096), 3.0)
    torch.testing.assert_close(kind(linear)(x), linear(x), rtol=0.01, atol=0.1)


@integers
def test_what_a_rounded_matrix_does_with_odd_inputs(linear):
    rounded = Int8Linear(linear)
    x = torch.zeros(2, 3, 512)
    assert torch.allclose(rounded(x), linear.bias.expand(2, 3, -1))
    for wrong in (float('nan'), float('inf')):
        x[0, 0, 0] = wrong
        assert rounded(x).isnan().all()
        assert rounded(x).shape == (2, 3, 96)


@integers
def test_the_input_of_a_rounded_matrix_stays_as_it_is(linear):
    for x in (torch.randn(1, 4, 512), torch.randn(1, 4, 512).bfloat16()):
        before = x.clone()
        Int8Linear(linear)(x)
        assert torch.equal(x, before)


@pytest.mark.parametrize(
    'make',
    [
        pytest.param(Int8Linear, marks=integers),
        Int7Linear,
        lambda linear: PackedLinear(linear, torch.float32),
        lambda linear: KeptLinear(linear, torch.float32, torch.float32),
    ],
)
def test_matrices_are_copied_once_and_then_shared(make, linear):
    x = torch.randn(1, 4, 512)
    layer = make(linear)
    expected = layer(x)
    linear.weight.zero_()  # as a file that changes
    linear.bias.zero_()
    assert torch.equal(layer(x), expected)
    assert copy.deepcopy(layer) is layer


@pytest.mark.parametrize('has', [False, True])
def test_the_processor_decides_how_matrices_are_rounded(has, wide, monkeypatch):
    monkeypatch.setattr(quantise, 'multiplies_int8', lambda: has)
    exact = points(wide, torch.float32)
    rounded = quantise.quantise(wide)
    expected = Int8Linear if has and quantise._is_exact() else Int7Linear
    assert kinds(rounded) & {Int7Linear, Int8Linear} == {expected}
    assert 0 < error(points(rounded, torch.float32), exact) < 0.2
    assert torch.equal(points(wide, torch.float32), exact)
    assert quantise.quantise(rounded) is rounded


def test_sums_that_overflow_are_noticed(monkeypatch):
    def saturating(_):
        return lambda x: torch.full_like(x, 32.0)

    def missing(_):
        raise RuntimeError

    for kind in (saturating, missing):
        monkeypatch.setattr(quantise, 'Int8Linear', kind)
        quantise._is_exact.cache_clear()
        assert not quantise._is_exact()
    quantise._is_exact.cache_clear()


@pytest.mark.parametrize('told', [{}, {'avx512_vnni': True}, {'avx_vnni': True}, {'avx2': True}])
def test_which_processors_multiply_integers(told, monkeypatch):
    monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: told, raising=False)
    assert devices.multiplies_int8() == any('vnni' in name for name in told)
