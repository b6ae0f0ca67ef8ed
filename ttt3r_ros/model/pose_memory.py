"""A small associative memory that proposes the pose token of a new image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ttt3r_ros.model.config import NetworkConfig
from ttt3r_ros.model.initial import normal
from ttt3r_ros.model.layers import DecoderBlock


class PoseMemory(nn.Module):
    """
    Slots of keys and values, read and written by decoder blocks without positions.

    Sizes: B batch, E encoder width, D decoder width, M slots.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width, heads = config.decoder_width, config.decoder_heads
        self.mem = nn.Parameter(normal(1, config.memory_slots, 2 * width, std=0.02))
        self.masked_token = nn.Parameter(normal(1, 1, width, std=0.02))
        self.proj_q = nn.Linear(config.encoder_width, width)
        depth = config.memory_depth
        self.read_blocks = nn.ModuleList(DecoderBlock(2 * width, heads) for _ in range(depth))
        self.write_blocks = nn.ModuleList(DecoderBlock(2 * width, heads) for _ in range(depth))

    def read(self, query: Tensor, memory: Tensor) -> Tensor:
        """
        Recall a pose token.

        :param query: mean encoder token [B, 1, E]
        :param memory: [B, M, 2D]
        :return: [B, 1, D]
        """
        key = self.proj_q(query)
        x = torch.cat([key, self.masked_token.expand(key.shape[0], -1, -1)], dim=-1)
        for block in self.read_blocks:
            x, _, _ = block(x, memory, None)
        return x[..., key.shape[-1] :]

    def write(self, query: Tensor, pose_token: Tensor, memory: Tensor) -> Tensor:
        """
        Store a decoded pose token.

        :param query: mean encoder token [B, 1, E]
        :param pose_token: [B, 1, D]
        :param memory: [B, M, 2D]
        :return: new memory [B, M, 2D]
        """
        entry = torch.cat([self.proj_q(query), pose_token], dim=-1)
        for block in self.write_blocks:
            memory, _, _ = block(memory, entry, None)
        return memory
