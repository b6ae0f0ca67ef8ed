"""What many tests share."""

from __future__ import annotations

from functools import cache
import os
from pathlib import Path
import sys
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / 'shared'

sys.path.append(str(ROOT / 'tools'))  # scripts, which some tests import
os.environ['TTT3R_TEXTURES'] = os.devnull  # scenes do not depend on what this user has cached


@pytest.fixture(autouse=True, scope='session')
def _few_threads() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope='session')
def shared() -> Path:
    """Folder of goldens and recordings that is not part of the repository."""
    if not SHARED.is_dir():
        pytest.skip(f'{SHARED} is not here')
    return SHARED


@pytest.fixture(scope='session')
def check_golden() -> ModuleType:
    """The script tools/check_golden.py as a module, its networks made once."""
    import check_golden

    check_golden.golden_network = cache(check_golden.golden_network)
    return check_golden
