"""
What an update rule may look at.

Sizes: B batch, S state tokens, P image tokens without the pose token, E and D widths.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ttt3r_ros.model.decoder import AttentionStatistics

Memory = tuple[Tensor, ...]
"""What a rule remembers; each tensor starts with the batch. Empty before the first frame."""


class Evidence(NamedTuple):
    """One frame, before its state update."""

    old: Tensor  # state before the frame [B, S, D]
    new: Tensor  # newly decoded state [B, S, D]
    start: Tensor  # state at the start of a sequence [1, S, D]
    first: Tensor  # whether this is a first frame [B]
    statistics: AttentionStatistics  # those the rule declares to need
    encoded: Tensor  # encoder tokens [B, P, E]
    embedded: Tensor  # encoder tokens in the decoder's width [B, P, D]
    final: Tensor  # image stream after the last layer, normed [B, P, D]

    @property
    def step(self) -> Tensor:
        """The full step from the old to the new state [B, S, D]."""
        return self.new - self.old

    @property
    def attention_gate(self) -> Tensor:
        """TTT3R's learning rate, by Eq. 7 with the mean of the logits [B, S, 1]."""
        assert self.statistics.mean_logit is not None
        return self.statistics.mean_logit.sigmoid().to(self.new.dtype)
