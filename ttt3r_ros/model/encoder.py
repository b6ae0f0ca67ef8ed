"""Images to tokens, independent of the state (Tokenize of TTT3R, Eq. 1)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from ttt3r_ros.model.config import NetworkConfig
from ttt3r_ros.model.layers import EncoderBlock, layer_norm, sides
from ttt3r_ros.model.rope import Rotation


class Encoded(NamedTuple):
    """What of an image does not depend on the state; may be computed ahead, or in a batch."""

    tokens: Tensor  # [B, P, E]
    fine: tuple[Tensor, ...]  # conv, mobile: features [B, C, H/2, W/2], [B, 2C, H/4, W/4]; else ()
    image: Tensor  # [B, 3, H, W] in [-1, 1]
    grid: tuple[int, int]  # tokens down and across


class PatchEmbed(nn.Module):
    """Tokens by one convolution whose stride is the patch."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        size = config.patch_size
        self.proj = nn.Conv2d(3, config.encoder_width, size, stride=size)

    def forward(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """[B, 3, H, W] to the token map [B, E, H/p, W/p], and no fine features."""
        return self.proj(image), ()


class ConvStem(nn.Module):
    """
    Tokens of 8 x 8 pixels by small convolutions (arXiv 2106.14881).

    They train faster than one large convolution, and their fine maps help the DPT head. Each pixel
    also brings its coordinates, from which a small network learns what floors and ceilings are.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width = config.stem_width
        self.stride2 = nn.Conv2d(5, width, 5, stride=2, padding=2)
        self.stride4 = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.stride8 = nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1)
        self.proj = nn.Conv2d(4 * width, config.encoder_width, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """[B, 3, H, W] to the token map [B, E, H/8, W/8], and the two finer maps."""
        half = F.gelu(self.stride2(torch.cat([image, coordinates(image)], dim=1)))
        quarter = F.gelu(self.stride4(half))
        return self.proj(F.gelu(self.stride8(quarter))), (half, quarter)


def coordinates(image: Tensor) -> Tensor:
    """Return x and y of every pixel, from the middle, in long image sides [B, 2, H, W]."""
    grid = _grid(*sides(image), image.dtype, image.device)
    return grid.expand(image.shape[0], -1, -1, -1)


@lru_cache(maxsize=8)
def _grid(height: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # must also serve training
        x = torch.arange(width, device=device) - (width - 1) / 2
        y = torch.arange(height, device=device) - (height - 1) / 2
        grid = torch.stack(torch.meshgrid(x, y, indexing='xy')) / max(height, width)
        return grid.to(dtype)


def encoder_blocks(config: NetworkConfig) -> nn.ModuleList:
    """Return the stack of encoder blocks."""
    width, heads = config.encoder_width, config.encoder_heads
    return nn.ModuleList(EncoderBlock(width, heads) for _ in range(config.encoder_depth))


def encode(
    image: Tensor,
    embed: nn.Module,
    blocks: nn.ModuleList,
    norm: nn.LayerNorm,
    table: Rotation,
    detail: int,
) -> Encoded:
    """
    Tokenise images.

    :param image: in [-1, 1] [B, 3, detail x H, detail x W]
    :param embed: the stem
    :param table: rotation of the grid's positions
    :param detail: see `NetworkConfig.detail`
    """
    feature_map, fine = embed(image)
    tokens = feature_map.flatten(2).transpose(1, 2)
    for block in blocks:
        tokens = block(tokens, table)
    small = image if detail == 1 else F.avg_pool2d(image, detail)
    return Encoded(norm(tokens), fine, small, sides(feature_map))


def encoder_norm(config: NetworkConfig) -> nn.LayerNorm:
    """Return the norm after the last encoder block."""
    return layer_norm(config.encoder_width)
