"""tools/mutate.py on a small project, and its list: all promises are tried, on today's code."""

import json
import re
import subprocess
import sys

import mutate
import pytest
from test_architecture import ROOT

DOOR = """
def open_door(key):
    if key != 'mine':
        raise PermissionError(key)
    return 'open'


def close_door():
    return 'closed'
"""
TESTS = """
import subprocess
import sys
import time
from house.door import close_door, open_door
import pytest

def test_strangers_stay_outside():
    with pytest.raises(PermissionError):
        open_door('yours')

def test_doors():
    assert open_door('mine')

def test_processes_elsewhere(tmp_path):
    code = 'from house.door import close_door; print(close_door())'
    subprocess.run([sys.executable, '-c', code], cwd=tmp_path, check=True)

def test_patience():
    while not close_door():
        time.sleep(0.1)

def test_elsewhere():
    pytest.skip('not here')

@pytest.fixture
def closed():
    assert close_door()

@pytest.fixture
def never():
    if not close_door():
        raise OSError

def test_with_a_closed_door(closed):
    pass

def test_that_never_runs(never):
    pass

@pytest.mark.xfail
def test_known_to_fail():
    assert not close_door()

def test_what_is_wrong_anyway():
    assert not close_door()
"""
ALONE = """
import subprocess
import sys

def test_alone():
    subprocess.run([sys.executable, '-c', 'import house.door'], check=True)
"""
STRANGERS = {'find': "if key != 'mine'", 'replace': 'if not key'}
CLOSED = {'find': "return 'closed'", 'replace': "return ''"}
BROKEN = {'find': "return 'closed'", 'replace': 'raise SystemExit(3)'}
UNKNOWN = {'find': "return 'closed'", 'replace': 'return state'}
NO_MODULE = {'find': 'def open_door', 'replace': 'import window\n\n\ndef open_door'}
NO_PROGRAM = {'find': 'def open_door', 'replace': 'def def open_door'}
# what is taken out, the test, the result
CASES = {
    'strangers': (STRANGERS, 'test_strangers_stay_outside', 'detected'),
    'unseen': (CLOSED, 'test_doors', 'SURVIVED'),
    'elsewhere': (BROKEN, 'test_processes_elsewhere', 'detected'),
    'endless': (CLOSED | {'limit': 3.0}, 'test_patience', 'timed out'),
    'skipped': (CLOSED, 'test_elsewhere', 'skipped'),
    'partly skipped': (CLOSED, ['test_elsewhere', 'test_doors'], 'skipped'),
    'known to fail': (STRANGERS, 'test_known_to_fail', 'SURVIVED'),
    'seen by a fixture': (CLOSED, 'test_with_a_closed_door', 'detected'),
    'not run': (CLOSED, 'test_that_never_runs', 'NOT TRIED'),
    'unknown name': (UNKNOWN, 'test_patience', 'NOT TRIED'),
    'no module': (NO_MODULE, 'test_processes_elsewhere', 'NOT TRIED'),
    'no module elsewhere': (NO_MODULE, 'test_alone', 'NOT TRIED'),
    'no program': (NO_PROGRAM, 'test_doors', 'NOT TRIED'),
    'program says so': (CLOSED, 'tools/look.py', 'detected'),
    'program is content': (STRANGERS, 'tools/look.py', 'SURVIVED'),
    'program crashes': (UNKNOWN, 'tools/look.py', 'NOT TRIED'),
    'program ends otherwise': (BROKEN, 'tools/look.py', 'NOT TRIED'),
    'no text': ({'find': 'window', 'replace': ''}, 'test_doors', 'NOT TRIED'),
    'two texts': ({'find': 'return', 'replace': 'pass'}, 'test_doors', 'NOT TRIED'),
    'no test': (STRANGERS, 'test_windows', 'NOT TRIED'),
}


