"""
A stem of pretrained convolutions: the first blocks of EfficientNet-Lite0 (arXiv 1905.11946).

What photographs look like cannot be learnt from drawn rooms. These convolutions have learnt it
from ImageNet (docs/training.md), and stay as they are while the rest is trained; batch norms are
folded into them. They read an image of twice the network's size, 16 of whose pixels a side make a
token.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from ttt3r_ros.model.config import NetworkConfig
from ttt3r_ros.model.encoder import coordinates

_MOST = 6.0  # of an activation (ReLU6)
_FIRST = 32  # channels of the first convolution
_SPREADS = (9.0, 6.2, 4.0)  # standard deviations of the three maps on photographs


class _Shape(NamedTuple):
    channels: int
    kernel: int
    stride: int
    ratio: int


BLOCKS = (
    _Shape(16, 3, 1, 1),
    _Shape(24, 3, 2, 6),
    _Shape(24, 3, 1, 6),
    _Shape(40, 5, 2, 6),
    _Shape(40, 5, 1, 6),
    _Shape(80, 3, 2, 6),
    _Shape(80, 3, 1, 6),
    _Shape(80, 3, 1, 6),
    _Shape(112, 5, 1, 6),
    _Shape(112, 5, 1, 6),
)
"""Of EfficientNet-Lite0, as far as they are used: the last of its third stage is left out."""
_MAPS = (2, 4, 9)  # blocks whose output is read: 1/4, 1/8 and 1/16 of the image


class _Pointwise(nn.Linear):
    """A 1 x 1 convolution of maps whose channels come last in memory."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, D, H, W]."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def _convolution(channels: int, out: int, kernel: int, stride: int, groups: int) -> nn.Conv2d:
    """
    Return a convolution with TensorFlow's padding.

    That is more on the far sides where the stride is 2: as much as kernels one larger see whose
    first row and column are zeros.
    """
    size = kernel + 1 if stride == 2 else kernel
    return nn.Conv2d(channels, out, size, stride, kernel // 2, groups=groups)


class Bottleneck(nn.Module):
    """Widen, filter each channel, narrow; added to the input where the sizes are the same."""

    def __init__(self, channels: int, shape: _Shape) -> None:
        super().__init__()
        wide = shape.ratio * channels
        self.expand = _Pointwise(channels, wide) if shape.ratio > 1 else None
        self.depthwise = _convolution(wide, wide, shape.kernel, shape.stride, wide)
        self.project = _Pointwise(wide, shape.channels)
        self._adds = shape.stride == 1 and shape.channels == channels

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, D, H / stride, W / stride]."""
        wide = x if self.expand is None else _relu6(self.expand(x))
        out: Tensor = self.project(_relu6(self.depthwise(wide)))
        return x + out if self._adds else out


class Trunk(nn.Module):
    """The pretrained part; its weights are not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _convolution(3, _FIRST, 3, 2, 1)
        widths = [_FIRST, *(shape.channels for shape in BLOCKS)]
        self.blocks = nn.ModuleList(map(Bottleneck, widths, BLOCKS))
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """[B, 3, H, W] in [-1, 1] to maps of 24, 40 and 112 channels at 1/4, 1/8 and 1/16."""
        image = image.contiguous(memory_format=torch.channels_last)  # twice as fast
        x, maps = _relu6(self.stem(image)), list[Tensor]()
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in _MAPS:
                maps.append(x / _SPREADS[len(maps)])
        return maps


class MobileStem(nn.Module):
    """
    Tokens of 8 x 8 pixels of the network's image, from an image of twice its size.

    Each token also brings its coordinates, as with the stem of plain convolutions.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        fine, mid, coarse = (BLOCKS[index].channels for index in _MAPS)
        self.trunk = Trunk()
        self.fine = nn.Conv2d(fine, config.stem_width, 1)
        self.mid = nn.Conv2d(mid, 2 * config.stem_width, 1)
        self.proj = nn.Conv2d(coarse + 2, config.encoder_width, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """[B, 3, 2H, 2W] to the token map [B, E, H/8, W/8], and maps of H/2 and H/4."""
        half, quarter, tokens = self.trunk(image)
        place = coordinates(tokens)
        fine = (F.gelu(self.fine(half)), F.gelu(self.mid(quarter)))
        return self.proj(torch.cat([tokens, place], dim=1)), fine


def _relu6(x: Tensor) -> Tensor:
    return F.hardtanh(x, 0.0, _MOST, inplace=True)
