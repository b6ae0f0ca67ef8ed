"""What is installed, what is declared, and whether the two agree."""

import ast
import importlib
import os
import re
import subprocess
import sys

from catkin_pkg.package import parse_package
import pytest
from test_architecture import MODULES, ROOT, ROS, imported, part_of

# name on import → name in the requirements
DISTRIBUTIONS = {'PIL': 'pillow', 'cv2': 'opencv-python-headless', 'yaml': 'pyyaml'}


@pytest.fixture(scope='module')
def manifest():
    return parse_package(str(ROOT / 'package.xml'))


@pytest.fixture(scope='module')
def set_up_arguments():
    """Read the arguments of setup(), without running it."""
    tree = ast.parse((ROOT / 'setup.py').read_text())
    call = next(
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'setup'
    )
    return {keyword.arg: keyword.value for keyword in call.keywords}


def requirement_names(name: str) -> set[str]:
    lines = (ROOT / 'requirements' / name).read_text().splitlines()
    return {re.split(r'[<>=~ ;]', line)[0] for line in lines if re.match(r'\w', line)}


def imports_of(part: str | None = None) -> set[str]:
    return {
        name.partition('.')[0]
        for path in MODULES
        if part is None or part_of(path) == part
        for name in imported(ast.parse(path.read_text()))
    }


def test_versions_agree(manifest, set_up_arguments):
    assert set_up_arguments['version'].value == manifest.version
    assert importlib.import_module('ttt3r_ros').__version__ == manifest.version


def test_description_and_licence_agree(manifest, set_up_arguments):
    assert manifest.name == 'ttt3r_ros'
    assert manifest.licenses == [set_up_arguments['license'].value]
    assert 'Apache License' in (ROOT / manifest.licenses[0].file).read_text()
    assert manifest.get_build_type() == 'ament_python'


def test_manifest_names_what_the_node_imports(manifest):
    declared = {item.name for item in manifest.exec_depends}
    assert imports_of('node') & ROS <= declared


def test_requirements_name_what_the_package_imports():
    ours = ROS | sys.stdlib_module_names | {'ttt3r_ros', 'torch'}  # torch is a choice of its own
    used = {DISTRIBUTIONS.get(name, name) for name in imports_of() - ours}
    assert used <= requirement_names('package.in')


@pytest.mark.parametrize(
    ('locked', 'wanted'),
    [
        ('kilted.txt', ['package.in', 'ros-kilted.in']),
        ('kilted-test.txt', ['package.in', 'ros-kilted.in', 'test.in']),
        ('jazzy.txt', ['package.in', 'ros-jazzy.in']),
        ('jazzy-test.txt', ['package.in', 'ros-jazzy.in', 'test.in']),
        ('pip.txt', ['pip.in']),
    ],
)
def test_locked_requirements_are_complete_and_hashed(locked, wanted):
    names = requirement_names(locked)
    for name in wanted:
        assert requirement_names(name) <= names
    text = (ROOT / 'requirements' / locked).read_text()
    blocks = re.findall(r'^\S+==.*(?:\n +--hash.*)*', text, re.MULTILINE)
    assert len(blocks) >= len(names)
    assert all('--hash=sha256:' in block for block in blocks)
    assert not re.search(r'^torch\b', text, re.MULTILINE)


def test_executables_exist(set_up_arguments):
    scripts = ast.literal_eval(set_up_arguments['entry_points'])['console_scripts']
    assert {script.partition(' ')[0] for script in scripts} >= {'reconstruction_node', 'ttt3r'}
    for script in scripts:
        module, _, function = script.partition(' = ')[2].partition(':')
        tree = ast.parse((ROOT / (module.replace('.', '/') + '.py')).read_text())
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert function in functions


def test_executables_take_the_python_of_the_shell():
    assert 'executable = /usr/bin/env python3' in (ROOT / 'setup.cfg').read_text()


def test_every_folder_of_modules_is_a_package():
    folders = {path.parent for path in MODULES}
    assert all((folder / '__init__.py').exists() for folder in folders)


def test_weights_are_small():
    for path in (ROOT / 'ttt3r_ros/weights').glob('*.safetensors'):
        assert path.stat().st_size <= 10e6


def test_continuous_integration_can_be_run():
    assert (ROOT / '.ci/run').stat().st_mode & 0o100


def test_test_modules_have_unique_names():
    """Without packages under test/, pytest tells modules apart by their names alone."""
    names = [path.name for path in (ROOT / 'test').rglob('test_*.py')]
    assert sorted(names) == sorted(set(names))


def test_contract_names_tests_that_exist_and_all_of_the_system_tests():
    folder = ROOT / 'test' / 'system'
    text = (folder / 'README.md').read_text()
    modules = folder.glob('test_*.py')
    tests = {
        name for path in modules for name in re.findall(r'^def (test_\w+)', path.read_text(), re.M)
    }
    named = set(re.findall(r'`(test_\w+)`', text))
    assert named <= tests
    assert tests - named <= {
        'test_demo_plays_all_frames_and_leaves_bag_points_trajectory_and_picture'
    }
    assert all((ROOT / path).exists() for path in re.findall(r'`(test/[\w/.]+)`', text))


@pytest.mark.parametrize(
    ('variables', 'words'),
    [
        (["INPUT=my 'best' film.mp4", 'OUT=to here'], ["my 'best' film.mp4", '--out', 'to here']),
        ([], ['--out', 'demo_out']),
    ],
)
def test_make_demo_takes_names_with_spaces(tmp_path, variables, words):
    done = make(tmp_path, 'ttt3r', 'demo', *variables)
    assert done.stdout.splitlines() == ['demo', *words]


def make(folder, program, *arguments):
    """Run make with an environment that has nothing but a program that prints its arguments."""
    command = folder / 'bin' / program
    command.parent.mkdir()
    command.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    command.chmod(0o755)
    return subprocess.run(
        ['make', '--no-print-directory', *arguments, 'SET_UP=true', f'VENV={folder}'],
        cwd=ROOT,
        env={'PATH': os.environ['PATH']},
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_train_takes_names_with_spaces_and_other_options(tmp_path):
    variables = ['RUN=my run', "START_FROM=the 'best'", 'TRAIN_OPTIONS=--seed 7 --minutes 5']
    words = make(tmp_path, 'python', 'train', *variables).stdout.splitlines()
    assert words[2:4] == ['--run', 'my run']
    assert words[-6:] == ['--start-from', "the 'best'", '--seed', '7', '--minutes', '5']


@pytest.mark.parametrize(
    ('variables', 'build'),
    [
        ([], 'cpu'),
        (['DEVICE=cuda'], 'cu126'),
        (['DEVICE=cuda:1'], 'cu126'),
        (['DEVICE=cuda', 'TORCH=cu130'], 'cu130'),
    ],
)
def test_make_for_a_gpu_installs_pytorch_for_gpus(variables, build):
    command = ['make', '-n', '-C', str(ROOT), 'environment', *variables]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"--torch '{build}'" in printed
