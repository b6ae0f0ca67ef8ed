"""Running the network over sequences with gradients."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ttt3r_ros.model.encoder import Encoded
from ttt3r_ros.model.evidence import Evidence, Memory
from ttt3r_ros.model.heads import Tokens
from ttt3r_ros.model.network import Network
from ttt3r_ros.model.update_rules import UPDATE_RULES, UpdateRule


class Unrolled(NamedTuple):
    """Predictions for B sequences of T frames."""

    points: Tensor  # [B, T, H, W, 3]
    confidence: Tensor  # [B, T, H, W]
    translation: Tensor  # [B, T, 3]
    quat_wxyz: Tensor  # [B, T, 4]


def glance(network: Network, image: Tensor) -> Unrolled:
    """
    Predict from the encoder and the head alone, without state, memory and decoder.

    It costs a third of a whole step, and what encoder and head learn by it is the better part of
    what they need: the decoder starts as a small change of the tokens that pass it. Poses are at
    rest.

    :param image: in [-1, 1] [B, T, 3, H, W]
    """
    batch, length = image.shape[:2]
    encoded = network.encode(image.flatten(0, 1))
    embedded = network.decoder_embed(encoded.tokens)
    final = network.dec_norm(embedded)
    pose_token = final.mean(dim=1, keepdim=True)
    tokens = Tokens(
        [encoded.tokens, embedded, embedded, final], pose_token, encoded.fine, encoded.grid
    )
    points, confidence = network.downstream_head.camera_points(tokens)
    return Unrolled(
        points.view(batch, length, *points.shape[1:]),
        confidence.view(batch, length, *confidence.shape[1:]),
        torch.zeros(batch, length, 3, device=image.device),
        torch.eye(1, 4, device=image.device).expand(batch, length, -1),
    )


def half_gated(batch: int, device: torch.device) -> UpdateRule:
    """Return a rule by which the first half of B sequences is gated as by TTT3R, no other."""
    ungated = (torch.arange(batch, device=device) >= batch // 2)[:, None, None]

    def update(frame: Evidence, memory: Memory, _: None) -> tuple[Tensor, Memory]:
        gate = torch.where(ungated, 1.0, frame.attention_gate)
        return torch.lerp(frame.old, frame.new, gate), memory

    return UpdateRule(update, frozenset({'mean_logit'}))


def unroll(
    network: Network, image: Tensor, rule: str | UpdateRule, *, reset: bool = False
) -> Unrolled:
    """
    Run over sequences; all frames are encoded together.

    :param image: in [-1, 1] [B, T, 3, H, W]
    :param rule: a rule, or the name of one of `UPDATE_RULES`
    :param reset: forget everything before each frame
    """
    batch, length = image.shape[:2]
    encoded = network.encode(image.flatten(0, 1))
    state = network.initial_state(batch)
    chosen = UPDATE_RULES[rule] if isinstance(rule, str) else rule
    steps = []
    for t in range(length):
        if reset:
            state = network.initial_state(batch)
        prediction, state = network.decode(_frame(encoded, batch, t), state, chosen)
        steps.append(
            (
                prediction.points,
                prediction.confidence,
                prediction.translation,
                prediction.quat_wxyz,
            )
        )
    return Unrolled(*(torch.stack(parts, dim=1) for parts in zip(*steps, strict=True)))


def _frame(encoded: Encoded, batch: int, t: int) -> Encoded:
    """Take frame t out of a joint encoding of B sequences."""

    def pick(x: Tensor) -> Tensor:
        return x.view(batch, -1, *x.shape[1:])[:, t]

    return Encoded(
        pick(encoded.tokens),
        tuple(pick(x) for x in encoded.fine),
        pick(encoded.image),
        encoded.grid,
    )
