"""The rooms of the house: what each part of the package may import (docs/architecture.md)."""

import ast
from pathlib import Path
import sys

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / 'ttt3r_ros'

EVERYWHERE = {'errors', 'settings', 'files'}
ROS = {
    'ament_index_python', 'bondpy', 'builtin_interfaces', 'cv_bridge', 'diagnostic_msgs',
    'geometry_msgs', 'lifecycle_msgs', 'nav_msgs', 'rcl_interfaces', 'rclpy', 'rosgraph_msgs',
    'sensor_msgs', 'sensor_msgs_py', 'std_msgs', 'std_srvs', 'tf2_msgs', 'tf2_ros',
}  # fmt: skip
# part → (parts of the package, other packages) it may import, beside the standard library
TABLE = {
    'errors': (set(), set()),
    'settings': (set(), set()),
    'files': (set(), set()),
    'devices': (set(), {'torch'}),
    'threads': ({'model'}, {'threadpoolctl', 'torch'}),
    'geometry': (set(), {'numpy', 'scipy', 'torch'}),
    'view': ({'geometry'}, {'numpy'}),
    'mapping': ({'geometry'}, {'numpy'}),
    'watch': (set(), {'numpy'}),
    'seen': ({'geometry', 'model', 'view'}, {'numpy', 'torch'}),
    'upright': ({'geometry', 'model', 'seen'}, {'cv2', 'numpy', 'torch'}),
    'model': ({'devices', 'geometry'}, {'numpy', 'safetensors', 'torch'}),
    'tracking': ({'geometry'}, {'cv2', 'numpy', 'scipy'}),
    'preprocess': ({'geometry', 'model'}, {'PIL', 'cv2', 'numpy', 'torch'}),
    'prepared': ({'geometry', 'model', 'preprocess', 'upright'}, {'numpy', 'torch'}),
    'reconstructor_config': ({'devices', 'model'}, set()),
    'reconstructor': (
        {
            'devices', 'geometry', 'model', 'prepared', 'preprocess', 'reconstructor_config',
            'seen', 'threads', 'tracking', 'upright', 'view', 'watch',
        },
        {'numpy', 'torch'},
    ),
    'io': ({'geometry'}, {'PIL', 'apsw', 'cv2', 'numpy', 'rosbags', 'yaml'}),
    'synthetic': ({'geometry'}, {'PIL', 'cv2', 'numba', 'numpy'}),
    'training': (
        {'devices', 'evaluation', 'geometry', 'model', 'synthetic'},
        {'matplotlib', 'numpy', 'safetensors', 'torch', 'tqdm'},
    ),
    'evaluation': (
        {
            'devices', 'geometry', 'io', 'mapping', 'model', 'preprocess', 'reconstructor',
            'seen', 'synthetic', 'view', 'watch',
        },
        {'PIL', 'cv2', 'matplotlib', 'numpy', 'scipy', 'torch', 'tqdm', 'yaml'},
    ),
    'benchmark': (
        {'devices', 'geometry', 'model', 'preprocess', 'reconstructor'},
        {'cv2', 'numpy', 'torch'},
    ),
    'cli': (
        {
            'devices', 'evaluation', 'geometry', 'io', 'mapping', 'model', 'preprocess',
            'reconstructor', 'synthetic', 'tracking', 'training', 'view',
        },
        {'PIL', 'cv2', 'matplotlib', 'numpy', 'rosbags', 'scipy', 'torch', 'tqdm', 'yaml'},
    ),
    'node': (
        {'geometry', 'io', 'mapping', 'reconstructor', 'view'},
        {'PIL', 'cv2', 'numpy', 'rosbags', 'scipy', 'yaml'} | ROS,
    ),
}  # fmt: skip
MODULES = sorted(PACKAGE.rglob('*.py'))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix('.py')


def imported(tree: ast.AST) -> set[str]:
    """Name the modules that are imported anywhere in a module, functions included."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, 'imports are absolute'
            assert node.module is not None
            names.add(node.module)
            if node.module == 'ttt3r_ros':
                names.update(f'ttt3r_ros.{alias.name}' for alias in node.names)
    return names


def in_words(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize('path', MODULES, ids=in_words)
def test_imports_stay_in_the_table(path):
    part = part_of(path)
    if part == '__init__':
        assert not imported(ast.parse(path.read_text()))
        return
    assert part in TABLE, f'{part} is not in the table: add it, and say in the docs what it is for'
    parts, others = TABLE[part]
    for name in imported(ast.parse(path.read_text())):
        top, _, rest = name.partition('.')
        if top == 'ttt3r_ros':
            known = not rest or rest == '__version__'  # the bare package holds its version only
            assert known or rest.split('.')[0] in parts | EVERYWHERE | {part}, name
        elif top not in sys.stdlib_module_names:
            assert top in others, name


def test_parts_depend_in_one_direction():
    done: set[str] = set()
    waiting = dict(TABLE)
    while waiting:
        ready = [part for part, (parts, _) in waiting.items() if parts <= done]
        assert ready, f'a circle among {sorted(waiting)}'
        done.update(ready)
        for part in ready:
            del waiting[part]


def test_only_the_node_knows_ros():
    knowing = {part for part, (_, others) in TABLE.items() if others & ROS}
    assert knowing == {'node'}
    assert not any('node' in parts for parts, _ in TABLE.values())


@pytest.mark.parametrize('path', MODULES, ids=in_words)
def test_modules_are_short_and_quiet(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    calls = [node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    prints = any(isinstance(call, ast.Name) and call.id == 'print' for call in calls)
    is_program = part_of(path) == 'cli' or "if __name__ == '__main__'" in text
    assert is_program or not prints, 'the core logs; only programs print'
    assert 'sys.path' not in text
