from __future__ import annotations

from pathlib import Path
import subprocess
import sys

from PIL import Image

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'fill_report.py'


def test_pages_are_put_between_their_markers(tmp_path):
    out, docs = tmp_path / 'out', tmp_path / 'docs'
    out.mkdir()
    docs.mkdir()
    figures = ['pose-walk-curves.png', 'pose-walk-trajectory-a.png', 'pose-walk-trajectory-b.png']
    page = ['# Pose, walk', '', '- weights: small', '', '| a |', '']
    for name in figures:
        Image.new('RGB', (8, 8), 'red').save(out / name)
        page += [f'![title]({name})', '']
    (out / 'pose-walk.md').write_text('\n'.join(page))
    document = docs / 'evaluation.md'
    empty = '<!-- results: {} -->\nold\n<!-- end -->\n'
    document.write_text(
        'before\n' + empty.format('pose-walk') + empty.format('absent') + 'after\n'
    )
    for _ in range(2):  # a second time changes nothing
        subprocess.run([sys.executable, TOOL, out, document], check=True)
        text = document.read_text()
        assert text == (
            'before\n<!-- results: pose-walk -->\n\n- weights: small\n\n| a |\n\n'
            '![title](images/pose-walk-curves.png)\n\n'
            '![title](images/pose-walk-trajectory-a.png)\n\n<!-- end -->\n'
            '<!-- results: absent -->\nold\n<!-- end -->\nafter\n'
        )
    copied = sorted(path.name for path in (docs / 'images').iterdir())
    assert copied == figures[:2]
    with Image.open(docs / 'images' / figures[0]) as image:
        assert image.convert('RGB').getpixel((4, 4)) == (255, 0, 0)
