"""
Make the virtual environment that `make demo` and `make test` use; run again, it does what is left.

Where a ROS 2 is sourced, the environment lies beside it and adds what it lacks. Elsewhere ROS 2
comes as wheels, and `ros_overlay/` adds the few packages that are not to be had so.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / 'requirements'
OVERLAY, OVERLAY_TOOL = ROOT / 'ros_overlay', ROOT / 'tools/build_overlay.py'
OLDEST, NEWEST = (3, 10), (3, 13)  # Python versions that ROS 2 wheels are made for
TORCH_VERSION = '2.13.0'
TORCH_INDEX = os.environ.get('TORCH_INDEX', 'https://download.pytorch.org/whl')


class SetUpError(Exception):
    """Something is missing that the user can put right; the text says how."""


class Step(NamedTuple):
    """One part of the work, skipped while what it was made from stays the same."""

    name: str
    made_from: str
    action: Callable[[], None]


def main() -> int:
    """Run the steps that are not done yet."""
    options = parse_arguments()
    try:
        check_machine(with_compiler=not ros_is_sourced())
        venv: Path = options.venv.absolute()
        state = venv / '.set_up'
        if venv.exists() and not state.exists():
            raise SetUpError(f'{venv} is not of this script; remove it, or choose another: VENV=…')
        state.mkdir(parents=True, exist_ok=True)
        with (state / 'lock').open('w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two makes at once take turns
            run_steps(steps(venv, options), state)
    except SetUpError as error:
        print(f'set-up: {error}', file=sys.stderr)
        return 1
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--venv', type=Path, default=ROOT / '.venv', help='where it is made')
    parser.add_argument('--ros', default='kilted', help='the ROS 2 taken where none is sourced')
    parser.add_argument(
        '--torch',
        default='cpu',
        help='PyTorch build: cpu, cu126 or the like, none (it is there already), or a pip '
        'requirement',
    )
    parser.add_argument('--tests', action='store_true', help='also what the tests need')
    return parser.parse_args()


def ros_is_sourced() -> bool:
    """Tell whether the shell has a ROS 2 whose Python packages this Python can import."""
    return 'ROS_DISTRO' in os.environ and importlib.util.find_spec('rclpy') is not None


def check_machine(*, with_compiler: bool) -> None:
    """
    Find what the system lacks; install it as root, name it otherwise.

    :raises SetUpError: with the one line that helps
    """
    version = sys.version_info[:2]
    if not OLDEST <= version <= NEWEST:
        raise SetUpError(
            f'Python {version[0]}.{version[1]} is not supported; take one from '
            f'{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}: make PYTHON=/path/to/python …'
        )
    missing = missing_packages(with_compiler=with_compiler)
    if not missing:
        return
    if os.geteuid() == 0 and shutil.which('apt-get'):
        print(f'set-up: installing {" ".join(missing)}', flush=True)
        run(['apt-get', 'update', '-q'])
        run(['apt-get', 'install', '-y', '-q', '--no-install-recommends', *missing])
    else:
        raise SetUpError(f'missing; run: sudo apt-get install -y {" ".join(missing)}')


def missing_packages(*, with_compiler: bool) -> list[str]:
    """Name the Debian packages of what is not there."""
    python = f'python{sys.version_info[0]}.{sys.version_info[1]}'
    missing = []
    if importlib.util.find_spec('ensurepip') is None or importlib.util.find_spec('venv') is None:
        missing.append(f'{python}-venv')
    if with_compiler and not any(shutil.which(name) for name in ('c++', 'g++', 'clang++')):
        missing.append('g++')
    if with_compiler and not (Path(sysconfig.get_path('include')) / 'Python.h').exists():
        missing.append(f'{python}-dev')
    return missing


def steps(venv: Path, options: argparse.Namespace) -> list[Step]:
    """List all steps in order, each with a text that changes when it must be done again."""
    base = f'{venv} {sys.version} {sys.base_prefix}'
    torch = f'{options.torch} {TORCH_VERSION} {TORCH_INDEX}'
    if ros_is_sourced():
        base += f' beside {os.environ["ROS_DISTRO"]}'
    wanted = requirement_files(options.ros, with_tests=options.tests)
    name = 'packages and test tools' if options.tests else 'packages'
    pip_list = REQUIREMENTS / 'pip.txt'
    found = [
        Step('environment', base, lambda: make_environment(venv)),
        Step('pip', fingerprint(pip_list), lambda: pip(venv, '--require-hashes', '-r', pip_list)),
        Step(name, fingerprint(*wanted), lambda: add_packages(venv, wanted)),
        Step('PyTorch', torch, lambda: add_torch(venv, options.torch)),
    ]
    if not ros_is_sourced():
        overlay = fingerprint(OVERLAY_TOOL, *sorted(OVERLAY.rglob('*')))
        command = [venv / 'bin/python', OVERLAY_TOOL, OVERLAY]
        found.append(Step('ROS packages of the overlay', overlay, lambda: run(command)))
    this = fingerprint(ROOT / 'setup.py', ROOT / 'setup.cfg')
    editable = ('--no-deps', '--no-build-isolation', '--editable', ROOT)
    found.append(Step('this package', this, lambda: pip(venv, *editable)))
    return found


def requirement_files(ros: str, *, with_tests: bool) -> list[Path]:
    """
    Choose the lists of packages: locked ones with hashes, or beside a ROS 2 what fits to it.

    :raises SetUpError: if there is none for that ROS 2
    """
    if ros_is_sourced():
        names = ['package.in', 'test.in'] if with_tests else ['package.in']
    else:
        names = [f'{ros}-test.txt' if with_tests else f'{ros}.txt']
    files = [REQUIREMENTS / name for name in names]
    if not files[0].exists():
        raise SetUpError(f'no list of wheels for ROS 2 {ros}: {files[0]}')
    return files


def fingerprint(*paths: Path) -> str:
    """Digest the contents of files."""
    digest = hashlib.sha256()
    for path in paths:
        if path.is_file():
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def run_steps(steps: list[Step], state: Path) -> None:
    """Do what is not stamped as done; a stamp is written only after its step has ended well."""
    for number, step in enumerate(steps, 1):
        stamp = state / re.sub(r'\W+', '-', step.name)
        if stamp.exists() and stamp.read_text() == step.made_from:
            continue
        print(f'set-up {number}/{len(steps)}: {step.name} …', flush=True)
        start = time.monotonic()
        stamp.unlink(missing_ok=True)
        try:
            step.action()
        except subprocess.CalledProcessError as error:
            raise SetUpError(
                f'"{step.name}" failed (see above): {" ".join(map(str, error.cmd))}\n'
                'The same command goes on from here once the cause is removed.'
            ) from error
        stamp.write_text(step.made_from)
        print(f'set-up {number}/{len(steps)}: {step.name} done in '
              f'{time.monotonic() - start:.0f} s', flush=True)  # fmt: skip


def run(command: Sequence[str | Path], **extra_environment: str) -> None:
    """Run a command, its output shown."""
    subprocess.run(command, check=True, env=os.environ | extra_environment)


def pip(venv: Path, *arguments: str | Path) -> None:
    """Install with the environment's pip; byte code is left to the first import."""
    run(
        [venv / 'bin/python', '-m', 'pip', 'install', '--quiet', '--no-compile', *arguments],
        PIP_DISABLE_PIP_VERSION_CHECK='1',
        PYTHONWARNINGS='ignore',
    )


