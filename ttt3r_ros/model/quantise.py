"""
Large matrices as 8-bit integers, for CPUs (docs/decisions/0062-int8-by-dynamic-quantisation.md).

Weights are rounded once, a scale for each row; activations at each use, one scale for the tensor.
"""

from __future__ import annotations

import copy
from typing import Any, TypeGuard
import warnings

import torch
from torch import Tensor, nn

from ttt3r_ros.model.lean import page_out
from ttt3r_ros.model.network import Network

SMALLEST = 2**18
"""Weights of a matrix that is worth rounding: below, the rounding costs more than it saves."""

# heads read out metric values, and are a small part of the work
_ROUNDED = ('enc_blocks.', 'dec_blocks.', 'dec_blocks_state.', 'pose_retriever.')


class Int8Linear(nn.Module):
    """
    A linear layer in 8-bit integers.

    :param linear: as trained
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        # symmetric, one scale for each output; 127 steps to the largest
        scale = weight.abs().amax(dim=1).clamp(min=1e-12) / 127
        zero = torch.zeros(len(scale), dtype=torch.int64)
        bias = None if linear.bias is None else linear.bias.detach().float()
        with warnings.catch_warnings():  # torch announces that these types are to change
            warnings.simplefilter('ignore', UserWarning)
            rounded = torch.quantize_per_channel(weight, scale.double(), zero, 0, torch.qint8)
            self._packed: Any = torch.ops.quantized.linear_prepack(rounded, bias)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] to [..., out]."""
        # reduce_range: 7 bits for activations, where products of 8 bits could overflow 16
        out: Tensor = torch.ops.quantized.linear_dynamic(x, self._packed, reduce_range=True)
        return out


def quantise(network: Network) -> Network:
    """
    Return a network like the given one, whose large matrices are in 8-bit integers.

    All other parameters are shared with the given one, which stays as it is.
    """
    shared = {id(parameter): parameter for parameter in network.parameters()}
    rounded: Network = copy.deepcopy(network, shared)
    for name, module in list(rounded.named_modules()):
        if name.startswith(_ROUNDED) and _is_large(module):
            parent, _, own = name.rpartition('.')
            setattr(rounded.get_submodule(parent), own, Int8Linear(module))
            page_out(module.weight)
    return rounded


def _is_large(module: nn.Module) -> TypeGuard[nn.Linear]:
    return isinstance(module, nn.Linear) and module.weight.numel() >= SMALLEST
