from pathlib import Path

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
import write_parameters
import yaml

from ttt3r_ros.node.parameters import Parameters
from ttt3r_ros.node.reconstruction_node import CONFIGS
from ttt3r_ros.node.sequence_player import PlayerConfig
from ttt3r_ros.node.settings import NodeConfig
from ttt3r_ros.reconstructor import ReconstructorConfig
from ttt3r_ros.settings import settings_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def context():
    context = Context()
    rclpy.init(context=context)
    yield context
    rclpy.shutdown(context=context)


@pytest.fixture
def declare(context):
    nodes = []

    def make(**overrides) -> Parameters:
        values = [Parameter(name, value=value) for name, value in overrides.items()]
        nodes.append(Node('someone', context=context, parameter_overrides=values))
        return Parameters(nodes[-1], CONFIGS)

    make.nodes = nodes
    yield make
    for node in nodes:
        node.destroy_node()


def test_defaults_are_those_of_the_dataclasses(declare):
    parameters = declare()
    assert parameters.read(NodeConfig) == NodeConfig()
    assert parameters.read(ReconstructorConfig) == ReconstructorConfig()


def test_start_values_are_read(declare):
    config = declare(voxel_size=0.2, base_frame='base_link').read(NodeConfig)
    assert (config.voxel_size, config.base_frame) == (0.2, 'base_link')


@pytest.mark.parametrize(
    ('overrides', 'reason'),
    [
        ({'voxel_size': -1.0}, 'voxel_size'),
        ({'voxel_size': 1}, 'decimal point'),
        ({'map_frame': 7}, 'map_frame'),
        ({'image_qos': 'perfect'}, 'choose one of'),
        ({'image_timeout': float('nan')}, 'image_timeout'),
    ],
)
def test_bad_start_values_are_told_when_they_are_read(declare, overrides, reason):
    parameters = declare(**overrides)
    with pytest.raises(ValueError, match=reason):
        parameters.read(NodeConfig)
    assert parameters.read(ReconstructorConfig) == ReconstructorConfig()


def test_a_bad_start_value_is_forgotten_once_a_good_one_is_set(declare):
    parameters = declare(voxel_size=1, max_depth=-1.0)
    node = declare.nodes[0]
    node.add_on_set_parameters_callback(parameters.check)
    node.set_parameters([Parameter('voxel_size', value=0.2), Parameter('max_depth', value=-2.0)])
    with pytest.raises(ValueError, match='max_depth') as refused:
        parameters.read(NodeConfig)
    assert 'voxel_size' not in str(refused.value)
    node.set_parameters([Parameter('max_depth', value=5.0)])
    config = parameters.read(NodeConfig)
    assert (config.voxel_size, config.max_depth) == (0.2, 5.0)


def test_descriptors_tell_meaning_range_choices_and_what_may_change(declare):
    declare()
    node = declare.nodes[0]
    voxel = node.describe_parameter('voxel_size')
    assert (voxel.description, voxel.read_only) == ('Edge of a voxel of the map in metres.', False)
    assert voxel.floating_point_range[0].to_value == 10.0
    assert node.describe_parameter('input_queue').integer_range[0].from_value == 0
    transport = node.describe_parameter('image_transport')
    assert transport.read_only
    assert 'compressed' in transport.additional_constraints


def test_changes_are_judged(declare):
    parameters = declare()
    assert parameters.check([Parameter('max_depth', value=3.0)]).successful
    assert parameters.check([Parameter('use_sim_time', value=True)]).successful
    refused = parameters.check([Parameter('update_rule', value='magic')])
    assert not refused.successful
    assert 'update_rule' in refused.reason


def test_parameter_file_holds_exactly_the_defaults():
    text = (ROOT / 'config' / 'ttt3r.yaml').read_text(encoding='utf-8')
    assert text == write_parameters.yaml_text(), 'run tools/write_parameters.py'
    values = yaml.safe_load(text)['/**']['ros__parameters']
    split = {
        config: {name: values[name] for name in config.__dataclass_fields__} for config in CONFIGS
    }
    assert all(config(**split[config]) == config() for config in CONFIGS)
    assert len(values) == sum(map(len, split.values()))


@pytest.mark.parametrize('name', ['fast', 'quality', 'long'])
def test_presets_are_allowed_values_of_existing_parameters(name):
    text = (ROOT / 'config' / f'{name}.yaml').read_text(encoding='utf-8')
    values = yaml.safe_load(text)['/**']['ros__parameters']
    used = set()
    for config in CONFIGS:
        own = {key: value for key, value in values.items() if key in config.__dataclass_fields__}
        config(**own)
        used |= set(own)
    assert used == set(values)


def test_documentation_has_every_parameter():
    page = (ROOT / 'docs' / 'parameters.md').read_text(encoding='utf-8')
    assert page == write_parameters.fill_tables(page), 'run tools/write_parameters.py'
    for config in (*CONFIGS, PlayerConfig):
        for name, declared in settings_of(config).items():
            assert f'| `{name}` | `' in page
            assert declared.description in page


def test_parameters_that_are_none_of_the_node_are_named(context):
    given = [Parameter('voxel_sice', value=0.1), Parameter('voxel_size', value=0.1)]
    node = Node('typing_errors', context=context, parameter_overrides=given)
    assert Parameters(node, [NodeConfig]).unknown() == ['voxel_sice']
    node.destroy_node()
