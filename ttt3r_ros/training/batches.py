"""Batches made on the fly; each depends on the run's seed and the step alone."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from ttt3r_ros.geometry.se3 import quat_wxyz
from ttt3r_ros.synthetic.atlas import load_atlas
from ttt3r_ros.synthetic.sequence import SceneCamera, SyntheticSequence
from ttt3r_ros.synthetic.settings import train_seed
from ttt3r_ros.training.films import DEPTH_RANGE, SCENES
from ttt3r_ros.training.settings import Phase

FILMS_PER_SCENE = 4  # of single pictures; building a scene costs about one of them
_SCENES_PER_STEP = 32
_SCENES_PER_SHARE = 8  # at most
MOST_SHARES = _SCENES_PER_STEP // _SCENES_PER_SHARE
SWAPPED, GREY = 0.3, 0.1
"""Shares of batches with colours exchanged, and without any."""


class Batch(NamedTuple):
    """B sequences of T frames with their truth."""

    image: Tensor  # in [-1, 1], as the stem reads it [B, T, 3, detail x H, detail x W]
    log_depth: Tensor  # of metres [B, T, H, W]
    focal: Tensor  # pixels [B]
    translation: Tensor  # of the camera in the first one's frame, metres [B, T, 3]
    quat_wxyz: Tensor  # [B, T, 4]


def collate(sequences: list[SyntheticSequence]) -> Batch:
    """Stack sequences of one size and length."""
    rgb = np.stack([sequence.rgb for sequence in sequences])
    depth = np.stack([sequence.depth for sequence in sequences])
    poses = np.stack([sequence.T_world_camera for sequence in sequences])
    quats = np.array([[quat_wxyz(pose) for pose in path] for path in poses])
    return Batch(
        torch.from_numpy(rgb).movedim(-1, 2).float() / 127.5 - 1,
        torch.from_numpy(depth.clip(*DEPTH_RANGE)).log(),
        torch.tensor([sequence.intrinsics.fx for sequence in sequences], dtype=torch.float32),
        _float32(poses[..., :3, 3]),
        _float32(quats),
    )


def _float32(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def for_network(batch: Batch, detail: int) -> Batch:
    """
    Bring the truth of pictures to the size that a network works on.

    :param detail: sides of the pictures, relative to those; see `NetworkConfig.detail`
    """
    if detail == 1:
        return batch
    log_depth = F.avg_pool2d(batch.log_depth, detail)
    return batch._replace(log_depth=log_depth, focal=batch.focal / detail)


def train_batch(run_seed: int, step: int, phase: Phase, share: int = 0, detail: int = 1) -> Batch:
    """
    Make the batch of a step, or one process's share of it.

    :param run_seed: of the whole run
    :param step: from 0
    :param phase: lengths and sizes to draw from; shares of a step have the same
    :param share: which of the shares, below `MOST_SHARES`; each has the frames of a phase
    :param detail: of the network that is trained
    :raises ValueError: for a share of many short sequences there are not enough scenes
    """
    rng = Random(f'{run_seed} {step}')
    length, (width, height) = rng.choice(phase.lengths), rng.choice(phase.sizes)
    count = max(1, phase.frames // length)
    films = FILMS_PER_SCENE if length == 1 else 1
    if share and count > films * _SCENES_PER_SHARE:
        raise ValueError(f'{count} sequences of {length} frames: too many scenes for shares')
    sequences: list[SyntheticSequence] = []
    index = (run_seed << 32) + step * _SCENES_PER_STEP + share * _SCENES_PER_SHARE
    while len(sequences) < count:
        scene = SceneCamera(train_seed(index), SCENES, load_atlas())
        index += 1
        for _ in range(min(films, count - len(sequences))):
            sequences.append(scene.film(length, detail * width, detail * height))  # noqa: PERF401 - draws in order
    colours = Random(f'{run_seed} {step} {share}') if share else rng
    return for_network(_mix_colours(collate(sequences), colours), detail)


def _mix_colours(batch: Batch, rng: Random) -> Batch:
    """Swap the colour channels of some batches, so that hue tells little; make others grey."""
    image = batch.image
    if rng.random() < SWAPPED:
        image = image[:, :, rng.sample(range(3), 3)]
    if rng.random() < GREY:
        image = image.mean(dim=2, keepdim=True).expand_as(image)
    return batch._replace(image=image)
