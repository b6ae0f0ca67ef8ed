"""What many tests share."""

from __future__ import annotations

from functools import cache
import os
from pathlib import Path
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
import yaml

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


@pytest.fixture
def write_calibration(tmp_path):
    """Write a calibration file as `camera_calibration` does; changes replace entries."""

    def write(camera, distortion=(0.0,) * 5, *, model='plumb_bob', zoom=1.0, **changes):
        K, P = camera.matrix, np.zeros((3, 4))
        P[:, :3] = K * [[zoom], [zoom], [1]]
        told = {
            'image_width': camera.width,
            'image_height': camera.height,
            'camera_name': 'front',
            'camera_matrix': {'rows': 3, 'cols': 3, 'data': K.ravel().tolist()},
            'distortion_model': model,
            'distortion_coefficients': {
                'rows': 1,
                'cols': len(distortion),
                'data': list(distortion),
            },
            'rectification_matrix': {'rows': 3, 'cols': 3, 'data': np.eye(3).ravel().tolist()},
            'projection_matrix': {'rows': 3, 'cols': 4, 'data': P.ravel().tolist()},
        }
        told.update(changes)
        path = tmp_path / 'front.yaml'
        path.write_text(yaml.safe_dump({k: v for k, v in told.items() if v is not None}))
        return path

    return write
