"""
How far a camera is rolled, from one small image: a network of its own, 0.1 M weights.

Small networks see few rolled cameras and are at a loss with them; their images are turned upright
(docs/decisions/0026).
"""

from __future__ import annotations

import math
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from ttt3r_ros.errors import CheckpointError

BINS = 48
"""Of the full circle, the first one about 0."""
_WIDTHS = (24, 48, 64)
_POOL = (4, 4)
_HIDDEN = 64


class RollNetwork(nn.Module):
    """Tells by how much to turn an image for its vertical to be upright."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in _WIDTHS:
            layers += [nn.Conv2d(channels, width, 5 if channels == 3 else 3, stride=2, padding=1)]
            layers += [nn.GroupNorm(8, width), nn.GELU()]
            channels = width
        self.features = nn.Sequential(*layers)
        self.hidden = nn.Linear(channels * _POOL[0] * _POOL[1], _HIDDEN)
        self.out = nn.Linear(_HIDDEN, BINS)

    def forward(self, image: Tensor) -> Tensor:
        """
        Weigh all angles.

        :param image: in [-1, 1], about 64 pixels long [B, 3, H, W]
        :return: log probability of each angle, counter-clockwise, by which the image is to be
            turned: bin k is about 2 pi k / `BINS` [B, BINS]
        """
        image = image - image.mean((1, 2, 3), keepdim=True)
        image = image / (image.std((1, 2, 3), keepdim=True) + 0.05)
        seen = F.adaptive_avg_pool2d(self.features(image), _POOL).flatten(1)
        logits: Tensor = self.out(F.gelu(self.hidden(seen)))
        return logits.log_softmax(1)


def angles() -> Tensor:
    """Return the angle of each bin, radians in [-pi, pi) [BINS]."""
    turn = torch.arange(BINS) * (2 * math.pi / BINS)
    return torch.remainder(turn + math.pi, 2 * math.pi) - math.pi


def load_roll_network(path: Path) -> RollNetwork:
    """
    Load the weights.

    :raises CheckpointError: missing, truncated, or of another network
    """
    network = RollNetwork()
    try:
        tensors = load_file(path)
        network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(f'{path} holds no weights of the roll network: {error}') from error
    return network.requires_grad_(False).eval()
