"""
The transformer blocks of a small network with fewer and cheaper operations, for inference.

In a network of a few million weights, calling an operation takes as long as the operation. So
what reads the same tokens is one product: queries, keys and values of a block, and the keys and
values that the other stream reads; the norms before them differ only in scale and shift, which
go into the weights. The channels of queries and keys are put in the order in which the rotations
want them, as complex numbers lie in memory. Results are those of the plain blocks, to rounding.

Sizes: B batch, N and M tokens, D width, A heads, d = D / A.
"""

from __future__ import annotations

from collections.abc import Sequence
import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from ttt3r_ros.model.config import NetworkConfig
from ttt3r_ros.model.decoder import Layer
from ttt3r_ros.model.layers import (
    NORM_EPS,
    CrossAttention,
    DecoderBlock,
    EncoderBlock,
    Mlp,
    SelfAttention,
    join_heads,
    split_heads,
)
from ttt3r_ros.model.rope import Rotation

if TYPE_CHECKING:
    from ttt3r_ros.model.network import Network

Weights = tuple[Tensor, Tensor]  # of a linear layer: [out, in] and [out]
_PLAIN = (
    EncoderBlock,
    DecoderBlock,
    SelfAttention,
    CrossAttention,
    Mlp,
    nn.Linear,
    nn.LayerNorm,
)


