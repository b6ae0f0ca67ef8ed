"""Replaying the network as TorchScript traces: the same to the bit, whatever comes."""

from concurrent.futures import ThreadPoolExecutor
import logging
import warnings

import numpy as np
import pytest
import torch

from ttt3r_ros.benchmark.clock import resident_memory
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.encoder import _grid
from ttt3r_ros.model.network import Network
from ttt3r_ros.model.ready import fast_calls
from ttt3r_ros.model.replay import Replayed, tensors_in
from ttt3r_ros.model.traces import trace
from ttt3r_ros.model.update_rules import UPDATE_RULES
from ttt3r_ros.reconstructor import Reconstructor, ReconstructorConfig
from ttt3r_ros.synthetic.sequence import SceneCamera
from ttt3r_ros.synthetic.settings import held_out_seed

CPU = torch.device('cpu')


def random_network(preset):
    torch.manual_seed(0)
    return Network(PRESETS[preset]).requires_grad_(False).eval()


def both(network):
    plain, traced = (
        fast_calls(network, 'float32', CPU, graphs=True, traces=traces) for traces in (False, True)
    )
    assert isinstance(traced.encode, Replayed)
    assert isinstance(traced.decode, Replayed)
    assert not isinstance(plain.decode, Replayed)
    return plain, traced


def assert_same(made, wanted):
    for one, other in zip(tensors_in(made), tensors_in(wanted), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ('rule', 'preset'),
    [
        *((rule, 'small') for rule in UPDATE_RULES),
        *((rule, 'golden_small') for rule in ('cut3r', 'ttsa3r', 'recal3r')),
        ('ttt3r', 'golden_small_linear'),
    ],
)
def test_a_traced_network_is_the_network(rule, preset):
    """Sizes in turns, a batch, restarts, and images that may not update, each after its trace."""
    plain, traced = both(random_network(preset))
    sizes = [(48, 64), (64, 48)] if rule == 'ttt3r' else [(48, 64)]
    states = {size: [plain.decode.__self__.initial_state(2)] * 2 for size in sizes}
    with torch.inference_mode():
        for index in range(7):
            for size in sizes:
                detail = plain.encode.__self__.config.detail
                image = torch.rand(2, 3, *(detail * side for side in size)) * 2 - 1
                allowed = torch.tensor([index % 3 > 0, True])
                encoded, again = plain.encode(image), traced.encode(image)
                assert_same(again, encoded)
                assert again.grid == encoded.grid
                rules = (UPDATE_RULES[rule], allowed, frozenset({'gate'}))
                state, other = states[size]
                wanted, state = plain.decode(encoded, state, *rules)
                made, other = traced.decode(again, other, *rules)
                assert_same((made, other), (wanted, state))
                if index == 4:  # the first image of the second sequence
                    first = torch.tensor([False, True])
                    state, other = state._replace(first=first), other._replace(first=first)
                states[size] = [state, other]
    for calls in traced:
        assert [kept.trusted for kept in calls._kept.values()] == [True] * len(sizes)


def test_nothing_that_a_trace_knows_as_a_tensor_is_kept_in_a_table():
    network = random_network('small')
    _, traced = both(network)
    _grid.cache_clear()
    with torch.inference_mode():
        for _ in range(5):
            traced.encode(torch.zeros(1, 3, 96, 128))
    assert [key[0] for key in network._tables] == [(6, 8)]
    assert _grid.cache_info().currsize == 1


def test_a_traced_reconstruction_is_the_same_and_says_nothing(caplog):
    """With resets, an image that may not update, another shape, a covered camera, and threads."""
    images = list(SceneCamera(held_out_seed(5)).film(9, 64, 48).rgb)
    covered = np.zeros_like(images[0])
    turned = [np.ascontiguousarray(image.transpose(1, 0, 2)) for image in images]
    plain, traced = (
        Reconstructor(ReconstructorConfig(reset_interval=5, torchscript=on))
        for on in (False, True)
    )
    stream = [*images, covered, *images, *turned, *images]
    with (
        caplog.at_level(logging.WARNING),
        warnings.catch_warnings(),
        ThreadPoolExecutor(1) as pool,
    ):
        warnings.simplefilter('error')
        ahead = pool.submit(traced.prepare, stream[0])
        for index, image in enumerate(stream):
            update, now = index % 7 != 3, ahead.result()
            ahead = pool.submit(traced.prepare, stream[(index + 1) % len(stream)])
            wanted, view = plain.add(image, update=update), traced.add(now, update=update)
            assert view.tracking.status == wanted.tracking.status
            np.testing.assert_array_equal(view.points, wanted.points)
            np.testing.assert_array_equal(view.T_world_camera, wanted.T_world_camera)
    assert sum(kept.trusted for kept in traced._calls.decode._kept.values()) > 1
    assert not caplog.records


