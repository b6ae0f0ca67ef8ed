"""
Training-free update rules published after TTT3R (docs/update_rules.md has the formulas).

In all of them S is the old state, N the newly decoded one, d = N - S, and beta TTT3R's rate.
Sizes: B batch, S state tokens, P image tokens without the pose token, E and D widths.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from ttt3r_ros.model.evidence import Evidence, Memory

_TINY = 1e-6


@dataclass(frozen=True)
class Const:
    """Settings of `scaled`."""

    factor: float = 0.5


@dataclass(frozen=True)
class Filt3r:
    """
    Settings of `kalman`.

    :param initial_variance: of every token before the second frame
    :param memory: share of the old mean novelty that is kept
    :param least_novelty: below which the mean novelty does not fall
    :param least_noise: process noise of a token that hardly changes
    :param extra_noise: added to it for a token that changes much
    :param sharpness: of the step between the two
    :param threshold: of a token's novelty, relative to the mean, at the middle of the step
    """

    initial_variance: float = 1.5
    memory: float = 0.95
    least_novelty: float = 0.01
    least_noise: float = 0.02
    extra_noise: float = 0.48
    sharpness: float = 20.0
    threshold: float = 3.0


@dataclass(frozen=True)
class Brake:
    """Settings of `braked`: how strongly a repeated direction slows the update."""

    sharpness: float = 2.0


@dataclass(frozen=True)
class Ortho:
    """
    Settings of `orthogonal`.

    :param memory: share of the old direction that is kept
    :param across: step across the remembered direction
    :param along: step along it
    """

    memory: float = 0.95
    across: float = 0.5
    along: float = 0.05


@dataclass(frozen=True)
class Ttsa3r:
    """Settings of `spatio_temporal`: relative novelty at which a token is half open."""

    threshold: float = 1.5


@dataclass(frozen=True)
class Recal3r:
    """
    Settings of `recalibrated`.

    :param memory: share of the old mean rate that is kept
    :param threshold: of the relative residual at which trust is one half
    :param floor: rate of a token that is wholly redundant
    """

    memory: float = 0.95
    threshold: float = 0.2
    floor: float = 0.1


def scaled(frame: Evidence, memory: Memory, settings: Const) -> tuple[Tensor, Memory]:
    """Take a constant share of TTT3R's step: S + c beta d."""
    return frame.old + settings.factor * frame.attention_gate * frame.step, memory


def kalman_start(frame: Evidence) -> Memory:
    """Return variance [B, S], mean novelty (0: unknown yet) [B], decoded state [B, S, D]."""
    batch, count, _ = frame.new.shape
    variance = frame.new.new_full((batch, count), Filt3r.initial_variance, dtype=torch.float32)
    return variance, variance.new_zeros(batch), frame.new


def kalman(frame: Evidence, memory: Memory, settings: Filt3r) -> tuple[Tensor, Memory]:
    """
    Filter every token with a scalar Kalman gain (FILT3R, arXiv 2603.18493).

    The process noise follows how much a token's decoded value changed since the last frame.
    """
    variance, mean_novelty, last = memory
    novelty = (frame.new - last).float().norm(dim=-1)
    now = novelty.mean(-1)
    smoothed = settings.memory * mean_novelty + (1 - settings.memory) * now
    mean_novelty = torch.where(mean_novelty == 0, now, smoothed)
    # chosen while frames come, the rule has no last frame: nothing is new, and no mean known
    unknown = mean_novelty == 0
    mean_novelty = mean_novelty.clamp(min=settings.least_novelty).masked_fill(unknown, 0)
    relative = novelty / (mean_novelty[:, None] + _TINY)
    surprise = (settings.sharpness * (relative - settings.threshold)).sigmoid()
    predicted = variance + settings.least_noise + settings.extra_noise * surprise
    gain = (predicted / (predicted + 1 + _TINY)).clamp(0.01, 0.99)
    variance = (1 - gain).square() * predicted + gain.square()
    return _moved(frame, gain), (variance, mean_novelty, frame.new)


def no_direction(frame: Evidence) -> Memory:
    """Return a zero direction, which stands for none [B, S, D]."""
    return (torch.zeros_like(frame.new),)


