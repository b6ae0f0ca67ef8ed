"""Reset, pause, save_map, at any time."""

from pathlib import Path
import time

from harness import image
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from std_srvs.srv import SetBool, Trigger

from ttt3r_ros.io.ros_messages import pose


@pytest.fixture(scope='module')
def node(shared_system, tmp_path_factory):
    process = shared_system.start(
        input_queue=300, map_directory=str(tmp_path_factory.mktemp('maps') / 'new')
    )
    shared_system.client.listen('odometry', 'path', 'map_points')
    shared_system.client.listen_to_diagnostics()
    return process


@pytest.fixture
def client(node, anew):  # noqa: ARG001
    return anew


def feed(client, first: int, count: int, base: float = 100.0) -> None:
    stamps = [base + 0.1 * index for index in range(first, first + count)]
    for index, at in zip(range(first, first + count), stamps, strict=True):
        client.send(image(index, at))
    for at in stamps:
        client.wait_for_stamp('odometry', at)


def test_reset_starts_state_map_and_path_anew(client, node):
    feed(client, 0, 4)
    first = [pose(message) for message in client.received['odometry']]
    assert np.linalg.norm(first[3] - first[0]) > 1e-3
    client.until(lambda: client.newest('map_points').width > 0, 'a map')
    epochs = node.said().count('begins, poses start from identity')
    response = client.call('ttt3r/reset', Trigger)
    assert response.success
    node.says('begins, poses start from identity', epochs + 1)
    client.until(lambda: client.newest('map_points').width == 0, 'an empty map')
    # The same images give the same poses as at the start: nothing is remembered.
    feed(client, 0, 4, base=200.0)
    again = [pose(message) for message in client.received['odometry'][4:]]
    assert np.allclose(first, again, atol=1e-5)
    path = client.wait_for_stamp('path', 200.3)
    assert len(path.poses) == 4
    assert node.said().count('begins, poses start from identity') == epochs + 1


def test_pause_and_resume(client):
    feed(client, 0, 1)
    paused = client.count('paused')
    assert client.call('ttt3r/pause', SetBool, SetBool.Request(data=True)).message == 'paused'
    client.send(image(1, 101.0))
    client.until(lambda: client.count('paused') == paused + 1, 'the paused image')
    assert client.status(': input').message == 'paused'
    assert client.call('ttt3r/pause', SetBool, SetBool.Request(data=False)).success
    feed(client, 2, 1, base=200.0)
    assert client.stamps('odometry') == [100.0, 200.2]
    assert int(client.value(': reconstruction', 'frames in this epoch')) > 0


def test_a_pause_keeps_what_waits_in_the_queue(client):
    count = 60
    client.send(*[image(index, 10.0 + index) for index in range(count)])
    client.wait_for_stamp('odometry', 10.0)
    assert client.call('ttt3r/pause', SetBool, SetBool.Request(data=True)).success
    time.sleep(2.0)  # the image in work may still come, and others are on their way
    before = len(client.received['odometry'])
    assert before < count
    time.sleep(2.0)
    assert len(client.received['odometry']) == before
    assert client.call('ttt3r/pause', SetBool, SetBool.Request(data=False)).success
    client.wait_for_stamp('odometry', 10.0 + count - 1)
    assert client.stamps('odometry') == [10.0 + index for index in range(count)]


def test_save_map_writes_into_the_folder_and_says_where(client):
    refused = client.call('ttt3r/save_map', Trigger)
    assert not refused.success
    assert 'nothing' in refused.message
    feed(client, 0, 3)
    response = client.call('ttt3r/save_map', Trigger)
    assert response.success
    ply, trajectory = map(Path, response.message.split())
    assert ply.parent == trajectory.parent
    assert ply.parent.name == 'new'
    assert ply.read_bytes().startswith(b'ply')
    rows = np.loadtxt(trajectory)
    assert rows.shape == (3, 8)
    assert rows[:, 0] == pytest.approx([100.0, 100.1, 100.2])
    # camera in map; map and odom are one here
    poses = np.stack([pose(odometry) for odometry in client.received['odometry'][:3]])
    assert np.allclose(rows[:, 1:4], poses[:, :3, 3], atol=1e-5)
    rotations = Rotation.from_quat(rows[:, 4:]).as_matrix()
    assert np.allclose(rotations, poses[:, :3, :3], atol=1e-5)
    assert sorted(path.name for path in ply.parent.iterdir()) == sorted(
        [ply.name, trajectory.name]
    )


def test_services_answer_while_frames_are_computed(client):
    client.service('ttt3r/pause', SetBool)
    count = 250
    client.send(*[image(index, 10.0 + index) for index in range(count)])
    client.wait_for_stamp('odometry', 10.0)
    assert client.call('ttt3r/pause', SetBool, SetBool.Request(data=False)).success
    # Not only when all were done: that of the last ones may still be on its way.
    assert len(client.received['odometry']) < count - 50
