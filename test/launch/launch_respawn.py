"""
Kills the node that camera.launch.py has started, which starts it again.

    launch_test test/launch/launch_respawn.py weights:=/weights.safetensors input:=/recording
"""

import os
from pathlib import Path
import signal
import time
import unittest

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, RegisterEventHandler
from launch.event_handlers import OnProcessStart
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
import launch_testing.actions
import launch_testing.asserts
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import Log
import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile

PATIENCE = 120.0  # seconds
LIMIT = 3.0  # seconds from the loaded weights to the first pose
STARTED: list[int] = []  # process ids of the node, one after the other


def note(event, _context) -> None:
    if 'reconstruction_node' in event.process_name:
        STARTED.append(event.pid)


def generate_test_description() -> LaunchDescription:
    launch_file = Path(get_package_share_directory('ttt3r_ros')) / 'launch' / 'camera.launch.py'
    camera = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(launch_file)),
        launch_arguments={
            'source': 'sequence',
            'input': LaunchConfiguration('input'),
            'weights': LaunchConfiguration('weights'),
            'loop': 'true',
        }.items(),
    )
    return LaunchDescription(
        [
            DeclareLaunchArgument('input'),
            DeclareLaunchArgument('weights', default_value=''),
            RegisterEventHandler(OnProcessStart(on_start=note)),
            camera,
            launch_testing.actions.ReadyToTest(),
        ]
    )


class TestKilled(unittest.TestCase):
    def setUp(self):
        rclpy.init()
        self.node = rclpy.create_node('test_respawn')
        self.poses: list[float] = []  # when they came
        self.loaded: list[float] = []  # when a node said that its weights are
        self.node.create_subscription(Odometry, '/odometry', self.hear, 10)
        qos = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.node.create_subscription(Log, '/rosout', self.read, qos)

    def tearDown(self):
        self.node.destroy_node()
        rclpy.shutdown()

    def hear(self, _: Odometry) -> None:
        self.poses.append(time.time())

    def read(self, msg: Log) -> None:
        if msg.msg.startswith('network loaded'):
            self.loaded.append(msg.stamp.sec + msg.stamp.nanosec * 1e-9)

    def until(self, condition, what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, what
            rclpy.spin_once(self.node, timeout_sec=0.1)

    def test_the_node_comes_back_and_tracks_again(self):
        self.until(lambda: self.poses and self.loaded, 'the first pose')
        os.kill(STARTED[0], signal.SIGKILL)
        killed = time.time()
        self.until(lambda: len(STARTED) == 2, 'the second node')
        self.until(lambda: self.loaded[-1] > killed, 'its weights')
        loaded = self.loaded[-1]
        self.until(lambda: self.poses[-1] > loaded, 'its first pose')
        took = next(at for at in self.poses if at > loaded) - loaded
        print(f'loaded {loaded - killed:.1f} s after SIGKILL, first pose {took:.1f} s later')
        assert took < LIMIT, f'{took:.1f} s'


@launch_testing.post_shutdown_test()
class TestEnded(unittest.TestCase):
    def test_exit_status(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info, allowable_exit_codes=[0])
        assert len(STARTED) == 2, 'the end of the launch file starts nothing again'
