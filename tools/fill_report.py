"""
Puts the pages that `ttt3r evaluate` wrote into a document, between markers.

A line `<!-- results: NAME -->` is followed by what NAME.md says, up to `<!-- end -->`; the figures
go to `images/` beside the document. Results that were not made are left as they are.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import re

from PIL import Image

_BLOCK = re.compile(r'<!-- results: (\S+) -->\n.*?<!-- end -->', re.DOTALL)
_FIGURE = re.compile(r'^!\[(.*)\]\((.*)\)$')
_KINDS = ('curves', 'trajectory', 'depth', 'cloud')


def main() -> None:
    """Fill the document that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', type=Path, help='folder of the results')
    parser.add_argument('document', type=Path)
    arguments = parser.parse_args()
    images = arguments.document.parent / 'images'
    text = arguments.document.read_text(encoding='utf-8')

    def block(match: re.Match[str]) -> str:
        page = arguments.out / f'{match[1]}.md'
        if not page.is_file():
            print(f'{page} was not made; its block stays')
            return match[0]
        body = '\n'.join(_body(page, images)).strip()
        return f'<!-- results: {match[1]} -->\n\n{body}\n\n<!-- end -->'

    arguments.document.write_text(_BLOCK.sub(block, text), encoding='utf-8')


def _body(page: Path, images: Path) -> list[str]:
    """Return the page without its title, with one figure of each kind."""
    lines, shown = [], set()
    for line in page.read_text(encoding='utf-8').splitlines()[1:]:
        figure = _FIGURE.match(line)
        if figure is None:
            lines.append(line)
            continue
        kind = next(kind for kind in _KINDS if f'-{kind}' in figure[2].removeprefix(page.stem))
        if kind not in shown:
            shown.add(kind)
            images.mkdir(exist_ok=True)
            _copy_small(page.parent / figure[2], images / figure[2])
            lines += [f'![{figure[1]}](images/{figure[2]})', '']
    return [line for line, after in zip(lines, [*lines[1:], 'end'], strict=True) if line or after]


def _copy_small(source: Path, target: Path) -> None:
    """
    Copy a figure with 256 colours: a third of the bytes.

    Those of thin lines are among them, and what lies between them is mixed from pixels.
    """
    with Image.open(source) as image:
        exact = image.convert('RGB')
    colors = exact.quantize(256, Image.Quantize.MAXCOVERAGE)
    few = exact.quantize(palette=colors, dither=Image.Dither.FLOYDSTEINBERG)
    few.save(target, optimize=True)


if __name__ == '__main__':
    main()
