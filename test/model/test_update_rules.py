import pytest
from tiny import TINY
import torch

from ttt3r_ros.model import decoder
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.decoder import attention_entropy, logit_map, mean_logit
from ttt3r_ros.model.network import Network
from ttt3r_ros.model.update_rules import UPDATE_RULES


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(1)
    return Network(TINY).requires_grad_(False).eval()


@pytest.fixture(scope='module')
def images():
    torch.manual_seed(2)
    return torch.rand(5, 2, 3, 32, 48) * 2 - 1  # frames, batch


def states(network, images, rule, *, start=None, update=()):
    state = start or network.initial_state(images.shape[1])
    found = []
    for index, image in enumerate(images):
        mask = torch.full((len(image),), index not in update)
        _, state = network.step(image, state, UPDATE_RULES[rule], update=mask)
        found.append(state)
    return found


@pytest.mark.parametrize('rule', UPDATE_RULES)
def test_batch_of_two_is_two_singles(rule, network, images):
    both = states(network, images, rule)
    for index in range(2):
        alone = states(network, images[:, index : index + 1], rule)
        for a, b in zip(both, alone, strict=True):
            torch.testing.assert_close(a.tokens[index], b.tokens[0], rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize('rule', UPDATE_RULES)
def test_first_frame_replaces_the_state(rule, network, images):
    wanted = states(network, images[:1], 'cut3r')[0].tokens
    torch.testing.assert_close(states(network, images[:1], rule)[0].tokens, wanted)


@pytest.mark.parametrize('rule', UPDATE_RULES)
def test_a_reset_forgets_the_memory_too(rule, network, images):
    used = states(network, images[:3], rule)[-1]
    fresh = network.initial_state(2)
    reset = used._replace(tokens=fresh.tokens, memory=fresh.memory, first=fresh.first)
    again = states(network, images[3:], rule, start=reset)
    for a, b in zip(again, states(network, images[3:], rule), strict=True):
        torch.testing.assert_close(a.tokens, b.tokens)


@pytest.mark.parametrize('rule', UPDATE_RULES)
def test_a_frame_without_update_leaves_no_trace(rule, network, images):
    """Frame 2 is only looked at; the state then evolves as if it had not been there."""
    held = states(network, images, rule, update=(2,))
    skipped = states(network, images[[0, 1, 3, 4]], rule)
    torch.testing.assert_close(held[2].tokens, held[1].tokens)
    torch.testing.assert_close(held[4].tokens, skipped[3].tokens)


@pytest.mark.parametrize('rule', set(UPDATE_RULES) - {'cut3r'})
def test_rules_differ_from_replacing(rule, network, images):
    mine, full = states(network, images, rule)[-1], states(network, images, 'cut3r')[-1]
    assert (mine.tokens - full.tokens).norm() > 1e-2


@pytest.mark.parametrize('rule', UPDATE_RULES)
def test_equal_frames_stay_finite(rule, network, images):
    """No division by the nothing that changed."""
    still = images[:1].expand(4, -1, -1, -1, -1)
    assert all(state.tokens.isfinite().all() for state in states(network, still, rule))


def test_memory_starts_anew_when_the_image_size_changes(network, images):
    state = states(network, images[:2], 'ttsa3r')[-1]
    smaller = images[2:, :, :, :, :32]
    assert states(network, smaller, 'ttsa3r', start=state)[-1].tokens.isfinite().all()


def test_motion_starts_anew_when_the_image_size_changes(images):
    network = Network(PRESETS['small']).requires_grad_(False).eval()
    state = states(network, images[:2], 'ttt3r')[-1]
    smaller = images[2:, :, :, :, :32]
    assert states(network, smaller, 'ttt3r', start=state, update=(0,))[-1].tokens.isfinite().all()


def test_health_is_what_the_rule_did(network, images):
    state = states(network, images[:1], 'cut3r')[-1]
    full, _ = network.step(images[1], state, UPDATE_RULES['cut3r'])
    gated, after = network.step(images[1], state, UPDATE_RULES['ttt3r'], outputs={'gate'})
    torch.testing.assert_close(full.health.gain, torch.ones(2))
    torch.testing.assert_close(gated.health.gain, gated.gate.mean(1))
    change = ((after.tokens - state.tokens).norm(dim=-1) / state.tokens.norm(dim=-1)).mean(-1)
    torch.testing.assert_close(gated.health.change, change)
    start = network.start_tokens()
    drift = ((after.tokens - start).norm(dim=-1) / start.norm(dim=-1)).mean(-1)
    torch.testing.assert_close(gated.health.drift, drift)


def test_statistics_equal_those_of_the_whole_attention_matrix():
    torch.manual_seed(3)
    q, k = torch.randn(2, 3, 5, 8), torch.randn(2, 3, 7, 8)
    logits = (q @ k.transpose(2, 3) / 8**0.5).double()
    probability = logits[..., 1:].softmax(-1)
    entropy = -(probability * probability.log()).sum(-1).mean(1) / torch.tensor(6.0).log()
    torch.testing.assert_close(
        mean_logit(q, k)[..., 0].double(), logits.mean((1, 3)), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(
        logit_map(q, k).double(), logits[..., 1:].mean(1), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(attention_entropy(q, k).double(), entropy, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('rule', ['ttt3r', 'ttsa3r', 'recal3r'])
def test_layers_taken_one_by_one_or_all_at_once_give_the_same(rule, network, images, monkeypatch):
    """Wide networks do not keep queries and keys of all layers."""
    results = []
    for large in (0, 1 << 30):
        monkeypatch.setattr(decoder, '_LARGE', large)
        state = network.initial_state(2)
        for image in images:
            _, state = network.step(image, state, UPDATE_RULES[rule])
        results.append(state.tokens)
    torch.testing.assert_close(*results)


def test_a_filter_chosen_while_frames_come_begins_as_one_that_knows_no_novelty(network, images):
    """Its first frame has none; were that taken for the mean, all later ones would surprise it."""
    _, state = network.step(images[0], network.initial_state(2), UPDATE_RULES['ttt3r'])
    _, chosen = network.step(images[1], state, UPDATE_RULES['filt3r'])
    assert (chosen.rule[1] == 0).all()
    _, after = network.step(images[2], chosen, UPDATE_RULES['filt3r'])
    _, fresh = network.step(images[1], network.initial_state(2), UPDATE_RULES['filt3r'])
    _, second = network.step(images[2], fresh, UPDATE_RULES['filt3r'])
    assert (after.rule[1] > 0.05).all()
    assert (second.rule[1] > 0.05).all()
