"""
Photographic textures: small square tiles with their mip levels, read from a cached file.

`tools/build_textures.py` makes the file from freely licensed images. Training uses it where it is
present; scenes made for evaluation have procedural textures alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
import logging
import os
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.synthetic.patterns import MIP_LEVELS, TILE_SIDE

TEXTURES_VARIABLE = 'TTT3R_TEXTURES'
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Atlas:
    """Tiles [K, texels of all levels, 3] and which of them suit what."""

    tiles: NDArray[np.uint8]
    groups: dict[str, list[int]]


def empty_atlas() -> Atlas:
    """Return an atlas without tiles: every texture is procedural."""
    return Atlas(np.zeros((1, 1, 3), np.uint8), {})


def mip_levels(tile: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """
    Flatten a tile and its halved copies.

    :param tile: [TILE_SIDE, TILE_SIDE, 3]
    :return: all levels, finest first [texels, 3]
    """
    level = tile.astype(np.float32)
    levels = []
    for _ in range(MIP_LEVELS):
        levels.append(level.reshape(-1, 3))
        half = level.shape[0] // 2
        level = level.reshape(half, 2, half, 2, 3).mean(axis=(1, 3))
    return np.asarray(np.concatenate(levels).round(), dtype=np.uint8)


def make_atlas(tiles: NDArray[np.uint8], names: list[str]) -> Atlas:
    """
    Build an atlas.

    :param tiles: [K, TILE_SIDE, TILE_SIDE, 3]
    :param names: group of each tile: 'wall', 'floor', 'wood', 'any' or 'picture' [K]
    :raises ValueError: where shapes do not fit
    """
    if tiles.shape[1:] != (TILE_SIDE, TILE_SIDE, 3) or len(tiles) != len(names):
        raise ValueError(f'tiles are {tiles.shape} with {len(names)} names')
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        groups.setdefault(name, []).append(index)
    return Atlas(np.stack([mip_levels(tile) for tile in tiles]), groups)


def default_texture_path() -> Path:
    """Return where the texture file is looked for: $TTT3R_TEXTURES, or the user's cache."""
    given = os.environ.get(TEXTURES_VARIABLE, '')
    return Path(given) if given else Path.home() / '.cache' / 'ttt3r_ros' / 'textures.npz'


@lru_cache(maxsize=4)
def load_atlas(path: Path | None = None) -> Atlas:
    """
    Read the texture file, or return an empty atlas (and say so in the log) without one.

    :raises DatasetError: $TTT3R_TEXTURES names no file (other than the null device: no textures),
        or the file holds no textures
    """
    given = path is None and bool(os.environ.get(TEXTURES_VARIABLE))
    path = path or default_texture_path()
    if not path.is_file():
        if given and str(path) != os.devnull:
            raise DatasetError(f'{path}: no such file of textures (${TEXTURES_VARIABLE})')
        _LOG.info('no photographic textures at %s: scenes are procedural alone', path)
        return empty_atlas()
    try:
        with np.load(path) as file:
            atlas = make_atlas(file['tiles'], [str(name) for name in file['groups']])
    except (ValueError, TypeError, AttributeError, KeyError, EOFError, BadZipFile) as error:
        raise DatasetError(f'{path} holds no textures of tools/build_textures.py') from error
    _LOG.info('%d photographic textures from %s', len(atlas.tiles), path)
    return atlas
