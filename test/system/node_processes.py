"""
Processes of the node and its companions.

Most are forked from one process that has imported them already, for the imports take longer than
all else; `executable=True` starts the program as a user does.
"""

from __future__ import annotations

import fcntl
import importlib
import multiprocessing
import os
from pathlib import Path
import random
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO, Any

from ttt3r_ros.node.shared_memory import remove_unfinished_segments

# Seconds that a start, or a first frame, may take on a busy machine; tools/mutate.py wants less.
START = float(os.environ.get('TTT3R_TEST_PATIENCE', '120'))
# Where tests are killed their nodes would go on, and answer the images of whoever has that domain
# next. Of util-linux: the process is killed when the one that started it ends.
_MORTAL = ['setpriv', '--pdeathsig', 'KILL']
_END = 30.0  # seconds after which a process that was told to end does not

_FORKS = multiprocessing.get_context('forkserver')
_FORKS.set_forkserver_preload(
    ['ttt3r_ros.node.reconstruction_node', 'ttt3r_ros.node.sequence_player']
)
os.environ['OMP_NUM_THREADS'] = '1'  # read when the forking process starts


class NodeProcess:
    """
    A process on a ROS domain, its output in a file.

    :param module: of `ttt3r_ros.node`
    :param arguments: ROS arguments of its command line
    :param executable: start the program anew instead of forking
    """

    def __init__(
        self, domain: int, log: Path, module: str, arguments: list[str], *, executable: bool
    ) -> None:
        self.log = log
        module = f'ttt3r_ros.node.{module}'
        environment = {
            'ROS_DOMAIN_ID': str(domain),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        }
        self._process: Any
        log.touch()
        if executable:
            with log.open('wb') as output:
                self._process = subprocess.Popen(
                    [*_MORTAL, sys.executable, '-m', module, *arguments],
                    env=os.environ | environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
        else:
            self._process = _FORKS.Process(
                target=_run, args=(os.getpid(), module, arguments, environment, log), daemon=True
            )
            self._process.start()

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        if isinstance(self._process, subprocess.Popen):
            return self._process.poll()
        status: int | None = self._process.exitcode
        return status

    def said(self) -> str:
        return self.log.read_text(encoding='utf-8', errors='replace')

    def says(self, text: str, times: int = 1, timeout: float = START) -> None:
        """Wait until the log holds a text so many times."""
        deadline = time.monotonic() + timeout
        while self.said().count(text) < times:
            assert self.status is None, f'the process has ended:\n{self.said()}'
            assert time.monotonic() < deadline, f'{text!r} is not in the log:\n{self.said()}'
            time.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, float]:
        """Send a signal; return the exit status and how long it took; kill what does not end."""
        began = time.monotonic()
        self.send(number)
        while self.status is None:
            if time.monotonic() > began + _END:
                self.send(signal.SIGKILL)  # else nothing that waits for all processes would end
                raise AssertionError(f'does not end:\n{self.said()}')
            time.sleep(0.005)
        return self.status, time.monotonic() - began


def _end_with(pid: int) -> None:
    """Kill this process when another one ends, which need not be the one that forked it."""
    ending = os.pidfd_open(pid)

    def wait() -> None:
        select.select([ending], [], [])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def _run(
    tests: int, module: str, arguments: list[str], environment: dict[str, str], log: Path
) -> None:
    """Become the program; called in the forked process."""
    _end_with(tests)
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    importlib.import_module(module).main()


class Domain:
    """A ROS domain that no other test on this machine uses, until it is released."""

    def __init__(self) -> None:
        numbers = list(range(1, 91))  # ports that no system uses otherwise; tools/ have 91 to 101
        random.SystemRandom().shuffle(numbers)
        folder = Path(tempfile.gettempdir())
        for number in numbers:
            lock = (folder / f'ttt3r_ros_test_domain_{number}').open('w')
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            remove_unfinished_segments()  # of processes that tests have killed
            self.number = number
            self._lock: IO[str] = lock
            return
        raise RuntimeError('all ROS domains are in use')

    def release(self) -> None:
        self._lock.close()
