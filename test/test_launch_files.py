"""
What the launch files start, by stand-ins for the packages that read them.

test/launch runs the same files for real, where launch is installed.
"""

from importlib import util
from itertools import pairwise
import os
from pathlib import Path
import sys
from types import ModuleType, SimpleNamespace

import pytest
from test_architecture import ROOT
import yaml

from ttt3r_ros.node.shared_memory import PROFILES

STAND_INS = {
    'launch': ['LaunchContext', 'LaunchDescription'],
    'launch.actions': [
        'DeclareLaunchArgument', 'ExecuteProcess', 'IncludeLaunchDescription', 'OpaqueFunction'
    ],
    'launch.launch_description_sources': ['PythonLaunchDescriptionSource'],
    'launch.substitutions': ['LaunchConfiguration', 'TextSubstitution'],
    'launch_ros': [],
    'launch_ros.actions': ['Node'],
    'launch_ros.parameter_descriptions': ['ParameterValue'],
}  # fmt: skip


class StandIn(SimpleNamespace):
    """Keeps what it is made with."""

    def __init__(self, *positional, **named):
        super().__init__(positional=positional, **named)

    def perform(self, context):
        return context[self.positional[0]]

    def __str__(self):
        text = getattr(self, 'text', None)
        return str(self.positional[0]) if text is None else text


@pytest.fixture
def load(monkeypatch):
    """Load a launch file, with the launch file's own folder as the installed one."""

    def _load(name):
        for module, names in STAND_INS.items():
            stand_in = ModuleType(module)
            for kind in names:
                setattr(stand_in, kind, type(kind, (StandIn,), {}))
            monkeypatch.setitem(sys.modules, module, stand_in)
        spec = util.spec_from_file_location(name, ROOT / 'launch' / f'{name}.launch.py')
        module = util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.get_package_share_directory = lambda _: ROOT
        module.get_package_prefix = lambda _: ROOT
        return module

    return _load


@pytest.fixture
def camera(load):
    """Give arguments to camera.launch.py; return what it starts, by the executable's name."""
    module = load('camera')

    def start(**given):
        context = {name: default for name, (default, _, _) in module.ARGUMENTS.items()}
        nodes = module.nodes(context | given)
        return {node.executable: node for node in nodes}

    return start


@pytest.fixture
def replay(load):
    """Give arguments to replay.launch.py; return what it passes on, and the player."""
    module = load('replay')

    def missing(package):
        raise module.PackageNotFoundError(package)

    def start(*, rosbag, **given):
        module.get_package_prefix = str if rosbag else missing
        arguments = module.PLAYING | module.PASSED
        context = {name: default for name, (default, _, _) in arguments.items()}
        node, player = module.started(context | {'bag': '/bag'} | given)
        return dict(node.launch_arguments), player

    return start


def set_by(node):
    """Return the parameters that a launch file sets beside a file of them, as text."""
    dicts = [entry for entry in node.parameters if isinstance(entry, dict)]
    return {name: str(value) for entry in dicts for name, value in entry.items()}


@pytest.fixture
def params(tmp_path):
    """A parameter file of the user's, with text in it."""

    def write(text):
        path = tmp_path / 'mine.yaml'
        path.write_text(text)
        return str(path)

    return write


def test_the_parameter_file_has_the_last_word_where_no_argument_is_given(camera):
    node = camera()['reconstruction_node']
    assert node.parameters == [str(ROOT / 'config' / 'ttt3r.yaml')]


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('autostart', 'false'),
        ('autostart', 'true'),
        ('image_transport', 'compressed'),
        ('image_transport', 'raw'),
        ('use_sim_time', 'false'),
        ('use_sim_time', 'true'),
        ('weights', '12'),
        ('camera_info_url', '12'),
        ('input_queue', '5'),
        ('base_frame', 'base_link'),
    ],
)
def test_an_argument_that_is_given_comes_after_the_file(camera, name, value):
    node = camera(**{name: value})['reconstruction_node']
    assert isinstance(node.parameters[0], str)
    assert set_by(node) == {name: value}


