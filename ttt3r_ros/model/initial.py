"""Values that parameters start from, before weights are loaded or training begins."""

from __future__ import annotations

import torch
from torch import Tensor


def normal(*shape: int, std: float = 1.0) -> Tensor:
    """
    Draw from a normal distribution around zero.

    On the meta device, where networks are built to be loaded, nothing is drawn: any arithmetic
    there imports torch._dynamo, which takes seconds.
    """
    values = torch.empty(shape)
    return values if values.is_meta else values.normal_(std=std)
