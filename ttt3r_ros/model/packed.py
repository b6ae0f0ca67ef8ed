"""
Large matrices in the order of oneDNN's products (docs/decisions/0068-matrices-packed-once.md).

Products of bfloat16 read a matrix in another order than the one in which it is stored, which
PyTorch makes anew at each product. Here that is done once; results are the same to the bit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ttt3r_ros.model.lean import replace_matrices
from ttt3r_ros.model.linear import KeptLinear, Shared, in_order, own_bias
from ttt3r_ros.model.network import Network


class PackedLinear(Shared):
    """
    A linear layer whose matrix is in the order of products.

    :param linear: as trained
    :param dtype: of the products' factors
    :param order: of the outputs, by their indices [out]
    """

    def __init__(self, linear: nn.Linear, dtype: torch.dtype, order: Tensor | None = None) -> None:
        super().__init__()
        weight = in_order(linear.weight.detach().to(dtype), order)
        self._weight: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        self._bias = own_bias(linear, dtype, order)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] to [..., out]."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self._weight, self._bias, 'none', [], ''
        )
        return out


def pack(network: Network, dtype: torch.dtype, kept: torch.dtype) -> Network:
    """
    Return a wide network like the given one with its large matrices as a processor needs them.

    All other parameters are shared with the given one, which stays as it is.

    :param dtype: in which it is to compute
    :param kept: in which its large matrices are to be kept
    """
    if dtype == torch.bfloat16 and _is_available():
        return replace_matrices(network, lambda linear, order: PackedLinear(linear, dtype, order))
    return replace_matrices(network, lambda linear, order: KeptLinear(linear, dtype, kept, order))


def _is_available() -> bool:
    """Tell whether PyTorch has these operators, which are not in its documented interface."""
    try:
        packed = PackedLinear(nn.Linear(64, 64), torch.bfloat16)
        return bool(packed(torch.ones(1, 2, 64, dtype=torch.bfloat16)).isfinite().all())
    except (AttributeError, RuntimeError):
        return False
