from __future__ import annotations

from pathlib import Path
import subprocess
import sys

import numpy as np
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


def copied_figure(folder, pixels):
    Image.fromarray(pixels).save(folder / 'pose-walk-curves.png')
    (folder / 'pose-walk.md').write_text('# Pose\n![title](pose-walk-curves.png)\n')
    document = folder / 'page.md'
    document.write_text('<!-- results: pose-walk -->\n<!-- end -->\n')
    subprocess.run([sys.executable, TOOL, folder, document], check=True)
    with Image.open(folder / 'images' / 'pose-walk-curves.png') as image:
        return np.asarray(image.convert('RGB')).astype(int)


def test_the_colours_of_thin_lines_are_kept(tmp_path):
    pixels = np.random.default_rng(0).integers(180, 256, (100, 100, 3), dtype=np.uint8)
    lines = [(24, 69, 251), (255, 94, 2), (201, 31, 22)]
    pixels[:3, :5] = np.reshape(lines, (3, 1, 3))
    copied = copied_figure(tmp_path, pixels)
    assert np.abs(copied[:3, 2] - lines).max() < 15


def test_photographs_have_no_steps(tmp_path):
    ramp = np.linspace(0, 255, 240)
    across, down = np.meshgrid(ramp, ramp)
    pixels = np.stack([across, down, 255 - (across + down) / 2], axis=-1).astype(np.uint8)
    copied = copied_figure(tmp_path, pixels)
    means = [a.reshape(30, 8, 30, 8, 3).mean(axis=(1, 3)) for a in (pixels, copied)]
    assert np.abs(means[1] - means[0]).mean() < 1
