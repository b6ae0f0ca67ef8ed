"""A bag offers topics as the node does; a recorder that cannot write says so in one line."""

import pytest
import rclpy
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability

from ttt3r_ros.node import topic_recorder


def test_a_player_of_the_bag_latches_the_map_and_nothing_else(tmp_path):
    bag = tmp_path / 'bag'
    rclpy.init(args=['--ros-args', '-p', f'bag:={bag}'])
    try:
        topic_recorder.TopicRecorder().close()
    finally:
        rclpy.shutdown()
    with AnyReader([bag]) as reader:
        offered = {made.topic: made.ext.offered_qos_profiles for made in reader.connections}
    latched = {
        topic
        for topic, (profile,) in offered.items()
        if profile.durability is QosDurability.TRANSIENT_LOCAL
    }
    assert latched == {'/map_points'}


def test_a_bag_that_cannot_be_made_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'none').touch()
    with pytest.raises(SystemExit):
        topic_recorder.main(['--ros-args', '-p', "bag:='~/none/bag'"])
    told = capsys.readouterr().err
    assert told.startswith('topic_recorder: ')
    assert f'{tmp_path}/none' in told
    assert len(told.splitlines()) == 1
