from pathlib import Path

from harness import running_system
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
def system(tmp_path, weights):
    """Return a ROS domain with a client; nodes under test are started on it."""
    with running_system(tmp_path, weights) as running:
        yield running
