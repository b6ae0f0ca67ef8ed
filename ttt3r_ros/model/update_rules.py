"""
How much of a newly decoded state replaces the old one.

A rule is one function of the frame's evidence and its own memory, and one line in `UPDATE_RULES`.
The first frame, and the first after a reset, replaces the state whatever the rule; frames that
must not update leave state and memory alone. Both are the network's business, not the rules'.

Sizes: B batch, S state tokens, P image tokens without the pose token, E and D widths.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ttt3r_ros.model.decoder import AttentionStatistics

Memory = tuple[Tensor, ...]
"""What a rule remembers; each tensor starts with the batch. Empty before the first frame."""


class Evidence(NamedTuple):
    """What a rule may look at."""

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
        return self.statistics.mean_logit.sigmoid().unsqueeze(-1).to(self.new.dtype)


RuleFunction = Callable[[Evidence, Memory, Any], tuple[Tensor, Memory]]


@dataclass(frozen=True)
class UpdateRule:
    """
    A rule with what it needs.

    :param function: evidence, memory and settings to new tokens [B, S, D] and memory
    :param needs: names of `decoder.STATISTICS`
    :param settings: the rule's constants
    """

    function: RuleFunction
    needs: frozenset[str] = frozenset()
    settings: Any = None

    def __call__(self, frame: Evidence, memory: Memory) -> tuple[Tensor, Memory]:
        """Apply the rule."""
        return self.function(frame, memory, self.settings)


def replace(frame: Evidence, memory: Memory, _: None) -> tuple[Tensor, Memory]:
    """Replace the whole state (CUT3R; TTT3R, Eq. 3)."""
    return frame.new, memory


def attention_gated(frame: Evidence, memory: Memory, _: None) -> tuple[Tensor, Memory]:
    """Update a token the more, the better it matches the image (TTT3R, Eqs. 7 and 8)."""
    return torch.lerp(frame.old, frame.new, frame.attention_gate), memory


_LOGIT = frozenset({'mean_logit'})

UPDATE_RULES: dict[str, UpdateRule] = {
    'cut3r': UpdateRule(replace),
    'ttt3r': UpdateRule(attention_gated, _LOGIT),
}
