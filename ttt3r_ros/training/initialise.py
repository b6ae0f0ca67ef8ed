"""Where training starts: weights through which an image passes undimmed, and sane predictions."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import nn

from ttt3r_ros.model.checkpoint import SHIPPED_WEIGHTS, read_tensors
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.heads import DptHeads, LinearHeads
from ttt3r_ros.model.mobile import MobileStem
from ttt3r_ros.model.network import Network

_LOG_DEPTH, _LOG_CONFIDENCE, _LOG_FOCAL = math.log(1.7), -2.0, math.log(0.7)
TRUNK_PREFIX = 'patch_embed.trunk.'
"""Begins the names of the pretrained weights."""
_RESIDUAL = ('attn.proj', 'mlp.fc2', 'conv2')  # what a block adds to its stream


def new_network(preset: str, seed: int, trunk: Path | None = None) -> Network:
    """
    Build a network for training.

    The first predictions are sane: nothing moves, depth is about 1.7 m, confidence low.

    :param preset: one of `PRESETS`
    :param seed: of the initial weights
    :param trunk: weights file with the pretrained part of a mobile stem, by default the shipped
        weights
    :raises CheckpointError: that file cannot be read
    :raises ValueError: for an unknown preset, or a file without that part
    """
    if preset not in PRESETS:
        raise ValueError(f'preset is {preset!r}; choose one of {", ".join(PRESETS)}')
    torch.manual_seed(seed)
    network = Network(PRESETS[preset])
    share = 1 / math.sqrt(2 * (network.config.encoder_depth + network.config.decoder_depth))
    with torch.no_grad():
        for name, module in network.named_modules():
            _initialise(module)
            if name.endswith(_RESIDUAL) and isinstance(module, (nn.Linear, nn.Conv2d)):
                module.weight.mul_(share)
        _initialise_heads(network)
    if isinstance(network.patch_embed, MobileStem):
        _load_trunk(network.patch_embed, trunk or SHIPPED_WEIGHTS)
    return network


def _load_trunk(stem: MobileStem, path: Path) -> None:
    tensors, _ = read_tensors(path)
    found = {
        name.removeprefix(TRUNK_PREFIX): tensor.float()
        for name, tensor in tensors.items()
        if name.startswith(TRUNK_PREFIX)
    }
    try:
        stem.trunk.load_state_dict(found)
    except RuntimeError as error:
        raise ValueError(f'{path}: without the pretrained part of the stem') from error


def _initialise(module: nn.Module) -> None:
    """
    Keep the variance of what passes.

    PyTorch's defaults shrink it by a third with each layer and add biases of the same size: after
    the encoder all tokens are then almost alike, and a small network never recovers from that.
    """
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
    elif isinstance(module, nn.ConvTranspose2d):
        # each output pixel comes from one input pixel: the stride is the kernel
        nn.init.normal_(module.weight, std=module.in_channels**-0.5)
    elif isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity='linear')
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def _initialise_heads(network: Network) -> None:
    heads = network.downstream_head
    assert isinstance(heads, (DptHeads, LinearHeads))
    pose = heads.pose_head.mlp.fc2
    pose.weight.mul_(0.05)
    pose.bias[3] = 1.0
    if isinstance(heads, DptHeads) and heads.pinhole:
        last = heads.dpt_self.head[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        last.weight.mul_(0.05)
        last.bias[0], last.bias[1] = _LOG_DEPTH, _LOG_CONFIDENCE
        heads.focal_head.weight.mul_(0.1)
        heads.focal_head.bias.fill_(_LOG_FOCAL)
