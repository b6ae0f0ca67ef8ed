"""What docs/navigation.md tells others to set: checked against the node, and within itself."""

from pathlib import Path
import re

import yaml

from ttt3r_ros.node.outputs import TOPICS
from ttt3r_ros.node.reconstruction_node import CONFIGS
from ttt3r_ros.settings import settings_of

PAGE = (Path(__file__).parents[1] / 'docs' / 'navigation.md').read_text(encoding='utf-8')


def block(file: str) -> dict:
    found = re.search(rf'```yaml\n# {re.escape(file)}\n(.*?)```', PAGE, re.DOTALL)
    return yaml.safe_load(found.group(1))


def test_parameters_of_the_node_exist():
    declared = {name for config in CONFIGS for name in settings_of(config)}
    assert set(block('ttt3r.yaml')['/**']['ros__parameters']) <= declared


def test_others_listen_to_topics_of_the_node():
    set_in_files = re.findall(r'topic: /(\S+)', PAGE)
    remapped = re.findall(r':=/(\S+)', PAGE)
    made_by_others = {'camera/image_raw', 'depth/points'}
    assert {*set_in_files, *remapped} - made_by_others <= set(TOPICS)
    assert not made_by_others & set(TOPICS)


def test_what_the_costmap_marks_is_cleared_again():
    layer = block('nav2_params.yaml')['local_costmap']['local_costmap']['ros__parameters'][
        'voxel_layer'
    ]
    marks, clears = (layer[name] for name in layer['observation_sources'].split())
    top = layer['z_voxels'] * layer['z_resolution']
    assert layer['z_voxels'] <= 16  # more do not fit into Nav2's columns
    assert marks['max_obstacle_height'] <= top
    # Nav2 throws away points outside of these limits before it clears along the rays to them.
    assert clears['min_obstacle_height'] < 0
    assert clears['max_obstacle_height'] > top
    assert clears['raytrace_max_range'] >= marks['obstacle_max_range']
    assert marks['marking']
    assert clears['clearing']


def test_a_filter_takes_velocities_of_odometry_and_not_its_pose():
    taken = block('ekf.yaml')['ekf_filter_node']['ros__parameters']['odom0_config']
    assert len(taken) == 15
    # x, y, z, roll, pitch, yaw; vx, vy, vz, vroll, vpitch, vyaw; ax, ay, az
    assert [index for index, wanted in enumerate(taken) if wanted] == [6, 7, 11]