def braked(frame: Evidence, memory: Memory, settings: Brake) -> tuple[Tensor, Memory]:
    """Slow down where a token goes on in the direction of its last step (DDD3R, brake)."""
    (last,) = memory
    similarity = F.cosine_similarity(frame.step.float(), last.float(), dim=-1)
    gain = (-settings.sharpness * similarity).sigmoid()
    return _moved(frame, frame.attention_gate[..., 0] * gain), (frame.step,)


def orthogonal(frame: Evidence, memory: Memory, settings: Ortho) -> tuple[Tensor, Memory]:
    """Favour what is new over the running direction of the updates (DDD3R, ortho)."""
    (direction,) = memory
    step = frame.step
    known = (direction != 0).any(-1, keepdim=True)
    kept = settings.memory * direction + (1 - settings.memory) * F.normalize(step, dim=-1)
    direction = F.normalize(kept, dim=-1)
    along = (step * direction).sum(-1, keepdim=True) * direction
    split = settings.across * (step - along) + settings.along * along
    move = torch.where(known, split, settings.across * step)
    return frame.old + frame.attention_gate * move, (direction,)


def last_frame(frame: Evidence) -> Memory:
    """Return decoded state [B, S, D] and encoder tokens [B, P, E]."""
    return frame.new, frame.encoded


def spatio_temporal(frame: Evidence, memory: Memory, settings: Ttsa3r) -> tuple[Tensor, Memory]:
    """Open a token where it and the image it attends to change (TTSA3R, arXiv 2601.22615)."""
    last_state, last_encoded = memory
    logit_map = frame.statistics.logit_map
    assert logit_map is not None
    novelty = (frame.new - last_state).float().norm(dim=-1)
    # two equal frames have no novelty at all; their ratio is then taken as 0
    relative = novelty / novelty.mean(-1, keepdim=True).clamp(min=_TINY)
    temporal = (relative - settings.threshold).sigmoid()
    change = 1 - F.cosine_similarity(frame.encoded.float(), last_encoded.float(), dim=-1)
    spatial = (logit_map.abs() * change[:, None]).amax(-1).sigmoid()
    return _moved(frame, temporal * spatial), last_frame(frame)


def no_habit(frame: Evidence) -> Memory:
    """Return the mean rate so far, none [B, S]."""
    return (frame.new.new_zeros(frame.new.shape[:2], dtype=torch.float32),)


def recalibrated(frame: Evidence, memory: Memory, settings: Recal3r) -> tuple[Tensor, Memory]:
    """Recalibrate TTT3R's rate by trust and redundancy (ReCal3R, arXiv 2607.05356)."""
    (habit,) = memory
    entropy = frame.statistics.entropy
    assert entropy is not None
    rate = frame.attention_gate[..., 0].float()
    habit = settings.memory * habit + (1 - settings.memory) * rate
    embedded = frame.embedded.float()
    residual = (embedded - frame.final.float()).norm(dim=-1).mean(-1)
    residual = residual / (embedded.norm(dim=-1).mean(-1) + _TINY)
    trust = rate * (residual - settings.threshold).sigmoid()[:, None] * (-habit).exp()
    count = rate.shape[1]
    prior = 1 - (_ranks((frame.old - frame.start).float().norm(dim=-1)) + 1) / count
    unsure = _ranks(entropy) / (count - 1)
    agree, differ = prior * (1 - unsure), (1 - prior) * unsure
    sure = agree / (agree + differ + 1e-8)
    redundant = 1 - sure * (1 - 4 * sure * (1 - sure))
    gain = (1 - redundant) * trust + settings.floor * redundant
    gain = (0.5 * gain + 0.5 * gain.mean(-1, keepdim=True)).clamp(0, 1)
    return _moved(frame, gain), (habit,)


def _moved(frame: Evidence, gain: Tensor) -> Tensor:
    """Take a share [B, S] of each token's step."""
    return frame.old + gain.unsqueeze(-1).to(frame.old.dtype) * frame.step


def _ranks(values: Tensor) -> Tensor:
    """Rank values in ascending order, from 0 [B, S]."""
    return values.argsort(dim=-1).argsort(dim=-1).float()
