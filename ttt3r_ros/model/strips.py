"""Convolving enlarged feature maps in strips, so that no map of that size stands in memory."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

_ROWS = 16  # of a strip
_NUMBERS = 4_000_000  # of a map that is worked on as a whole, 16 MB


def upsample(x: Tensor, factor: int) -> Tensor:
    """Enlarge [B, C, h, w] bilinearly, corners aligned."""
    if factor == 1:
        return x
    return F.interpolate(x, scale_factor=factor, mode='bilinear', align_corners=True)


def convolve_enlarged(x: Tensor, factor: int, convolve: nn.Module) -> Tensor:
    """
    Enlarge a map [B, C, h, w] and convolve it: [B, channels, factor h, factor w].

    Large maps in strips, each with a row of its neighbours: the enlarged map, and what lies
    between the convolutions, would take several times the memory of all other activations.

    :param convolve: layers of which one, 3 x 3, looks beyond its own pixel
    """
    height = factor * x.shape[2]
    numbers = x[0].numel() * factor**2
    if x.is_cuda or torch.is_grad_enabled() or numbers <= _NUMBERS:
        return cast(Tensor, convolve(upsample(x, factor)))
    out = torch.empty(0)
    for top in range(0, height, _ROWS):
        bottom = min(height, top + _ROWS)
        above, below = min(1, top), min(1, height - bottom)
        strip = convolve(_rows(x, factor, top - above, bottom + below))
        if top == 0:
            size = (len(x), strip.shape[1], height, strip.shape[3])
            out = torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last)
        out[:, :, top:bottom] = strip[:, :, above : above + bottom - top]
    return out


def _rows(x: Tensor, factor: int, top: int, bottom: int) -> Tensor:
    """Return these rows of the enlarged map: first between rows, then along them."""
    if factor == 1:
        return x[:, :, top:bottom]
    last = x.shape[2] - 1
    position = torch.arange(top, bottom, dtype=torch.float64) * last / (factor * x.shape[2] - 1)
    upper = position.long().clamp(max=last - 1)
    weight = (position - upper).float()[:, None, None]
    first, end = int(upper[0]), int(upper[-1]) + 2
    near = x.movedim(1, -1)[:, first:end].float()  # as it lies in memory with channels last
    above = near.index_select(1, upper - first)
    between = above.lerp_(near.index_select(1, upper + 1 - first), weight).movedim(-1, 1)
    size = (bottom - top, factor * x.shape[3])
    return F.interpolate(between, size, mode='bilinear', align_corners=True).to(x.dtype)
