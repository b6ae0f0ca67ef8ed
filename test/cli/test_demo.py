from dataclasses import replace
from pathlib import Path
import subprocess
from unittest.mock import MagicMock, Mock

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_typestore
from simulated import Film, demo_arguments

from ttt3r_ros.cli import demo, processes
from ttt3r_ros.cli.demo import Traffic
from ttt3r_ros.cli.outcome import Outcome, read_outcome, write_outcome
from ttt3r_ros.cli.processes import RosProcesses
from ttt3r_ros.errors import DatasetError, Ttt3rError
from ttt3r_ros.io.frames import Frame

STORE = get_typestore(Stores.ROS2_HUMBLE)
MS = 1_000_000


def test_traffic_counts_frames_and_latency():
    played = {stamp: stamp * 100 * MS for stamp in range(1, 5)}
    received = {
        'odometry': [(stamp, played[stamp] + 20 * MS) for stamp in (1, 2, 4)],
        'points': [(1, played[1] + 30 * MS)],
    }
    text = '\n'.join(Traffic(played, received).lines())
    assert 'frames: 4 in, 3 out, 1 dropped' in text
    assert '9.4 frames/s' in text  # three poses in 320 ms
    assert 'latency of odometry: p50 20 ms, p99 20 ms' in text
    assert 'latency of points: p50 30 ms' in text


def test_traffic_without_results():
    assert Traffic({1: 1}, {'odometry': [], 'points': []}).lines() == [
        'frames: 1 in, 0 out, 1 dropped'
    ]


def test_more_results_than_images_are_those_of_another_node():
    received = {'odometry': [(1, 2), (1, 3)], 'points': []}
    with pytest.raises(Ttt3rError, match='2 poses came for 1 images: another node'):
        Traffic({1: 1}, received).lines()


def test_a_demo_that_finds_no_free_domain_says_so(monkeypatch):
    monkeypatch.setattr(processes, '_TRIED', 0)
    with pytest.raises(Ttt3rError, match='no ROS domain was found free'):
        processes.find_free_domain()


def frame(index: int, shape: tuple[int, int]) -> Frame:
    pose = np.eye(4)
    pose[:3, 3] = index, index**2 / 10, 0
    rng = np.random.default_rng(index)
    image = rng.integers(0, 255, (*shape, 3), dtype=np.uint8)
    depth = np.full(shape, 2.0 + index, np.float32)
    return Frame(index, float(index), lambda: image, pose, lambda: depth)


def test_outcome_is_measured_against_the_ground_truth_and_drawn(tmp_path):
    frames = {item.nanoseconds: item for item in (frame(index, (24, 40)) for index in range(5))}
    outcome = Outcome(
        poses={stamp: item.T_world_camera for stamp, item in frames.items()},
        depths={stamp: np.full((12, 16), 2.0 + i, np.float32) for i, stamp in enumerate(frames)},
        confidences={stamp: np.ones((12, 16), np.float32) for stamp in frames},
        points=np.zeros((7, 3), np.float32),
        colors=np.zeros((7, 3), np.uint8),
    )
    text = '\n'.join(write_outcome(tmp_path, 'a test', frames.values(), outcome))
    assert 'ATE 0.000 m' in text
    assert 'AbsRel 0.000' in text
    assert np.loadtxt(tmp_path / 'trajectory.txt').shape == (5, 8)
    assert (tmp_path / 'points.ply').is_file()
    assert (tmp_path / 'summary.png').is_file()


def test_true_depth_that_cannot_be_read_costs_a_comparison_and_no_results(tmp_path, caplog):
    frames = [frame(index, (24, 40)) for index in range(4)]
    frames[1] = replace(frames[1], load_depth=Mock(side_effect=DatasetError('it is cut off')))
    outcome = Outcome(
        poses={item.nanoseconds: item.T_world_camera for item in frames},
        depths={item.nanoseconds: np.full((12, 16), 2.0, np.float32) for item in frames},
        confidences={item.nanoseconds: np.ones((12, 16), np.float32) for item in frames},
    )
    assert 'ATE 0.000 m' in '\n'.join(write_outcome(tmp_path, 'a test', frames, outcome))
    assert 'frame 1 is not compared with its depth: it is cut off' in caplog.text
    assert (tmp_path / 'summary.png').is_file()


def test_frames_are_not_kept(tmp_path):
    film = Film(frame(index, (24, 40)) for index in range(20))
    stamps = [frame(index, (1, 1)).nanoseconds for index in range(20)]
    small = np.ones((12, 16), np.float32)
    outcome = Outcome(
        poses={stamp: np.eye(4) for stamp in stamps},
        depths=dict.fromkeys(stamps, small),
        confidences=dict.fromkeys(stamps, small),
    )
    given = demo_arguments('film.mp4', '--out', tmp_path, '--max-frames', '15')
    write_outcome(tmp_path, 'a test', demo._played_frames(given, film), outcome)
    assert film.most <= 2
    assert len(np.loadtxt(tmp_path / 'trajectory.txt')) == 15


