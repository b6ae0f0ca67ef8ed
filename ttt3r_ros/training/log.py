"""A run's log: one entry of JSON a line, of which a process that is killed may leave half."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ttt3r_ros.files import atomic_file
from ttt3r_ros.training.saved import writing

LOG = 'log.jsonl'
"""The log in a run's folder."""

Entry = dict[str, Any]
"""Figures by name; `step` is always among them."""


def read_log(path: Path) -> list[Entry]:
    """
    Read a log, without half lines; of steps that were made twice, the later entries count.

    :raises OSError: it cannot be read
    """
    entries: list[Entry] = []
    for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
        entry = _parse(line)
        if entry is None:
            continue
        while entries and _made_again(entries[-1], entry):
            entries.pop()
        entries.append(entry)
    return entries


def _parse(line: str) -> Entry | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and 'step' in entry else None


def _made_again(earlier: Entry, later: Entry) -> bool:
    if earlier['step'] == later['step']:  # a validation comes after a line of the same step
        return earlier.keys() == later.keys()
    return bool(earlier['step'] > later['step'])


def mend_log(path: Path, step: int) -> None:
    """
    Take out of a log what a run that goes on from a step will write again, and half lines.

    :raises OSError: it cannot be read or written
    """
    if not path.exists():
        return
    entries = [entry for entry in read_log(path) if entry['step'] <= step]
    content = ''.join(json.dumps(entry) + '\n' for entry in entries).encode()
    if content != path.read_bytes():
        with writing(path), atomic_file(path) as file:
            file.write(content)


def add_to_log(path: Path, entry: Entry) -> None:
    """
    Append an entry.

    :raises OSError: it cannot be written
    """
    with writing(path), path.open('a', encoding='utf-8') as file:
        file.write(json.dumps(entry) + '\n')
