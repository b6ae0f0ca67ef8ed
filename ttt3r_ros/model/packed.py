"""
Large matrices in the order of oneDNN's products (docs/decisions/0068-matrices-packed-once.md).

Products of bfloat16 read a matrix in another order than the one in which it is stored, which
PyTorch makes anew at each product. Here that is done once; results are the same to the bit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ttt3r_ros.devices import multiplies_bfloat16
from ttt3r_ros.model.lean import in_order, replace_matrices
from ttt3r_ros.model.network import Network


class PackedLinear(nn.Module):
    """
    A linear layer whose matrix is in the order of products; copies share it.

    :param linear: as trained
    :param dtype: of the products' factors
    :param order: of the outputs, by their indices [out]
    """

    def __init__(self, linear: nn.Linear, dtype: torch.dtype, order: Tensor | None = None) -> None:
        super().__init__()
        weight = in_order(linear.weight.detach().to(dtype), order)
        self._weight: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        bias = linear.bias
        # a copy: the tensor may lie in a mapped file
        self._bias = None if bias is None else in_order(bias.detach().to(dtype, copy=True), order)

    def __deepcopy__(self, memo: dict[int, Any]) -> PackedLinear:
        return self

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] to [..., out]."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self._weight, self._bias, 'none', [], ''
        )
        return out


def pack(network: Network, device: torch.device, dtype: torch.dtype) -> Network:
    """
    Return a network like the given one, whose large matrices are packed where that is faster.

    That is for bfloat16 on a processor with units for it; otherwise, and for a small network, the
    network is returned as it is. All other parameters are shared with the given one, which stays
    as it is.

    :param device: that the network is to compute on
    :param dtype: in which it is to compute
    """
    faster = device.type == 'cpu' and dtype == torch.bfloat16 and multiplies_bfloat16()
    if not (faster and network.config.is_wide and _is_available()):
        return network
    return replace_matrices(network, lambda linear, order: PackedLinear(linear, dtype, order))


def _is_available() -> bool:
    """Tell whether PyTorch has these operators, which are not in its documented interface."""
    try:
        packed = PackedLinear(nn.Linear(64, 64), torch.bfloat16)
        return bool(packed(torch.ones(1, 2, 64, dtype=torch.bfloat16)).isfinite().all())
    except (AttributeError, RuntimeError):
        return False