def test_nothing_came_out(tmp_path):
    with pytest.raises(DatasetError, match='no pose'):
        write_outcome(tmp_path, 'a test', [frame(0, (4, 4))], Outcome())


def test_outcome_is_read_back_from_a_bag(tmp_path):
    make = STORE.types
    header = make['std_msgs/msg/Header'](
        make['builtin_interfaces/msg/Time'](sec=3, nanosec=5), 'optical'
    )
    depth = np.array([[1.0, np.nan, 3.0]], np.float32)
    image = make['sensor_msgs/msg/Image'](
        header, 1, 3, '32FC1', 0, 12, depth.view(np.uint8).reshape(-1)
    )
    with Writer(Path(tmp_path / 'bag'), version=8) as writer:
        topic = writer.add_connection('/depth/image', image.__msgtype__, typestore=STORE)
        writer.write(topic, 1, STORE.serialize_cdr(image, image.__msgtype__))
    outcome = read_outcome(tmp_path / 'bag')
    assert np.array_equal(outcome.depths[3 * 10**9 + 5], depth, equal_nan=True)


def test_images_in_which_the_camera_was_lost_are_counted(tmp_path):
    make = {name.rpartition('/')[2]: kind for name, kind in STORE.types.items()}
    at_rest = make['Pose'](make['Point'](0.0, 0.0, 0.0), make['Quaternion'](0.0, 0.0, 0.0, 1.0))
    still = make['Twist'](make['Vector3'](0.0, 0.0, 0.0), make['Vector3'](0.0, 0.0, 0.0))
    with Writer(tmp_path / 'bag', version=8) as writer:
        topic = writer.add_connection('/odometry', 'nav_msgs/msg/Odometry', typestore=STORE)
        for second, variance in enumerate((0.01, 1e6, 0.01), start=1):
            message = make['Odometry'](
                make['Header'](make['Time'](sec=second, nanosec=0), 'odom'),
                'camera',
                make['PoseWithCovariance'](at_rest, np.full(36, variance)),
                make['TwistWithCovariance'](still, np.full(36, variance)),
            )
            writer.write(topic, second, STORE.serialize_cdr(message, message.__msgtype__))
    outcome = read_outcome(tmp_path / 'bag')
    assert outcome.lost == {2 * 10**9}
    frames = [frame(index, (24, 40)) for index in (1, 2, 3)]
    lines = write_outcome(tmp_path, 'a test', frames, outcome)
    assert lines[-1] == 'the camera was lost in 1 of 3 frames'


def test_a_process_that_fails_is_named_with_what_it_said(tmp_path):
    with RosProcesses(tmp_path, 1) as started:
        started.start('no_such_module', {})
        with pytest.raises(Ttt3rError, match='no_such_module'):
            started.wait_for_word('no_such_module', 'ready', 60)


def test_settings_arrive_as_they_are(tmp_path, monkeypatch):
    given = {'input': "it's here", 'topic': '7', 'loop': True, 'rate': 0.5, 'stride': 2}
    commands: list[list[str]] = []
    monkeypatch.setattr(
        subprocess, 'Popen', lambda command, **_: commands.append(command) or MagicMock()
    )
    RosProcesses(tmp_path, 1).start('main', given)
    context = Context()
    rclpy.init(args=commands[0][3:], context=context)
    node = Node('told', context=context)
    for name, value in given.items():
        assert node.declare_parameter(name, value).value == value
        assert type(node.get_parameter(name).value) is type(value)
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_a_node_that_refuses_its_settings_is_not_waited_for(tmp_path):
    (tmp_path / 'main.log').write_text(
        '[ERROR] [1.0] [ttt3r]: cannot be configured: weights are gone\n' + 'a traceback\n' * 1000
    )
    with pytest.raises(Ttt3rError, match='the node cannot be configured: weights are gone'):
        RosProcesses(tmp_path, 1).check()


def test_what_a_process_says_is_found_line_by_line(tmp_path):
    (tmp_path / 'main.log').write_text('a\n[WARN] left out: one\nb\n[WARN] left out: two\n')
    assert RosProcesses(tmp_path, 1).lines('main', 'left out: ') == ['one', 'two']


@pytest.mark.parametrize('text', ['voxel_size=0.1', 'voxel_size:=', ':=0.1', ''])
def test_a_parameter_of_another_form_is_refused(text, capsys):
    with pytest.raises(SystemExit):
        demo_arguments('film.mp4', '--set', text)
    assert 'NAME:=VALUE' in capsys.readouterr().err
