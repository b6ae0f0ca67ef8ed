from collections.abc import Iterator
import subprocess
import sys

import pytest
import threadpoolctl
import torch

from ttt3r_ros import threads
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.network import Network
from ttt3r_ros.threads import use_threads

FRESH = """
import threadpoolctl, torch
from ttt3r_ros.reconstructor import Reconstructor
torch.set_num_threads(4)
threadpoolctl.threadpool_limits(4, user_api='blas')
Reconstructor()
pools = [pool for pool in threadpoolctl.threadpool_info() if pool['user_api'] == 'blas']
print(torch.get_num_threads(), {pool['num_threads'] for pool in pools})
"""


@pytest.fixture
def network() -> Network:
    return Network(PRESETS['small'])


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(threads, '_own', None)
    yield
    torch.set_num_threads(1)


def test_the_shipped_model_takes_one_thread_whatever_the_machine_has() -> None:
    command = [sys.executable, '-c', FRESH]
    said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert said.split() == ['1', '{1}']


def test_as_many_as_asked_for(network: Network) -> None:
    assert use_threads(3, network) == 3
    assert torch.get_num_threads() == 3


def test_a_large_network_takes_as_many_as_pytorch_had(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(3)
    assert use_threads(0, network) == 1
    monkeypatch.setattr('ttt3r_ros.model.config._NARROW', 0)
    assert use_threads(0, network) == 3
    assert torch.get_num_threads() == 3


def test_linear_algebra_beside_the_network_has_one_in_any_case(network: Network) -> None:
    with threadpoolctl.threadpool_limits(2, user_api='blas'):
        use_threads(2, network)
        pools = threadpoolctl.threadpool_info()
    assert {pool['num_threads'] for pool in pools if pool['user_api'] == 'blas'} == {1}


def test_less_than_none_is_an_error(network: Network) -> None:
    with pytest.raises(ValueError, match='threads is -1'):
        use_threads(-1, network)
