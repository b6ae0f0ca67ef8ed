import logging
from pathlib import Path
from random import Random

import numpy as np
import pytest

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.synthetic import arrays as a
from ttt3r_ros.synthetic.atlas import load_atlas, make_atlas, mip_levels
from ttt3r_ros.synthetic.materials import Materials
from ttt3r_ros.synthetic.patterns import TILE_SIDE, fractal_noise, photo_offset, surface_colour
from ttt3r_ros.synthetic.photometry import Photography
from ttt3r_ros.synthetic.sequence import SceneCamera


def tile(value: int) -> np.ndarray:
    return np.full((TILE_SIDE, TILE_SIDE, 3), value, np.uint8)


def test_levels_keep_the_mean() -> None:
    noisy = np.random.default_rng(1).integers(0, 255, (TILE_SIDE, TILE_SIDE, 3), dtype=np.uint8)
    levels = mip_levels(noisy)
    coarsest = levels[-64:]
    np.testing.assert_allclose(coarsest.mean(0), noisy.mean((0, 1)), atol=1.0)
    assert coarsest.std() < 0.2 * noisy.std()


def test_far_photographs_use_coarse_levels() -> None:
    fine, full = TILE_SIDE**2, TILE_SIDE**2 * 4 / 3
    assert photo_offset(0.5, 0.5, 1e-4) < fine
    assert fine <= photo_offset(0.5, 0.5, 0.05) < full


def test_photographs_repeat_mirrored() -> None:
    assert photo_offset(0.3, 0.4, 1e-4) == photo_offset(1.7, 0.4, 1e-4)
    assert photo_offset(0.3, 0.4, 1e-4) == photo_offset(2.3, 2.4, 1e-4)


def test_noise_finer_than_a_pixel_fades() -> None:
    points = np.random.default_rng(2).uniform(0, 50, (200, 2))
    near = [fractal_noise(x, y, 0.01, 3) for x, y in points]
    far = [fractal_noise(x, y, 1.0, 3) for x, y in points]
    assert np.std(near) > 0.1
    np.testing.assert_allclose(far, 0.5)


@pytest.mark.parametrize('kind', [a.CHECKS, a.STRIPES, a.BRICKS, a.TEXT, a.KEYS, a.CARPET, a.WOOD])
def test_patterns_vary_between_their_colours(kind: int) -> None:
    materials = Materials(Random(1), {})
    index = materials.add(kind, (0.1, 0.1, 0.1), (0.9, 0.9, 0.9), scale=0.1, noise=0.0)
    table, atlas = materials.table(), np.zeros((1, 1, 3), np.uint8)
    shades = [
        surface_colour(table, index, atlas, u, v, 0.5, 0.5, 1.0, 1e-4, 0)[0]
        for u, v in np.random.default_rng(3).uniform(0, 3, (300, 2))
    ]
    assert 0.1 - 1e-6 <= min(shades) < max(shades) <= 0.9 + 1e-6
    assert np.ptp(shades) > 0.3


def test_photographs_change_the_pictures() -> None:
    groups = ['wall', 'floor', 'wood', 'any', 'picture']
    atlas = make_atlas(np.stack([tile(40 * i) for i in range(5)]), groups)
    with_photographs = SceneCamera(3, atlas=atlas).film(1, 32, 24)
    assert not np.array_equal(with_photographs.rgb, SceneCamera(3).film(1, 32, 24).rgb)


def test_missing_photographs_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert load_atlas(tmp_path / 'none.npz').groups == {}
    assert 'procedural alone' in caplog.text


def test_photographs_that_were_asked_for_and_are_missing_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('TTT3R_TEXTURES', f'{tmp_path}//none.npz')
    load_atlas.cache_clear()
    with pytest.raises(DatasetError, match=r'none.npz: no such file of textures'):
        load_atlas()
    monkeypatch.setenv('TTT3R_TEXTURES', '/dev/null')
    assert load_atlas().groups == {}


@pytest.mark.parametrize('content', [b'', b'not an archive', b'PK\x03\x04'])
def test_a_file_without_photographs_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'textures.npz'
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r'textures.npz holds no textures'):
        load_atlas(path)


def test_photographs_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / 'textures.npz'
    np.savez(path, tiles=np.stack([tile(9), tile(99)]), groups=np.array(['wall', 'any']))
    atlas = load_atlas(path)
    assert atlas.groups == {'wall': [0], 'any': [1]}
    assert atlas.tiles[1].min() == 99


def test_tiles_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match='tiles are'):
        make_atlas(np.zeros((1, 8, 8, 3), np.uint8), ['any'])


def test_exposure_follows_the_light_slowly() -> None:
    camera = Photography.neutral()
    dim, bright = np.full((8, 8, 3), 0.1), np.full((8, 8, 3), 0.4)
    before = camera.picture(dim, (0, 0), 1).mean()
    at_once = camera.picture(bright, (0, 0), 1).mean()
    for _ in range(60):
        later = camera.picture(bright, (0, 0), 1).mean()
    assert at_once > before + 40
    assert later == pytest.approx(before, abs=3)


def test_motion_blurs_along_its_direction() -> None:
    camera = Photography.neutral()
    camera.shutter = 1.0
    stripes = np.tile(np.array([0.05, 0.05, 0.6, 0.6] * 4)[None, :, None], (16, 1, 3))
    along = camera.picture(stripes, (0, 8), 1)
    across = camera.picture(stripes, (8, 0), 1)
    assert across.std() < 0.5 * along.std()
