"""Reconstruct what a camera sees: `ros2 launch ttt3r_ros camera.launch.py image:=/my/image`."""

from __future__ import annotations

import os
from pathlib import Path

from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, TextSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
import yaml

from ttt3r_ros.files import user_path
from ttt3r_ros.node.shared_memory import image_environment

PACKAGE = 'ttt3r_ros'
# The image topic of each source, where the argument image is left out.
IMAGE_TOPICS = {
    'topic': 'image',
    'usb': 'image_raw',
    'realsense': '/camera/camera/color/image_raw',
    'video': 'image',
    'sequence': 'image',
}
BOOLEANS = ['true', 'false', 'True', 'False']  # as YAML and Python spell them
ARGUMENTS = {
    'source': ('topic', 'Where images come from.', list(IMAGE_TOPICS)),
    'image': ('', 'Image topic (default: the one that the source has).', None),
    'camera_info': ('', 'CameraInfo topic (default: the one beside the images).', None),
    'camera_info_url': (
        '',
        'Calibration file, used instead of the CameraInfo topic (default: as params says).',
        None,
    ),
    'image_transport': (
        '',
        'Kind of image topic (default: as params says; raw of a recording).',
        ['', 'raw', 'compressed'],
    ),
    'input': ('', 'Recording to play, for source:=video and source:=sequence.', None),
    'loop': ('false', 'Play the recording again and again.', BOOLEANS),
    'weights': ('', 'Weights file (default: as params says; else the shipped small model).', None),
    'params': (
        'ttt3r',
        'Parameter file, or the name of one in config: fast, quality, long.',
        None,
    ),
    'input_queue': (
        '',
        'Images that may wait; 0: the newest wins (default: as params says).',
        None,
    ),
    'base_frame': (
        '',
        'Frame of the robot that carries the camera (default: as params says; else the camera).',
        None,
    ),
    'namespace': ('', 'Namespace of all topics and nodes.', None),
    'use_sim_time': (
        '',
        'Take time from /clock (default: as params says).',
        ['', *BOOLEANS],
    ),
    'autostart': (
        '',
        'false where a lifecycle manager configures the node (default: as params says).',
        ['', *BOOLEANS],
    ),
    'respawn': (
        'true',
        'Start the node again, 1 s after it has ended for whatever reason.',
        BOOLEANS,
    ),
    'rviz': ('false', 'Show the result in RViz.', BOOLEANS),
}
# Arguments that are parameters of the node, set only if given; and their types.
PARAMETERS = {
    'weights': str,
    'camera_info_url': str,
    'image_transport': str,
    'input_queue': int,
    'base_frame': str,
    'use_sim_time': bool,
    'autostart': bool,
}
NODE = 'ttt3r'
RESPAWN_DELAY = 1.0  # seconds, so that a node that cannot start does not take the machine


def generate_launch_description() -> LaunchDescription:
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text, choices=choices)
        for name, (default, text, choices) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=nodes)])


def nodes(context: LaunchContext) -> list[Node]:
    arguments = {name: spelled(context, name) for name in ARGUMENTS}
    image = arguments['image'] or IMAGE_TOPICS[arguments['source']]
    info = arguments['camera_info'] or '/'.join([*image.split('/')[:-1], 'camera_info'])
    remappings = [('image', image), ('camera_info', info)]
    common = {'namespace': arguments['namespace'], 'output': 'screen'}
    if arguments['source'] in ('video', 'sequence'):
        arguments['image_transport'] = arguments['image_transport'] or 'raw'  # as the player sends
    params = params_file(arguments['params'])
    started = [
        Node(
            package=PACKAGE,
            executable='reconstruction_node',
            name=NODE,
            parameters=[params, *overrides(arguments)],
            remappings=remappings,
            respawn=arguments['respawn'] == 'true',
            respawn_delay=RESPAWN_DELAY,
            **common,
        )
    ]
    if arguments['source'] != 'topic':
        on_robot = bool(arguments['base_frame'] or said(params, 'base_frame'))
        started.append(source(arguments, remappings, common, on_robot=on_robot))
    if arguments['rviz'] == 'true':
        started.append(rviz(arguments, params, common))
    return started


def spelled(context: LaunchContext, name: str) -> str:
    """Return what an argument was given, a boolean as YAML spells it."""
    given = LaunchConfiguration(name).perform(context)
    is_boolean = 'True' in (ARGUMENTS[name][2] or [])
    return given.lower() if is_boolean else given


