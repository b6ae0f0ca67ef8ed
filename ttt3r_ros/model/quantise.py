"""
Large matrices as 8-bit integers, for CPUs (docs/decisions/0062-int8-by-dynamic-quantisation.md).

Weights are rounded once, a scale for each row; activations at each use, one scale for the tensor.
"""

from __future__ import annotations

from functools import cache
import math
from typing import Any
import warnings

import torch
from torch import Tensor, nn

from ttt3r_ros.devices import multiplies_int8
from ttt3r_ros.model.lean import replace_matrices
from ttt3r_ros.model.linear import Shared, in_order, own_bias
from ttt3r_ros.model.network import Network

# heads read out metric values, and are a small part of the work
_ROUNDED = ('enc_blocks.', 'dec_blocks.', 'dec_blocks_state.', 'pose_retriever.')
_LEVELS = 127  # of weights, on each side of zero
_STEPS = 254  # of activations: with zero at a whole step, 255 of them can be reached


class Int8Linear(Shared):
    """
    A linear layer in integers of 8 bits, on processors that add their products without overflow.

    Its products are oneDNN's.

    :param linear: as trained
    :param order: of the outputs, by their indices [out]
    """

    def __init__(self, linear: nn.Linear, order: Tensor | None = None) -> None:
        super().__init__()
        weight, self._scale = _round(linear, order)
        self._weight: Tensor = torch.ops.onednn.qlinear_prepack(weight, None)
        self._zero = torch.zeros(len(self._scale), dtype=torch.int32)
        self._bias = own_bias(linear, torch.float32, order)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] to [..., out], of x's type; NaN if x is not finite."""
        low, high = (float(bound) for bound in torch.aminmax(x))
        low, high = min(low, 0.0), max(high, 1e-12)  # zero is a whole step
        if not math.isfinite(high - low):
            return x.new_full((*x.shape[:-1], len(self._scale)), math.nan)
        steps = _STEPS / (high - low)
        zero = round(-low * steps)
        exact = x.float()
        # towards zero, so half a step more; a copy of x is overwritten
        scaled = torch.add(
            torch.tensor(zero + 0.5), exact, alpha=steps, out=None if exact is x else exact
        )
        rounded = scaled.to(torch.uint8)
        out: Tensor = torch.ops.onednn.qlinear_pointwise(
            rounded, 1 / steps, zero, self._weight, self._scale, self._zero, self._bias,
            1.0, 0, x.dtype, 'none', [], '',
        )  # fmt: skip
        return out


class Int7Linear(Shared):
    """
    A linear layer of weights of 8 and activations of 7 bits, for all other processors.

    There products of 8 bits, added in pairs, could overflow 16. Its products are FBGEMM's, or
    QNNPACK's.

    :param linear: as trained
    :param order: of the outputs, by their indices [out]
    """

    def __init__(self, linear: nn.Linear, order: Tensor | None = None) -> None:
        super().__init__()
        weight, scale = _round(linear, order)
        zero = torch.zeros(len(scale), dtype=torch.int64)
        with warnings.catch_warnings():  # torch announces that these types are to change
            warnings.simplefilter('ignore', UserWarning)
            rounded = torch._make_per_channel_quantized_tensor(weight, scale.double(), zero, 0)
            bias = own_bias(linear, torch.float32, order)
            self._packed: Any = torch.ops.quantized.linear_prepack(rounded, bias)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] to [..., out], of x's type."""
        out: Tensor = torch.ops.quantized.linear_dynamic(
            x.float(), self._packed, reduce_range=True
        )
        return out.to(x.dtype)


def quantise(network: Network) -> Network:
    """
    Return a network like the given one, whose large matrices are in 8-bit integers.

    All other parameters are shared with the given one, which stays as it is.
    """
    kind = Int8Linear if multiplies_int8() and _is_exact() else Int7Linear
    return replace_matrices(network, kind, _ROUNDED)


@cache
def _is_exact() -> bool:
    """
    Tell whether `Int8Linear` works here: PyTorch has its operators, and sums do not overflow.

    The operators are not in PyTorch's documented interface.
    """
    count = 64
    linear = nn.Linear(count, count, bias=False)
    with torch.inference_mode():
        linear.weight.fill_(1.0)
        try:
            sums = Int8Linear(linear)(torch.ones(1, count, count))
        except (AttributeError, RuntimeError):
            return False
        return bool(torch.allclose(sums, torch.full_like(sums, count), rtol=1e-3))


def _round(linear: nn.Linear, order: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return a matrix in steps from -127 to 127, and the size of a step in each row."""
    weight = in_order(linear.weight.detach().float(), order)
    scale = weight.abs().amax(dim=1).clamp(min=1e-12) / _LEVELS
    return (weight / scale[:, None]).round_().to(torch.int8), scale
