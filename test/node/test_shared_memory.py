from importlib.metadata import PackageNotFoundError
import os
from pathlib import Path
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from ttt3r_ros.node.shared_memory import (
    PROFILES,
    image_environment,
    remove_unfinished_segments,
)

FINISHED = b'\2\0\0\0' + bytes(60)


def make(folder, name: str, data: bytes, age: float = 100.0):
    path = folder / name
    path.write_bytes(data)
    at = path.stat().st_mtime - age
    os.utime(path, (at, at))
    return path


def test_segments_that_nobody_will_fill_are_removed(tmp_path):
    empty = make(tmp_path, 'fastdds_port7003', b'')
    begun = make(tmp_path, 'fastrtps_port7411', b'\1\0\0\0' + bytes(60))
    assert set(remove_unfinished_segments(tmp_path)) == {empty, begun}
    assert not list(tmp_path.iterdir())


def test_all_else_stays(tmp_path):
    make(tmp_path, 'fastdds_port7003', FINISHED)
    make(tmp_path, 'fastdds_port7003_el', b'')  # locks are empty
    make(tmp_path, 'fastdds_port7003_sl', b'')
    make(tmp_path, 'fastdds_port7005', b'', age=0.0)  # being created
    make(tmp_path, 'somebody_else', b'')
    (tmp_path / 'fastdds_folder').mkdir()
    before = set(tmp_path.iterdir())
    assert remove_unfinished_segments(tmp_path) == []
    assert set(tmp_path.iterdir()) == before


def test_a_machine_without_shared_memory_is_none_of_our_business(tmp_path):
    assert remove_unfinished_segments(tmp_path / 'missing') == []


NEW, OLD = 'FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'


@pytest.mark.parametrize(
    ('version', 'variable'),
    [('3.3.16', OLD), ('7.1.4', OLD), ('9.1.2', NEW), ('10.0.1', NEW), ('odd', NEW)],
)
def test_images_get_room_by_the_variable_that_the_distribution_reads(
    version, variable, tmp_path, monkeypatch
):
    monkeypatch.setattr('importlib.metadata.version', lambda _: version)
    for environment in (
        {},
        {'RMW_IMPLEMENTATION': 'rmw_fastrtps_dynamic_cpp'},
        {'ROS_LOCALHOST_ONLY': '0', variable: ''},
    ):
        assert image_environment(environment, tmp_path) == {variable: str(PROFILES)}


def test_where_rclpy_does_not_tell_its_version_it_is_taken_for_new(tmp_path, monkeypatch):
    def missing(_):
        raise PackageNotFoundError

    monkeypatch.setattr('importlib.metadata.version', missing)
    assert list(image_environment({}, tmp_path)) == [NEW]


@pytest.mark.parametrize(
    'environment',
    [
        {'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'},
        {NEW: '/my.xml'},
        {OLD: '/my.xml'},
        {'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'},
        {'ROS_LOCALHOST_ONLY': '1'},
        {'ROS_DISCOVERY_SERVER': '127.0.0.1:11811'},
        {'RMW_FASTRTPS_USE_QOS_FROM_XML': '1'},
    ],
)
def test_what_somebody_has_chosen_stays(environment, tmp_path):
    assert image_environment(environment, tmp_path) == {}


def test_settings_that_lie_in_the_folder_stay(tmp_path):
    (tmp_path / 'DEFAULT_FASTDDS_PROFILES.xml').touch()
    assert image_environment({}, tmp_path) == {}


def test_the_settings_hold_an_image_of_a_full_hd_camera():
    root = ElementTree.parse(PROFILES).getroot()
    sizes = [int(each.text) for each in root.iter() if each.tag.endswith('segment_size')]
    assert min(sizes) > 1920 * 1080 * 3


SHOW = """
import rclpy
from ttt3r_ros.node.shared_memory import make_room_for_images
make_room_for_images()
rclpy.init()
node = rclpy.create_node('roomy')
print(open('/proc/self/maps').read())
"""


@pytest.mark.skipif(not Path('/dev/shm').is_dir(), reason='there is no shared memory to look at')
def test_a_process_that_calls_for_room_has_it():
    pytest.importorskip('rclpy')
    environment = {name: value for name, value in os.environ.items() if 'FAST' not in name}
    environment['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'

    def largest(**more):
        command = [sys.executable, '-c', SHOW]
        done = subprocess.run(
            command, env=environment | more, capture_output=True, text=True, check=True
        )
        spans = re.findall(r'(\w+)-(\w+) .*/dev/shm/fast(?:dds|rtps)_(?!port)', done.stdout)
        return max((int(end, 16) - int(begin, 16) for begin, end in spans), default=0)

    if not largest(FASTDDS_BUILTIN_TRANSPORTS='DEFAULT'):
        pytest.skip('the middleware here is not Fast DDS, or has no shared memory')
    assert largest() >= 8 << 20
