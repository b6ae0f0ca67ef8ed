"""The node, a player and a recorder as processes of their own, on a ROS domain of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import os
from pathlib import Path
import random
import re
import select
import signal
import subprocess
import sys
import time
from types import TracebackType

from ttt3r_ros.errors import Ttt3rError

_DOMAINS = range(1, 102)  # those whose ports no system uses otherwise
_TRIED = 6  # of them, until one is free
_HERE = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
_TAIL = 2000  # characters of a log that are shown
_REFUSAL = re.compile(r'cannot be (?:configured|activated): .*')  # by a node that goes on waiting


def find_free_domain() -> int:
    """
    Find a ROS domain on which no other node or topic of this machine is seen.

    :raises Ttt3rError: if there is none among those tried
    """
    tried = random.SystemRandom().sample(_DOMAINS, _TRIED)
    command = [sys.executable, '-m', 'ttt3r_ros.node.free_domain', *map(str, tried)]
    environment = {**os.environ, **_HERE}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Ttt3rError(f'no ROS domain was found free; choose one by --domain\n{done.stderr}')
    return int(done.stdout)


class RosProcesses:
    """
    Starts processes and ends them all when the block is left.

    :param logs: folder for what they say, one file each
    :param domain: ROS domain on which they talk
    """

    def __init__(self, logs: Path, domain: int) -> None:
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._environment = {**os.environ, **_HERE, 'ROS_DOMAIN_ID': str(domain)}

    def __enter__(self) -> RosProcesses:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for name in list(self._running):
            self.stop(name)

    def start(
        self, module: str, parameters: Mapping[str, object], more: Sequence[str] = ()
    ) -> None:
        """
        Start a module of `ttt3r_ros.node`.

        :param parameters: ROS parameters by name
        :param more: further ones as ROS writes them, `name:=value`
        """
        command = [sys.executable, '-m', f'ttt3r_ros.node.{module}', '--ros-args']
        for name, value in parameters.items():
            command += ['-p', f'{name}:={_yaml(value)}']
        command += [part for assignment in more for part in ('-p', assignment)]
        with self._log(module).open('wb') as log:
            self._running[module] = subprocess.Popen(
                command, env=self._environment, stdout=subprocess.PIPE, stderr=log
            )

    def wait_for_word(self, module: str, word: str, timeout: float) -> None:
        """
        Wait until a process prints a word; what it prints afterwards is not read.

        :raises Ttt3rError: if it, or another, ends before, or takes too long
        """
        output = self._running[module].stdout
        assert output is not None
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.check()
            ready, _, _ = select.select([output], [], [], 0.2)
            if ready and word in output.readline().decode(errors='replace'):
                return
        raise Ttt3rError(f'{module} was not ready in {timeout:.0f} s\n{self._said()}')

    def wait(self, module: str) -> None:
        """
        Wait for the end of a process.

        :raises Ttt3rError: if it fails, or another ends before
        """
        process = self._running[module]
        while process.poll() is None:
            self.check()
            time.sleep(0.05)
        self.stop(module)
        if process.returncode:
            raise Ttt3rError(f'{module} failed\n{self._said()}')

    def stop(self, module: str) -> None:
        """End a process as Ctrl-C would, and wait for it."""
        process = self._running.pop(module)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def check(self) -> None:
        """
        See whether all still run, and work.

        :raises Ttt3rError: if one has failed
        """
        node = self._log('main')
        refusal = _REFUSAL.search(_text(node)) if node.is_file() else None
        if refusal:
            raise Ttt3rError(f'the node {refusal[0]}')
        for module, process in self._running.items():
            if process.poll():
                raise Ttt3rError(
                    f'{module} ended with status {process.returncode}\n{self._said()}'
                )

    def lines(self, module: str, text: str) -> list[str]:
        """Return what a process has logged after a text, line by line."""
        lines = _text(self._log(module)).splitlines()
        return [line.partition(text)[2] for line in lines if text in line]

    def _log(self, module: str) -> Path:
        return self._logs / f'{module}.log'

    def _said(self) -> str:
        logs = sorted(self._logs.glob('*.log'))
        texts = [_text(log)[-_TAIL:] for log in logs]
        return '\n'.join(text for text in texts if text)


def _yaml(value: object) -> str:
    if isinstance(value, str):  # quoted, for text that reads as a number must stay text
        return "'" + value.replace("'", "''") + "'"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(log: Path) -> str:
    return log.read_text(encoding='utf-8', errors='replace')
