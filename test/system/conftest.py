from collections.abc import Iterator
from pathlib import Path

from harness import Client, System, running_system
import pytest
import torch

from ttt3r_ros.model.checkpoint import save_safetensors
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.network import Network


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.system)


@pytest.fixture(scope='session')
def weights(tmp_path_factory) -> Path:
    """Return a small network with random weights, enough where accuracy is not asked for."""
    torch.manual_seed(3)
    network = Network(PRESETS['small'])
    path = tmp_path_factory.mktemp('weights') / 'random.safetensors'
    save_safetensors(path, network.state_dict(), network.config)
    return path


@pytest.fixture
def system(tmp_path, weights) -> Iterator[System]:
    """Return a ROS domain with a client; nodes under test are started on it."""
    with running_system(tmp_path, weights) as running:
        yield running


@pytest.fixture(scope='module')
def shared_system(tmp_path_factory, weights) -> Iterator[System]:
    """Return a domain whose node the tests of a module share."""
    with running_system(tmp_path_factory.mktemp('shared'), weights) as running:
        yield running


@pytest.fixture
def anew(shared_system) -> Client:
    """Return the client of the shared node, which begins anew: no pose, no map, any stamp."""
    client = shared_system.client
    client.call_reset()
    client.forget()
    return client
