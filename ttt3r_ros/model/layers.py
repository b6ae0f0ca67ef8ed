"""
Transformer blocks.

Attribute names are those of the public CUT3R checkpoints, so that weights load by name.
Sizes: B batch, N and M tokens, D width, A heads, d = D / A.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from ttt3r_ros.model.linear import last_rows, plus_linear
from ttt3r_ros.model.rope import Rotation, pair_order, rotate

NORM_EPS = 1e-6


def layer_norm(width: int) -> nn.LayerNorm:
    """Return the layer norm that every block uses."""
    return nn.LayerNorm(width, eps=NORM_EPS)


def sides(image: Tensor) -> tuple[int, int]:
    """Return height and width as numbers; while a trace is made, shapes hold tensors."""
    height, width = (int(side) for side in image.shape[-2:])
    return height, width


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Arrange channels by head: [B, N, D] to [B, A, N, d]."""
    batch, count, width = x.shape
    return x.view(batch, count, heads, width // heads).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """Undo `split_heads`: [B, A, N, d] to [B, N, D]."""
    return x.transpose(1, 2).flatten(2)


class Mlp(nn.Module):
    """Linear, GELU, linear."""

    def __init__(self, width: int, out: int | None = None, ratio: int = 4) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, ratio * width)
        self.fc2 = nn.Linear(ratio * width, width if out is None else out)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, D] to [B, N, out]."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out

    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """Return the sum of a residual [B, N, out] and what comes of x [B, N, D]."""
        return plus_linear(residual, self.fc2, F.gelu(self.fc1(x)))


class SelfAttention(nn.Module):
    """Multi-head attention of tokens to each other."""

    paired = False  # whether its matrix gives channels in the order of `pair_rows`

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.width = heads, width
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, residual: Tensor, x: Tensor, table: Rotation | None) -> Tensor:
        """
        Attend.

        :param residual: to which the result is added [B, N, D]
        :param x: [B, N, D]
        :param table: rotations of x's positions; without one there are none
        :return: [B, N, D]
        """
        batch, count, width = x.shape
        if count == 1:  # alone, a token reads its own value
            alone = last_rows(self.qkv, x, 2 * width)
            if alone is not None:
                return plus_linear(residual, self.proj, alone)
        qkv = self.qkv(x).view(batch, count, 3, self.heads, width // self.heads)
        qkv = qkv.permute(2, 0, 3, 1, 4)
        qk = qkv[:2] if table is None else rotate(qkv[:2], table, paired=self.paired)
        read = F.scaled_dot_product_attention(qk[0], qk[1], qkv[2])
        return plus_linear(residual, self.proj, join_heads(read))

    def pair_rows(self) -> dict[str, Tensor]:
        """Return which rows its matrix should have for the cheapest rotation, by layer."""
        order = pair_order(self.width // self.heads, 2 * self.heads)
        return {'qkv': torch.cat([order, torch.arange(2 * self.width, 3 * self.width)])}


class CrossAttention(nn.Module):
    """Multi-head attention of tokens x to tokens y."""

    paired = False  # whether its matrices give channels in the order of `pair_rows`

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.width = heads, width
        self.projq = nn.Linear(width, width)
        self.projk = nn.Linear(width, width)
        self.projv = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def forward(
        self, residual: Tensor, x: Tensor, y: Tensor, tables: tuple[Rotation, ...] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """
        Attend.

        :param residual: to which the result is added [B, N, D]
        :param x: [B, N, D]
        :param y: [B, M, D]
        :param tables: rotations of x's and of y's positions
        :return: result [B, N, D]; rotated queries [B, A, N, d] and keys [B, A, M, d], of which
            the update rules take their statistics
        """
        q = split_heads(self.projq(x), self.heads)
        k = split_heads(self.projk(y), self.heads)
        v = split_heads(self.projv(y), self.heads)
        if tables is not None:
            q = rotate(q, tables[0], paired=self.paired)
            k = rotate(k, tables[1], paired=self.paired)
        read = F.scaled_dot_product_attention(q, k, v)
        return plus_linear(residual, self.proj, join_heads(read)), q, k

    def pair_rows(self) -> dict[str, Tensor]:
        """Return which rows its matrices should have for the cheapest rotation, by layer."""
        order = pair_order(self.width // self.heads, self.heads)
        return {'projq': order, 'projk': order}


class EncoderBlock(nn.Module):
    """Self-attention and MLP, both pre-normed."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = layer_norm(width)
        self.attn = SelfAttention(width, heads)
        self.norm2 = layer_norm(width)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor, table: Rotation | None) -> Tensor:
        """[B, N, D] to [B, N, D]."""
        x = self.attn(x, self.norm1(x), table)
        return self.mlp.add_to(x, self.norm2(x))


class DecoderBlock(nn.Module):
    """Self-attention of x, cross-attention of x to y, and MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = layer_norm(width)
        self.attn = SelfAttention(width, heads)
        self.cross_attn = CrossAttention(width, heads)
        self.norm2 = layer_norm(width)
        self.norm3 = layer_norm(width)
        self.mlp = Mlp(width)
        self.norm_y = layer_norm(width)

    def forward(
        self, x: Tensor, y: Tensor, tables: tuple[Rotation, ...] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """
        Update x [B, N, D] from y [B, M, D].

        :return: new x [B, N, D], and the cross-attention's queries and keys
        """
        x = self.attn(x, self.norm1(x), None if tables is None else tables[0])
        x, q, k = self.cross_attn(x, self.norm2(x), self.norm_y(y), tables)
        return self.mlp.add_to(x, self.norm3(x)), q, k


class ModulatedNorm(nn.Module):
    """A layer norm whose shift and scale depend on a condition (DiT, arXiv 2212.09748)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = layer_norm(width)
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Tokens [B, N, D] and condition [B, 1, D] to [B, N, D]."""
        shift, scale = self.mlp(condition).chunk(2, dim=-1)
        out: Tensor = torch.addcmul(shift, self.norm(x), 1 + scale)
        return out


class ModulatedBlock(nn.Module):
    """An encoder block whose norms are modulated by the pose token."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = ModulatedNorm(width)
        self.attn = SelfAttention(width, heads)
        self.norm2 = ModulatedNorm(width)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor, condition: Tensor, table: Rotation) -> Tensor:
        """Tokens [B, N, D] and condition [B, 1, D] to [B, N, D]."""
        x = self.attn(x, self.norm1(x, condition), table)
        return self.mlp.add_to(x, self.norm2(x, condition))
