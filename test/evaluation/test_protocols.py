"""The methods that are compared are the reconstructor itself, with what its results depend on."""

from dataclasses import asdict, replace

import pytest

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.evaluation.protocols import network_methods, weights_label
from ttt3r_ros.reconstructor import SHIPPED_WEIGHTS, ReconstructorConfig

CONFIG = ReconstructorConfig(device='cpu', pose_source='network', reset_interval=7)


def test_methods_run_the_configurations_with_one_network():
    configs = [CONFIG, replace(CONFIG, update_rule='cut3r', pose_source='pnp')]
    methods = network_methods(configs)
    assert [method.name for method in methods] == ['ttt3r, network', 'cut3r, pnp']
    made = [method.create() for method in methods]
    assert [one.config for one in made] == configs
    assert made[0].network is made[1].network
    assert not any(method.baseline for method in methods)


def test_results_of_other_settings_or_weights_are_not_taken_up(tmp_path):
    copy = tmp_path / SHIPPED_WEIGHTS.name
    copy.write_bytes(SHIPPED_WEIGHTS.read_bytes())
    (plain,) = network_methods([CONFIG])
    known = plain.settings
    assert known.keys() == asdict(CONFIG).keys() - {'update_rule', 'pose_source'} | {
        'rule',
        'source',
    }
    (same,) = network_methods([replace(CONFIG, weights=str(copy))])
    assert same.settings == known  # wherever the weights lie
    for changed in (
        replace(CONFIG, update_rule='cut3r'),
        replace(CONFIG, pose_source='pnp'),
        replace(CONFIG, fit='stretch'),
        replace(CONFIG, reset_interval=8),
    ):
        (other,) = network_methods([changed])
        assert other.settings != known
    label = weights_label(copy)
    copy.write_bytes(copy.read_bytes() + b'\0')
    assert weights_label(copy) != label


def test_recordings_go_side_by_side_where_a_batch_does_the_same():
    configs = [
        replace(CONFIG, reset_interval=0),
        CONFIG,
        replace(CONFIG, reset_interval=0, pose_source='pnp'),
    ]
    batches = [method.create_batch is not None for method in network_methods(configs)]
    assert batches == [True, False, False]


def test_weights_that_are_not_there_are_named(tmp_path):
    with pytest.raises(DatasetError, match='there is no weights file'):
        weights_label(tmp_path / 'nowhere')
