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
from typing import Any

import torch
from torch import Tensor

from ttt3r_ros.model import successors
from ttt3r_ros.model.evidence import Evidence, Memory

RuleFunction = Callable[[Evidence, Memory, Any], tuple[Tensor, Memory]]


@dataclass(frozen=True)
class UpdateRule:
    """
    A rule with what it needs.

    :param function: evidence, memory and settings to new tokens [B, S, D] and memory
    :param needs: names of `decoder.STATISTICS`
    :param settings: the rule's constants
    :param start: what it remembers of a first frame; rules without memory have none
    """

    function: RuleFunction
    needs: frozenset[str] = frozenset()
    settings: Any = None
    start: Callable[[Evidence], Memory] | None = None

    def __call__(self, frame: Evidence, memory: Memory) -> tuple[Tensor, Memory]:
        """Apply the rule; the memory starts anew at first frames, and when its size changes."""
        if self.start is None:
            return self.function(frame, (), self.settings)
        fresh = self.start(frame)
        if [part.shape for part in memory] == [part.shape for part in fresh]:
            known = _choose(frame.first, fresh, memory)
        else:
            known = fresh
        tokens, memory = self.function(frame, known, self.settings)
        return tokens, _choose(frame.first, fresh, memory)


def _choose(mask: Tensor, chosen: Memory, other: Memory) -> Memory:
    return tuple(
        torch.where(mask.view(-1, *(1,) * (a.dim() - 1)), a, b)
        for a, b in zip(chosen, other, strict=True)
    )


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
    'const': UpdateRule(successors.scaled, _LOGIT, successors.Const()),
    'filt3r': UpdateRule(
        successors.kalman, settings=successors.Filt3r(), start=successors.kalman_start
    ),
    'brake': UpdateRule(
        successors.braked, _LOGIT, successors.Brake(), start=successors.no_direction
    ),
    'ortho': UpdateRule(
        successors.orthogonal, _LOGIT, successors.Ortho(), start=successors.no_direction
    ),
    'ttsa3r': UpdateRule(
        successors.spatio_temporal,
        frozenset({'logit_map'}),
        successors.Ttsa3r(),
        start=successors.last_frame,
    ),
    'recal3r': UpdateRule(
        successors.recalibrated,
        frozenset({'mean_logit', 'entropy'}),
        successors.Recal3r(),
        start=successors.no_habit,
    ),
}
