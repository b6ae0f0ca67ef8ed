"""
The camera's motion between two images, from their pixels and the depth of the first of them.

Dense visual odometry (Steinbruecker, Sturm and Cremers, 2011): the motion under which the images
agree best, robustly, from coarse to fine; inverse compositional (Baker and Matthews, 2004), so
that derivatives are computed once. An optional aid of small networks: it has no weights.

Sizes: B batch, h and w pixels of a level, N = h w.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

FACTORS = (1, 2, 4)
"""By which the levels of a pyramid are smaller than the image."""
_STEPS = (3, 2, 2)  # at each level; the coarsest comes first
_PRIOR = 500.0  # weight of not moving on, of radians
_NOISE = 0.15  # difference of grey, in [-1, 1], at which a pixel counts half
_NEAREST = 0.05  # metres
_LONGEST = 0.2  # metres and radians, of one step
_LOCAL = 7  # pixels


class Reference(NamedTuple):
    """What the next image is aligned with."""

    points: Tensor  # of a pinhole camera, camera frame, metres [B, H, W, 3]
    fine: Tensor  # from `pyramid` [B, 1, H, W]
    half: Tensor  # [B, 1, H/2, W/2]
    coarse: Tensor  # [B, 1, H/4, W/4]


class Alignment(NamedTuple):
    """The motion of a camera since the image before, and how sure it is."""

    translation: Tensor  # in the earlier camera's frame, metres [B, 3]
    quat_wxyz: Tensor  # unit [B, 4]
    deviation: Tensor  # of translation (m) and rotation (rad), as contrast allows [B, 6]
    agreement: Tensor  # share of the pixels that agree, 0 to 1 [B, 1]


def pyramid(image: Tensor) -> tuple[Tensor, ...]:
    """
    Make what is compared: grey, without its local mean, smoothed, in three sizes.

    :param image: in [-1, 1]; sides are multiples of 4 [B, 3, H, W]
    :return: the finest first [B, 1, H / f, W / f]
    """
    grey, kernel = image.float().mean(1, keepdim=True), _constants(image.device).kernel
    levels = []
    for factor in FACTORS:
        level = grey if factor == 1 else F.avg_pool2d(grey, factor)
        level = level - F.avg_pool2d(level, _LOCAL, 1, _LOCAL // 2, count_include_pad=False)
        levels.append(F.conv2d(F.pad(level, (1, 1, 1, 1), mode='replicate'), kernel))
    return tuple(levels)


@torch.no_grad()
def align(current: Sequence[Tensor], before: Reference) -> Alignment:
    """
    Find the camera's motion from one image to the next.

    :param current: from `pyramid`
    :param before: the earlier image
    """
    maps, previous = before.points.float().movedim(-1, 1), before[1:]
    focal = _focal(maps)
    constants = _constants(maps.device)
    prior, lens = _prior(maps[:, 2]), _lens(focal, maps.shape)
    pose = torch.eye(4, device=maps.device).expand(len(maps), -1, -1)  # moves the points
    for level in reversed(range(len(FACTORS))):
        factor, image, reference = FACTORS[level], current[level], previous[level]
        cloud = (maps if factor == 1 else F.avg_pool2d(maps, factor)).flatten(2)
        value = reference.flatten(1)
        place = _project(lens @ pose, cloud)
        error = _sample(image, place) - value
        jacobian = _jacobian(reference, cloud, focal / factor)
        inverse, gain, share = _gain(jacobian, place, error, prior)
        for step in range(_STEPS[level]):
            if step:
                error = _sample(image, _project(lens @ pose, cloud)) - value
            delta = (gain @ error[..., None]).clamp(-_LONGEST, _LONGEST)
            pose = pose @ _exponential((delta.mT @ constants.generators).view(-1, 4, 4))
    # what was found moves points to the new camera; the camera moved the other way
    rotation = pose[:, :3, :3].mT
    translation = -(rotation @ pose[:, :3, 3:])[..., 0]
    deviation = inverse.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()
    return Alignment(translation, _quaternion(rotation), deviation, share.mean(1, keepdim=True))


def _prior(depth: Tensor) -> Tensor:
    """Return the weight of not moving on, of a tenth of the depth [B, H, W] as of 0.1 rad."""
    closeness = (1 / depth.clamp(min=_NEAREST)).mean((1, 2)).square()[:, None].expand(-1, 3)
    return _PRIOR * torch.diag_embed(torch.cat([closeness, torch.ones_like(closeness)], 1))


def _gain(
    jacobian: Tensor, place: Tensor, error: Tensor, prior: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Weigh the pixels, and solve the normal equations for all steps of a level.

    :return: the inverse of the normal matrix [B, 6, 6], what takes errors to a step [B, 6, N],
        and the weights, 1 for pixels that agree [B, N]
    """
    share = (place.abs().amax(-1) < 1) / (1 + (error / _NOISE).square())
    weighted = jacobian * (share[:, None] / _NOISE**2)
    inverse = torch.linalg.inv_ex(torch.baddbmm(prior, weighted, jacobian.mT))[0]
    return inverse, inverse @ weighted, share


