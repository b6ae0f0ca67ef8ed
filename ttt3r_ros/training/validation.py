"""How well the averaged weights do on held-out synthetic scenes, and beside doing nothing."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from ttt3r_ros.evaluation.trajectories import absolute_trajectory_error
from ttt3r_ros.geometry.se3 import from_translation_quat
from ttt3r_ros.model.network import Network
from ttt3r_ros.synthetic.sequence import render_sequence
from ttt3r_ros.synthetic.settings import SceneSettings, held_out_seed
from ttt3r_ros.training.batches import Batch, collate, for_network
from ttt3r_ros.training.unroll import Unrolled, unroll

_LOG = logging.getLogger(__name__)
_GROUP = 8

FIGURES = {
    'absrel_late': 'metric depth AbsRel, frames from 8 on',
    'within_25_late': 'share of that depth within 25 %',
    'absrel_late_reset': 'metric AbsRel of these frames with a reset before every frame',
    'absrel_late_median': 'AbsRel of these frames after per-frame median scale',
    'absrel_single': 'metric AbsRel of single images, all frames',
    'absrel_single_median': 'AbsRel of single images after per-frame median scale',
    'focal': 'log error of the focal length',
    'ate_share': "ATE after Sim(3) of the network's own poses, as a share of a static camera's",
    'position_share': "their position error, as a share of a static camera's",
    'rotation_share': "their rotation error, as a share of a static camera's",
}
"""What `HeldOut.evaluate` returns, and what each figure is."""


class HeldOut:
    """
    Held-out sequences, rendered once.

    :param sequences: how many
    :param frames: of each
    :param size: width and height of depth maps, pixels
    :param detail: of the networks to be scored; pictures are so many times larger a side
    """

    def __init__(
        self, sequences: int, frames: int, size: tuple[int, int], detail: int = 1
    ) -> None:
        settings = SceneSettings()
        width, height = size
        made = [
            render_sequence(
                held_out_seed(index), frames, detail * width, detail * height, settings
            )
            for index in range(sequences)
        ]
        self.batches = [
            for_network(collate(made[start : start + _GROUP]), detail)
            for start in range(0, sequences, _GROUP)
        ]
        _LOG.info('%d held-out sequences of %d frames', sequences, frames)

    @torch.no_grad()
    def evaluate(self, network: Network, rule: str) -> dict[str, float]:
        """Score a network: as a stream, and with a reset before every frame."""
        figures: dict[str, list[float]] = {}
        device = next(network.parameters()).device
        for held in self.batches:
            batch = Batch(*(part.to(device) for part in held))
            stream = unroll(network, batch.image, rule)
            single = unroll(network, batch.image, rule, reset=True)
            for name, value in _figures(stream, single, batch).items():
                figures.setdefault(name, []).append(value)
        return {name: float(np.mean(values)) for name, values in figures.items()}


def abs_rel(log_depth: Tensor, truth: Tensor, *, median: bool) -> float:
    """
    Return the mean relative depth error.

    :param log_depth: [B, T, H, W]
    :param median: scale each frame's median to the true one first
    """
    error = log_depth - truth
    if median:
        shift = log_depth.flatten(2).median(2).values - truth.flatten(2).median(2).values
        error = error - shift[..., None, None]
    return float((error.exp() - 1).abs().mean())


def _figures(stream: Unrolled, single: Unrolled, batch: Batch) -> dict[str, float]:
    late = slice(min(8, batch.log_depth.shape[1] - 1), None)
    truth = batch.log_depth
    depth = stream.points[..., 2].clamp(min=1e-3).log()
    alone = single.points[..., 2].clamp(min=1e-3).log()
    focal = _focal(stream)
    return {
        'absrel_single': abs_rel(alone, truth, median=False),
        'absrel_single_median': abs_rel(alone, truth, median=True),
        'absrel_late': abs_rel(depth[:, late], truth[:, late], median=False),
        'absrel_late_median': abs_rel(depth[:, late], truth[:, late], median=True),
        'absrel_late_reset': abs_rel(alone[:, late], truth[:, late], median=False),
        'within_25_late': float(((depth - truth)[:, late].abs() < np.log(1.25)).float().mean()),
        'focal': float((focal.log() - batch.focal[:, None].log()).abs().mean()),
        'ate_share': _ate_share(stream, batch),
        'position_share': _share(stream.translation, batch.translation),
        'rotation_share': _share(stream.quat_wxyz[..., 1:], batch.quat_wxyz[..., 1:]),
    }


def _focal(predicted: Unrolled) -> Tensor:
    """Return the focal length of each frame's points, pixels [B, T]."""
    points = predicted.points[..., -1, :]
    half = (predicted.points.shape[-2] - 1) / 2
    return (half * points[..., 2] / points[..., 0]).median(dim=2).values


def _share(predicted: Tensor, truth: Tensor) -> float:
    """Return the mean error as a share of that of a camera thought to be at rest."""
    error = (predicted - truth)[:, 1:].norm(dim=-1).mean()
    return float(error / truth[:, 1:].norm(dim=-1).mean())


def _ate_share(predicted: Unrolled, batch: Batch) -> float:
    """Return the mean ATE after Sim(3) as a share of that of a camera thought to be at rest."""
    truths = _transforms(batch.translation, batch.quat_wxyz)
    estimates = _transforms(predicted.translation, predicted.quat_wxyz)
    errors = [absolute_trajectory_error(*pair) for pair in zip(estimates, truths, strict=True)]
    at_rest = [
        absolute_trajectory_error(np.tile(np.eye(4), (len(truth), 1, 1)), truth)
        for truth in truths
    ]
    return float(np.mean(errors) / np.mean(at_rest))


def _transforms(translation: Tensor, quat_wxyz: Tensor) -> NDArray[np.float64]:
    """Return poses as matrices [B, T, 4, 4]."""
    pairs = zip(translation.flatten(0, 1).cpu(), quat_wxyz.flatten(0, 1).cpu(), strict=True)
    matrices = [from_translation_quat(position.numpy(), quat.numpy()) for position, quat in pairs]
    return np.array(matrices).reshape(*translation.shape[:2], 4, 4)
