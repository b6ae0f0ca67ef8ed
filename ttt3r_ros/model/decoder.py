"""
Image and state decoded together (Update and Read of TTT3R, Eq. 1), and what rules want to know.

Sizes: B batch, L layers, A heads, S state tokens, P image tokens without the pose token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ttt3r_ros.model.rope import Rotation


class AttentionStatistics(NamedTuple):
    """Statistics of the scaled pre-softmax logits from state to image; None if not asked for."""

    mean_logit: Tensor | None = None  # over layers, heads and all image tokens [B, S, 1]
    logit_map: Tensor | None = None  # over layers and heads, no pose token [B, S, P]
    entropy: Tensor | None = None  # of the softmax, no pose token, over layers and heads [B, S]


class Decoded(NamedTuple):
    """The two streams after the last layer, and the image stream on the way."""

    levels: tuple[Tensor, ...]  # image stream at the asked layers, pose token first [B, 1+P, D]
    state: Tensor  # [B, S, D]
    statistics: AttentionStatistics


def mean_logit(q: Tensor, k: Tensor) -> Tensor:
    """
    Average the logits over heads and keys without forming them (TTT3R, Eq. 7).

    The mean over keys commutes with the dot product, so one mean key per head is enough.

    :param q: [B, A, S, d]
    :param k: [B, A, 1 + P, d]
    :return: [B, S, 1]
    """
    batch, heads, tokens, width = map(int, k.shape)  # a trace would round what is made of tensors
    queries = q.float().transpose(1, 2).flatten(2)
    key = k.sum(2, dtype=torch.float32).view(batch, -1, 1)
    scale = 1 / (heads * tokens * math.sqrt(width))
    # with beta 0, what would be added is not looked at
    return torch.baddbmm(key.narrow(1, 0, 1), queries, key, beta=0, alpha=scale)


def logit_map(q: Tensor, k: Tensor) -> Tensor:
    """
    Average the logits over heads: one product of all channels at once.

    :param q: [B, A, S, d]
    :param k: [B, A, 1 + P, d], pose token first
    :return: [B, S, P]
    """
    scale = 1 / (int(q.shape[1]) * math.sqrt(q.shape[-1]))
    queries, keys = q.transpose(1, 2).flatten(2), k[:, :, 1:].transpose(1, 2).flatten(2)
    return torch.matmul(queries, keys.transpose(1, 2)).float() * scale


def attention_entropy(q: Tensor, k: Tensor) -> Tensor:
    """
    Return the softmax entropy over the image tokens, relative to ln P, averaged over heads.

    One head at a time, so that no more than [B, S, P] is held.

    :param q: [B, A, S, d]
    :param k: [B, A, 1 + P, d], pose token first
    :return: in [0, 1] [B, S]
    """
    scale = 1 / math.sqrt(q.shape[-1])
    total = q.new_zeros(q.shape[0], q.shape[2], dtype=torch.float32)
    for head in range(q.shape[1]):
        logits = torch.matmul(q[:, head], k[:, head, 1:].transpose(1, 2)).float() * scale
        # H = ln Z - sum(p l), which needs neither the logarithm of p nor a guard at p = 0
        expected = (logits.softmax(-1) * logits).sum(-1)
        total += logits.logsumexp(-1) - expected
    return total / (int(q.shape[1]) * math.log(k.shape[2] - 1))


STATISTICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    'mean_logit': mean_logit,
    'logit_map': logit_map,
    'entropy': attention_entropy,
}
"""What a rule can ask for: name to function of queries and keys; all layers' heads are alike."""

_LARGE = 1 << 18  # numbers in the queries of a layer: smaller ones are kept till the last layer


Layer = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor, Tensor]]
"""
One layer of both streams: image and state to new image, new state, the state's queries and keys.
"""


def plain_layers(
    blocks: tuple[nn.ModuleList, nn.ModuleList],
    tables: tuple[tuple[Rotation, ...], tuple[Rotation, ...]],
) -> list[Layer]:
    """
    Pair the blocks of both stacks; at each layer both read the other's previous layer.

    :param blocks: the image's and the state's decoder blocks
    :param tables: rotations of (own, other) positions, for the image's and the state's blocks
    """

    def layer(image_block: nn.Module, state_block: nn.Module) -> Layer:
        def run(image: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            new_state, q, k = state_block(state, image, tables[1])
            new_image, _, _ = image_block(image, state, tables[0])
            return new_image, new_state, q, k

        return run

    return [layer(*pair) for pair in zip(*blocks, strict=True)]


def decode(
    image: Tensor,
    state: Tensor,
    layers: Sequence[Layer],
    levels: tuple[int, ...],
    needs: frozenset[str],
) -> Decoded:
    """
    Run both stacks in step.

    :param image: pose token and image tokens [B, 1 + P, D]
    :param state: [B, S, D]
    :param layers: of both stacks
    :param levels: after which layers (1 to L) the image stream is kept
    :param needs: which `STATISTICS` to gather
    """
    kept, read, sums = [], [], dict[str, Tensor]()
    groups = 0
    for number, layer in enumerate(layers, start=1):
        image, state, q, k = layer(image, state)
        kept += [image] * levels.count(number)
        if not needs:
            continue
        read.append((q, k))
        if number == len(layers) or q.numel() > _LARGE:
            for name, value in _gather(read, needs).items():
                sums[name] = sums[name] + value if name in sums else value
            read, groups = [], groups + 1
    means = {name: total / groups if groups > 1 else total for name, total in sums.items()}
    return Decoded(tuple(kept), state, AttentionStatistics(**means))


def _gather(read: Sequence[tuple[Tensor, Tensor]], needs: frozenset[str]) -> dict[str, Tensor]:
    """Compute statistics of some layers at once, as of one that has the heads of all."""
    queries, keys = read[0]
    if len(read) > 1:
        queries = torch.cat([q for q, _ in read], dim=1)
        keys = torch.cat([k for _, k in read], dim=1)
    return {name: STATISTICS[name](queries, keys) for name in needs}
