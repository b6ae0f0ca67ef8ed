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


def convolve_enlarged(
    x: Tensor, factor: int, convolve: nn.Module, then: nn.Module | None = None
) -> Tensor:
    """
    Enlarge a map [B, C, h, w] and convolve it: [B, channels, factor h, factor w].

    Large maps in strips, each with a row of its neighbours: the enlarged map, and what lies
    between the convolutions, would take several times the memory of all other activations.

    :param convolve: a convolution of 3 x 3 that keeps the size
    :param then: layers of which none looks beyond its own pixel
    """
    then = nn.Identity() if then is None else then
    height = factor * x.shape[2]
    numbers = x[0].numel() * factor**2
    if x.is_cuda or torch.is_grad_enabled() or numbers <= _NUMBERS:
        return cast(Tensor, then(convolve(upsample(x, factor))))
    out = torch.empty(0)
    for top in range(0, height, _ROWS):
        bottom = min(height, top + _ROWS)
        above, below = int(top == 0), int(bottom == height)  # rows of zeros
        seen = _rows(x, factor, top - 1 + above, bottom + 1 - below)
        if above or below:
            seen = F.pad(seen, (0, 0, above, below))
        strip = then(_inside(convolve, seen))
        if top == 0:
            size = (len(x), strip.shape[1], height, strip.shape[3])
            out = torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last)
        out[:, :, top:bottom] = strip
    return out


def _inside(convolve: nn.Module, x: Tensor) -> Tensor:
    """Convolve [B, C, h, w] without the first and the last row of the result."""
    if isinstance(convolve, nn.Conv2d):
        return F.conv2d(x, convolve.weight, convolve.bias, padding=(0, 1))
    return cast(Tensor, convolve(x, inside=True))


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
