"""
Rigid motions as 4x4 matrices in float64.

`T_a_b` takes points of frame b to frame a; quaternions are (w, x, y, z) unless named otherwise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

Transform = NDArray[np.float64]


def from_translation_quat(translation: ArrayLike, quat_wxyz: ArrayLike) -> Transform:
    """
    Build a rigid motion.

    :param translation: metres [3]
    :param quat_wxyz: any non-zero quaternion; it is normalised [4]
    :return: [4, 4]
    :raises ValueError: if the quaternion is zero
    """
    w, x, y, z = np.asarray(quat_wxyz, dtype=np.float64)
    transform = np.eye(4)
    transform[:3, :3] = Rotation.from_quat([x, y, z, w]).as_matrix()
    transform[:3, 3] = translation
    return transform


def quat_wxyz(transform: Transform) -> NDArray[np.float64]:
    """
    Return the rotation as a unit quaternion with w >= 0.

    From the largest of the four, so that no digits are lost (Shepperd 1978); SciPy's takes twenty
    times as long, and the node needs four for each image.

    :param transform: rotation or rigid motion [3, 3] or [4, 4]
    :return: (w, x, y, z) [4]
    """
    (a, b, c), (d, e, f), (g, h, i) = transform[:3, :3].tolist()
    trace = a + e + i
    quat = max(
        (trace, (1 + trace, h - f, c - g, d - b)),
        (a, (h - f, 1 + a - e - i, b + d, c + g)),
        (e, (c - g, b + d, 1 + e - a - i, f + h)),
        (i, (d - b, c + g, f + h, 1 + i - a - e)),
    )[1]
    norm = np.copysign(np.linalg.norm(quat), quat[0])
    return np.asarray(np.array(quat) / norm)


def inverse(transform: Transform) -> Transform:
    """Invert rigid motions [..., 4, 4] exactly, by the transposed rotation."""
    rotation = np.swapaxes(transform[..., :3, :3], -1, -2)
    result = np.zeros_like(transform)
    result[..., :3, :3] = rotation
    result[..., :3, 3] = -np.einsum('...ij,...j->...i', rotation, transform[..., :3, 3])
    result[..., 3, 3] = 1.0
    return result


def rotation_angle(transform: Transform) -> NDArray[np.float64]:
    """
    Return the angle of the rotation, accurate near zero too.

    :param transform: [..., 3, 3] or [..., 4, 4]
    :return: radians in [0, pi] [...]
    """
    rotation = transform[..., :3, :3]
    axis = np.stack(
        [
            rotation[..., 2, 1] - rotation[..., 1, 2],
            rotation[..., 0, 2] - rotation[..., 2, 0],
            rotation[..., 1, 0] - rotation[..., 0, 1],
        ],
        axis=-1,
    )
    sine = 0.5 * np.linalg.norm(axis, axis=-1)
    cosine = 0.5 * (np.trace(rotation, axis1=-2, axis2=-1) - 1.0)
    return np.asarray(np.arctan2(sine, cosine))


def orthonormalise(transform: Transform) -> Transform:
    """Return the nearest rigid motion (SVD), to stop rounding from growing over long chains."""
    u, _, vt = np.linalg.svd(transform[:3, :3])
    result = transform.copy()
    result[:3, :3] = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    return result


def transform_points(transform: Transform, points: NDArray[np.floating]) -> NDArray[np.float32]:
    """
    Move points.

    :param transform: `T_a_b` [4, 4]
    :param points: in frame b [..., 3]
    :return: in frame a [..., 3]
    """
    moved = points.astype(np.float32, copy=False) @ transform[:3, :3].T.astype(np.float32)
    moved += transform[:3, 3].astype(np.float32)
    return np.asarray(moved, dtype=np.float32)
