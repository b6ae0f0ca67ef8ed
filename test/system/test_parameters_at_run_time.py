"""Parameters over their services: described, changed while the node works, refused."""

from itertools import count

from harness import image
import numpy as np
import pytest
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters, SetParameters
from sensor_msgs_py import point_cloud2

from ttt3r_ros.node.reconstruction_node import CONFIGS
from ttt3r_ros.settings import settings_of

SETTINGS = {name: item for config in CONFIGS for name, item in settings_of(config).items()}
STAMPS = count(100)


@pytest.fixture(scope='module')
def node(shared_system):
    process = shared_system.start(input_queue=20, organized_points=False)
    shared_system.client.listen('odometry', 'points', 'map_points')
    return process


@pytest.fixture
def client(node, anew):  # noqa: ARG001
    return anew


def set_parameter(client, name: str, value: float | str):
    kind = {int: 'integer', float: 'double', str: 'string'}[type(value)]
    typed = ParameterValue(
        type=getattr(ParameterType, f'PARAMETER_{kind.upper()}'), **{f'{kind}_value': value}
    )
    request = SetParameters.Request(parameters=[Parameter(name=name, value=typed)])
    return client.call('ttt3r/set_parameters', SetParameters, request).results[0]


def next_cloud(client) -> np.ndarray:
    at = float(next(STAMPS))
    client.send(image(0, at))
    return point_cloud2.read_points(client.wait_for_stamp('points', at))


def test_every_parameter_is_declared_and_described(client):
    names = client.call('ttt3r/list_parameters', ListParameters).result.names
    assert set(SETTINGS) <= set(names)
    request = DescribeParameters.Request(names=list(SETTINGS))
    described = client.call('ttt3r/describe_parameters', DescribeParameters, request).descriptors
    assert [item.name for item in described] == list(SETTINGS)
    for item in described:
        declared = SETTINGS[item.name]
        assert item.description == declared.description
        assert len(item.description) > 15
        assert item.read_only == (not declared.runtime)
        ranges = [*item.floating_point_range, *item.integer_range]
        assert bool(ranges) == (declared.ge is not None or declared.le is not None)
        if declared.ge is not None:
            assert ranges[0].from_value == pytest.approx(declared.ge)
        if declared.le is not None:
            assert ranges[0].to_value == pytest.approx(declared.le)
        for choice in declared.choices or ():
            assert choice in item.additional_constraints


def test_those_of_the_contract_may_change_and_the_others_not(client):
    may_change = {name for name, item in SETTINGS.items() if item.runtime}
    assert may_change == {
        'update_rule', 'min_confidence', 'max_depth', 'voxel_size', 'reset_interval'
    }  # fmt: skip
    result = set_parameter(client, 'weights', 'other.pth')
    assert not result.successful
    request = GetParameters.Request(names=['weights'])
    values = client.call('ttt3r/get_parameters', GetParameters, request).values
    assert values[0].string_value.endswith('random.safetensors')


def test_min_confidence_and_max_depth_cut_the_next_clouds(client):
    cells = next_cloud(client)
    depth, confidence = np.median(cells['z']), np.median(cells['confidence'])
    assert cells['z'].max() > depth
    for name, value, field, sign in (
        ('max_depth', float(depth), 'z', 1),
        ('min_confidence', float(confidence), 'confidence', -1),
    ):
        off = 0.0 if name == 'max_depth' else 1.0
        assert set_parameter(client, name, value).successful
        cut = next_cloud(client)
        assert 0 < len(cut) < len(cells)
        assert (sign * (cut[field] - value) <= 1e-5).all()
        assert set_parameter(client, name, off).successful
        assert len(next_cloud(client)) == len(cells)


def test_voxel_size_makes_the_map_coarser(client):
    next_cloud(client)
    client.until(lambda: client.newest('map_points').width > 0, 'a map')
    fine = client.newest('map_points').width
    assert set_parameter(client, 'voxel_size', 5.0).successful
    client.until(lambda: 0 < client.newest('map_points').width < fine, 'a coarser map')


@pytest.mark.parametrize(
    ('name', 'value', 'before'), [('update_rule', 'cut3r', 'ttt3r'), ('reset_interval', 2, 0)]
)
def test_update_rule_and_reset_interval_change_the_recurrence(client, name, value, before):
    def last_position() -> np.ndarray:
        client.call_reset()
        for index in range(5):
            at = float(next(STAMPS))
            client.send(image(8 * index, at))
            message = client.wait_for_stamp('odometry', at)
        position = message.pose.pose.position
        return np.array([position.x, position.y, position.z])

    usual = last_position()
    assert np.allclose(last_position(), usual, atol=1e-6)
    assert set_parameter(client, name, value).successful
    assert np.abs(last_position() - usual).max() > 1e-5
    assert set_parameter(client, name, before).successful
    assert np.allclose(last_position(), usual, atol=1e-6)


@pytest.mark.parametrize(
    ('name', 'value', 'reason'),
    [
        ('update_rule', 'magic', 'choose one of'),
        ('voxel_size', 0.0, 'range'),
        ('reset_interval', 1, 'with every image'),
        ('weights', 'other.pth', 'read-only'),
    ],
)
def test_bad_values_are_refused_with_the_reason(client, name, value, reason):
    result = set_parameter(client, name, value)
    assert not result.successful
    assert reason in result.reason.replace('readonly', 'read-only')