def _focal(maps: Tensor) -> Tensor:
    """Return the focal length of a pinhole camera's points [B, 3, H, W], pixels [B, 1]."""
    slope = maps[:, 0, 0, -2:] / maps[:, 2, 0, -2:]
    return 1 / (slope[:, 1:] - slope[:, :1])


class _Constants(NamedTuple):
    """Tables that stay on the device."""

    generators: Tensor  # 4 x 4 matrices of small translations and rotations [6, 16]
    kernel: Tensor  # that smooths [1, 1, 3, 3]


@lru_cache
def _constants(device: torch.device) -> _Constants:
    with torch.inference_mode(False):
        matrices = torch.zeros(6, 4, 4)
        for axis, (plus, minus) in enumerate(((1, 2), (2, 0), (0, 1))):
            matrices[axis, axis, 3] = 1.0
            matrices[3 + axis, minus, plus], matrices[3 + axis, plus, minus] = 1.0, -1.0
        row = torch.tensor([1.0, 2.0, 1.0]) / 4
        kernel = (row[:, None] * row)[None, None]
        return _Constants(matrices.flatten(1).to(device), kernel.to(device))


def _exponential(twist: Tensor) -> Tensor:
    """Return the motion opposite to a small twist [B, 4, 4], to the third order."""
    square = twist @ twist
    one = torch.eye(4, device=twist.device)
    return one - twist + square / 2 - twist @ square / 6


def _jacobian(image: Tensor, cloud: Tensor, focal: Tensor) -> Tensor:
    """Return how grey changes when the points [B, 3, N] move a little: [B, 6, N]."""
    x, y, z = cloud.unbind(1)
    inverse = 1 / z.clamp(min=_NEAREST)
    a, b = x * inverse, y * inverse
    right = F.pad((image[..., 2:] - image[..., :-2]) / 2, (1, 1)).flatten(1) * focal
    down = F.pad((image[..., 2:, :] - image[..., :-2, :]) / 2, (0, 0, 1, 1)).flatten(1) * focal
    along = a * right + b * down
    return torch.stack(
        [
            right * inverse,
            down * inverse,
            -along * inverse,
            -down - b * along,
            right + a * along,
            a * down - b * right,
        ],
        dim=1,
    )


def _lens(focal: Tensor, shape: torch.Size) -> Tensor:
    """Return what takes points to an image of any size with pixels from -1 to 1 [B, 3, 4]."""
    scale = torch.cat([2 / shape[-1] * focal, 2 / shape[-2] * focal, torch.ones_like(focal)], 1)
    return torch.diag_embed(scale) @ torch.eye(3, 4, device=focal.device)


def _project(camera: Tensor, cloud: Tensor) -> Tensor:
    """Project points [B, 3, N] by a camera [B, 3, 4]; return [B, N, 2]."""
    moved = torch.baddbmm(camera[..., 3:], camera[..., :3], cloud)
    return (moved[:, :2] / moved[:, 2:].clamp(min=_NEAREST)).mT


def _sample(image: Tensor, place: Tensor) -> Tensor:
    """Look an image [B, 1, h, w] up at places from -1 to 1 [B, N, 2]; return [B, N]."""
    value = F.grid_sample(image, place[:, None], padding_mode='border', align_corners=False)
    return value.flatten(1)


def _axial(matrix: Tensor) -> Tensor:
    """Return the rotation vector of a small rotation [B, 3 or more, 3 or more] as [B, 3]."""
    odd = (matrix - matrix.mT) / 2
    return torch.stack([odd[:, 2, 1], odd[:, 0, 2], odd[:, 1, 0]], dim=1)


def _quaternion(rotation: Tensor) -> Tensor:
    """Return the unit quaternions of rotations by less than half a turn [B, 3, 3] as [B, 4]."""
    trace = rotation.diagonal(dim1=1, dim2=2).sum(1, keepdim=True)
    real = (1 + trace).clamp(min=1e-6).sqrt() / 2
    return F.normalize(torch.cat([real, _axial(rotation) / (2 * real)], dim=1), dim=1)