@pytest.mark.parametrize('given', ['True', 'true', 'False', 'false'])
def test_booleans_may_be_spelled_as_in_python(camera, replay, given):
    started = camera(rviz=given, use_sim_time=given, respawn=given, weights='True')
    node = started['reconstruction_node']
    assert set_by(node) == {'use_sim_time': given.lower(), 'weights': 'True'}
    assert node.respawn == (given.lower() == 'true')
    assert ('rviz2' in started) == (given.lower() == 'true')
    _, player = replay(rosbag=True, loop=given)
    assert ('--loop' in player.cmd) == (given.lower() == 'true')


@pytest.mark.parametrize(('given', 'sent'), [('', 'raw'), ('raw', 'raw'), ('compressed',) * 2])
def test_the_node_listens_to_what_the_player_sends(camera, given, sent):
    started = camera(source='sequence', input='/recording', image_transport=given)
    assert set_by(started['reconstruction_node'])['image_transport'] == sent
    assert set_by(started['sequence_player'])['compressed'] == str(sent == 'compressed')


@pytest.mark.parametrize(
    ('file', 'argument', 'simulated'),
    [
        ('/**: {ros__parameters: {use_sim_time: true}}', '', True),
        ('ttt3r: {ros__parameters: {use_sim_time: true}}', '', True),
        ('/robot: {ttt3r: {ros__parameters: {use_sim_time: true}}}', '', True),
        ('/robot/ttt3r: {ros__parameters: {use_sim_time: true}}', 'false', False),
        ('other: {ros__parameters: {use_sim_time: true}}', '', False),
        ('/**: {ros__parameters: {use_sim_time: false}}', '', False),
        ('/**: {ros__parameters: }', '', False),
        ('', '', False),
        ('/**: {ros__parameters: {use_sim_time: false}}', 'true', True),
    ],
)
def test_rviz_takes_time_from_where_the_node_takes_it(camera, params, file, argument, simulated):
    started = camera(rviz='true', params=params(file), use_sim_time=argument)
    assert set_by(started['rviz2']) == {'use_sim_time': str(simulated)}


@pytest.mark.parametrize(
    ('said', 'frame'),
    [
        ('', 'map'),
        ('frame_prefix: left/', 'left/map'),
        ('map_frame: world', 'world'),
        ('{map_frame: world, frame_prefix: left/}', 'left/world'),
    ],
)
def test_rviz_shows_the_frame_of_the_map(camera, params, said, frame):
    started = camera(rviz='true', params=params(f'/**:\n  ros__parameters:\n    {said}'))
    assert started['rviz2'].arguments[2:] == ['-f', frame]
    assert yaml.safe_load(Path(started['rviz2'].arguments[1]).read_text())


def test_a_bag_is_played_as_the_parameter_file_says(replay):
    passed, player = replay(rosbag=True)
    assert (passed['image_transport'], passed['use_sim_time']) == ('', 'true')
    assert player.cmd[:4] == ['ros2', 'bag', 'play', '/bag']


@pytest.mark.parametrize(('delay', 'given'), [('2.5', ['2.5']), ('0', []), ('0.0', [])])
def test_a_delay_of_nothing_is_left_out_for_ros2_bag_refuses_it(replay, delay, given):
    _, player = replay(rosbag=True, delay=delay)
    assert [value for flag, value in pairwise(player.cmd) if flag == '--delay'] == given


@pytest.mark.parametrize(('given', 'sent'), [('', 'raw'), ('raw', 'raw'), ('compressed',) * 2])
def test_the_node_listens_to_what_our_player_of_bags_sends(replay, given, sent):
    passed, player = replay(rosbag=False, image_transport=given)
    assert passed['image_transport'] == sent
    assert set_by(player)['compressed'] == str(sent == 'compressed')


def test_replay_passes_arguments_on_that_the_camera_has(load, replay):
    passed, _ = replay(rosbag=True)
    assert set(passed) <= set(load('camera').ARGUMENTS)