@dataclass(frozen=True)
class Residual:
    """
    What follows the first norm: attention's output, cross-attention, MLP.

    :param cross: norm, queries and output of the cross-attention; none in the encoder
    """

    heads: int
    out: Weights
    mlp_norm: Weights
    mlp: tuple[Weights, Weights]
    cross: tuple[Weights, Weights, Weights] | None = None

    @classmethod
    def of_encoder(cls, block: EncoderBlock) -> Residual:
        """Take over the weights of an encoder block."""
        mlp = (_weights(block.mlp.fc1), _weights(block.mlp.fc2))
        return cls(block.attn.heads, _weights(block.attn.proj), _weights(block.norm2), mlp)

    @classmethod
    def of_decoder(cls, block: DecoderBlock) -> Residual:
        """Take over the weights of a decoder block."""
        cross = block.cross_attn
        queries = _in_pairs(_weights(cross.projq), cross.heads)
        return cls(
            block.attn.heads,
            _weights(block.attn.proj),
            _weights(block.norm3),
            (_weights(block.mlp.fc1), _weights(block.mlp.fc2)),
            (_weights(block.norm2), queries, _weights(cross.proj)),
        )

    def attend(self, x: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Add self-attention; all [B, N, D]."""
        q, k, v = (split_heads(part, self.heads) for part in (q, k, v))
        return x + F.linear(join_heads(F.scaled_dot_product_attention(q, k, v)), *self.out)

    def read(
        self, x: Tensor, k: Tensor, v: Tensor, table: Rotation
    ) -> tuple[Tensor, Tensor, Tensor]:
        """
        Add cross-attention of x [B, N, D] to keys, rotated, and values [B, M, D].

        :return: new x, and queries and keys by head
        """
        assert self.cross is not None
        norm, queries, out = self.cross
        q = _turn(F.linear(F.layer_norm(x, x.shape[-1:], *norm, NORM_EPS), *queries), table)
        q, k, v = (split_heads(part, self.heads) for part in (q, k, v))
        read = join_heads(F.scaled_dot_product_attention(q, k, v))
        return x + F.linear(read, *out), q, k

    def feed(self, x: Tensor) -> Tensor:
        """Add the MLP."""
        first, second = self.mlp
        hidden = F.gelu(F.linear(F.layer_norm(x, x.shape[-1:], *self.mlp_norm, NORM_EPS), *first))
        return x + F.linear(hidden, *second)


class FusedEncoderBlock(nn.Module):
    """
    An encoder block.

    :param block: the plain one
    """

    def __init__(self, block: EncoderBlock) -> None:
        super().__init__()
        self._rest = Residual.of_encoder(block)
        q, k, v = _thirds(_weights(block.attn.qkv))
        heads = block.attn.heads
        self._into = _after(block.norm1, [_in_pairs(q, heads), _in_pairs(k, heads), v])
        self._width = len(q[1])

    def forward(self, x: Tensor, table: Rotation) -> Tensor:
        """
        [B, N, D] to [B, N, D].

        :param table: `encoder` of `fused_tables`
        """
        width = self._width
        both = F.linear(F.layer_norm(x, x.shape[-1:], eps=NORM_EPS), *self._into)
        turned = _turn(both[..., : 2 * width], table)
        x = self._rest.attend(x, turned[..., :width], turned[..., width:], both[..., 2 * width :])
        return self._rest.feed(x)


@dataclass(frozen=True)
class FusedLayer:
    """
    A layer of both decoders.

    :param into: for image and state, from normed tokens to queries and keys of their own, keys
        that the other reads, values of their own, values that the other reads
    :param rest: of the image's and of the state's block
    """

    into: tuple[Weights, Weights]
    rest: tuple[Residual, Residual]

    @classmethod
    def of(cls, image: DecoderBlock, state: DecoderBlock) -> FusedLayer:
        """Take over the weights of a pair of blocks."""
        return cls(
            (_read_weights(image, state), _read_weights(state, image)),
            (Residual.of_decoder(image), Residual.of_decoder(state)),
        )

    def bind(self, tables: Sequence[Tensor]) -> Layer:
        """
        Return the layer for the positions of an image size.

        :param tables: `fused` of `fused_tables`
        """
        turns = tables[:2]

        def run(image: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            width = image.shape[-1]
            streams, parts = (image, state), []
            for x, weights, table in zip(streams, self.into, turns, strict=True):
                both = F.linear(F.layer_norm(x, x.shape[-1:], eps=NORM_EPS), *weights)
                turned = _turn(both[..., : 3 * width], table)
                values = both[..., 3 * width :]
                parts.append([*torch.split(turned, width, -1), *torch.split(values, width, -1)])
            results = []
            for index, x in enumerate(streams):
                rest, other = self.rest[index], parts[1 - index]
                q, k, _, v, _ = parts[index]
                attended, turn = rest.attend(x, q, k, v), tables[2 + index]
                read, q, k = rest.read(attended, other[2], other[4], turn)
                results.append((rest.feed(read), q, k))
            (image, _, _), (state, q, k) = results
            return image, state, q, k

        return run


def fuse(network: Network) -> Network:
    """
    Return a network that does the same with fewer operations; other parameters are shared.

    It can no longer be trained, saved, or moved to another device or type. A wide network, in
    which copies of weights take much memory, one whose blocks are not as trained, and one that is
    fused already are returned as they are.
    """
    config = network.config
    blocks = [*network.enc_blocks, *network.dec_blocks, *network.dec_blocks_state]
    plain = all(isinstance(module, _PLAIN) for block in blocks for module in block.modules())
    if config.is_wide or not plain:
        return network
    shared = {id(parameter): parameter for parameter in network.parameters()}
    fused: Network = copy.deepcopy(network, shared)
    fused.forget_tables()
    fused.enc_blocks = nn.ModuleList(
        FusedEncoderBlock(cast(EncoderBlock, block)) for block in network.enc_blocks
    )
    fused.fused_layers = tuple(
        FusedLayer.of(cast(DecoderBlock, image), cast(DecoderBlock, state))
        for image, state in zip(network.dec_blocks, network.dec_blocks_state, strict=True)
    )
    return fused


def fused_tables(
    tables: dict[str, tuple[Rotation, ...]], config: NetworkConfig
) -> dict[str, tuple[Tensor, ...]]:
    """
    Lay out the rotations of all channels of an image size, complex.

    :param tables: of one head each
    :return: the same, where `encoder` is for its queries and keys [P, E]; and `fused`: for
        queries, keys and the other's keys of image and of state [N, 3D / 2], and for the queries
        with which image and state read each other [N, D / 2]
    """
    a, b, there = config.decoder_heads, config.state_heads, config.encoder_heads
    image, state, (encoder,) = tables['image'], tables['state'], tables['encoder']
    fused = (
        _repeat([image[0], image[0], state[1]], [a, a, b]),
        _repeat([state[0], state[0], image[1]], [b, b, a]),
        _repeat([image[0]], [a]),
        _repeat([state[0]], [b]),
    )
    return {**tables, 'encoder': (_repeat([encoder] * 2, [there] * 2),), 'fused': fused}


def _repeat(tables: Sequence[Rotation], heads: Sequence[int]) -> Tensor:
    """Repeat rotations [N, 2, d / 4] for every head, and join them [N, channels / 2]."""
    return torch.cat([t.flatten(1).repeat(1, a) for t, a in zip(tables, heads, strict=True)], 1)


def _turn(x: Tensor, table: Tensor) -> Tensor:
    """Rotate channels in pairs [B, N, C] by [N, C / 2]."""
    pairs = torch.view_as_complex(x.float().view(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * table).flatten(-2).to(x.dtype)


def _weights(layer: nn.Module) -> Weights:
    """Return weight and bias of a linear layer or a norm."""
    assert isinstance(layer, nn.Linear | nn.LayerNorm)
    return layer.weight.detach(), layer.bias.detach()


def _thirds(weights: Weights) -> list[Weights]:
    return list(zip(*(part.chunk(3) for part in weights), strict=True))


def _in_pairs(weights: Weights, heads: int) -> Weights:
    """Put the two channels of each rotated pair side by side; see `rope.rotate`."""
    channels = len(weights[1])
    order = torch.arange(channels).view(heads, 2, 2, -1).transpose(-1, -2).flatten()
    return weights[0][order], weights[1][order]


def _after(norm: nn.LayerNorm, layers: Sequence[Weights]) -> Weights:
    """Join layers that read the same normed tokens, the norm's scale and shift included."""
    scale, shift = (part.float() for part in _weights(norm))
    weight = torch.cat([layer[0] for layer in layers])
    bias = torch.cat([layer[1] for layer in layers])
    shifted = bias.float() + weight.float() @ shift
    return (weight.float() * scale).to(weight.dtype), shifted.to(bias.dtype)


def _read_weights(own: DecoderBlock, other: DecoderBlock) -> Weights:
    """Join all that reads a stream: its own attention, and the other stream's cross-attention."""
    q, k, v = _thirds(_weights(own.attn.qkv))
    heads, cross = own.attn.heads, other.cross_attn
    own_weight, own_bias = _after(own.norm1, [_in_pairs(q, heads), _in_pairs(k, heads), v])
    keys = _in_pairs(_weights(cross.projk), cross.heads)
    other_weight, other_bias = _after(other.norm_y, [keys, _weights(cross.projv)])
    width = len(q[1])
    order = torch.arange(5 * width).view(5, width)[[0, 1, 3, 2, 4]].flatten()
    return torch.cat([own_weight, other_weight])[order], torch.cat([own_bias, other_bias])[order]
