"""Reconstruct a bag, in its own time: `ros2 launch ttt3r_ros replay.launch.py bag:=/my/bag`."""

from __future__ import annotations

import os
from pathlib import Path

from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from ttt3r_ros.files import user_path
from ttt3r_ros.node.shared_memory import image_environment

BOOLEANS = ['true', 'false', 'True', 'False']  # as YAML and Python spell them
PLAYING = {
    'bag': (None, 'Bag to play (folder or file).', None),
    'rate': ('1.0', 'Speed of playing.', None),
    'loop': ('false', 'Play the bag again and again.', BOOLEANS),
    'delay': ('5.0', 'Seconds to wait before playing, while the weights load.', None),
}
# Passed on to camera.launch.py, with defaults that suit a recording.
PASSED = {
    'image': ('/camera/image', 'Image topic in the bag.', None),
    'camera_info': ('', 'CameraInfo topic (default: the one beside the images).', None),
    'camera_info_url': (
        '',
        'Calibration file, used instead of the CameraInfo topic (default: as params says).',
        None,
    ),
    'image_transport': (
        '',
        'Kind of image topic in the bag (default: as params says; raw without rosbag2).',
        ['', 'raw', 'compressed'],
    ),
    'weights': ('', 'Weights file (default: as params says; else the shipped small model).', None),
    'params': (
        'ttt3r',
        'Parameter file, or the name of one in config: fast, quality, long.',
        None,
    ),
    'input_queue': ('100', 'Images that may wait; 0: the newest wins, others are dropped.', None),
    'base_frame': (
        '',
        'Frame of the robot that carries the camera (default: as params says; else the camera).',
        None,
    ),
    'namespace': ('', 'Namespace of all topics and nodes.', None),
    'respawn': (
        'false',
        'Start the node again after it has ended; the map begins anew in the midst of the bag.',
        BOOLEANS,
    ),
    'rviz': ('false', 'Show the result in RViz.', BOOLEANS),
}


def generate_launch_description() -> LaunchDescription:
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text, choices=choices)
        for name, (default, text, choices) in (PLAYING | PASSED).items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=started)])


def started(context: LaunchContext) -> list[IncludeLaunchDescription | ExecuteProcess | Node]:
    value = {name: LaunchConfiguration(name).perform(context) for name in PLAYING | PASSED}
    try:
        get_package_prefix('ros2bag')
        player: ExecuteProcess | Node = bag_player(value)
    except PackageNotFoundError:
        value['image_transport'] = value['image_transport'] or 'raw'  # as our player sends
        player = own_player(value)
    camera = Path(get_package_share_directory('ttt3r_ros')) / 'launch' / 'camera.launch.py'
    passed = {name: value[name] for name in PASSED}
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(camera)),
        launch_arguments={**passed, 'source': 'topic', 'use_sim_time': 'true'}.items(),
    )
    return [node, player]


def bag_player(value: dict[str, str]) -> ExecuteProcess:
    bag = str(user_path(value['bag']))
    command = ['ros2', 'bag', 'play', bag, '--clock', '100', '--rate', value['rate']]
    if float(value['delay']) > 0:  # ros2 bag refuses 0
        command += ['--delay', value['delay']]
    if value['loop'].lower() == 'true':
        command.append('--loop')
    roomy = image_environment(os.environ, Path.cwd())
    return ExecuteProcess(cmd=command, additional_env=roomy, output='screen')


def own_player(value: dict[str, str]) -> Node:
    """Return a player of the images alone, for machines without rosbag2."""
    compressed = value['image_transport'] == 'compressed'
    beside = '/'.join([*value['image'].split('/')[:-1], 'camera_info'])
    info = value['camera_info'] or beside
    return Node(
        package='ttt3r_ros',
        executable='sequence_player',
        namespace=value['namespace'],
        parameters=[
            {
                'input': ParameterValue(value['bag'], value_type=str),
                'topic': value['image'] + ('/compressed' if compressed else ''),
                'speed': float(value['rate']),
                'loop': value['loop'].lower() == 'true',
                'compressed': compressed,
                'stamps': 'recorded',
                'publish_clock': True,
                'listeners': 1,
            }
        ],
        remappings=[('image', value['image']), ('camera_info', info)],
        output='screen',
    )
