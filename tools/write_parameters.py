"""
Writes the parameter file of all defaults and the table of parameters in the documentation.

    python tools/write_parameters.py
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ttt3r_ros.node.reconstruction_node import CONFIGS
from ttt3r_ros.node.sequence_player import PlayerConfig
from ttt3r_ros.settings import Setting, settings_of

ROOT = Path(__file__).resolve().parent.parent
_BEGIN, _END = '<!-- {} -->', '<!-- end of {} -->'


def main() -> None:
    """Write both files."""
    (ROOT / 'config' / 'ttt3r.yaml').write_text(yaml_text(), encoding='utf-8')
    page = ROOT / 'docs' / 'parameters.md'
    page.write_text(fill_tables(page.read_text(encoding='utf-8')), encoding='utf-8')


def yaml_text() -> str:
    """Return what config/ttt3r.yaml has to hold: every default, each with its description."""
    lines = [
        '# All parameters with their defaults, written by tools/write_parameters.py from the',
        '# settings in the code. Copy the lines that you want to change into a file of your own.',
        '/**:',
        '  ros__parameters:',
    ]
    for config in CONFIGS:
        for name, declared in settings_of(config).items():
            lines += ['', f'    # {_explain(declared)}', f'    {name}: {_yaml_value(declared)}']
    return '\n'.join(lines) + '\n'


def fill_tables(page: str) -> str:
    """Replace what stands between the marks of each table."""
    tables = {'reconstruction_node': CONFIGS, 'sequence_player': (PlayerConfig,)}
    for name, configs in tables.items():
        begin, end = _BEGIN.format(name), _END.format(name)
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f'{before}{begin}\n{_table(configs)}{end}{after}'
    return page


def _table(configs: Iterable[type[Any]]) -> str:
    lines = ['| parameter | default | at run time | meaning |', '|---|---|---|---|']
    for config in configs:
        for name, declared in settings_of(config).items():
            runtime = 'yes' if declared.runtime else ''
            value = _yaml_value(declared)
            lines.append(f'| `{name}` | `{value}` | {runtime} | {_explain(declared)} |')
    return '\n'.join(lines) + '\n'


def _explain(declared: Setting) -> str:
    limits = []
    if declared.choices is not None:
        limits.append(', '.join(choice or 'empty' for choice in declared.choices))
    if declared.ge is not None:
        limits.append(f'at least {declared.ge:g}')
    if declared.le is not None:
        limits.append(f'at most {declared.le:g}')
    return declared.description + (f' [{"; ".join(limits)}]' if limits else '')


def _yaml_value(declared: Setting) -> str:
    value = declared.default
    return str(value).lower() if isinstance(value, bool) else repr(value)


if __name__ == '__main__':
    main()