@pytest.mark.parametrize(
    ('given', 'topic'), [('', '/front/camera_info'), ('/calibration', '/calibration')]
)
def test_our_player_of_bags_sends_camera_info_where_the_node_listens(replay, given, topic):
    passed, player = replay(rosbag=False, image='/front/image', camera_info=given)
    assert dict(player.remappings) == {'image': '/front/image', 'camera_info': topic}
    assert (passed['image'], passed['camera_info']) == ('/front/image', given)


@pytest.mark.parametrize(
    ('argument', 'file', 'published'),
    [
        ('', '', False),
        ('base_link', '', True),
        ('', 'ttt3r: {ros__parameters: {base_frame: base_link}}', True),
        ('', 'slam_toolbox: {ros__parameters: {base_frame: base_link}}', False),
        ('', "/**: {ros__parameters: {base_frame: ''}}", False),
    ],
)
def test_a_realsense_has_its_own_transforms_only_on_a_robot(
    camera, params, argument, file, published
):
    started = camera(source='realsense', base_frame=argument, params=params(file))
    assert set_by(started['realsense2_camera_node'])['publish_tf'] == str(published)


def test_a_bare_name_is_that_of_one_of_our_files(camera):
    node = camera(params='fast')['reconstruction_node']
    assert node.parameters == [str(ROOT / 'config' / 'fast.yaml')]


@pytest.mark.parametrize('name', ['mine.yaml', 'mine.yml', 'mine'])
def test_a_file_of_the_users_is_taken(camera, monkeypatch, tmp_path, name):
    (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    given = name if name.endswith(('.yaml', '.yml')) else f'./{name}'
    node = camera(params=given)['reconstruction_node']
    assert [Path(path) for path in node.parameters] == [Path(name)]


def test_a_tilde_is_the_home_folder_for_no_shell_has_seen_to_it(
    camera, replay, monkeypatch, tmp_path
):
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'mine.yaml').touch()
    node = camera(params='~/mine.yaml')['reconstruction_node']
    assert node.parameters == [str(tmp_path / 'mine.yaml')]
    assert replay(rosbag=True, bag='~/bag')[1].cmd[3] == str(tmp_path / 'bag')


@pytest.mark.parametrize('name', ['/nowhere/mine.yaml', 'mine.yaml', 'mine.yml', 'fastest'])
def test_a_parameter_file_that_is_missing_starts_nothing(camera, monkeypatch, tmp_path, name):
    """launch_ros only warns of it, and the node would run with its defaults."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError, match=f'params:={name}'):
        camera(params=name)


@pytest.mark.parametrize('source', ['usb', 'realsense'])
def test_images_of_a_driver_fit_into_its_shared_memory(source, camera, monkeypatch):
    for name in [name for name in os.environ if name.startswith(('FAST', 'ROS_', 'RMW_'))]:
        monkeypatch.delenv(name)
    driver = {'usb': 'usb_cam_node_exe', 'realsense': 'realsense2_camera_node'}[source]
    assert set(camera(source=source)[driver].additional_env.values()) == {str(PROFILES)}
    monkeypatch.setenv('FASTDDS_BUILTIN_TRANSPORTS', 'UDPv4')
    assert camera(source=source)[driver].additional_env == {}


@pytest.mark.parametrize('namespace', ['', 'robot', '/robot'])
@pytest.mark.parametrize('image', ['', 'front/image', '/front/image'])
@pytest.mark.parametrize('source', ['usb', 'realsense'])
def test_a_driver_sends_images_where_the_node_listens(camera, source, image, namespace):
    started = camera(source=source, image=image, namespace=namespace)
    node, driver = started.values()
    names = {
        'usb': ('image_raw', 'camera_info'),
        'realsense': ('~/color/image_raw', '~/color/camera_info'),
    }[source]

    def full(start, topic):
        within = '/' + start.namespace.strip('/')
        return topic if topic.startswith('/') else f'{within.rstrip("/")}/{topic}'

    sent = {old: full(driver, new) for old, new in driver.remappings}
    heard = {old: full(node, new) for old, new in node.remappings}
    assert sent == {
        names[0]: heard['image'],
        f'{names[0]}/compressed': f'{heard["image"]}/compressed',
        names[1]: heard['camera_info'],
    }
