"""
Dense prediction head (DPT, arXiv 2103.13413): four levels of tokens fused from coarse to fine.

Attribute names are those of the public CUT3R checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from ttt3r_ros.model.config import NetworkConfig
from ttt3r_ros.model.strips import convolve_enlarged, upsample


class ResidualUnit(nn.Module):
    """x + conv(relu(conv(relu(x))))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] to the same."""
        out: Tensor = self.conv2(F.relu(self.conv1(F.relu(x)), inplace=True))
        return out.add_(x)


class Fusion(nn.Module):
    """Add a finer level."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.resConfUnit1 = ResidualUnit(width)
        self.resConfUnit2 = ResidualUnit(width)
        self.out_conv = nn.Conv2d(width, width, 1)

    def add(self, x: Tensor, skip: Tensor) -> Tensor:
        """Add the finer level [B, C, h, w] to x, which has half of its size, rounded up."""
        out: Tensor = self.resConfUnit1(skip)
        # enlarged not before: it is the larger of the two
        return out.add_(upsample(x, 2)[:, :, : skip.shape[2], : skip.shape[3]])

    def refine(self, x: Tensor) -> Tensor:
        """
        [B, C, h, w] to the same.

        The 1 x 1 convolution commutes with the interpolation, and is cheaper before it.
        """
        out: Tensor = self.out_conv(self.resConfUnit2(x))
        return out


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
            nn.ReLU(inplace=True),
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
        scratch = self.scratch

        def level(index: int) -> Tensor:
            resized = self.act_postprocess[index](token_map(levels[index], grid))
            out: Tensor = scratch.layer_rn[index](resized)
            return out + self.fine[index](fine[index]) if index < len(fine) else out

        # each level when it is needed: several at once take memory
        x = scratch.refinenet4.refine(level(3))
        finer = (scratch.refinenet3, scratch.refinenet2, scratch.refinenet1)
        for index, fusion in zip((2, 1, 0), finer, strict=True):
            x = fusion.add(x, level(index))
            x = fusion.refine(x)
        x = convolve_enlarged(x, 2, self.head[0])
        return convolve_enlarged(x, self.final_scale, self.head[2], self.head[3:])


def token_map(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Arrange tokens [B, P, C] as an image [B, C, h, w], channels last in memory: no copy."""
    batch, _, channels = tokens.shape
    return tokens.view(batch, *grid, channels).movedim(-1, 1)
