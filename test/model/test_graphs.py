"""
Replaying the network, with a stand-in for CUDA's graphs.

As a graph does, the stand-in computes anew what was recorded, from and into the memory that it
had then, whatever it is called with.
"""

import logging

import numpy as np
import pytest
import torch

from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.graphs import in_own_memory
from ttt3r_ros.model.network import Network
from ttt3r_ros.model.replay import Replayed, tensors_in
from ttt3r_ros.model.update_rules import UPDATE_RULES
from ttt3r_ros.reconstructor import Reconstructor, ReconstructorConfig
from ttt3r_ros.synthetic.sequence import SceneCamera
from ttt3r_ros.synthetic.settings import held_out_seed


class Recorder:
    """Counts what it records and replays."""

    def __init__(self):
        self.recorded = self.replayed = 0

    def __call__(self, work):
        self.recorded += 1
        made = work()

        def replay():
            self.replayed += 1
            for old, new in zip(tensors_in(made), tensors_in(work()), strict=True):
                old.copy_(new)

        return made, replay


def graphs_of(function, record):
    return Replayed(function, in_own_memory(record), 'a CUDA graph', 0.02)


def add(first, second, offset):
    return first + second + offset, (None, first * second)


def test_the_third_call_of_a_kind_is_recorded_the_fourth_compared_and_later_ones_replayed():
    recorder = Recorder()
    replayed = graphs_of(add, recorder)
    for index in range(5):
        given = torch.full((2,), float(index)), torch.tensor([1.0, 2.0])
        made = replayed(*given, 7)
        assert torch.equal(made[0], add(*given, 7)[0])
        assert torch.equal(made[1][1], add(*given, 7)[1][1])
        assert made[1][0] is None
    assert (recorder.recorded, recorder.replayed) == (1, 2)  # one replay is the comparison


def test_results_are_the_callers_own_and_so_are_arguments():
    replayed = graphs_of(lambda x: (x, x.view(-1), 2 * x), Recorder())
    results = []
    for index in range(7):
        given = torch.full((2, 2), float(index))
        results.append(replayed(given))
        given += 100
    for index, (same, view, double) in enumerate(results[4:], start=4):
        assert torch.equal(same, torch.full((2, 2), float(index)))
        assert torch.equal(view, torch.full((4,), float(index)))
        assert torch.equal(double, torch.full((2, 2), 2.0 * index))


def test_other_shapes_types_and_constants_are_other_kinds():
    recorder = Recorder()
    replayed = graphs_of(add, recorder)
    kinds = [
        (torch.ones(2), torch.ones(2), 1),
        (torch.ones(3), torch.ones(3), 1),
        (torch.ones(2).double(), torch.ones(2), 1),
        (torch.ones(2), torch.ones(2), 2),
    ]
    for _ in range(4):
        for kind in kinds:
            made, wanted = replayed(*kind)[0], add(*kind)[0]
            assert torch.equal(made, wanted)
            assert made.dtype == wanted.dtype
    assert recorder.recorded == len(kinds)


def test_only_the_graphs_used_last_are_kept():
    recorder = Recorder()
    replayed = graphs_of(add, recorder)
    for size in (1, 2, 3, 4, 1, 5, 1, 2):
        for _ in range(3):
            assert len(replayed(torch.ones(size), torch.ones(size), 0)[0]) == size
    assert recorder.recorded == 6  # that of size 2 was given up, that of 1 was not
    assert len(replayed._kept) == 4
    for size in range(1100):
        replayed(torch.ones(size), torch.ones(size), 1)
    assert len(replayed._calls) <= 1000


@pytest.mark.parametrize(
    'error',
    [
        RuntimeError('operation not permitted when stream is capturing'),
        torch.OutOfMemoryError('CUDA out of memory'),
    ],
)
def test_what_cannot_be_recorded_is_called_with_one_warning(caplog, error):
    def refuse(_work):
        raise error

    replayed = graphs_of(add, refuse)
    with caplog.at_level(logging.WARNING):
        for index in range(5):
            given = torch.full((2,), float(index)), torch.ones(2)
            assert torch.equal(replayed(*given, 0)[0], add(*given, 0)[0])
    (record,) = caplog.records
    assert f'without a CUDA graph: {error}' in record.message


@pytest.mark.parametrize('wrong', [0.1, float('nan'), float('inf')])
def test_a_graph_that_computes_something_else_is_not_used(caplog, wrong):
    def record(work):
        made = work()
        return made, lambda: made[0].add_(wrong)

    replayed = graphs_of(add, record)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            assert torch.equal(replayed(torch.ones(2), torch.ones(2), 0)[0], torch.full((2,), 2.0))
    assert [r.message for r in caplog.records] == [
        'the network goes on without a CUDA graph: it computes something else'
    ]


@pytest.fixture(scope='module')
def images():
    film = SceneCamera(held_out_seed(5)).film(9, 64, 48)
    return list(film.rgb)


@pytest.mark.parametrize('preset', ['small', 'golden_small', 'golden_small_linear'])
@pytest.mark.parametrize('rule', UPDATE_RULES)
def test_a_replayed_network_is_the_network(preset, rule):
    network = Network(PRESETS[preset]).requires_grad_(False).eval()
    recorder = Recorder()
    replayed = graphs_of(network.decode, recorder)
    outputs = frozenset({'gate'})
    states = [network.initial_state(1)] * 2
    with torch.inference_mode():
        for image in torch.rand(6, 1, 3, 48, 64) * 2 - 1:
            encoded = network.encode(image)
            rules = (UPDATE_RULES[rule], None, outputs)
            wanted, states[0] = network.decode(encoded, states[0], *rules)
            made, states[1] = replayed(encoded, states[1], *rules)
            for one, other in zip(tensors_in(made), tensors_in(wanted), strict=True):
                torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert recorder.recorded == 1
    assert recorder.replayed > 1


def test_a_replayed_reconstruction_is_the_same(images):
    """With resets, images that may not update, another size, and a camera that is covered."""
    recorder = Recorder()
    plain, replayed = (Reconstructor(ReconstructorConfig(reset_interval=5)) for _ in range(2))
    decode = graphs_of(replayed.network.decode, recorder)
    replayed._calls = replayed._calls._replace(decode=decode)
    covered = np.zeros_like(images[0])
    turned = [np.ascontiguousarray(image.transpose(1, 0, 2)) for image in images]
    stream = [*images, covered, *images, *turned, *images]
    for index, image in enumerate(stream):
        update = index % 7 != 3
        wanted, view = plain.add(image, update=update), replayed.add(image, update=update)
        assert view.tracking.status == wanted.tracking.status
        np.testing.assert_allclose(view.points, wanted.points, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(view.T_world_camera, wanted.T_world_camera, atol=1e-5)
    assert recorder.replayed > 10
    replayed.reset(), plain.reset()
    np.testing.assert_array_equal(replayed.add(images[0]).points, plain.add(images[0]).points)
