"""
Runs replay.launch.py for real, where launch and launch_ros are installed.

    launch_test test/launch/launch_replay.py weights:=/path/to/weights.safetensors bag:=/bag

Without rosbag2 our player sends the bag, and its camera_info where camera_info:=/name says.
"""

from pathlib import Path
import time
import unittest

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
import launch_testing.actions
import launch_testing.asserts
from nav_msgs.msg import Odometry
import rclpy
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo

PATIENCE = 120.0  # seconds


def generate_test_description() -> LaunchDescription:
    launch_file = Path(get_package_share_directory('ttt3r_ros')) / 'launch' / 'replay.launch.py'
    names = ('bag', 'weights', 'image', 'camera_info')
    replay = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(launch_file)),
        launch_arguments={name: LaunchConfiguration(name) for name in names}.items(),
    )
    return LaunchDescription(
        [
            DeclareLaunchArgument('bag'),
            DeclareLaunchArgument('weights', default_value=''),
            DeclareLaunchArgument('image', default_value='/camera/image'),
            DeclareLaunchArgument('camera_info', default_value=''),
            replay,
            launch_testing.actions.ReadyToTest(),
        ]
    )


class TestRunning(unittest.TestCase):
    def test_odometry_comes_in_the_time_of_the_bag(self, test_args):
        rclpy.init()
        node = rclpy.create_node('test_replay_launch')
        clocks, poses, calibrations = [], [], []
        node.create_subscription(Clock, '/clock', clocks.append, 10)
        node.create_subscription(Odometry, '/odometry', poses.append, QoSProfile(depth=100))
        info_topic = test_args.get('camera_info', '')
        if info_topic:
            node.create_subscription(CameraInfo, info_topic, calibrations.append, 10)
        deadline = time.monotonic() + PATIENCE
        while len(poses) < 3 or not clocks or (info_topic and not calibrations):
            assert time.monotonic() < deadline, 'odometry, clock and camera_info'
            rclpy.spin_once(node, timeout_sec=0.1)
        behind = clocks[-1].clock.sec - poses[0].header.stamp.sec
        assert abs(behind) < 60
        if info_topic:
            listeners = node.get_subscriptions_info_by_topic(info_topic)
            assert 'ttt3r' in {listener.node_name for listener in listeners}
        node.destroy_node()
        rclpy.shutdown()


@launch_testing.post_shutdown_test()
class TestEnded(unittest.TestCase):
    def test_exit_status(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info, allowable_exit_codes=[0])
