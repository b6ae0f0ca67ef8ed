"""
Writes the parameter file of all defaults and the table of parameters in the documentation.

    python tools/write_parameters.py
"""

from __future__ import annotations

from pathlib import Path

from ttt3r_ros.node.parameters import default_markdown, default_yaml
from ttt3r_ros.node.reconstruction_node import CONFIGS
from ttt3r_ros.node.sequence_player import PlayerConfig

ROOT = Path(__file__).resolve().parent.parent
_BEGIN, _END = '<!-- {} -->', '<!-- end of {} -->'


def main() -> None:
    """Write both files."""
    (ROOT / 'config' / 'ttt3r.yaml').write_text(yaml_text(), encoding='utf-8')
    page = ROOT / 'docs' / 'parameters.md'
    page.write_text(fill_tables(page.read_text(encoding='utf-8')), encoding='utf-8')


def yaml_text() -> str:
    """Return what config/ttt3r.yaml has to hold."""
    return (
        '# All parameters with their defaults, written by tools/write_parameters.py from the\n'
        '# settings in the code. Copy the lines that you want to change into a file of your own.\n'
        + default_yaml(CONFIGS)
    )


def fill_tables(page: str) -> str:
    """Replace what stands between the marks of each table."""
    tables = {'reconstruction_node': CONFIGS, 'sequence_player': (PlayerConfig,)}
    for name, configs in tables.items():
        begin, end = _BEGIN.format(name), _END.format(name)
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f'{before}{begin}\n{default_markdown(configs)}{end}{after}'
    return page


if __name__ == '__main__':
    main()
