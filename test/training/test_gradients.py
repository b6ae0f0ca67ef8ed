from collections.abc import Callable
import logging
from pathlib import Path

import pytest
import torch

from ttt3r_ros.model.network import Network
from ttt3r_ros.training import gradients as module
from ttt3r_ros.training.batches import Batch
from ttt3r_ros.training.gradients import Gradients, Parts
from ttt3r_ros.training.initialise import new_network
from ttt3r_ros.training.run import TrainingRun
from ttt3r_ros.training.settings import FilmSettings, TrainingSettings, phase_at
from ttt3r_ros.training.sources import Filmed, Lesson
from ttt3r_ros.training.unroll import half_gated, unroll

CPU = torch.device('cpu')
FILMS = FilmSettings(processes=1, sequences=2, length=2, frames=3, new=1, ahead=8, kept=10)
RECURRENT = 12000
"""A step at which the whole network learns."""


@pytest.fixture
def network() -> Network:
    return new_network('small', 1)


def lesson(seed: int, gated: bool | None = None) -> Lesson:
    random = torch.Generator().manual_seed(seed)
    image = torch.rand(2, 2, 3, 48, 64, generator=random) * 2 - 1
    pose = torch.randn(2, 2, 3, generator=random), torch.tensor([1.0, 0, 0, 0]).expand(2, 2, 4)
    depth = torch.randn(2, 2, 24, 32, generator=random)
    return Lesson(Batch(image, depth, torch.tensor([30.0, 40.0]), *pose), gated)


def gradients_of(network: Network) -> list[torch.Tensor]:
    return [p.grad.clone() for p in network.parameters() if p.grad is not None]


class Stand:
    """Computes anew in the same memory, as a CUDA graph does."""

    def __init__(self, own: Batch, work: Callable[[], Parts], _pool: object) -> None:
        self._own, self._work = own, work

    def replay(self, batch: Batch) -> Parts:
        for own, new in zip(self._own, batch, strict=True):
            own.copy_(new)
        return self._work()


def as_on_a_gpu(network: Network) -> Gradients:
    gradients = Gradients(network)
    gradients._cuda = True
    return gradients


def test_what_is_replayed_has_the_gradients_of_its_own_batch(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, '_Recording', Stand)
    other = new_network('small', 1)
    plain, recorded = Gradients(other), as_on_a_gpu(network)
    for seed in range(10):
        recurrent = seed % 3 > 0  # else the decoder's parameters have no gradients
        parts = plain(lesson(seed), recurrent=recurrent)
        again = recorded(lesson(seed), recurrent=recurrent)
        mine = dict(network.named_parameters())
        for name, parameter in other.named_parameters():
            assert (parameter.grad is None) == (mine[name].grad is None)
            if parameter.grad is not None:
                torch.testing.assert_close(mine[name].grad, parameter.grad)
        assert float(parts['total']) == pytest.approx(float(again['total']))
    assert [type(recording) for recording in recorded._recordings.values()] == 2 * [Stand]


def test_training_goes_on_where_nothing_can_be_recorded(
    network: Network, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_own: Batch, work: Callable[[], Parts], _pool: object) -> None:
        work()
        raise RuntimeError('operation not permitted when stream is capturing')

    monkeypatch.setattr(module, '_Recording', refuse)
    other = new_network('small', 1)
    gradients = as_on_a_gpu(network)
    with caplog.at_level(logging.WARNING):
        for seed in range(4):
            gradients(lesson(seed), recurrent=False)
            Gradients(other)(lesson(seed), recurrent=False)
            for mine, wanted in zip(gradients_of(network), gradients_of(other), strict=True):
                torch.testing.assert_close(mine, wanted)
    assert [record.message for record in caplog.records] == [
        'training goes on without a CUDA graph: operation not permitted when stream is capturing'
    ]


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA GPU')
def test_a_cuda_graph_has_the_gradients_of_single_operations(network: Network) -> None:
    network.cuda()
    gradients = Gradients(network)
    on_gpu = [Lesson(Batch(*(x.cuda() for x in lesson(i).batch)), None) for i in range(4)]
    for one in on_gpu:
        gradients(one, recurrent=True)
    recorded = gradients_of(network)
    assert all(gradients._recordings.values())
    gradients._clear(recurrent=True)
    gradients._compute(on_gpu[-1], recurrent=True)
    for one, other in zip(recorded, gradients_of(network), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_half_of_the_sequences_are_gated(network: Network) -> None:
    image = torch.rand(4, 3, 3, 48, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        mixed = unroll(network, image, half_gated(4, CPU))
        gated, plain = (unroll(network, image, rule) for rule in ('ttt3r', 'cut3r'))
    torch.testing.assert_close(mixed.points[:2], gated.points[:2])
    torch.testing.assert_close(mixed.points[2:], plain.points[2:])
    assert not torch.allclose(gated.points[:, 2], plain.points[:, 2])


def test_a_run_learns_from_films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FilmSettings, 'sizes', ((32, 24),))
    settings = TrainingSettings(warmup=0, faster=2.0)
    run = TrainingRun(tmp_path, settings)
    assert run.rate() == 2 * phase_at(0).rate
    run.source = Filmed(settings, FILMS, 0, CPU, 2)
    try:
        parts = run.train_step()
        assert run.frames == 4
        assert {'total', 'depth', 'gradient'} <= parts.keys()
        lesson = run.source.lesson(1, phase_at(RECURRENT))
    finally:
        run.source.close()
    assert lesson.batch.image.shape == (2, 2, 3, 48, 64)
    assert lesson.batch.log_depth.shape == (2, 2, 24, 32)
    assert lesson.gated is None
    again = Filmed(settings, FILMS, 0, CPU, 2)
    try:
        again.lesson(0, phase_at(0))
        same = again.lesson(1, phase_at(RECURRENT))
    finally:
        again.close()
    torch.testing.assert_close(same.batch.image, lesson.batch.image, rtol=0, atol=0)
