"""Where training starts: a plain scene at rest, seen by a common camera."""

from __future__ import annotations

import math

import torch
from torch import nn

from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.heads import DptHeads, LinearHeads
from ttt3r_ros.model.network import Network

_LOG_DEPTH, _LOG_CONFIDENCE, _LOG_FOCAL = math.log(1.7), -2.0, math.log(0.7)


def new_network(preset: str, seed: int) -> Network:
    """
    Build a network for training.

    The first predictions are sane: nothing moves, depth is 1.7 m, confidence low.

    :param preset: one of `PRESETS`
    :param seed: of the initial weights
    :raises ValueError: for an unknown preset
    """
    if preset not in PRESETS:
        raise ValueError(f'preset is {preset!r}; choose one of {", ".join(PRESETS)}')
    torch.manual_seed(seed)
    network = Network(PRESETS[preset])
    heads = network.downstream_head
    assert isinstance(heads, (DptHeads, LinearHeads))
    with torch.no_grad():
        pose = heads.pose_head.mlp.fc2
        pose.weight.mul_(0.1)
        pose.bias.zero_()
        pose.bias[3] = 1.0
        if isinstance(heads, DptHeads) and heads.pinhole:
            last = heads.dpt_self.head[-1]
            assert isinstance(last, nn.Conv2d)
            assert last.bias is not None
            last.bias[0], last.bias[1] = _LOG_DEPTH, _LOG_CONFIDENCE
            heads.focal_head.weight.mul_(0.3)
            heads.focal_head.bias.fill_(_LOG_FOCAL)
    return network
