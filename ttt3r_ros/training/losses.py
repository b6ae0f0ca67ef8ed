"""
What training minimises.

Confidence-weighted regression as in DUSt3R (arXiv 2312.14132, Eq. 4), on log-depth; the shape of
the depth map with its scale taken out, and its gradients (MegaDepth, arXiv 1804.00607); rays;
poses relative to the first and to the previous frame.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ttt3r_ros.geometry.quaternion import multiply, rotate
from ttt3r_ros.training.batches import Batch
from ttt3r_ros.training.unroll import Unrolled

_CONFIDENCE = 0.5  # weight of the confidence's logarithm: an error of this has confidence 1
_WEIGHTS = {'depth': 1.0, 'shape': 1.0, 'edges': 0.7, 'rays': 0.5, 'pose': 0.06}
# Errors that count as one: translation (m) and quaternion, from the first and the previous frame.
_UNITS = {'translation': 0.15, 'rotation': 0.06, 'advance': 0.035, 'turn': 0.015}


def depth_losses(predicted: Unrolled, batch: Batch) -> dict[str, Tensor]:
    """Compare depth maps: metric and weighted by confidence; up to scale; their gradients."""
    log_depth = predicted.points[..., 2].clamp(min=1e-3).log()
    error = log_depth - batch.log_depth
    confidence = predicted.confidence.clamp(max=50.0)
    weighted = confidence * error.abs() - _CONFIDENCE * confidence.log()
    centred = error - error.flatten(2).median(dim=2).values[..., None, None]
    edges = sum(_gradients(error[..., ::step, ::step]) for step in (1, 2, 4))
    assert isinstance(edges, Tensor)
    return {
        'depth': weighted.mean(),
        'shape': centred.abs().mean(),
        'edges': edges / 3,
        'error': error.detach().abs().mean(),
    }


def _gradients(error: Tensor) -> Tensor:
    """Return the mean absolute difference of neighbours, clipped: one wrong edge is no more."""
    across = (error[..., :, 1:] - error[..., :, :-1]).abs().clamp(max=1.0)
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().clamp(max=1.0)
    total: Tensor = across.mean() + down.mean()
    return total


def ray_loss(predicted: Unrolled, batch: Batch) -> Tensor:
    """Compare the points' directions with the camera's rays, as a share of the rays' slopes."""
    height, width = batch.log_depth.shape[-2:]
    x = torch.arange(width, device=batch.focal.device) - (width - 1) / 2
    y = torch.arange(height, device=batch.focal.device) - (height - 1) / 2
    grid = torch.stack(torch.meshgrid(x, y, indexing='xy'), dim=-1)
    rays = grid / batch.focal[:, None, None, None, None]
    slopes = predicted.points[..., :2] / predicted.points[..., 2:].clamp(min=1e-3)
    error = (slopes - rays).norm(dim=-1).mean(dim=(2, 3))
    share: Tensor = error / rays.norm(dim=-1).mean(dim=(2, 3))
    return share.mean()


def _smooth_norm(x: Tensor) -> Tensor:
    return (x.square().sum(-1) + 1e-8).sqrt()


def relative_motion(translation: Tensor, quat_wxyz: Tensor) -> tuple[Tensor, Tensor]:
    """
    Return the motion from each frame to the next.

    :param translation: [B, T, 3]
    :param quat_wxyz: [B, T, 4]
    :return: translation [B, T - 1, 3] and quaternion [B, T - 1, 4] in the earlier frame
    """
    back = torch.cat([quat_wxyz[:, :-1, :1], -quat_wxyz[:, :-1, 1:]], dim=-1)
    step = rotate(back, translation[:, 1:] - translation[:, :-1])
    turn = multiply(back, quat_wxyz[:, 1:])
    return step, torch.where(turn[..., :1] < 0, -turn, turn)


def pose_losses(predicted: Unrolled, batch: Batch) -> dict[str, Tensor]:
    """Compare poses, each error in its unit."""
    step, turn = relative_motion(predicted.translation, predicted.quat_wxyz)
    true_step, true_turn = relative_motion(batch.translation, batch.quat_wxyz)
    return {
        'translation': _smooth_norm(predicted.translation - batch.translation)[:, 1:].mean(),
        'rotation': _smooth_norm(predicted.quat_wxyz - batch.quat_wxyz)[:, 1:].mean(),
        'advance': _smooth_norm(step - true_step).mean(),
        'turn': _smooth_norm(turn - true_turn).mean(),
    }


def total_loss(predicted: Unrolled, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """
    Add up all losses; waits for no device.

    :return: what to minimise, and its parts for the log
    """
    parts = depth_losses(predicted, batch)
    parts['rays'] = ray_loss(predicted, batch)
    total = sum(_WEIGHTS[name] * parts[name] for name in ('depth', 'shape', 'edges', 'rays'))
    assert isinstance(total, Tensor)
    if batch.image.shape[1] > 1:
        poses = pose_losses(predicted, batch)
        total = total + _WEIGHTS['pose'] * sum(poses[name] / _UNITS[name] for name in _UNITS)
        parts |= poses
    return total, {name: part.detach() for name, part in parts.items()}
