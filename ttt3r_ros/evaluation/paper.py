"""
Published results, to print beside our own.

From "TTT3R: 3D Reconstruction as Test-Time Training" (arXiv 2509.26645), Tables 1 and 2, and from
third parties who ran the public code on long sequences. Rotations are in degrees.
"""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """One row of a published table; the values are named as our scorers name theirs."""

    method: str
    online: bool
    values: dict[str, float]


# Columns of Table 1: ATE, RPE translation, RPE rotation on Sintel (50 frames), TUM-dynamics and
# ScanNet (90 frames, stride 3).
_POSE_ROWS: tuple[tuple[str, bool, tuple[float, ...]], ...] = (
    ('Robust-CVD', False, (0.360, 0.154, 3.443, 0.153, 0.026, 3.528, 0.227, 0.064, 7.374)),
    ('CasualSAM', False, (0.141, 0.035, 0.615, 0.071, 0.010, 1.712, 0.158, 0.034, 1.618)),
    ('DUSt3R', False, (0.417, 0.250, 5.796, 0.083, 0.017, 3.567, 0.081, 0.028, 0.784)),
    ('MASt3R', False, (0.185, 0.060, 1.496, 0.038, 0.012, 0.448, 0.078, 0.020, 0.475)),
    ('MonST3R', False, (0.111, 0.044, 0.869, 0.098, 0.019, 0.935, 0.077, 0.018, 0.529)),
    ('Easi3R', False, (0.110, 0.042, 0.758, 0.105, 0.022, 1.064, 0.061, 0.017, 0.525)),
    ('AETHER', False, (0.189, 0.054, 0.694, 0.092, 0.012, 1.106, 0.176, 0.028, 1.204)),
    ('VGGT', False, (0.172, 0.062, 0.471, 0.012, 0.010, 0.310, 0.035, 0.015, 0.377)),
    ('Spann3R', True, (0.329, 0.110, 4.471, 0.056, 0.021, 0.591, 0.096, 0.023, 0.661)),
    ('CUT3R', True, (0.213, 0.066, 0.621, 0.046, 0.015, 0.473, 0.099, 0.022, 0.600)),
    ('Point3R', True, (0.351, 0.128, 1.822, 0.075, 0.029, 0.642, 0.106, 0.035, 1.946)),
    ('StreamVGGT', True, (0.251, 0.149, 1.894, 0.061, 0.033, 3.209, 0.161, 0.057, 3.647)),
    ('TTT3R', True, (0.201, 0.063, 0.617, 0.028, 0.012, 0.379, 0.064, 0.021, 0.592)),
)
_POSE_PROTOCOLS = {'sintel': (50, 1), 'tum-dynamics': (90, 3), 'scannet': (90, 3)}
_POSE_VALUES = ('ate', 'rpe_translation', 'rpe_rotation')

# Columns of Table 2: AbsRel and δ < 1.25 in percent, on Sintel (50 frames), Bonn and KITTI (110).
# The paper prints TTT3R's scale-aligned row below the line that starts "Metric Scale".
_DEPTH_ROWS: tuple[tuple[str, str, bool, tuple[float, ...]], ...] = (
    ('scale', 'DUSt3R', False, (0.656, 45.2, 0.155, 83.3, 0.144, 81.3)),
    ('scale', 'MASt3R', False, (0.641, 43.9, 0.252, 70.1, 0.183, 74.5)),
    ('scale', 'MonST3R', False, (0.378, 55.8, 0.067, 96.3, 0.168, 74.4)),
    ('scale', 'Easi3R', False, (0.377, 55.9, 0.059, 97.0, 0.102, 91.2)),
    ('scale', 'AETHER', False, (0.324, 50.2, 0.273, 59.4, 0.056, 97.8)),
    ('scale', 'VGGT', False, (0.287, 66.1, 0.055, 97.1, 0.070, 96.5)),
    ('scale', 'Spann3R', True, (0.622, 42.6, 0.144, 81.3, 0.198, 73.7)),
    ('scale', 'CUT3R', True, (0.421, 47.9, 0.078, 93.7, 0.118, 88.1)),
    ('scale', 'Point3R', True, (0.452, 48.9, 0.060, 96.0, 0.136, 84.2)),
    ('scale', 'StreamVGGT', True, (0.323, 65.7, 0.059, 97.2, 0.173, 72.1)),
    ('scale', 'TTT3R', True, (0.404, 50.0, 0.068, 95.4, 0.113, 90.4)),
    ('metric', 'MASt3R', False, (1.022, 14.3, 0.272, 70.6, 0.467, 15.2)),
    ('metric', 'CUT3R', True, (1.029, 23.8, 0.103, 88.5, 0.122, 85.5)),
    ('metric', 'Point3R', True, (0.777, 17.1, 0.137, 94.7, 0.191, 73.8)),
    ('metric', 'TTT3R', True, (0.977, 24.5, 0.090, 94.2, 0.110, 89.1)),
)
_DEPTH_PROTOCOLS = {'sintel': (50, 1), 'bonn': (110, 1), 'kitti': (110, 1)}

# Third parties, public code: mean ATE over 1000 frames; 7-Scenes over 200 frames.
_LONG: dict[tuple[str, str, int, int], tuple[Published, ...]] = {
    ('pose', 'tum-dynamics', 1000, 1): (
        Published('CUT3R (third party)', True, {'ate': 0.166}),
        Published('TTT3R (third party)', True, {'ate': 0.103}),
    ),
    ('pose', 'scannet', 1000, 3): (
        Published('CUT3R (third party)', True, {'ate': 0.817}),
        Published('TTT3R (third party)', True, {'ate': 0.406}),
    ),
    ('reconstruction', '7scenes', 200, 2): (
        Published('CUT3R (third party)', True, {'accuracy': 0.092, 'completeness': 0.048}),
        Published('TTT3R (third party)', True, {'accuracy': 0.027, 'completeness': 0.023}),
    ),
}


def published(task: str, dataset: str, frames: int, stride: int) -> list[Published]:
    """
    Look up published rows.

    :param task: pose, depth or reconstruction
    :param dataset: name in `DATASETS`
    :param frames: N
    :param stride: every how many frames of the recording one is used
    :return: rows for the same protocol; none where nothing is known
    """
    if task == 'pose' and _POSE_PROTOCOLS.get(dataset) == (frames, stride):
        first = 3 * list(_POSE_PROTOCOLS).index(dataset)
        return [
            Published(name, online, dict(zip(_POSE_VALUES, row[first : first + 3], strict=True)))
            for name, online, row in _POSE_ROWS
        ]
    if task == 'depth' and _DEPTH_PROTOCOLS.get(dataset) == (frames, stride):
        return _depth_rows(2 * list(_DEPTH_PROTOCOLS).index(dataset))
    return list(_LONG.get((task, dataset, frames, stride), ()))


def _depth_rows(first: int) -> list[Published]:
    rows: dict[str, Published] = {}
    for alignment, name, online, row in _DEPTH_ROWS:
        values = rows.setdefault(name, Published(name, online, {})).values
        values[f'{alignment}/abs_rel'] = row[first]
        values[f'{alignment}/delta_1'] = row[first + 1] / 100
    return list(rows.values())
