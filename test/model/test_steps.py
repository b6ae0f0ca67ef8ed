"""The step never waits for the host, and its shapes do not change: what CUDA graphs need."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ttt3r_ros.geometry.camera import focal_from_corner, focal_from_points
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.network import Network
from ttt3r_ros.model.update_rules import UPDATE_RULES

# each needs the values of a tensor, and so waits until they are computed
WAITING = (
    torch.ops.aten._local_scalar_dense,
    torch.ops.aten.nonzero,
    torch.ops.aten.is_nonzero,
    torch.ops.aten.masked_select,
    torch.ops.aten.unique_dim,
    torch.ops.aten.repeat_interleave,
    torch.ops.aten.equal,
)


class NoWaiting(TorchDispatchMode):
    """Raise where an operation would wait for, or copy from, the device."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        waits = operation.overloadpacket in WAITING
        if operation.overloadpacket in (torch.ops.aten.index, torch.ops.aten.index_put_):
            waits = any(index is not None and index.dtype == torch.bool for index in args[1])
        assert not waits, f'{operation} waits for the device'
        result = operation(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and operation is torch.ops.aten._to_copy.default:
            assert result.device == args[0].device, f'{operation} copies to {result.device}'
        return result


ALL = ['small', 'golden_small', 'golden_small_linear']


@pytest.fixture(scope='module', params=ALL)
def network(request):
    return Network(PRESETS[request.param]).requires_grad_(False).eval()


def run(network, rule, images):
    state = network.initial_state(images[0].shape[0])
    allowed = torch.ones(images[0].shape[0], dtype=torch.bool, device=images[0].device)
    outputs = frozenset({'world'} if network.config.world_head else ())
    for image in images:
        seen, state = network.step(
            image, state, UPDATE_RULES[rule], update=allowed, outputs=outputs
        )
        yield seen, state


def parts_of(state):
    parts = [state.tokens, state.memory, state.first, *state.rule]
    if state.previous is not None:
        parts += [*state.previous[:3], *(state.previous.reference or ())]
    return parts


def test_the_check_itself_works():
    with NoWaiting(), pytest.raises(AssertionError, match='waits'):
        torch.ones(2).sum().item()
    with NoWaiting(), pytest.raises(AssertionError, match='waits'):
        torch.ones(3)[torch.tensor([True, False, True])]


@pytest.mark.parametrize('rule', UPDATE_RULES)
def test_a_step_waits_for_nothing(network, rule):
    images = list(torch.rand(3, 1, 3, 64, 64) * 2 - 1)
    network.encode(images[0])  # makes the tables, once for each size
    with torch.inference_mode(), NoWaiting():
        for seen, _ in run(network, rule, images):
            focal_from_corner(seen.points)
            focal_from_points(seen.points)


@pytest.mark.parametrize('rule', UPDATE_RULES)
def test_a_state_keeps_its_shapes_and_types(network, rule):
    images = list(torch.rand(4, 2, 3, 64, 64) * 2 - 1)
    with torch.inference_mode():
        states = [state for _, state in run(network, rule, images)]
    described = [[(part.shape, part.dtype) for part in parts_of(state)] for state in states]
    assert described[1:] == described[:-1]


def test_a_step_needs_no_values_at_all():
    """On a device that holds none, anything that looked at a value would fail."""
    with torch.device('meta'):
        network = Network(PRESETS['small']).requires_grad_(False).eval()
        images = [torch.empty(1, 3, 144, 192) for _ in range(3)]
        for seen, state in run(network, 'ttt3r', images):
            assert seen.points.shape == (1, 72, 96, 3)
            assert state.tokens.is_meta
