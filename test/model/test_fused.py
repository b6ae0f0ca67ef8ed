"""A fused network says and does what the plain one does."""

import pytest
import torch

from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.fused import FusedEncoderBlock, fuse
from ttt3r_ros.model.network import Network
from ttt3r_ros.model.quantise import quantise
from ttt3r_ros.model.update_rules import UPDATE_RULES


def network(preset):
    torch.manual_seed(0)
    made = Network(PRESETS[preset]).requires_grad_(False).eval()
    for name, parameter in made.named_parameters():
        if 'norm' in name:  # as if trained: neither ones nor zeros
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return made


def run(made, rule, images, outputs=frozenset({'gate'})):
    state, results = made.initial_state(images.shape[1]), []
    with torch.inference_mode():
        for image in images:
            seen, state = made.step(image, state, UPDATE_RULES[rule], outputs=outputs)
            results.append(
                (*seen[:4], seen.gate, *seen.health, state.tokens, state.memory, *state.rule)
            )
    return results


@pytest.mark.parametrize('rule', UPDATE_RULES)
@pytest.mark.parametrize('preset', ['small', 'golden_small', 'golden_small_linear'])
def test_results_are_those_of_the_plain_network(preset, rule):
    """The heads of image and state differ in golden_small."""
    plain = network(preset)
    fused = fuse(plain)
    assert fused.fused_layers
    for size in ((32, 48), (48, 32)):
        images = torch.rand(3, 2, 3, *size) * 2 - 1
        both = zip(run(plain, rule, images), run(fused, rule, images), strict=True)
        for expected, found in both:
            for a, b in zip(expected, found, strict=True):
                assert (a - b).norm() < 2e-4 * a.norm().clamp(min=1e-3)


def test_the_given_network_stays_as_it_is():
    plain = network('small')
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    fused = fuse(plain)
    assert not plain.fused_layers
    assert not any(isinstance(block, FusedEncoderBlock) for block in plain.enc_blocks)
    after = plain.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert fused.downstream_head.dpt_self.head[0].weight is (
        plain.downstream_head.dpt_self.head[0].weight
    )


def test_what_cannot_or_need_not_be_fused_is_left_alone():
    fused = fuse(network('small'))
    assert fuse(fused) is fused
    with torch.device('meta'):
        wide = Network(PRESETS['cut3r_512_dpt'])
    assert fuse(wide) is wide


def test_a_network_with_rounded_pose_memory_is_fused_too():
    rounded = quantise(network('small'))
    images = torch.rand(3, 1, 3, 48, 64) * 2 - 1
    for expected, found in zip(
        run(rounded, 'ttt3r', images), run(fuse(rounded), 'ttt3r', images), strict=True
    ):
        assert (expected[0] - found[0]).norm() < 1e-3 * expected[0].norm()


def test_a_rounded_block_is_not_fused(monkeypatch):
    monkeypatch.setattr('ttt3r_ros.model.lean.LARGE', 1)
    rounded = quantise(network('small'))
    assert fuse(rounded) is rounded
