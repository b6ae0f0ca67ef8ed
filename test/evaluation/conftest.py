from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2].parent / 'shared' / 'data'


def shared(name: str) -> Path:
    folder = SHARED_DATA / name
    if not folder.is_dir():
        pytest.skip(f'the recorded data {folder} is absent')
    return folder


@pytest.fixture(scope='session')
def tum_folder() -> Path:
    return shared('tum_fr1_rpy')


@pytest.fixture(scope='session')
def seven_scenes_folder() -> Path:
    return shared('seven_scenes_seq')
