#!/usr/bin/env python3
"""
Fuzzes all that reads what others have written (test/fuzz/targets.py), with atheris.

    python tools/fuzz.py run TARGET [CASES]     # find new paths; keep them in --corpus
    python tools/fuzz.py replay [TARGET ...]    # run what is kept once, e.g. under coverage
    python tools/fuzz.py seeds                  # write the first seeds into test/fuzz/corpus

A case that raises anything but the package's errors, takes longer than a minute, or asks for much
more memory ends the run; it is written beside as `crash-…` and said how to repeat.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import resource
import sys
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / 'test' / 'fuzz' / 'corpus'
_MOST_BYTES = 65536  # of one case
_MOST_SECONDS = 60
_MOST_MEMORY = 3 << 30  # bytes of address space beyond that of the libraries


def main() -> int:
    """
    Run the tool.

    :return: exit status
    """
    parser = argparse.ArgumentParser(description='Fuzz the readers of foreign data.')
    parser.add_argument('action', choices=('run', 'replay', 'seeds'))
    parser.add_argument('rest', nargs='*')
    parser.add_argument('--corpus', type=Path, default=CORPUS, help='folder with one per target')
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT / 'test' / 'fuzz'))
    if arguments.action == 'seeds':
        from seeds import write_seeds

        write_seeds(arguments.corpus)
        return 0
    if arguments.action == 'replay':
        return replay(arguments.corpus, arguments.rest)
    target, cases = arguments.rest[0], int((arguments.rest[1:] or ['100000'])[0])
    return fuzz(target, cases, arguments.corpus)


def replay(corpus: Path, names: list[str]) -> int:
    """Run every case that is kept once."""
    from targets import TARGETS

    for name in names or TARGETS:
        cases = sorted(path for path in (corpus / name).iterdir() if path.is_file())
        for path in cases:
            TARGETS[name](path.read_bytes())
        print(f'{name}: {len(cases)} cases')
    return 0


def fuzz(name: str, cases: int, corpus: Path) -> int:
    """Look for new cases, and add those that find new paths to the corpus."""
    try:
        import atheris
    except ImportError:
        print('fuzz: atheris is needed: pip install atheris', file=sys.stderr)
        return 1
    with atheris.instrument_imports(include=['ttt3r_ros', 'rosbags']):
        from remembered import remember_types
        from targets import TARGETS
    remember_types()
    limit_memory()
    folder = corpus / name
    folder.mkdir(parents=True, exist_ok=True)
    options = [f'-runs={cases}', f'-max_len={_MOST_BYTES}', f'-timeout={_MOST_SECONDS}']
    options += [f'-artifact_prefix={name}-', '-rss_limit_mb=0', '-use_value_profile=0']
    target: Any = TARGETS[name]
    atheris.Setup([sys.argv[0], *options, '-print_final_stats=1', str(folder)], target)
    atheris.Fuzz()
    return 0


def limit_memory() -> None:
    """Let an allocation that a few bytes ask for fail."""
    pages = int(Path('/proc/self/statm').read_text(encoding='ascii').split()[0])
    most = pages * resource.getpagesize() + _MOST_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == '__main__':
    sys.exit(main())