def make_environment(venv: Path) -> None:
    """Make the environment, anew where an older one does not fit."""
    for old in (*venv.glob('*'), *venv.glob('.set_up/*')):
        if old.name not in ('.set_up', 'lock'):
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    beside_ros = ['--system-site-packages'] if ros_is_sourced() else []
    run([sys.executable, '-m', 'venv', *beside_ros, venv])


def add_packages(venv: Path, files: list[Path]) -> None:
    """Install from the lists; beside a ROS 2, NumPy stays the one its packages were built for."""
    arguments: list[str | Path] = ['--require-hashes']
    if ros_is_sourced():
        constraints = venv / '.set_up/constraints.txt'
        constraints.write_text(f'numpy=={importlib.metadata.version("numpy")}\n')
        arguments = ['--constraint', constraints]
    pip(venv, *arguments, *(flag for path in files for flag in ('--requirement', path)))


def torch_attempts(choice: str) -> list[list[str]]:
    """
    List the pip arguments to try for a PyTorch build.

    The plain requirement would bring gigabytes of CUDA on x86, so the CPU build is asked for by
    its name: first where pip looks anyway (a mirror, a disk), then in PyTorch's own index.
    """
    if choice == 'none':
        return []
    if choice == 'cpu':
        label = '' if sys.platform == 'darwin' else '+cpu'
        arguments = ['--no-deps', f'torch=={TORCH_VERSION}{label}']
        return [arguments, [*arguments, '--index-url', f'{TORCH_INDEX}/cpu']]
    if re.fullmatch(r'cu\d+|rocm[\d.]+|xpu', choice):
        return [['--force-reinstall', 'torch>=2.4', '--index-url', f'{TORCH_INDEX}/{choice}']]
    return [[choice]]


def add_torch(venv: Path, choice: str) -> None:
    """
    Install the chosen PyTorch build.

    :raises subprocess.CalledProcessError: if no attempt worked
    """
    *others, last = torch_attempts(choice) or [[]]
    for arguments in others:
        command = [str(venv / 'bin/python'), '-m', 'pip', 'install', '--quiet', *arguments]
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            return
    if last:
        pip(venv, *last)


if __name__ == '__main__':
    sys.exit(main())
