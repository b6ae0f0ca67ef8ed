"""Rotary position embedding in two dimensions (RoFormer, arXiv 2104.09864; base 100)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_BASE = 100.0


class Rotation(NamedTuple):
    """The rotation of every token's channels, as a product with them and with their partners."""

    cos: Tensor  # [N, d]
    sin: Tensor  # negative for the first of each pair [N, d]
    partner: Tensor  # index of the channel with which each one is paired [d]


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
    cos = angle.cos()[:, :, None].expand(-1, -1, 2, -1).flatten(1)
    sin = torch.stack([-angle.sin(), angle.sin()], dim=2).flatten(1)
    channel = torch.arange(head_width, device=positions.device).view(2, 2, quarter)
    return Rotation(cos, sin, channel.flip(1).flatten())


def rotate(x: Tensor, table: Rotation) -> Tensor:
    """
    Turn the first half of each head's channels with y and the second half with x.

    :param x: queries or keys [..., N, d]
    :return: [..., N, d]
    """
    cos, sin = table.cos.to(x.dtype), table.sin.to(x.dtype)
    return torch.addcmul(x * cos, x.index_select(-1, table.partner), sin)
