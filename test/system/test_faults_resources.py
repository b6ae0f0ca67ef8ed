"""Full disks, spoilt weights, and too little memory."""

from pathlib import Path
import resource

import cv2
from harness import compressed_image, image
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage
from std_srvs.srv import Trigger
import torch

from ttt3r_ros.io.ros_messages import pose
from ttt3r_ros.model.checkpoint import load_network
from ttt3r_ros.node.conversions import fill_bytes


def set_limit(pid: int, kind: int, value: int) -> None:
    resource.prlimit(pid, kind, (value, resource.prlimit(pid, kind)[1]))


@pytest.fixture
def pickled(weights, tmp_path):
    """Return the weights as single precision in a zipped pickle, which is mapped into memory."""
    path = tmp_path / 'w.pth'
    torch.save({'model': load_network(weights).state_dict()}, path)
    return path


def test_a_disk_that_is_full_while_a_map_is_saved(system, tmp_path):
    folder = tmp_path / 'maps'
    process = system.start(input_queue=50, map_directory=str(folder), voxel_size=0.01)
    client, pid = system.client, process.pid
    client.listen('odometry')
    client.send(*[image(index, 10.0 + index) for index in range(5)])
    client.wait_for_stamp('odometry', 14.0)
    for room in (0, 1000, 100):  # bytes that a file may have; the last is too little for a path
        set_limit(pid, resource.RLIMIT_FSIZE, room)
        response = client.call('ttt3r/save_map', Trigger)
        assert not response.success
        assert 'not saved' in response.message
        assert list(folder.iterdir()) == []
    set_limit(pid, resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)
    client.send(image(5, 15.0))
    client.wait_for_stamp('odometry', 15.0)
    assert client.call('ttt3r/save_map', Trigger).success
    assert len(list(folder.iterdir())) == 2


def test_a_disk_that_is_full_after_the_map_and_before_the_trajectory(system, tmp_path):
    """A map of a few points is small, the trajectory of many poses is not."""
    folder = tmp_path / 'maps'
    process = system.start(input_queue=100, map_directory=str(folder), voxel_size=10.0)
    client, pid = system.client, process.pid
    client.listen('odometry')
    client.send(*[image(index, 10.0 + index) for index in range(60)])
    client.wait_for_stamp('odometry', 69.0)
    assert client.call('ttt3r/save_map', Trigger).success
    ply, tum = sorted(path.stat().st_size for path in folder.iterdir())
    assert ply < tum
    before = sorted(folder.iterdir())
    set_limit(pid, resource.RLIMIT_FSIZE, (ply + tum) // 2)
    assert not client.call('ttt3r/save_map', Trigger).success
    assert sorted(folder.iterdir()) == before
    set_limit(pid, resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)


def spoil(kind: str, path) -> str:
    content = path.read_bytes()
    if kind == 'truncated':
        path.write_bytes(content[: len(content) // 2])
    elif kind == 'wrong':
        torch.save({'model': {'weight': torch.zeros(3)}}, path)
    elif kind == 'NaN':
        state = torch.load(path)
        next(iter(state['model'].values())).view(-1)[0] = torch.nan
        torch.save(state, path)
    elif kind == 'empty':
        path.write_bytes(b'')
    # A file that even the superuser cannot read.
    return '/proc/self/mem' if kind == 'unreadable' else str(path)


@pytest.mark.parametrize('kind', ['truncated', 'wrong', 'NaN', 'empty', 'unreadable'])
def test_weights_that_are_spoilt_refuse_configure(system, pickled, kind):
    path = spoil(kind, pickled)
    process = system.start(weights=path, preset='small', wait='cannot be configured')
    assert path in process.said()
    client = system.client
    client.listen_to_diagnostics()
    client.until(lambda: client.status(': reconstruction'), 'the status')
    assert client.status(': reconstruction').level == b'\2'
    assert process.status is None


@pytest.mark.parametrize('how', ['overwritten', 'cut off'])
def test_weights_that_change_while_the_node_runs(system, pickled, how):
    process = system.start(weights=str(pickled), preset='small', input_queue=50)
    client = system.client
    client.listen('odometry')
    client.send(*[image(index, 10.0 + index) for index in range(3)])
    client.wait_for_stamp('odometry', 12.0)
    with pickled.open('r+b') as file:
        if how == 'overwritten':
            file.write(bytes(pickled.stat().st_size))
        else:
            file.truncate(0)
    client.call('ttt3r/reset', Trigger)
    client.send(*[image(index, 20.0 + index) for index in range(3)])
    client.wait_for_stamp('odometry', 22.0)
    assert process.status is None
    poses = [pose(message) for message in client.received['odometry']]
    np.testing.assert_array_equal(poses[:3], poses[3:])


def test_an_image_for_which_memory_does_not_suffice_costs_only_itself(system):
    """Small as a file, 300 MB as pixels."""
    process = system.start(image_transport='compressed', input_queue=50)
    client, pid = system.client, process.pid
    client.listen('odometry')
    client.listen_to_diagnostics()
    client.send(compressed_image(0, 5.0), topic='image/compressed')
    client.wait_for_stamp('odometry', 5.0)
    large = CompressedImage(format='jpeg', header=image(0, 6.0).header)
    blank = np.zeros((10_000, 10_000, 3), np.uint8)
    fill_bytes(large.data, cv2.imencode('.jpg', blank)[1])
    mapped = int(Path(f'/proc/{pid}/statm').read_text().split()[0]) * resource.getpagesize()
    set_limit(pid, resource.RLIMIT_AS, mapped + (100 << 20))
    client.send(large, compressed_image(1, 7.0), topic='image/compressed')
    client.wait_for_stamp('odometry', 7.0)
    assert 6.0 not in client.stamps('odometry')
    assert 'memory' in process.said().lower()
    client.until(
        lambda: client.value(': input', 'images failed') or client.value(': input', 'images bad'),
        'the count',
    )
    set_limit(pid, resource.RLIMIT_AS, resource.RLIM_INFINITY)
    client.send(compressed_image(2, 8.0), topic='image/compressed')
    client.wait_for_stamp('odometry', 8.0)
