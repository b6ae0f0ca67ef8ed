"""Reset, pause, save_map; parameters at run time."""

from pathlib import Path

from harness import image
import numpy as np
import pytest
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, ListParameters, SetParameters
from sensor_msgs_py import point_cloud2
from std_srvs.srv import SetBool, Trigger

from ttt3r_ros.io.ros_messages import pose


def feed(client, first: int, count: int, base: float = 100.0) -> list[float]:
    stamps = [base + 0.1 * index for index in range(first, first + count)]
    for index, at in zip(range(first, first + count), stamps, strict=True):
        client.send(image(index, at))
    for at in stamps:
        client.wait_for_stamp('odometry', at)
    return stamps


def set_parameter(client, name: str, **value):
    kind = getattr(ParameterType, f'PARAMETER_{next(iter(value)).removesuffix("_value").upper()}')
    parameter = Parameter(name=name, value=ParameterValue(type=kind, **value))
    request = SetParameters.Request(parameters=[parameter])
    return client.call('ttt3r/set_parameters', SetParameters, request).results[0]


def test_reset_starts_state_map_and_path_anew(system):
    process = system.start(input_queue=50)
    client = system.client
    client.listen('odometry', 'path')
    feed(client, 0, 4)
    first = [pose(message) for message in client.received['odometry']]
    response = client.call('ttt3r/reset', Trigger)
    assert response.success
    process.says('epoch 1 begins')
    # The same images give the same poses as at the start: nothing is remembered.
    for index in range(4):
        client.send(image(index, 200.0 + index / 10))
    client.wait_for_stamp('odometry', 200.3)
    again = [pose(message) for message in client.received['odometry'][4:]]
    assert np.allclose(first, again, atol=1e-5)
    path = client.wait_for_stamp('path', 200.3)
    assert len(path.poses) == 4


def test_pause_and_resume(system):
    system.start(input_queue=50)
    client = system.client
    client.listen('odometry')
    client.listen_to_diagnostics()
    feed(client, 0, 1)
    assert client.call('ttt3r/pause', SetBool, SetBool.Request(data=True)).message == 'paused'
    client.send(image(1, 101.0))
    client.until(lambda: client.value(': input', 'images paused') == '1', 'the paused image')
    assert client.status(': input').message == 'paused'
    assert client.call('ttt3r/pause', SetBool, SetBool.Request(data=False)).success
    feed(client, 2, 1, base=200.0)
    assert 101.0 not in client.stamps('odometry')


def test_save_map_writes_into_the_folder_and_says_where(system, tmp_path):
    system.start(input_queue=50, map_directory=str(tmp_path / 'maps'))
    client = system.client
    client.listen('odometry')
    refused = client.call('ttt3r/save_map', Trigger)
    assert not refused.success
    assert 'nothing' in refused.message
    feed(client, 0, 3)
    response = client.call('ttt3r/save_map', Trigger)
    assert response.success
    ply, trajectory = map(Path, response.message.split())
    assert ply.parent == trajectory.parent == tmp_path / 'maps'
    assert ply.read_bytes().startswith(b'ply')
    rows = np.loadtxt(trajectory)
    assert rows.shape == (3, 8)
    assert rows[:, 0] == pytest.approx([100.0, 100.1, 100.2])
    assert sorted(path.name for path in (tmp_path / 'maps').iterdir()) == sorted(
        [ply.name, trajectory.name]
    )


def test_services_answer_while_frames_are_computed(system):
    system.start(input_queue=200)
    client = system.client
    client.listen('odometry')
    client.send(*[image(index, 10.0 + index) for index in range(60)])
    client.wait_for_stamp('odometry', 10.0)
    assert client.call('ttt3r/pause', SetBool, SetBool.Request(data=False), timeout=5).success
    assert len(client.received['odometry']) < 60


def test_every_parameter_is_described(system):
    system.start()
    client = system.client
    names = client.call('ttt3r/list_parameters', ListParameters).result.names
    own = [
        name
        for name in names
        if '.' not in name and name not in ('use_sim_time', 'start_type_description_service')
    ]
    assert {'weights', 'update_rule', 'voxel_size', 'frame_prefix', 'autostart'} <= set(own)
    request = DescribeParameters.Request(names=own)
    described = client.call('ttt3r/describe_parameters', DescribeParameters, request).descriptors
    assert all(item.description for item in described)
    by_name = {item.name: item for item in described}
    assert by_name['voxel_size'].floating_point_range[0].from_value == pytest.approx(0.001)
    assert by_name['weights'].read_only
    assert not by_name['voxel_size'].read_only


def test_runtime_parameters_take_effect_and_bad_ones_are_refused(system):
    system.start(input_queue=20)
    client = system.client
    client.listen('odometry', 'points')
    feed(client, 0, 1)
    assert len(point_cloud2.read_points(client.wait_for_stamp('points', 100.0))) > 0
    assert set_parameter(client, 'min_confidence', double_value=1e6).successful
    feed(client, 1, 1)
    assert len(point_cloud2.read_points(client.wait_for_stamp('points', 100.1))) == 0
    for name, value in [
        ('update_rule', {'string_value': 'cut3r'}),
        ('reset_interval', {'integer_value': 5}),
        ('max_depth', {'double_value': 3.0}),
        ('voxel_size', {'double_value': 0.2}),
    ]:
        assert set_parameter(client, name, **value).successful, name
    feed(client, 2, 1)
    for name, value, reason in [
        ('update_rule', {'string_value': 'magic'}, 'choose one of'),
        ('voxel_size', {'double_value': 0.0}, 'range'),
        ('reset_interval', {'integer_value': 1}, '2 frames'),
        ('weights', {'string_value': 'other.pth'}, 'read-only'),
    ]:
        result = set_parameter(client, name, **value)
        assert not result.successful, name
        assert reason in result.reason.replace('readonly', 'read-only'), result.reason
