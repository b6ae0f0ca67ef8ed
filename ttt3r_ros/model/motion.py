"""
Correlation of an image with the one before it: an optional aid of small networks.

A network trained for hours on one processor does not discover correspondence by attention
(docs/training.md); a fixed normalised cross-correlation hands it over. CUT3R's presets have none.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from ttt3r_ros.model.alignment import Alignment
from ttt3r_ros.model.config import NetworkConfig

_POOL = (4, 6)  # rows and columns of the coarse displacement field
_SHARPNESS = 15.0  # of the softmax over displacements
_METRES, _RADIANS = 0.035, 0.015  # of a usual motion


class Motion(nn.Module):
    """
    Where each image token was in the previous image.

    Sizes: B batch, H and W pixels, P tokens, D decoder width, K displacements.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.radius = config.motion_radius
        side = 2 * self.radius + 1
        width = config.decoder_width
        self.mix = nn.Conv2d(2 * side**2 + 5, config.motion_width, 1)
        self.token = nn.Conv2d(config.motion_width, width, 3, stride=2, padding=1)
        self.pose = nn.Sequential(
            nn.Linear(3 * _POOL[0] * _POOL[1], width), nn.GELU(), nn.Linear(width, width)
        )
        # what moving the window by (x, y) means, as a share of the search radius
        offset = [(step - self.radius) / self.radius for step in range(side)]
        shifts = [offset * side, [y for y in offset for _ in range(side)]]
        self.register_buffer('shifts', torch.tensor(shifts))
        self.shifts: Tensor
        if config.motion_alignment:
            self.known = nn.Linear(13, width)

    def forward(self, current: Tensor, previous: Tensor) -> tuple[Tensor, Tensor]:
        """
        Compare two images.

        :param current: from `appearance` [B, 1, H/2, W/2]
        :param previous: [B, 1, H/2, W/2]
        :return: to be added to the image tokens [B, P, D] and to the pose token [B, 1, D]
        """
        near, far, energy = correlate(current, previous, self.radius)
        flow = torch.einsum('bkhw,ck->bchw', (far * _SHARPNESS).softmax(1), self.shifts.float())
        peak, mean = near.amax(1, keepdim=True), near.mean(1, keepdim=True)
        x = torch.cat([2 * near, 2 * far, flow, energy, 2 * peak, 4 * mean], dim=1)
        tokens = self.token(F.gelu(self.mix(x.to(self.mix.weight.dtype))))
        coarse = F.adaptive_avg_pool2d(torch.cat([flow, peak], dim=1), _POOL).flatten(1)
        return tokens.flatten(2).transpose(1, 2), self.pose(coarse.to(tokens.dtype))[:, None]

    def tell(self, aligned: Alignment) -> Tensor:
        """Return what to add to the pose token for it to know the motion [B, 1, D]."""
        doubt = (aligned.deviation[:, :3] / _METRES, aligned.deviation[:, 3:] / _RADIANS)
        x = torch.cat(
            [
                aligned.translation / _METRES,
                2 / _RADIANS * aligned.quat_wxyz[:, 1:],
                torch.cat(doubt, dim=1).clamp(min=1e-3).log(),
                aligned.agreement,
            ],
            dim=1,
        ).to(self.known.weight.dtype)
        token: Tensor = self.known(x)
        return token[:, None]


def appearance(image: Tensor) -> Tensor:
    """
    Reduce an image to what is compared: half resolution, grey, without its local mean.

    :param image: in [-1, 1] [B, 3, H, W]
    :return: [B, 1, H/2, W/2]
    """
    grey = F.avg_pool2d(image.float().mean(1, keepdim=True), 2)
    return grey - F.avg_pool2d(grey, 5, 1, 2, count_include_pad=False)


@torch.no_grad()
def correlate(current: Tensor, previous: Tensor, radius: int) -> tuple[Tensor, Tensor, Tensor]:
    """
    Correlate windows of 4 and of 8 pixels with all displacements up to a radius.

    Channels come last in memory, where averaging over windows is fast.

    :param current: [B, 1, h, w]
    :param previous: [B, 1, h, w]
    :param radius: in pixels
    :return: normalised correlation of small and of large windows, at every second pixel
        [B, K, h/2, w/2] each, and the log energy of the small ones [B, 1, h/2, w/2]
    """
    padded = F.pad(previous, (radius,) * 4)
    own = _average(current.square(), 2)
    product = _average(current * _windows(padded, radius, 1), 2)
    energy = _windows(_average(padded.square(), 1), radius, 2)
    small = product / ((own * energy).sqrt() + 1e-3)
    wide_norm = (_widen(own) * _widen(energy)).sqrt()
    return small, _widen(product) / (wide_norm + 1e-3), 0.3 * (own + 1e-5).log() + 2


def _windows(image: Tensor, radius: int, step: int) -> Tensor:
    """Lay the surroundings of every `step`th pixel out as channels [B, K, h / step, w / step]."""
    side = 2 * radius + 1
    surroundings = image[:, 0].unfold(1, side, step).unfold(2, side, step)
    return surroundings.flatten(3).movedim(3, 1)


def _average(x: Tensor, step: int) -> Tensor:
    """Average windows of 4 x 4 pixels around every `step`th one."""
    return F.avg_pool2d(x, 4, step, 1, count_include_pad=False)


def _widen(x: Tensor) -> Tensor:
    """Turn averages over 4 pixels into averages over 8."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
