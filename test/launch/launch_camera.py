"""
Runs camera.launch.py for real, where launch and launch_ros are installed.

    launch_test test/launch/launch_camera.py weights:=/weights.safetensors input:=/recording
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
from lifecycle_msgs.srv import GetState
from nav_msgs.msg import Odometry
import rclpy
from sensor_msgs.msg import PointCloud2
from tf2_msgs.msg import TFMessage

PATIENCE = 120.0  # seconds


def generate_test_description() -> LaunchDescription:
    launch_file = Path(get_package_share_directory('ttt3r_ros')) / 'launch' / 'camera.launch.py'
    camera = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(launch_file)),
        launch_arguments={
            'source': 'sequence',
            'input': LaunchConfiguration('input'),
            'weights': LaunchConfiguration('weights'),
            'namespace': 'robot',
            'params': 'fast',
            'loop': 'true',
        }.items(),
    )
    return LaunchDescription(
        [
            DeclareLaunchArgument('input'),
            DeclareLaunchArgument('weights', default_value=''),
            camera,
            launch_testing.actions.ReadyToTest(),
        ]
    )


class TestRunning(unittest.TestCase):
    def setUp(self):
        rclpy.init()
        self.node = rclpy.create_node('test_camera_launch')

    def tearDown(self):
        self.node.destroy_node()
        rclpy.shutdown()

    def until(self, condition, what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, what
            rclpy.spin_once(self.node, timeout_sec=0.1)

    def test_outputs_come_in_the_namespace(self):
        heard = {}
        for kind, topic in (
            (Odometry, '/robot/odometry'),
            (PointCloud2, '/robot/points'),
            (TFMessage, '/tf'),
        ):
            self.node.create_subscription(
                kind, topic, lambda msg, name=topic: heard.setdefault(name, msg), 10
            )
        self.until(lambda: len(heard) == 3, 'odometry, points and transforms')
        assert heard['/robot/odometry'].child_frame_id == 'camera_optical_frame'

    def test_the_node_is_active(self):
        client = self.node.create_client(GetState, '/robot/ttt3r/get_state')

        def active() -> bool:
            if not client.wait_for_service(1.0):
                return False
            future = client.call_async(GetState.Request())
            rclpy.spin_until_future_complete(self.node, future, timeout_sec=10.0)
            return future.result() is not None and future.result().current_state.label == 'active'

        self.until(active, 'the active state')


@launch_testing.post_shutdown_test()
class TestEnded(unittest.TestCase):
    def test_exit_status(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info, allowable_exit_codes=[0])
