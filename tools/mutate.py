#!/usr/bin/env python3
"""
Takes one promised behaviour after the other out of a copy of the package, and runs its tests.

A test that passes all the same does not test the promise: the mutation has survived.

    python tools/mutate.py [--only NAME]... [--check-clean] [--results FILE]

The mutations are in `test/system/mutations.toml`: the promise, the file, a text that is in it
once, what to put there instead, and the names of the tests of which one must fail. Exit status 1
if a mutation survives, if it cannot be tried (its tests are skipped, or what it leaves is no
program), or if its tests fail without it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
import json
import os
from pathlib import Path
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any
from xml.etree import ElementTree

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
_SHARED = 'shared'  # recordings and goldens, beside the repository
_BAD = {'SURVIVED', 'NOT TRIED', 'NOT CLEAN', 'skipped'}
_NO_PROGRAM = ('SyntaxError', 'IndentationError', 'NameError', 'UnboundLocalError')
_TRACEBACK = re.compile(r'^Traceback \(most recent call last\):$', re.MULTILINE)
_ASSERTED = re.compile(r'failed on (setup|teardown) with "(AssertionError|assert |Failed:)')


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """
    A behaviour that is taken out.

    :param promise: a row of `test/system/README.md`, its first column; empty: none
    :param reliability: one of `docs/reliability.md`
    :param file: of the package
    :param find: text that is in the file once
    :param replace: what is put there instead
    :param tests: names of test functions, parameters included if wanted; paths; or one program of
        `tools` with its arguments
    :param limit: seconds that the tests may take; 0: as the command line says
    """

    name: str
    file: str
    find: str
    replace: str
    tests: tuple[str, ...]
    promise: str = ''
    reliability: str = ''
    limit: float = 0.0

    def apply(self, text: str) -> str:
        """
        Return a file without the behaviour.

        :raises ValueError: if the text to find is not there exactly once, or stays as it is
        """
        found = text.count(self.find)
        if found != 1:
            raise ValueError(f'{self.name}: the text is {found} times in {self.file}, not once')
        if self.find == self.replace:
            raise ValueError(f'{self.name} changes nothing')
        return text.replace(self.find, self.replace)

    @property
    def digest(self) -> str:
        """What tells a result of this mutation from one of its earlier forms."""
        return json.dumps([self.file, self.find, self.replace, self.tests])


@dataclass(frozen=True)
class Outcome:
    """
    What came of one run of tests.

    :param result: passed, failed, skipped, timed out, or broken (nothing was tested)
    :param detail: what the first failing test says
    :param seconds: that it took
    """

    result: str
    detail: str
    seconds: float


def read_mutations(path: Path) -> list[Mutation]:
    """
    Read the mutations.

    :raises ValueError: if two have one name
    """
    entries: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding='utf-8'))['mutation']
    mutations = [Mutation(**{**entry, 'tests': tuple(entry['tests'])}) for entry in entries]
    names = [mutation.name for mutation in mutations]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f'these names are there twice: {", ".join(twice)}')
    return mutations


def find_test(root: Path, name: str) -> str:
    """
    Return what pytest calls a test.

    :param name: of its function, parameters in brackets if wanted; a path is taken as it is
    :raises ValueError: if there is not exactly one such function
    """
    if '/' in name.split('[')[0]:
        return name
    function = name.split('[')[0]
    pattern = re.compile(rf'^def {re.escape(function)}\(', re.MULTILINE)
    files = [
        path
        for path in sorted((root / 'test').rglob('test_*.py'))
        if pattern.search(path.read_text(encoding='utf-8'))
    ]
    if len(files) != 1:
        raise ValueError(f'{len(files)} files have a test named {function}, not one')
    return f'{files[0].relative_to(root)}::{name}'


@contextmanager
def copied(root: Path) -> Iterator[Path]:
    """Copy what git knows, or would add, into a temporary folder, beside the shared data."""
    listed = subprocess.run(
        ['git', 'ls-files', '--cached', '--others', '--exclude-standard', '-z'],
        cwd=root,
        capture_output=True,
        check=True,
        text=True,
    )
    with tempfile.TemporaryDirectory(prefix='ttt3r_mutation_') as folder:
        copy = Path(folder) / 'copy'
        for name in filter(None, listed.stdout.split('\0')):
            if (root / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, copy / name)
        shared = root.parent / _SHARED
        if shared.is_dir():
            (copy.parent / _SHARED).symlink_to(shared)
        yield copy


def run_tests(copy: Path, tests: Sequence[str], limit: float, patience: float) -> Outcome:
    """
    Run tests of a copy until the first fails, or a program.

    :param tests: see `Mutation`
    :param limit: seconds after which the tests and all their processes are killed
    :param patience: seconds that a test waits for what may never come
    :raises ValueError: if there is no such test
    """
    report = copy.parent / 'report.xml'
    is_program = tests[0].startswith('tools/')
    if is_program:
        command = [sys.executable, *shlex.split(tests[0])]
    else:
        command = [*pytest_command(report, [find_test(copy, name) for name in tests]), '-x']
    status, output, seconds = run(copy, command, limit, patience)
    if status is None:
        return Outcome('timed out', f'killed after {limit:g} s', seconds)
    last = (output.strip().splitlines() or ['it says nothing'])[-1]
    if is_program:
        crashed = status not in (0, 1) or _TRACEBACK.search(output)
        return Outcome('broken' if crashed else ('passed', 'failed')[status], last, seconds)
    if status not in (0, 1) or not report.exists():
        return Outcome('broken', last, seconds)
    return Outcome(*judge(report), seconds)


def pytest_command(report: Path, tests: Sequence[str]) -> list[str]:
    """Return the command that runs tests and writes a report."""
    options = ['-m', 'not full', '-p', 'no:cacheprovider', f'--junitxml={report}']
    return [sys.executable, '-m', 'pytest', *options, *tests]


def run(
    copy: Path, command: list[str], limit: float, patience: float
) -> tuple[int | None, str, float]:
    """
    Run a command with the copy as the package.

    :return: status, or None if it was killed; what it said; how many seconds it took
    """
    # First on the path, for processes that are started elsewhere: the package is installed too.
    path = os.pathsep.join(filter(None, [str(copy), os.environ.get('PYTHONPATH', '')]))
    environment = os.environ | {'PYTHONPATH': path, 'TTT3R_TEST_PATIENCE': str(patience)}
    began = time.monotonic()
    status: int | None = None
    with (copy.parent / 'output.txt').open('w+') as output:
        process = subprocess.Popen(
            command, cwd=copy, env=environment, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if status is None:  # the time is over, or this program is to end
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        return status, output.read(), time.monotonic() - began


def judge(report: Path) -> tuple[str, str]:
    """
    Return the result of a run of pytest, and what the first test says that did not pass.

    What a fixture asserts counts as its test; other errors, and a program that is none, do not.
    """
    rest = 'passed', ''
    for case in ElementTree.parse(report).iter('testcase'):
        for kind in ('failure', 'error', 'skipped'):
            if (found := case.find(kind)) is None or found.get('type') == 'pytest.xfail':
                continue
            said = found.get('message', '')
            told = f'{case.get("name")}: {" ".join(said.split())}'[:240]
            if kind == 'skipped':
                rest = 'skipped', told
            elif said.startswith(_NO_PROGRAM) or (kind == 'error' and not _ASSERTED.match(said)):
                return 'broken', told
            else:
                return 'failed', told
    return rest


def find_failing(root: Path, mutations: Sequence[Mutation], patience: float) -> dict[str, str]:
    """
    Run all tests of some mutations without them.

    :return: what is wrong with them, by the name of the mutation
    """
    with copied(root) as copy:
        chosen = {
            mutation.name: [find_test(copy, name) for name in mutation.tests]
            for mutation in mutations
            if not mutation.tests[0].startswith('tools/')
        }
        report = copy.parent / 'report.xml'
        tests = sorted({test for tests in chosen.values() for test in tests})
        run(copy, pytest_command(report, tests), 60.0 * len(mutations) + 60.0, patience)
        if not report.exists():
            return dict.fromkeys(chosen, 'the tests did not come to their end')
        failing = [
            f'{case.get("classname", "").replace(".", "/")}.py::{case.get("name")}'
            for case in ElementTree.parse(report).iter('testcase')
            if case.find('failure') is not None or case.find('error') is not None
        ]
    return {
        name: f'fails without the mutation: {failed}'
        for name, tests in chosen.items()
        for failed in failing
        if any(re.match(rf'{re.escape(test)}($|\[|::)', failed) for test in tests)
    }


def check_import(copy: Path, file: str, patience: float) -> None:
    """
    Import a file of the package: tests that fail because it cannot be imported show nothing.

    :raises ValueError: that is so
    """
    path = copy / file
    if path.name == '__main__.py' or not (path.parent / '__init__.py').exists():
        return
    module = '.'.join(Path(file).with_suffix('').parts)
    status, output, _ = run(copy, [sys.executable, '-c', f'import {module}'], 60.0, patience)
    if status != 0:
        raise ValueError(f'{file} cannot be imported: {(output.splitlines() or [""])[-1]}')


def try_mutation(root: Path, mutation: Mutation, limit: float, patience: float) -> Outcome:
    """Run the tests of a mutation on a copy that has it."""
    with copied(root) as copy:
        path = copy / mutation.file
        try:
            path.write_text(mutation.apply(path.read_text(encoding='utf-8')), encoding='utf-8')
            outcome = run_tests(copy, mutation.tests, mutation.limit or limit, patience)
            if outcome.result == 'failed':
                check_import(copy, mutation.file, patience)
        except (ValueError, OSError) as error:
            return Outcome('NOT TRIED', str(error), 0.0)
    names = {'passed': 'SURVIVED', 'failed': 'detected', 'broken': 'NOT TRIED'}
    return Outcome(names.get(outcome.result, outcome.result), outcome.detail, outcome.seconds)


class Results:
    """
    What is known already, kept in a file if one is given, one line of JSON each.

    :param path: read at the start, and appended to
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, Outcome] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding='utf-8').splitlines():
                entry = json.loads(line)
                self._known[entry.pop('digest')] = Outcome(
                    entry['result'], entry['detail'], entry['seconds']
                )

    def find(self, mutation: Mutation) -> Outcome | None:
        """Return the newest result of a mutation that still is as it was."""
        return self._known.get(mutation.digest)

    def add(self, mutation: Mutation, outcome: Outcome) -> None:
        """Keep a result."""
        if self._path is not None:
            entry = {'name': mutation.name, **vars(outcome), 'digest': mutation.digest}
            with self._path.open('a', encoding='utf-8') as file:
                file.write(json.dumps(entry) + '\n')


