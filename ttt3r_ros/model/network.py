"""
The recurrent network: one image and the state in, points, pose and the next state out.

`Network.step` is pure: whatever is carried from frame to frame is in `State`.
Sizes: B batch, H and W pixels, P image tokens, S state tokens, M memory slots, E and D widths.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ttt3r_ros.model.alignment import Alignment, Reference, pyramid
from ttt3r_ros.model.config import NetworkConfig
from ttt3r_ros.model.decoder import Decoded, Layer, decode, plain_layers
from ttt3r_ros.model.encoder import (
    ConvStem,
    Encoded,
    PatchEmbed,
    encode,
    encoder_blocks,
    encoder_norm,
)
from ttt3r_ros.model.evidence import Evidence, Memory
from ttt3r_ros.model.fused import FusedLayer, fused_tables
from ttt3r_ros.model.heads import DptHeads, LinearHeads, Tokens
from ttt3r_ros.model.initial import normal
from ttt3r_ros.model.layers import DecoderBlock, layer_norm, sides
from ttt3r_ros.model.mobile import MobileStem
from ttt3r_ros.model.motion import Motion, appearance
from ttt3r_ros.model.pose_memory import PoseMemory
from ttt3r_ros.model.previous import (
    Previous,
    align_with,
    go_on,
    select,
    to_compare,
    where_allowed,
)
from ttt3r_ros.model.rope import Rotation, grid_positions, rotation, state_positions
from ttt3r_ros.model.update_rules import UPDATE_RULES, UpdateRule


class State(NamedTuple):
    """All that is carried from one image to the next."""

    tokens: Tensor  # [B, S, D]
    memory: Tensor  # pose memory, keys and values [B, M, 2D]
    first: Tensor  # true before the first frame, and after a reset [B]
    rule: Memory = ()  # what the update rule remembers
    previous: Previous | None = None  # only with `motion_radius`, from the first frame on


class StateHealth(NamedTuple):
    """How a frame changed the state, averaged over tokens."""

    gain: Tensor  # share of the full step that was taken [B]
    change: Tensor  # relative to the state's norm [B]
    drift: Tensor  # distance from the start state, relative to its norm [B]


class Prediction(NamedTuple):
    """
    What the network says of one image, in float32.

    Poses are camera to world, the world being the first frame's camera; OpenCV axes, metres.
    """

    points: Tensor  # camera frame [B, H, W, 3]
    confidence: Tensor  # at least 1 [B, H, W]
    translation: Tensor  # [B, 3]
    quat_wxyz: Tensor  # unit, w >= 0 [B, 4]
    health: StateHealth
    gate: Tensor | None = None  # TTT3R's rate, if asked for [B, S]
    world_points: Tensor | None = None  # if asked for [B, H, W, 3]
    world_confidence: Tensor | None = None  # if asked for [B, H, W]
    colors: Tensor | None = None  # in [-1, 1], if asked for [B, H, W, 3]


_STEMS: dict[str, Callable[[NetworkConfig], nn.Module]] = {
    'patch': PatchEmbed,
    'conv': ConvStem,
    'mobile': MobileStem,
}

OUTPUTS = frozenset({'gate', 'world', 'colors'})
"""What can be asked for beside points, confidence and pose; nothing else is computed."""


class Network(nn.Module):
    """CUT3R's network (arXiv 2501.12387) with a choice of state update rules."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        width, depth = config.decoder_width, config.decoder_depth
        self.patch_embed = _STEMS[config.stem](config)
        self.enc_blocks = encoder_blocks(config)
        self.enc_norm = encoder_norm(config)
        self.decoder_embed = nn.Linear(config.encoder_width, width)
        self.dec_blocks = _decoder_blocks(width, config.decoder_heads, depth)
        self.dec_norm = layer_norm(width)
        tokens, features = config.state_tokens, config.encoder_width
        self.register_tokens = nn.Embedding(tokens, features, _weight=normal(tokens, features))
        self.decoder_embed_state = nn.Linear(config.encoder_width, width)
        self.dec_blocks_state = _decoder_blocks(width, config.state_heads, depth)
        self.dec_norm_state = layer_norm(width)
        self.pose_token = nn.Parameter(normal(1, 1, width, std=0.02))
        self.pose_retriever = PoseMemory(config)
        self.downstream_head = (DptHeads if config.head == 'dpt' else LinearHeads)(config)
        if config.motion_radius:
            self.motion = Motion(config)
        self.fused_layers: tuple[FusedLayer, ...] = ()  # used instead of the decoder blocks
        self.form = ''  # precision and device, where layers are of use for no other
        self.held = ''  # type and device of parameters that somebody computes with
        self.forget_tables()

    def forget_tables(self) -> None:
        """Let what depends on an image's size be tabulated anew."""
        self._tables: dict[object, dict[str, tuple[Rotation, ...]]] = {}

    @property
    def levels(self) -> tuple[int, int, int]:
        """The decoder layers that the DPT head looks at, counted from 1."""
        depth = self.config.decoder_depth
        return depth // 2, 3 * depth // 4, depth

    def initial_state(self, batch: int) -> State:
        """Return the state before the first frame, for a number of independent sequences."""
        tokens = self.start_tokens().expand(batch, -1, -1)
        memory = self.pose_retriever.mem.expand(batch, -1, -1)
        return State(tokens, memory, torch.ones(batch, dtype=torch.bool, device=tokens.device))

    def start_tokens(self) -> Tensor:
        """Return the state tokens at the start of a sequence [1, S, D]."""
        tokens: Tensor = self.decoder_embed_state(self.register_tokens.weight)
        return tokens[None]

    def encode(self, image: Tensor) -> Encoded:
        """
        Tokenise images; needs no state, so it can run ahead of the recurrence or in a batch.

        :param image: RGB in [-1, 1], H and W multiples of the patch, of the size that the stem
            reads (`NetworkConfig.detail`) [B, 3, detail x H, detail x W]
        """
        detail = self.config.detail
        size = detail * self.config.patch_size
        height, width = sides(image)
        if height % size or width % size:
            raise ValueError(f'image of {width}x{height} pixels is not whole patches of {size}')
        grid = (height // size, width // size)
        (table,) = self._rotations(grid, image.device)['encoder']
        return encode(image, self.patch_embed, self.enc_blocks, self.enc_norm, table, detail)

    def step(
        self,
        image: Tensor,
        state: State,
        rule: UpdateRule = UPDATE_RULES['ttt3r'],
        *,
        update: Tensor | None = None,
        outputs: frozenset[str] = frozenset(),
    ) -> tuple[Prediction, State]:
        """
        Read one image and write the state; `encode` and `decode` in one.

        :param image: see `encode`
        """
        return self.decode(self.encode(image), state, rule, update=update, outputs=outputs)

    def decode(
        self,
        encoded: Encoded,
        state: State,
        rule: UpdateRule = UPDATE_RULES['ttt3r'],
        update: Tensor | None = None,
        outputs: frozenset[str] = frozenset(),
    ) -> tuple[Prediction, State]:
        """
        Decode image and state together, and update the state.

        :param encoded: from `encode`
        :param state: from `initial_state` or the previous frame
        :param rule: one of `UPDATE_RULES`
        :param update: whether the state may change; all may by default [B]
        :param outputs: which of `OUTPUTS` are wanted too
        :return: what was seen, and the state for the next frame
        """
        query = encoded.tokens.mean(dim=1, keepdim=True)
        embedded = self.decoder_embed(encoded.tokens)
        pose = self.pose_retriever.read(query, state.memory)
        pose = torch.where(state.first[:, None, None], self.pose_token.to(pose.dtype), pose)
        stream = torch.cat([pose, embedded], dim=1)
        seen = appearance(encoded.image) if self.config.motion_radius else None
        previous = None if seen is None else to_compare(seen, state.previous, state.first)
        levels = pyramid(encoded.image) if self.config.motion_alignment else ()
        aligned = align_with(levels, previous, state.first)
        if seen is not None and previous is not None and state.previous is not None:
            stream = self._add_motion(stream, seen, previous, aligned, state.first)
        decoded = decode(
            stream,
            state.tokens,
            self.decoder_layers(encoded.grid, encoded.tokens.device),
            self.levels,
            rule.needs | _needed_by(outputs),
        )
        final = self.dec_norm(decoded.levels[-1])
        tokens = Tokens(
            [encoded.tokens, *(level[:, 1:] for level in decoded.levels[:-1]), final[:, 1:]],
            final[:, :1],
            encoded.fine,
            encoded.grid,
        )
        evidence = Evidence(
            state.tokens,
            self.dec_norm_state(decoded.state),
            self.start_tokens(),
            state.first,
            decoded.statistics,
            encoded.tokens,
            embedded,
            tokens.levels[-1],
        )
        following = _advance(evidence, rule, state.rule)._replace(
            memory=self.pose_retriever.write(query, tokens.pose, state.memory)
        )
        if update is not None:
            following = _keep(state, following, update)
        health = _health(evidence, following.tokens)
        prediction = self._predict(tokens, decoded, outputs, health)
        if previous is not None:
            motion = (prediction.translation, prediction.quat_wxyz)
            translation, quat = go_on(motion, aligned, previous)
            prediction = prediction._replace(translation=translation, quat_wxyz=quat)
        if seen is not None:
            last = Previous(seen, prediction.translation, prediction.quat_wxyz)
            if levels:
                last = last._replace(reference=Reference(prediction.points.detach(), *levels))
            following = following._replace(previous=select(state.previous, last, update))
        return prediction, following

    def _add_motion(
        self,
        stream: Tensor,
        seen: Tensor,
        previous: Previous,
        aligned: Alignment | None,
        first: Tensor,
    ) -> Tensor:
        """Add to pose and image tokens [B, 1 + P, D] where they were in the previous image."""
        tokens, pose = self.motion(seen, previous.appearance)
        if aligned is not None:
            pose = pose + self.motion.tell(aligned)
        cue = torch.cat([pose, tokens], dim=1)
        return torch.where(first[:, None, None], stream, stream + cue)

    def _predict(
        self,
        tokens: Tokens,
        decoded: Decoded,
        outputs: frozenset[str],
        health: StateHealth,
    ) -> Prediction:
        """Run the heads that are wanted."""
        head = self.downstream_head
        points, confidence = head.camera_points(tokens)
        translation, quat = head.pose_head(tokens.pose)
        prediction = Prediction(points, confidence, translation, quat, health)
        if 'gate' in outputs:
            logit = decoded.statistics.mean_logit
            assert logit is not None
            prediction = prediction._replace(gate=logit.sigmoid().squeeze(-1))
        if 'world' in outputs:
            table = self._rotations(tokens.grid, points.device)['grid'][0]
            world_points, world_confidence = head.world_points(tokens, table)
            prediction = prediction._replace(
                world_points=world_points, world_confidence=world_confidence
            )
        if 'colors' in outputs:
            prediction = prediction._replace(colors=head.colors(tokens))
        return prediction

    def _rotations(
        self, grid: tuple[int, int], device: torch.device
    ) -> dict[str, tuple[Rotation, ...]]:
        """
        Tabulate, once per size, the rotations of own and other positions of each block.

        The pose token sits at (-1, -1), outside the image.
        """
        key = (grid, device)
        if key not in self._tables:
            with torch.inference_mode(False):  # the tables must also serve training
                tables = _tabulate(self.config, grid, device)
                if self.fused_layers:
                    tables = fused_tables(tables, self.config)
                self._tables[key] = tables
        return self._tables[key]

    def decoder_layers(self, grid: tuple[int, int], device: torch.device) -> list[Layer]:
        """Return the decoders' layers for an image of so many tokens."""
        tables = self._rotations(grid, device)
        if self.fused_layers:
            return [layer.bind(tables['fused']) for layer in self.fused_layers]
        return plain_layers(
            (self.dec_blocks, self.dec_blocks_state), (tables['image'], tables['state'])
        )


def _tabulate(
    config: NetworkConfig, grid: tuple[int, int], device: torch.device
) -> dict[str, tuple[Rotation, ...]]:
    pixels = grid_positions(*grid)
    image = torch.cat([torch.full((1, 2), -1), pixels]).to(device)
    state = state_positions(config.state_tokens).to(device)
    encoder_head = config.encoder_width // config.encoder_heads
    image_head = config.decoder_width // config.decoder_heads
    state_head = config.decoder_width // config.state_heads
    return {
        'encoder': (rotation(pixels.to(device), encoder_head),),
        'grid': (rotation(pixels.to(device), image_head),),
        'image': (rotation(image, image_head), rotation(state, image_head)),
        'state': (rotation(state, state_head), rotation(image, state_head)),
    }


def _decoder_blocks(width: int, heads: int, depth: int) -> nn.ModuleList:
    return nn.ModuleList(DecoderBlock(width, heads) for _ in range(depth))


def _needed_by(outputs: frozenset[str]) -> frozenset[str]:
    """Check the wanted outputs, and say which statistics they need."""
    assert outputs <= OUTPUTS, f'unknown outputs {set(outputs - OUTPUTS)}'
    return frozenset({'mean_logit'} if 'gate' in outputs else ())


def _advance(evidence: Evidence, rule: UpdateRule, memory: Memory) -> State:
    """Update the state tokens (TTT3R, Eq. 8); a first frame replaces them whatever the rule."""
    tokens, memory = rule(evidence, memory)
    first = evidence.first
    tokens = torch.where(first[:, None, None], evidence.new, tokens)
    return State(tokens, evidence.old, torch.zeros_like(first), memory)


def _health(evidence: Evidence, tokens: Tensor) -> StateHealth:
    old, start = evidence.old.float(), evidence.start.float()
    step = (evidence.new - old).norm(dim=-1)
    change = (tokens - old).norm(dim=-1)
    return StateHealth(
        (change / step.clamp(min=1e-12)).mean(-1),
        (change / old.norm(dim=-1).clamp(min=1e-12)).mean(-1),
        ((tokens - start).norm(dim=-1) / start.norm(dim=-1).clamp(min=1e-12)).mean(-1),
    )


def _keep(old: State, new: State, update: Tensor) -> State:
    """Take the new state where an update is allowed, and the old one elsewhere [B]."""
    # a memory that is new, or of another image size, replaces nothing that could be kept
    same = [part.shape for part in old.rule] == [part.shape for part in new.rule]
    rule = tuple(map(partial(where_allowed, update), new.rule, old.rule)) if same else new.rule
    return State(
        where_allowed(update, new.tokens, old.tokens),
        where_allowed(update, new.memory, old.memory),
        torch.where(update, new.first, old.first),
        rule,
        old.previous,
    )


def go_back(before: State, after: State, where: Tensor) -> State:
    """Forget the last frame of some sequences: return the state before it there [B]."""
    kept = _keep(before, after, ~where)
    if after.previous is None:
        return kept
    return kept._replace(previous=select(before.previous, after.previous, ~where))
