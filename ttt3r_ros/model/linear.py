"""
Layers in other forms: linear ones with large matrices, and sums of their results and others.

Sizes: out and in, the channels of results and of inputs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name


class Shared(nn.Module):
    """A layer in another form, which stays as it is made: copies of a network share it."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Shared:
        return self


class KeptLinear(Shared):
    """
    A linear layer whose matrix is kept in another type or order.

    :param linear: as trained
    :param dtype: in which it computes: that of its inputs and outputs
    :param kept: in which its matrix is kept
    :param order: of the outputs, by their indices [out]
    """

    def __init__(
        self,
        linear: nn.Linear,
        dtype: torch.dtype,
        kept: torch.dtype,
        order: Tensor | None = None,
    ) -> None:
        super().__init__()
        # copies: the tensors may lie in a mapped file
        self.weight = in_order(linear.weight.detach().to(kept, copy=order is None), order)
        self.bias = own_bias(linear, dtype, order)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        return F.linear(x, self.weight.to(x.dtype), self.bias)


def in_order(rows: Tensor, order: Tensor | None) -> Tensor:
    """Return rows [out, ...] in another order [out]; as they are without one."""
    return rows if order is None else rows[order]


def own_bias(linear: nn.Linear, dtype: torch.dtype, order: Tensor | None) -> Tensor | None:
    """Return a copy of a layer's bias [out] in another type and order; none without one."""
    bias = linear.bias
    return None if bias is None else in_order(bias.detach().to(dtype, copy=True), order)


def last_rows(layer: nn.Module, x: Tensor, start: int) -> Tensor | None:
    """Return a layer's outputs from one on [..., out - start]; none if it gives only all."""
    if not isinstance(layer, nn.Linear | KeptLinear):
        return None
    bias = None if layer.bias is None else layer.bias[start:]
    return F.linear(x, layer.weight[start:].to(x.dtype), bias)


def plus_linear(x: Tensor, layer: nn.Module, y: Tensor) -> Tensor:
    """
    Return x + layer(y); of a layer that is kept, with fewer passes over memory.

    Its product is added to what is there: to x and the bias.

    :param x: [..., out]
    :param layer: linear, in any form
    :param y: [..., in]
    :return: [..., out]
    """
    if not isinstance(layer, KeptLinear):
        result: Tensor = x + layer(y)
        return result
    result = (x.clone() if layer.bias is None else x + layer.bias).contiguous()
    flat = result.view(-1, int(result.shape[-1]))
    torch.addmm(flat, y.flatten(0, -2), layer.weight.to(y.dtype).t(), out=flat)
    return result