def test_one_tensor_in_two_places_stays_two_arguments():
    replay = trace(lambda one, other: (one - other, other), (torch.ones(2),) * 2)
    difference, same = replay((torch.full((2,), 5.0), torch.full((2,), 3.0)))
    assert difference.tolist() == [2.0, 2.0]
    assert same.tolist() == [3.0, 3.0]


def test_threads_may_call_what_is_being_traced():
    network = random_network('small')
    traced = Replayed(network.encode, trace, 'a trace', 1e-4)
    images = torch.rand(24, 1, 3, 96, 128) * 2 - 1

    def encode(image):
        with torch.inference_mode():
            return traced(image)

    with ThreadPoolExecutor(4) as pool:
        for image, made in zip(images, pool.map(encode, images), strict=True):
            with torch.inference_mode():
                assert_same(made, network.encode(image))
    assert len(traced._kept) == 1


def numbered(function, calls=12):
    """Call it with tensors of two sizes in turns, and compare; return what replays it."""
    replayed = Replayed(function, trace, 'a trace', 1e-4)
    for index in range(calls):
        given = torch.full((1 + index % 2,), float(index))
        assert torch.equal(replayed(given)[0], function(given)[0])
    return replayed


def test_what_cannot_be_traced_is_called_with_one_warning(caplog):
    weight = torch.ones(1, requires_grad=True)
    numbered(lambda x: (x * weight,))
    (record,) = caplog.records
    assert 'goes on without a trace' in record.message


def test_values_that_a_trace_takes_for_constants_are_noticed(caplog):
    replayed = numbered(lambda x: (x * float(x.max()),))
    (record,) = caplog.records
    assert record.message == 'the network goes on without a trace: it computes something else'
    assert not any(kept.trusted for kept in replayed._kept.values())


def test_any_error_of_tracing_ends_the_tracing_and_nothing_else(caplog):
    def fails(x):
        if torch.jit.is_tracing():
            raise ValueError('of the middle of a trace')
        return (2 * x,)

    numbered(fails)
    (record,) = caplog.records
    assert record.message == 'the network goes on without a trace: of the middle of a trace'


@pytest.mark.parametrize(
    ('name', 'there'),
    [('_create_graph_by_tracing', None), ('_create_function_from_graph', lambda _graph: None)],
)
def test_with_a_pytorch_that_traces_otherwise_the_network_goes_on(
    caplog, monkeypatch, name, there
):
    if there is None:
        monkeypatch.delattr(torch._C, name)
    else:
        monkeypatch.setattr(torch._C, name, there)  # with other arguments
    numbered(lambda x: (2 * x,))
    (record,) = caplog.records
    assert 'goes on without a trace: ' in record.message


def test_the_memory_of_a_trace_is_given_back_with_it():
    network = random_network('small')
    encoded = network.encode(torch.zeros(1, 3, 96, 128))
    given = (encoded, network.initial_state(1), UPDATE_RULES['ttt3r'])
    resident = []
    with torch.inference_mode():
        for _ in range(6):
            trace(network.decode, given)(given)  # holds some 20 MB
            resident.append(resident_memory())
    assert resident[-1] - resident[1] < 0.05  # GB


@pytest.mark.parametrize(
    ('precision', 'preset', 'on'),
    [('int8', 'small', True), ('float32', 'wide', True), ('float32', 'small', False)],
)
def test_where_a_trace_would_be_wrong_or_useless_there_is_none(precision, preset, on):
    network = random_network('small')
    if preset == 'wide':
        network.config = PRESETS['cut3r_512_dpt']
    calls = fast_calls(network, precision, CPU, graphs=True, traces=on)
    assert calls == (network.encode, network.decode)