def params_file(name: str) -> str:
    """Return the path of a parameter file; a bare name is that of one of ours."""
    path = user_path(name)
    if '/' not in name and path.suffix not in ('.yaml', '.yml'):
        path = Path(get_package_share_directory(PACKAGE)) / 'config' / f'{name}.yaml'
    if not path.is_file():
        raise RuntimeError(f'params:={name}: there is no {path}')
    return str(path)


def said(params: str, name: str) -> object:
    """Return what a parameter file says of one of the node; None where it is false or empty."""
    trees = [('', yaml.safe_load(Path(params).read_text()))]
    while trees:
        node, tree = trees.pop()
        if not isinstance(tree, dict):
            continue
        ours = node.rpartition('/')[2] in (NODE, '*', '**')
        value = (tree.get('ros__parameters') or {}).get(name)
        if ours and value:
            return value
        trees += tree.items()
    return None


def overrides(arguments: dict[str, str]) -> list[dict[str, ParameterValue]]:
    """Return the parameters that arguments set beside the file, if any."""
    given = {
        name: ParameterValue(TextSubstitution(text=arguments[name]), value_type=kind)
        for name, kind in PARAMETERS.items()
        if arguments[name]
    }
    return [given] if given else []


def rviz(arguments: dict[str, str], params: str, common: dict[str, str]) -> Node:
    """Return RViz with our layout, and with time and the frame of the map as the node has them."""
    need('rviz2', 'rviz:=true')
    layout = Path(get_package_share_directory(PACKAGE)) / 'config' / 'ttt3r.rviz'
    given = arguments['use_sim_time']
    sim_time = given == 'true' if given else bool(said(params, 'use_sim_time'))
    frame = f'{said(params, "frame_prefix") or ""}{said(params, "map_frame") or "map"}'
    return Node(
        package='rviz2',
        executable='rviz2',
        arguments=['-d', str(layout), '-f', frame],
        parameters=[{'use_sim_time': sim_time}],
        **common,
    )


def source(
    arguments: dict[str, str],
    remappings: list[tuple[str, str]],
    common: dict[str, str],
    *,
    on_robot: bool,
) -> Node:
    """
    Return the node that publishes the images.

    :param on_robot: whether it is a robot that is tracked, and not the camera itself
    """
    kind = arguments['source']
    roomy = image_environment(os.environ, Path.cwd())  # a driver's images are larger than others'
    if kind == 'usb':
        need('usb_cam', 'source:=usb')
        renamed = renamed_driver('image_raw', 'camera_info', remappings)
        return Node(
            package='usb_cam',
            executable='usb_cam_node_exe',
            remappings=renamed,
            additional_env=roomy,
            **common,
        )
    if kind == 'realsense':
        need('realsense2_camera', 'source:=realsense')
        return Node(
            package='realsense2_camera',
            executable='realsense2_camera_node',
            name='camera',
            namespace='camera',
            # A frame has one parent: that of a camera which is tracked itself is odom.
            parameters=[{'enable_color': True, 'enable_depth': False, 'publish_tf': on_robot}],
            # Its namespace is not that of the others, so that names have to be absolute.
            remappings=renamed_driver(
                '~/color/image_raw',
                '~/color/camera_info',
                [(old, absolute(new, arguments['namespace'])) for old, new in remappings],
            ),
            additional_env=roomy,
            output='screen',
        )
    if not arguments['input']:
        raise RuntimeError(f'source:={kind} needs input:=<{kind}>')
    player = {
        'input': ParameterValue(arguments['input'], value_type=str),
        'loop': arguments['loop'] == 'true',
        'compressed': arguments['image_transport'] == 'compressed',
        'listeners': 1,
    }
    return Node(
        package=PACKAGE,
        executable='sequence_player',
        parameters=[player],
        remappings=remappings,
        **common,
    )


def renamed_driver(
    image: str, camera_info: str, remappings: list[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Return the remappings that let a driver publish to where the node listens."""
    (_, to_image), (_, to_info) = remappings
    # Before Kilted image_transport does not derive the compressed topic from the new name.
    compressed = (f'{image}/compressed', f'{to_image}/compressed')
    return [(image, to_image), compressed, (camera_info, to_info)]


def absolute(topic: str, namespace: str) -> str:
    """Return the full name of a topic in a namespace."""
    if topic.startswith('/'):
        return topic
    return '/' + '/'.join(filter(None, [*namespace.split('/'), topic]))


def need(package: str, argument: str) -> None:
    """Say how to install a package that is missing."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError as error:
        name = package.replace('_', '-')
        raise RuntimeError(
            f'{argument} needs the package {package}: sudo apt install ros-$ROS_DISTRO-{name}'
        ) from error
