"""
From decoded tokens to points, confidence, colours and pose (De-tokenize of TTT3R, Eq. 1).

Sizes: B batch, H and W pixels, P image tokens, E and D widths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from ttt3r_ros.model.config import NetworkConfig
from ttt3r_ros.model.dpt import DptHead, token_map
from ttt3r_ros.model.layers import Mlp, ModulatedBlock, sides
from ttt3r_ros.model.rope import Rotation


class Tokens(NamedTuple):
    """All that a head may look at."""

    levels: Sequence[Tensor]  # encoder tokens [B, P, E], then three of the image stream [B, P, D]
    pose: Tensor  # decoded pose token [B, 1, D]
    fine: Sequence[Tensor]  # the stem's maps, or nothing
    grid: tuple[int, int]  # tokens down and across


class PoseHead(nn.Module):
    """Camera-to-world motion from the pose token."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.mlp = Mlp(config.decoder_width, out=7)

    def forward(self, pose_token: Tensor) -> tuple[Tensor, Tensor]:
        """
        Regress a pose.

        :param pose_token: [B, 1, D]
        :return: translation in metres [B, 3], unit quaternion (w, x, y, z) with w >= 0 [B, 4]
        """
        raw = self.mlp(pose_token)[:, 0].float()
        quat = F.normalize(raw[:, 3:], dim=-1)
        return expand(raw[:, :3]), torch.where(quat[:, :1] < 0, -quat, quat)


class FinalTransform(nn.ModuleList):
    """Two blocks that move the image tokens to the world frame, given the pose token."""

    def __init__(self, config: NetworkConfig) -> None:
        width, heads = config.decoder_width, config.decoder_heads
        super().__init__(ModulatedBlock(width, heads) for _ in range(2))

    def forward(self, tokens: Tensor, pose_token: Tensor, table: Rotation) -> Tensor:
        """Tokens [B, P, D], pose token [B, 1, D] to [B, P, D]."""
        for block in self:
            tokens = block(tokens, pose_token, table)
        return tokens


class DptHeads(nn.Module):
    """The DPT variant: one dense head for each output."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.pinhole = config.points == 'pinhole'
        self.dpt_self = DptHead(config, 2 if self.pinhole else 4)
        self.pose_head = PoseHead(config)
        if self.pinhole:
            self.focal_head = nn.Linear(config.decoder_width, 1)
        if config.world_head:
            self.final_transform = FinalTransform(config)
            self.dpt_cross = DptHead(config, 4)
        if config.rgb_head:
            self.dpt_rgb = DptHead(config, 3)

    def camera_points(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Return camera-frame points [B, H, W, 3] and confidence [B, H, W]."""
        raw = self.dpt_self(tokens.levels, tokens.grid, tokens.fine).float()
        if self.pinhole:
            focal = self.focal_head(tokens.pose[:, 0]).float()[:, 0].exp()
            return pinhole_points(raw[:, 0], focal), 1 + raw[:, 1].exp()
        return split_points(raw.movedim(1, -1))

    def world_points(self, tokens: Tokens, table: Rotation) -> tuple[Tensor, Tensor]:
        """Return world-frame points [B, H, W, 3] and confidence [B, H, W]."""
        moved = self.final_transform(tokens.levels[-1], tokens.pose, table)
        raw = self.dpt_cross([*tokens.levels[:-1], moved], tokens.grid, tokens.fine)
        return split_points(raw.float().movedim(1, -1))

    def colors(self, tokens: Tokens) -> Tensor:
        """Return the image's own colours in [-1, 1] [B, H, W, 3]."""
        raw = self.dpt_rgb(tokens.levels, tokens.grid, tokens.fine)
        return squash_colors(raw.float().movedim(1, -1))


class LinearHeads(nn.Module):
    """The linear variant: one MLP per output, whose channels are the pixels of a patch."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        width, area = config.decoder_width, config.patch_size**2
        self.proj = Mlp(width, out=4 * area)
        self.pose_head = PoseHead(config)
        if config.rgb_head:
            self.rgb_proj = Mlp(width, out=3 * area)
        if config.world_head:
            self.final_transform = FinalTransform(config)
            self.cross_proj = Mlp(width, out=4 * area)

    def camera_points(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Return camera-frame points, never behind the camera, and confidence."""
        raw = self._pixels(self.proj(tokens.levels[-1]), tokens.grid)
        points = raw[..., :3] * raw[..., 2:3].sign()
        return expand(points), 1 + raw[..., 3].exp()

    def world_points(self, tokens: Tokens, table: Rotation) -> tuple[Tensor, Tensor]:
        """Return world-frame points [B, H, W, 3] and confidence [B, H, W]."""
        moved = self.final_transform(tokens.levels[-1], tokens.pose, table)
        return split_points(self._pixels(self.cross_proj(moved), tokens.grid))

    def colors(self, tokens: Tokens) -> Tensor:
        """Return the image's own colours in [-1, 1] [B, H, W, 3]."""
        return squash_colors(self._pixels(self.rgb_proj(tokens.levels[-1]), tokens.grid))

    def _pixels(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """[B, P, C p^2] to [B, H, W, C]."""
        maps = token_map(tokens.float(), grid)
        pixels: Tensor = F.pixel_shuffle(maps, self.patch_size).movedim(1, -1)
        return pixels


def expand(vector: Tensor) -> Tensor:
    """Stretch a vector [..., 3] from length r to expm1(r)."""
    length: Tensor = vector.norm(dim=-1, keepdim=True)
    return vector / length.clamp(min=1e-8) * length.expm1()


def split_points(raw: Tensor) -> tuple[Tensor, Tensor]:
    """[B, H, W, 4] to points [B, H, W, 3] and confidence, at least 1 [B, H, W]."""
    return expand(raw[..., :3]), 1 + raw[..., 3].exp()


def squash_colors(raw: Tensor) -> Tensor:
    """Bring colours into (-1, 1)."""
    return 2 * (raw.sigmoid() * (1 - 2e-6) + 1e-6) - 1


def pinhole_points(log_depth: Tensor, focal: Tensor) -> Tensor:
    """
    Lift a depth map.

    :param log_depth: [B, H, W]
    :param focal: relative to the longer image side [B]
    :return: [B, H, W, 3]
    """
    height, width = sides(log_depth)
    depth, reach = log_depth.exp(), (focal * max(height, width))[:, None, None]
    x = torch.arange(width, device=depth.device) - (width - 1) / 2
    y = torch.arange(height, device=depth.device) - (height - 1) / 2
    return torch.stack([depth * x / reach, depth * y[:, None] / reach, depth], dim=-1)
