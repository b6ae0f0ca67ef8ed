"""Rotary position embedding in two dimensions (RoFormer, arXiv 2104.09864; base 100)."""

from __future__ import annotations

import torch
from torch import Tensor

_BASE = 100.0

Rotation = tuple[Tensor, Tensor]
"""Cosine and sine of every token's angles, each [N, 2, 1, d / 4]."""


def grid_positions(height: int, width: int) -> Tensor:
    """Return the (y, x) position of each image token, row by row [height * width, 2]."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    return torch.stack([y.flatten(), x.flatten()], dim=-1)


def state_positions(count: int) -> Tensor:
    """Lay the state tokens out in rows of even width near the square root [count, 2]."""
    width = int(count**0.5)
    width += width % 2
    index = torch.arange(count)
    return torch.stack([index // width, index % width], dim=-1)


def rotation(positions: Tensor, head_width: int) -> Rotation:
    """
    Tabulate the rotation of each token's channels.

    :param positions: (y, x), possibly negative [N, 2]
    :param head_width: channels of one head, a multiple of 4
    """
    half = head_width // 2
    frequency = _BASE ** (-torch.arange(0, half, 2, device=positions.device).float() / half)
    angle = positions.float()[:, :, None, None] * frequency
    return angle.cos(), angle.sin()


def rotate(x: Tensor, table: Rotation) -> Tensor:
    """
    Turn the first half of each head's channels with y and the second half with x.

    :param x: queries or keys [B, A, N, d]
    :return: [B, A, N, d]
    """
    cos, sin = (part.to(x.dtype) for part in table)
    parts = x.reshape(*x.shape[:-1], 2, 2, x.shape[-1] // 4)  # axis, member of the pair
    first, second = parts[..., :1, :], parts[..., 1:, :]
    turned = [first * cos - second * sin, second * cos + first * sin]
    return torch.cat(turned, dim=-2).flatten(-3)
