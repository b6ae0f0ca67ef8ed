"""
Runs camera.launch.py with a parameter file, with and without arguments that say otherwise.

    launch_test test/launch/launch_params.py
"""

from pathlib import Path
import tempfile
import unittest

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
import launch_testing.actions
import launch_testing.asserts
from rcl_interfaces.srv import GetParameters
import rclpy
from rclpy.parameter import parameter_value_to_python

PATIENCE = 120.0  # seconds
PARAMS = """\
/**:
  ros__parameters:
    autostart: false
    image_transport: compressed
    use_sim_time: true
    input_queue: 7
"""
NAMES = ['autostart', 'image_transport', 'use_sim_time', 'input_queue']


def camera(params: Path, **arguments: str) -> GroupAction:
    launch_file = Path(get_package_share_directory('ttt3r_ros')) / 'launch' / 'camera.launch.py'
    include = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(launch_file)),
        launch_arguments={'params': str(params), **arguments}.items(),
    )
    return GroupAction([include])  # a scope of its own


def generate_test_description() -> LaunchDescription:
    params = Path(tempfile.mkdtemp()) / 'mine.yaml'
    params.write_text(PARAMS)
    other = {
        'autostart': 'true',
        'image_transport': 'raw',
        'use_sim_time': 'false',
        'input_queue': '3',
    }
    return LaunchDescription(
        [
            camera(params, namespace='as_params_says'),
            camera(params, namespace='as_arguments_say', **other),
            launch_testing.actions.ReadyToTest(),
        ]
    )


class TestRunning(unittest.TestCase):
    def setUp(self):
        rclpy.init()
        self.node = rclpy.create_node('test_params')

    def tearDown(self):
        self.node.destroy_node()
        rclpy.shutdown()

    def parameters(self, namespace: str) -> list[object]:
        client = self.node.create_client(GetParameters, f'/{namespace}/ttt3r/get_parameters')
        assert client.wait_for_service(PATIENCE), namespace
        future = client.call_async(GetParameters.Request(names=NAMES))
        rclpy.spin_until_future_complete(self.node, future, timeout_sec=PATIENCE)
        return [parameter_value_to_python(value) for value in future.result().values]

    def test_the_file_counts_where_no_argument_is_given(self):
        assert self.parameters('as_params_says') == [False, 'compressed', True, 7]

    def test_arguments_count_more_than_the_file(self):
        assert self.parameters('as_arguments_say') == [True, 'raw', False, 3]


@launch_testing.post_shutdown_test()
class TestEnded(unittest.TestCase):
    def test_exit_status(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info, allowable_exit_codes=[0])
