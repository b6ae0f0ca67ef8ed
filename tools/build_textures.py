"""
Make the file of photographic textures that the scene generator uses where it is present.

    apt-get download sweethome3d sweethome3d-furniture python3-skimage \
        plasma-workspace-wallpapers gnome-backgrounds mate-backgrounds
    python tools/build_textures.py --packages FOLDER_WITH_DEB_FILES

The images stay on this machine: the file goes to the user's cache, not into the repository.
docs/training.md lists their sources and licences.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
import io
from pathlib import Path
from random import Random
import subprocess
import tempfile
from typing import IO
import zipfile

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ttt3r_ros.synthetic.atlas import default_texture_path
from ttt3r_ros.synthetic.patterns import TILE_SIDE

_SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp')
_GROUPS = (
    ('wood', ('wood', 'oak', 'pine', 'parquet', 'bois', 'plank', 'walnut')),
    ('wall', ('brick', 'wall', 'roughcast', 'stucco', 'wallpaper', 'tile')),
    ('floor', ('floor', 'paving', 'gravel', 'carpet', 'marble', 'pebbles', 'rug', 'stone')),
)
_SCENERY = ('wallpapers', 'backgrounds', 'sky', 'astronaut', 'coffee', 'motorcycle')
_SMALLEST = 64  # pixels; below, an image is an icon or a palette
_LARGEST = 8_000_000  # bytes; larger ones decode too slowly for what they bring
_PER_PACKAGE = 220


def _images(folder: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield all pictures of a package's files, those inside its archives too."""
    for path in sorted(folder.rglob('*')):
        if path.suffix in _SUFFIXES and path.is_file() and path.stat().st_size < _LARGEST:
            yield str(path.relative_to(folder)), io.BytesIO(path.read_bytes())
        elif path.suffix in ('.jar', '.sh3f'):
            with zipfile.ZipFile(path) as archive:
                for name in sorted(archive.namelist()):
                    if name.lower().endswith(_SUFFIXES) and not _is_icon(name):
                        yield name, io.BytesIO(archive.read(name))


def _is_icon(name: str) -> bool:
    return 'icon' in name.lower() or '/help/' in name or 'swing/resources' in name


def _group(name: str) -> str:
    low = name.lower()
    if any(word in low for word in _SCENERY):
        return 'picture'
    for group, words in _GROUPS:
        if any(word in low for word in words):
            return group
    return 'any'


def _tile(image: Image.Image, share: float, rng: Random) -> NDArray[np.uint8]:
    """Cut a square of a share of the shorter side at a random place, and scale it."""
    side = max(1, int(min(image.size) * share))
    x, y = rng.randint(0, image.width - side), rng.randint(0, image.height - side)
    square = image.crop((x, y, x + side, y + side))
    return np.asarray(square.resize((TILE_SIDE, TILE_SIDE), Image.Resampling.LANCZOS))


def _is_dull(tile: NDArray[np.uint8]) -> bool:
    """Tell an almost uniform tile, or the picture of an object cut out on white or black."""
    if float(tile.astype(np.float32).std(axis=(0, 1)).mean()) < 4.0:
        return True
    white, black = (tile > 247).all(axis=2).mean(), (tile < 4).all(axis=2).mean()
    return max(float(white), float(black)) > 0.3


def _open(name: str, file: IO[bytes]) -> Image.Image | None:
    """Decode a picture at about 1000 pixels; None for icons, strips and broken files."""
    try:
        image = Image.open(file)
        if min(image.size) < _SMALLEST or max(image.size) > 6 * min(image.size):
            return None
        image.draft('RGB', (1000, 1000))
        return image.convert('RGB')
    except (OSError, UnidentifiedImageError) as error:
        print(f'{name} left out: {error}')
        return None


def _tiles(folder: Path, rng: Random) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    for name, file in _images(folder):
        image = _open(name, file)
        if image is None:
            continue
        group = _group(name)
        cuts = [(group, 1.0)]
        if group == 'picture' and min(image.size) > 600:
            cuts += [('picture', 0.6), ('any', 0.3)]
        for kind, share in cuts:
            tile = _tile(image, share, rng)
            if not _is_dull(tile):
                yield kind, tile


def main() -> None:
    """Unpack the packages, cut tiles and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--packages', type=Path, required=True, help='folder with .deb files')
    parser.add_argument('--output', type=Path, default=default_texture_path())
    arguments = parser.parse_args()
    rng, groups, tiles = Random(1), [], []
    for package in sorted(arguments.packages.glob('*.deb')):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(['dpkg', '-x', str(package), folder], check=True)
            found = list(_tiles(Path(folder), rng))
        rng.shuffle(found)
        kept = found[:_PER_PACKAGE]
        print(f'{package.name}: {len(found)} tiles, {len(kept)} kept')
        groups += [group for group, _ in kept]
        tiles += [tile for _, tile in kept]
    if not tiles:
        parser.error(f'no pictures in the packages of {arguments.packages}')
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(arguments.output, tiles=np.stack(tiles), groups=np.array(groups))
    counts = {group: groups.count(group) for group in sorted(set(groups))}
    print(f'{len(tiles)} tiles {counts} in {arguments.output}')


if __name__ == '__main__':
    main()
