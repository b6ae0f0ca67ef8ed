"""
Build and install the ROS packages that have no wheels, into the environment this runs in.

The environment has the ROS 2 wheels and CMake.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile

MESSAGES = 'tf2_msgs'
PYTHON_PACKAGES = ('tf2_ros', 'sensor_msgs_py')


def main() -> int:
    """Build in a copy, so that nothing is left in the source folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path, help='that holds them: ros_overlay')
    folder: Path = parser.parse_args().folder
    if not (folder / MESSAGES).is_dir():
        parser.error(f'{folder} does not hold {MESSAGES}')
    environment = Path(sys.prefix)
    for path in environment.glob('share/*/cmake/*.cmake'):
        text = path.read_text()
        if '/opt/python/' in text:
            path.write_text(relocate(text))
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / 'source'
        shutil.copytree(folder, source)
        for command in (*cmake_commands(source / MESSAGES, environment), pip_command(source)):
            done = subprocess.run(
                command,
                check=False,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=os.environ
                | {'AMENT_PREFIX_PATH': sys.prefix, 'CMAKE_PREFIX_PATH': sys.prefix},
            )
            if done.returncode:
                print(done.stdout, f'failed: {" ".join(command)}', sep='\n', file=sys.stderr)
                return done.returncode
    return 0


def relocate(text: str) -> str:
    """Replace the paths of the machine that the wheels were built on by those of this one."""
    built_with = r'/opt/python/cp3\d+-cp3\d+'
    site, include = sysconfig.get_path('purelib'), sysconfig.get_path('include')
    text = re.sub(rf'{built_with}/lib/python3\.\d+/site-packages', site, text)
    return re.sub(rf'{built_with}/include/python3\.\d+', include, text)


def cmake_commands(package: Path, environment: Path) -> list[list[str]]:
    """List what configures, builds and installs an interface package."""
    binaries, build = environment / 'bin', package / 'build'
    cmake = str(binaries / 'cmake')
    settings = {
        'CMAKE_MAKE_PROGRAM': binaries / 'ninja',
        'CMAKE_INSTALL_PREFIX': environment,
        'Python3_EXECUTABLE': binaries / 'python',
        'BUILD_TESTING': 'OFF',
    }
    defines = [f'-D{name}={value}' for name, value in settings.items()]
    return [
        [cmake, '-S', str(package), '-B', str(build), '-G', 'Ninja', *defines],
        [cmake, '--build', str(build)],
        [cmake, '--install', str(build)],
    ]


def pip_command(source: Path) -> list[str]:
    """Return what installs the packages that are only Python."""
    return [
        sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-build-isolation',
        '--force-reinstall', *(str(source / name) for name in PYTHON_PACKAGES),
    ]  # fmt: skip


if __name__ == '__main__':
    sys.exit(main())
