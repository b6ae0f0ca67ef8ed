"""One network trained by several processes."""

from multiprocessing import get_context
from pathlib import Path
import subprocess
import sys

import pytest
import torch
from torch import nn
import torch.distributed as dist

from ttt3r_ros.errors import TrainingError
from ttt3r_ros.training.batches import MOST_SHARES, train_batch
from ttt3r_ros.training.command import main
from ttt3r_ros.training.run import TrainingRun, train
from ttt3r_ros.training.settings import Phase, TrainingSettings
from ttt3r_ros.training.team import Team


def meet(meeting: Path, rank: int, told: Path) -> None:
    team = Team(meeting, rank, 2)
    parameters = [nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(4)), nn.Parameter()]
    parameters[0].grad = torch.full((2, 3), 2.0 * rank)
    parameters[1].grad = torch.arange(4.0) * 2 * rank
    team.average_gradients(parameters)
    words = [team.any_says(word) for word in (False, rank == 1, True)]
    team.part()
    torch.save((parameters[0].grad, parameters[1].grad, words), told / str(rank))


def test_gradients_become_their_mean_and_one_word_is_heard_by_all(tmp_path: Path) -> None:
    context, meeting = get_context('spawn'), tmp_path / 'meeting'
    members = [context.Process(target=meet, args=(meeting, n, tmp_path)) for n in range(2)]
    for member in members:
        member.start()
    for rank, member in enumerate(members):
        member.join(120)
        assert member.exitcode == 0
        first, second, words = torch.load(tmp_path / str(rank), weights_only=True)
        assert torch.equal(first, torch.full((2, 3), 1.0))
        assert torch.equal(second, torch.arange(4.0))
        assert words == [False, True, True]


def test_alone_a_team_does_nothing() -> None:
    parameter = nn.Parameter(torch.ones(2))
    parameter.grad = torch.tensor([1.0, 2.0])
    Team().average_gradients([parameter])
    assert torch.equal(parameter.grad, torch.tensor([1.0, 2.0]))
    assert [Team().any_says(word) for word in (True, False)] == [True, False]


def test_shares_of_a_step_have_one_shape_and_scenes_of_their_own() -> None:
    phase = Phase(1, (1, 4), 32, ((32, 24), (24, 32)), 1e-3)
    for step in range(3):
        shares = [train_batch(1, step, phase, share) for share in range(MOST_SHARES)]
        (shape,) = {share.image.shape for share in shares}
        assert shape[0] * shape[1] == 32
        following = train_batch(1, step + 1, Phase(1, tuple(shape[1:2]), 32, phase.sizes, 1e-3))
        # of each scene the first image: a camera may stand still
        maps = torch.cat([batch.log_depth[:, 0].flatten(1) for batch in (*shares, following)])
        assert len(maps.unique(dim=0)) == len(maps)
    with pytest.raises(ValueError, match='too many scenes'):
        train_batch(1, 0, Phase(1, (2,), 32, phase.sizes, 1e-3), 1)


class Both(Team):
    """Two processes in one: the gradients of the other come from a run of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.count = 2
        self.other = TrainingRun(folder, TrainingSettings(clip=1e9))
        self.other.team.rank = 1

    def average_gradients(self, parameters: list[nn.Parameter]) -> None:
        self.other.train_step()
        for mine, other in zip(parameters, self.other.network.parameters(), strict=True):
            if mine.grad is not None:
                mine.grad = (mine.grad + other.grad) / 2

    def any_says(self, word: bool) -> bool:
        return word


def test_two_processes_make_one_step_with_the_mean_of_two_gradients(tmp_path: Path) -> None:
    command = [sys.executable, '-m', 'ttt3r_ros.training', '--run', str(tmp_path / 'two')]
    command += ['--processes', '2', '--anneal', '1']
    subprocess.run(command, check=True, timeout=300, capture_output=True)
    made = torch.load(tmp_path / 'two/checkpoint.pt', weights_only=True)
    assert (made['step'], made['frames']) == (1, 64)
    assert (tmp_path / 'two/latest.safetensors').is_file()
    run = TrainingRun(tmp_path / 'one', TrainingSettings(), Both(tmp_path / 'other'))
    run.anneal = (0, 1)
    before = {name: weights.clone() for name, weights in run.network.state_dict().items()}
    train(run, lambda: run.step >= 1)
    moved = 0.0
    for name, weights in run.network.state_dict().items():
        torch.testing.assert_close(made['network'][name], weights, rtol=0, atol=2e-7)
        moved = max(moved, float((weights - before[name]).abs().max()))
    assert moved > 2e-6


def test_what_was_learnt_is_saved_when_another_process_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def reduce(*_: object) -> None:
        calls.append(1)
        if len(calls) > 5:  # at the gradients of the second step
            raise RuntimeError('Connection closed by peer')

    monkeypatch.setattr(dist, 'all_reduce', reduce)
    tiny = (Phase(0, (1,), 4, ((32, 24),), 1e-3),)
    monkeypatch.setattr('ttt3r_ros.training.settings.CURRICULUM', tiny)
    run = TrainingRun(tmp_path, TrainingSettings())
    run.team.count = 2
    with pytest.raises(TrainingError, match='another of the processes that train has gone'):
        train(run, lambda: False)
    assert TrainingRun(tmp_path, TrainingSettings()).step == 1


@pytest.mark.parametrize('processes', ['0', '5'])
def test_a_wrong_number_of_processes_is_refused(
    tmp_path: Path, processes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, 'argv', ['', '--run', str(tmp_path), '--processes', processes])
    with pytest.raises(SystemExit, match=f'--processes is {processes}; choose 1 to 4'):
        main()


def test_a_gpu_trains_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ['', '--run', str(tmp_path), '--processes', '2', '--device', 'cuda']
    monkeypatch.setattr(sys, 'argv', given)
    with pytest.raises(SystemExit, match='--device cuda trains alone'):
        main()
