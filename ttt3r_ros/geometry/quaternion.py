"""Batches of rigid motions as translations and quaternions (w, x, y, z), in torch."""

from __future__ import annotations

import torch
from torch import Tensor


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Return the Hamilton product of quaternions [..., 4]."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        dim=-1,
    )


def rotate(quat_wxyz: Tensor, vector: Tensor) -> Tensor:
    """Rotate vectors [..., 3] by unit quaternions [..., 4]."""
    w, axis = quat_wxyz[..., :1], quat_wxyz[..., 1:]
    twist = 2 * torch.cross(axis, vector, dim=-1)
    return vector + w * twist + torch.cross(axis, twist, dim=-1)


def compose(
    translation: Tensor, quat_wxyz: Tensor, then: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """
    Chain `T_a_b` with `T_b_c`.

    :param translation: of T_a_b [B, 3]
    :param quat_wxyz: of T_a_b, unit [B, 4]
    :param then: translation and quaternion of T_b_c
    :return: translation and quaternion of T_a_c, w >= 0
    """
    quat = multiply(quat_wxyz, then[1])
    quat = quat / quat.norm(dim=-1, keepdim=True)
    return translation + rotate(quat_wxyz, then[0]), torch.where(quat[..., :1] < 0, -quat, quat)
