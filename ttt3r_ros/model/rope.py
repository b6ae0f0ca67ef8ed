"""Rotary position embedding in two dimensions (RoFormer, arXiv 2104.09864; base 100)."""

from __future__ import annotations

import torch
from torch import Tensor

_BASE = 100.0

Rotation = Tensor
"""The turns of every token's channels, as complex numbers of length 1 [N, 2, d / 4]."""


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
    quarter = head_width // 4
    frequency = _BASE ** (-torch.arange(quarter, device=positions.device) / quarter)
    angle = positions[:, :, None] * frequency
    return torch.polar(torch.ones_like(angle), angle)


def pair_order(head_width: int, heads: int = 1) -> Tensor:
    """Return which channels to take so that those of a pair lie side by side [heads * d]."""
    order = torch.arange(heads * head_width).view(heads, 2, 2, -1)
    return order.transpose(-1, -2).flatten()


def rotate(x: Tensor, table: Rotation, *, paired: bool = False) -> Tensor:
    """
    Turn the first half of each head's channels with y and the second half with x.

    The two channels of a pair come out side by side, as complex numbers lie in memory; attention
    does not mind in which order channels come, as long as queries and keys agree.

    :param x: queries or keys [..., N, d]
    :param paired: the two channels of a pair come in side by side, too: see `pair_order`
    :return: [..., N, d]
    """
    if paired:
        pairs = torch.view_as_complex(x.float().view(*x.shape[:-1], 2, -1, 2))
        # each head by itself in memory, as attention reads it
        turned = torch.empty(pairs.shape, dtype=pairs.dtype, device=pairs.device)
        torch.mul(pairs, table, out=turned)
        return torch.view_as_real(turned).flatten(-3).to(x.dtype)
    real, imaginary = x.float().view(*x.shape[:-1], 2, 2, -1).unbind(-2)
    turned = torch.complex(real, imaginary) * table
    return torch.view_as_real(turned).flatten(-3).to(x.dtype)
