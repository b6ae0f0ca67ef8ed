"""
Dense prediction head (DPT, arXiv 2103.13413): four levels of tokens fused from coarse to fine.

Attribute names are those of the public CUT3R checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from ttt3r_ros.model.config import NetworkConfig

_STRIP_ROWS = 32
_STRIP_NUMBERS = 4_000_000  # of a map that is worked on as a whole, 16 MB


class ResidualUnit(nn.Module):
    """x + conv(relu(conv(relu(x))))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] to the same."""
        out: Tensor = x + self.conv2(F.relu(self.conv1(F.relu(x))))
        return out


class Fusion(nn.Module):
    """Add a finer level and double the size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.resConfUnit1 = ResidualUnit(width)
        self.resConfUnit2 = ResidualUnit(width)
        self.out_conv = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """
        [B, C, h, w] to [B, C, 2h, 2w].

        The 1 x 1 convolution commutes with the interpolation, and is cheaper before it.
        """
        if skip is not None:
            x = x + self.resConfUnit1(skip)
        return upsample(self.out_conv(self.resConfUnit2(x)), 2)


class Scratch(nn.Module):
    """The part of the head in which all levels have the same width."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width = config.dpt_features
        # The checkpoints also name these scratch.layer1_rn and so on: see checkpoint.py
        self.layer_rn = nn.ModuleList(
            nn.Conv2d(level, width, 3, padding=1, bias=False) for level in config.dpt_widths
        )
        self.refinenet1 = Fusion(width)
        self.refinenet2 = Fusion(width)
        self.refinenet3 = Fusion(width)
        self.refinenet4 = Fusion(width)


class DptHead(nn.Module):
    """Four token maps to one map at image size."""

    def __init__(self, config: NetworkConfig, channels: int) -> None:
        super().__init__()
        self.final_scale = config.patch_size // 8
        fine, mid, same, coarse = config.dpt_widths
        width = config.decoder_width
        self.act_postprocess = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Conv2d(config.encoder_width, fine, 1),
                    nn.ConvTranspose2d(fine, fine, 4, stride=4),
                ),
                nn.Sequential(nn.Conv2d(width, mid, 1), nn.ConvTranspose2d(mid, mid, 2, stride=2)),
                nn.Sequential(nn.Conv2d(width, same, 1)),
                nn.Sequential(
                    nn.Conv2d(width, coarse, 1),
                    nn.Conv2d(coarse, coarse, 3, stride=2, padding=1),
                ),
            ]
        )
        self.scratch = Scratch(config)
        self.head = nn.Sequential(
            nn.Conv2d(config.dpt_features, config.dpt_head_width, 3, padding=1),
            nn.Identity(),  # the checkpoints count the interpolation as a layer
            nn.Conv2d(config.dpt_head_width, config.dpt_head_width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(config.dpt_head_width, channels, 1),
        )
        if config.stem != 'patch':
            self.fine = nn.ModuleList(
                nn.Conv2d(factor * config.stem_width, config.dpt_features, 1) for factor in (1, 2)
            )

    def forward(
        self, levels: Sequence[Tensor], grid: tuple[int, int], fine: Sequence[Tensor] = ()
    ) -> Tensor:
        """
        Decode tokens to a map.

        :param levels: encoder tokens [B, P, E], then three of the image stream [B, P, D]
        :param grid: tokens down and across; H = patch x down, W = patch x across
        :param fine: the stem's feature maps at the size of the first two levels
        :return: [B, channels, H, W]
        """
        maps = [
            rn(resize(token_map(tokens, grid)))
            for tokens, resize, rn in zip(
                levels, self.act_postprocess, self.scratch.layer_rn, strict=True
            )
        ]
        for index, feature_map in enumerate(fine):
            maps[index] = maps[index] + self.fine[index](feature_map)
        x = self.scratch.refinenet4(maps[3])
        x = x[:, :, : maps[2].shape[2], : maps[2].shape[3]]
        x = self.scratch.refinenet3(x, maps[2])
        x = self.scratch.refinenet2(x, maps[1])
        x = self.scratch.refinenet1(x, maps[0])
        x = self.head[0](x)
        if self.final_scale != 1:
            x = upsample(x, self.final_scale)
        return self._finish(x)

    def _finish(self, x: Tensor) -> Tensor:
        """
        Run the convolutions at image size [B, C, H, W] -> [B, channels, H, W].

        Large images in strips, each with a row of its neighbours: what lies between these
        convolutions would take several times the memory of the network's other activations.
        """
        convolve: nn.Module = self.head[2:]
        height = x.shape[2]
        if x.is_cuda or self.training or x[0].numel() <= _STRIP_NUMBERS:
            out: Tensor = convolve(x)
            return out
        strips = []
        for top in range(0, height, _STRIP_ROWS):
            bottom = min(height, top + _STRIP_ROWS)
            above, below = min(1, top), min(1, height - bottom)
            strip = convolve(x[:, :, top - above : bottom + below])
            strips.append(strip[:, :, above : above + bottom - top])
        return torch.cat(strips, dim=2)


def token_map(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Arrange tokens [B, P, C] as an image [B, C, h, w], channels last in memory: no copy."""
    batch, _, channels = tokens.shape
    return tokens.view(batch, *grid, channels).movedim(-1, 1)


def upsample(x: Tensor, factor: int) -> Tensor:
    """Enlarge [B, C, h, w] bilinearly, corners aligned."""
    return F.interpolate(x, scale_factor=factor, mode='bilinear', align_corners=True)
