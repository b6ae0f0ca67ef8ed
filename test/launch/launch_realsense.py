"""
Runs camera.launch.py with source:=realsense and a stand-in for the driver.

    launch_test test/launch/launch_realsense.py input:=RECORDING
"""

from collections import defaultdict
import os
from pathlib import Path
import tempfile
import time
import unittest

from ament_index_python.packages import get_package_share_directory
from geometry_msgs.msg import TransformStamped
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
import launch_testing
import launch_testing.actions
import launch_testing.asserts
import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage
from tf2_ros import StaticTransformBroadcaster

PATIENCE = 120.0  # seconds
IMAGES = {'': '', 'base_link': 'front/image'}  # topics that are asked for, by base_frame
DRIVER = '''\
#!/usr/bin/env python3
"""Publishes images and transforms as realsense2_camera does."""
import os
import time

from geometry_msgs.msg import TransformStamped
import rclpy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_ros import StaticTransformBroadcaster

from ttt3r_ros.io.sequence import open_sequence
from ttt3r_ros.node.conversions import image_message

OPTICAL = 'camera_color_optical_frame'


def transform(parent, child, turn):
    msg = TransformStamped(header=Header(frame_id=parent), child_frame_id=child)
    rotation = msg.transform.rotation
    rotation.x, rotation.y, rotation.z, rotation.w = turn
    return msg


rclpy.init()
node = rclpy.create_node('driver')
if node.declare_parameter('publish_tf', True).value:
    broadcaster = StaticTransformBroadcaster(node)
    color = 'camera_color_frame'
    broadcaster.sendTransform([
        transform('camera_link', color, (0.0, 0.0, 0.0, 1.0)),
        transform(color, OPTICAL, (-0.5, 0.5, -0.5, 0.5)),
    ])
images = node.create_publisher(Image, '~/color/image_raw', 10)
infos = node.create_publisher(CameraInfo, '~/color/camera_info', 10)
try:
    while True:
        for frame in open_sequence(os.environ['RECORDING']):
            header = Header(stamp=node.get_clock().now().to_msg(), frame_id=OPTICAL)
            images.publish(image_message(frame.image(), 'rgb8', header))
            time.sleep(0.1)
except (KeyboardInterrupt, RuntimeError):
    pass
'''


def install_driver() -> None:
    """Make a package of the driver's name, found before a real one."""
    prefix = Path(tempfile.mkdtemp())
    name = 'realsense2_camera'
    marker = prefix / 'share' / 'ament_index' / 'resource_index' / 'packages' / name
    program = prefix / 'lib' / name / f'{name}_node'
    for path, text in ((marker, ''), (program, DRIVER)):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    program.chmod(0o755)
    os.environ['AMENT_PREFIX_PATH'] = f'{prefix}:{os.environ["AMENT_PREFIX_PATH"]}'


@launch_testing.parametrize('base_frame', list(IMAGES))
def generate_test_description(base_frame: str) -> LaunchDescription:
    install_driver()
    launch_file = Path(get_package_share_directory('ttt3r_ros')) / 'launch' / 'camera.launch.py'
    camera = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(launch_file)),
        launch_arguments={
            'source': 'realsense',
            'base_frame': base_frame,
            'image': IMAGES[base_frame],
        }.items(),
    )
    return LaunchDescription(
        [
            DeclareLaunchArgument('input'),
            SetEnvironmentVariable('RECORDING', LaunchConfiguration('input')),
            camera,
            launch_testing.actions.ReadyToTest(),
        ]
    )


class TestRunning(unittest.TestCase):
    def setUp(self):
        rclpy.init()
        self.node = rclpy.create_node('test_realsense')
        self.parents: dict[str, set[str]] = defaultdict(set)
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.node.create_subscription(TFMessage, '/tf', self.hear, 100)
        self.node.create_subscription(TFMessage, '/tf_static', self.hear, latched)

    def tearDown(self):
        self.node.destroy_node()
        rclpy.shutdown()

    def hear(self, msg: TFMessage) -> None:
        for transform in msg.transforms:
            self.parents[transform.child_frame_id].add(transform.header.frame_id)

    def spin(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            rclpy.spin_once(self.node, timeout_sec=0.1)

    def test_every_frame_has_one_parent(self, base_frame):
        if base_frame:  # as a URDF says
            urdf = StaticTransformBroadcaster(self.node)
            mounting = TransformStamped(child_frame_id='camera_link')
            mounting.header.frame_id = base_frame
            urdf.sendTransform(mounting)
        tracked = base_frame or 'camera_color_optical_frame'
        deadline = time.monotonic() + PATIENCE
        while 'odom' not in self.parents[tracked]:
            assert time.monotonic() < deadline, f'odom -> {tracked}'
            self.spin(0.5)
        self.spin(2.0)
        ours = {'odom': {'map'}, tracked: {'odom'}}
        driver = {
            'camera_link': {'base_link'},
            'camera_color_frame': {'camera_link'},
            'camera_color_optical_frame': {'camera_color_frame'},
        }
        assert self.parents == ours | (driver if base_frame else {}), self.parents
        topic = '/front/camera_info' if base_frame else '/camera/camera/color/camera_info'
        ends = [
            *self.node.get_publishers_info_by_topic(topic),
            *self.node.get_subscriptions_info_by_topic(topic),
        ]
        assert {end.node_name for end in ends} == {'camera', 'ttt3r'}


@launch_testing.post_shutdown_test()
class TestEnded(unittest.TestCase):
    def test_exit_status(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info, allowable_exit_codes=[0])