def tell(mutation: Mutation, outcome: Outcome) -> None:
    """Print a row of the table, and below it why."""
    tests = ', '.join(mutation.tests)
    print(f'{outcome.result:10} {outcome.seconds:4.0f} s  {mutation.name}: {tests}')
    if outcome.detail:
        print(f'{"":18}{outcome.detail}', flush=True)


def choose(mutations: list[Mutation], only: Sequence[str]) -> list[Mutation]:
    """
    Return the mutations asked for by name; all if none is.

    :raises ValueError: if there is none of that name
    """
    unknown = set(only) - {mutation.name for mutation in mutations}
    if unknown:
        raise ValueError(f'no such mutation: {", ".join(sorted(unknown))}')
    return [mutation for mutation in mutations if not only or mutation.name in only]


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """
    Run the tool.

    :param root: of the repository
    :return: exit status
    """
    parser = argparse.ArgumentParser(description='Try the tests without what they test.')
    parser.add_argument('--only', action='append', default=[], help='try this one, again')
    parser.add_argument('--check-clean', action='store_true', help='first run without mutation')
    parser.add_argument('--results', type=Path, help='file to go on from, one result a line')
    parser.add_argument('--limit', type=float, default=90.0, help='seconds for the tests of one')
    parser.add_argument('--patience', type=float, default=15.0, help='seconds that a test waits')
    parsed = parser.parse_args(arguments)
    mutations = read_mutations(root / 'test' / 'system' / 'mutations.toml')
    chosen = choose(mutations, parsed.only)
    unclean = find_failing(root, chosen, parsed.patience) if parsed.check_clean else {}
    results, found = Results(parsed.results), []
    for mutation in chosen:
        outcome = None if parsed.only else results.find(mutation)
        if mutation.name in unclean:
            outcome = Outcome('NOT CLEAN', unclean[mutation.name], 0.0)
        elif outcome is None:
            outcome = try_mutation(root, mutation, parsed.limit, parsed.patience)
            results.add(mutation, outcome)
        tell(mutation, outcome)
        found.append(outcome.result)
    counts = {name: found.count(name) for name in sorted(set(found))}
    print(f'{len(found)} mutations: ' + ', '.join(f'{n} {name}' for name, n in counts.items()))
    return 1 if _BAD & set(found) else 0


if __name__ == '__main__':
    sys.exit(main())