def in_toml(name: str, mutation: dict, tests: str | list[str]) -> str:
    tests = [tests] if isinstance(tests, str) else tests
    fields = {'name': name, 'file': 'house/door.py', **mutation, 'tests': tests}
    return '\n'.join(['[[mutation]]', *(f'{k} = {json.dumps(v)}' for k, v in fields.items())])


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a repository with a package, tests and mutations."""
    monkeypatch.setenv('PYTEST_DISABLE_PLUGIN_AUTOLOAD', '1')  # they take longer than the tests
    root = tmp_path / 'repository'
    cases = '\n\n'.join(in_toml(name, *case[:2]) for name, case in CASES.items())
    wrong = in_toml('unclean', STRANGERS, 'test_what_is_wrong_anyway')
    for name, text in {
        'house/__init__.py': '',
        'house/door.py': DOOR,
        'test/test_door.py': TESTS,
        'test/test_alone.py': ALONE,
        'tools/look.py': 'import house.door\n\nraise SystemExit(not house.door.close_door())\n',
        'test/system/mutations.toml': f'{cases}\n\n{wrong}\n',
        'pyproject.toml': "[tool.pytest.ini_options]\nmarkers = ['full']\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    subprocess.run(['git', 'init', '--quiet', str(root)], check=True)
    return root


def only(*names: str) -> list[str]:
    return [word for name in names for word in ('--only', name)]


@pytest.mark.parametrize('name', CASES)
def test_what_becomes_of_a_mutation(project, capsys, name):
    result = CASES[name][2]
    assert mutate.main(only(name), project) == (result not in ('detected', 'timed out'))
    assert capsys.readouterr().out.startswith(result)
    assert (project / 'house' / 'door.py').read_text() == DOOR


def test_a_test_that_fails_anyway_shows_nothing(project, capsys):
    assert mutate.main(['--check-clean', *only('unclean', 'strangers')], project) == 1
    told = dict(line.split()[:2] for line in capsys.readouterr().out.splitlines())
    assert 'NOT' in told  # clean
    assert 'detected' in told


def test_results_are_gone_on_from(project, tmp_path, capsys):
    results = tmp_path / 'results.jsonl'
    keep = ['strangers', 'no text']
    path = project / 'test' / 'system' / 'mutations.toml'
    chosen = [in_toml(name, *CASES[name][:2]) for name in keep]
    path.write_text('\n\n'.join(chosen))
    for _ in range(2):
        assert mutate.main(['--results', str(results)], project) == 1
        assert '1 NOT TRIED, 1 detected' in capsys.readouterr().out
        assert len(results.read_text().splitlines()) == 2
    path.write_text('\n\n'.join(chosen).replace('if not key', 'if key is None'))
    mutate.main(['--results', str(results)], project)
    assert len(results.read_text().splitlines()) == 3, 'another mutation of that name'


MUTATIONS = mutate.read_mutations(ROOT / 'test' / 'system' / 'mutations.toml')
CONTRACT, RELIABILITY = 'test/system/README.md', 'docs/reliability.md'
LAUNCH = {  # not run by pytest
    '`camera.launch.py`, `replay.launch.py`',
    'a node that is killed is started again and tracks',
    'killed, it is started again by the launch file and tracks within 3 s of its weights',
}


def rows(file: str) -> dict[str, str]:
    """Return the second column of the first table by the first, headings left out."""
    table = re.search(r'\|---\|.*\n((\|.*\n)+)', (ROOT / file).read_text(encoding='utf-8'))
    cells = [line.split(' | ') for line in table[1].splitlines()]
    return {first[2:]: second.rstrip(' |') for first, second, *_ in cells if second.strip(' |')}


def test_each_promise_is_tried():
    assert rows(CONTRACT).keys() - LAUNCH == {m.promise for m in MUTATIONS if m.promise}
    assert rows(RELIABILITY).keys() - LAUNCH == {m.reliability for m in MUTATIONS if m.reliability}


def test_each_test_of_the_contract_is_tried():
    named = set(re.findall(r'`(test_\w+)`', ''.join(rows(CONTRACT).values())))
    assert len(named) > 50
    assert named <= {test.split('[')[0] for mutation in MUTATIONS for test in mutation.tests}


def test_mutations_use_names_that_are_there(tmp_path):
    for mutation in MUTATIONS:
        text = (ROOT / mutation.file).read_text(encoding='utf-8')
        (tmp_path / f'{mutation.name}.py').write_text(mutation.apply(text), encoding='utf-8')
    ruff = [sys.executable, '-m', 'ruff', 'check', '--isolated', '--select', 'F821,F823']
    done = subprocess.run(
        [*ruff, '--output-format=concise', str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize('mutation', MUTATIONS, ids=lambda mutation: mutation.name)
def test_mutations_are_of_this_code(mutation):
    text = (ROOT / mutation.file).read_text(encoding='utf-8')
    compile(mutation.apply(text), mutation.file, 'exec')
    for test in mutation.tests:
        assert test.startswith('tools/') or mutate.find_test(ROOT, test)
