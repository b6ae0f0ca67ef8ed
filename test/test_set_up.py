"""The set-up script: what it installs, and that it goes on where it was interrupted."""

import subprocess
import sys
from types import SimpleNamespace

import build_overlay
import pytest
import set_up


@pytest.fixture
def no_ros(monkeypatch):
    monkeypatch.delenv('ROS_DISTRO', raising=False)


def step(name, made_from, done, *, fails=False):
    def action():
        if fails:
            raise subprocess.CalledProcessError(1, ['pip'])
        done.append(name)

    return set_up.Step(name, made_from, action)


def test_work_goes_on_where_it_was_interrupted(tmp_path):
    done = []
    with pytest.raises(set_up.SetUpError, match='"second" failed'):
        set_up.run_steps(
            [step('first', 'a', done), step('second', 'b', done, fails=True)], tmp_path
        )
    set_up.run_steps([step('first', 'a', done), step('second', 'b', done)], tmp_path)
    assert done == ['first', 'second']


def test_a_step_is_done_again_only_when_its_source_changes(tmp_path):
    done = []
    for made_from in ('a', 'a', 'b'):
        set_up.run_steps([step('packages', made_from, done)], tmp_path)
    assert done == ['packages', 'packages']


def test_a_step_that_failed_anew_does_not_count_as_done(tmp_path):
    done = []
    set_up.run_steps([step('packages', 'a', done)], tmp_path)
    with pytest.raises(set_up.SetUpError):
        set_up.run_steps([step('packages', 'b', done, fails=True)], tmp_path)
    set_up.run_steps([step('packages', 'a', done)], tmp_path)
    assert done == ['packages', 'packages']


def test_cpu_users_get_no_cuda():
    for arguments in set_up.torch_attempts('cpu'):
        assert '--no-deps' in arguments
        assert f'torch=={set_up.TORCH_VERSION}+cpu' in arguments


def test_other_builds_of_pytorch_can_be_chosen():
    ((*_, index),) = set_up.torch_attempts('cu126')
    assert index.endswith('/cu126')
    assert set_up.torch_attempts('torch==2.9.1') == [['torch==2.9.1']]
    assert set_up.torch_attempts('none') == []


@pytest.mark.usefixtures('no_ros')
def test_tests_need_more_than_the_demo():
    (demo,) = set_up.requirement_files('kilted', with_tests=False)
    (tests,) = set_up.requirement_files('kilted', with_tests=True)
    assert demo.name == 'kilted.txt'
    assert tests.name == 'kilted-test.txt'
    with pytest.raises(set_up.SetUpError, match='ROS 2 dashing'):
        set_up.requirement_files('dashing', with_tests=False)


@pytest.mark.usefixtures('no_ros')
def test_overlay_is_left_out_beside_a_ros(tmp_path, monkeypatch):
    options = SimpleNamespace(torch='cpu', ros='kilted', tests=False)
    names = [item.name for item in set_up.steps(tmp_path, options)]
    monkeypatch.setattr(set_up, 'ros_is_sourced', lambda: True)
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    beside = [item.name for item in set_up.steps(tmp_path, options)]
    assert [name for name in names if name not in beside] == ['ROS packages of the overlay']


def test_missing_system_packages_are_named(monkeypatch):
    monkeypatch.setattr(set_up.shutil, 'which', lambda _: None)
    monkeypatch.setattr(set_up.os, 'geteuid', lambda: 1000)
    with pytest.raises(set_up.SetUpError, match=r'sudo apt-get install -y .*g\+\+'):
        set_up.check_machine(with_compiler=True)


def test_a_compiler_is_needed_only_for_the_overlay(monkeypatch):
    monkeypatch.setattr(set_up.shutil, 'which', lambda _: None)
    assert 'g++' not in set_up.missing_packages(with_compiler=False)


def test_unsupported_python_is_refused(monkeypatch):
    monkeypatch.setattr(set_up, 'NEWEST', (3, 9))
    with pytest.raises(set_up.SetUpError, match='is not supported'):
        set_up.check_machine(with_compiler=False)


def test_a_foreign_environment_is_left_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['set_up.py', '--venv', str(tmp_path)])
    assert set_up.main() == 1
    assert 'is not of this script' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('arguments', 'status', 'said'),
    [(['--help'], 0, 'ros_overlay'), ([], 2, 'required: folder'), (['no'], 2, 'no does not hold')],
)
def test_the_overlay_tool_touches_nothing_unasked(monkeypatch, capsys, arguments, status, said):
    monkeypatch.setattr(sys, 'argv', ['build_overlay.py', *arguments])
    monkeypatch.setattr(sys, 'prefix', '/nowhere')
    with pytest.raises(SystemExit) as ended:
        build_overlay.main()
    assert ended.value.code == status
    assert said in ''.join(capsys.readouterr())


def test_paths_of_the_build_machine_are_replaced():
    text = (
        'a "/opt/python/cp311-cp311/include/python3.11" '
        'b "/opt/python/cp311-cp311/lib/python3.11/site-packages/numpy" c "/opt/other"'
    )
    moved = build_overlay.relocate(text)
    assert '/opt/python' not in moved
    assert 'site-packages/numpy"' in moved
    assert moved.endswith('c "/opt/other"')
