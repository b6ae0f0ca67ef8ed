"""
Train the network that tells a camera's roll: `python -m ttt3r_ros.training.roll --out FILE`.

Pictures of the same rooms as in training, square, each turned by several angles and cut out.
"""

from __future__ import annotations

import argparse
import logging
import math
from pathlib import Path
from random import Random

import numpy as np
from safetensors.torch import save
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.files import atomic_file
from ttt3r_ros.model.roll import BINS, RollNetwork, angles
from ttt3r_ros.synthetic.atlas import load_atlas
from ttt3r_ros.synthetic.sequence import SceneCamera
from ttt3r_ros.synthetic.settings import SceneSettings, held_out_seed, train_seed

_LOG = logging.getLogger(__name__)
_SIDE = 80  # pixels of a picture: the diagonal of 64 x 48
_SIZES = ((64, 48),) * 3 + ((64, 40), (48, 64))
_SCENES, _FILMS, _TURNS = 4, 4, 8  # of a batch
_SETTINGS = SceneSettings(fov_min=54.0, fov_max=112.0)  # of the whole picture; 45 to 100 cut out
_SPREAD = math.radians(5.0)  # of the target over its bin's neighbours
_STEEP, _LEVEL = 0.15, 0.5  # horizontal share of gravity below and above which roll is (un)known
_RATE, _DECAY = 2e-3, 0.01
_FIRST_SEED = 1 << 38  # far from those of the main training


def pictures(seed: int, scenes: int, films: int) -> tuple[Tensor, Tensor, Tensor]:
    """
    Film rooms.

    :param seed: of the first scene
    :return: pictures in [-1, 1] [N, 3, S, S], by how much each is to be turned to be upright
        (radians, counter-clockwise) [N], and how well that is defined, 0 to 1 [N]
    """
    images, rolls, known = [], [], []
    for scene in range(scenes):
        camera = SceneCamera(seed + scene, _SETTINGS, load_atlas())
        for _ in range(films):
            film = camera.film(1, _SIDE, _SIDE)
            assert film.down is not None
            x, y, _z = film.down
            images.append(film.rgb[0])
            rolls.append(math.atan2(-x, y))
            known.append((math.hypot(x, y) - _STEEP) / (_LEVEL - _STEEP))
    batch = torch.from_numpy(np.stack(images)).movedim(-1, 1).float() / 127.5 - 1
    return batch, torch.tensor(rolls), torch.tensor(known).clamp(0, 1)


def turned(images: Tensor, turn: Tensor, size: tuple[int, int]) -> Tensor:
    """
    Turn pictures counter-clockwise by angles [N], and cut their middle out.

    :param size: width and height of what is cut out, pixels
    """
    width, height = size
    cos, sin = turn.cos(), turn.sin()
    across, down = width / _SIDE, height / _SIDE
    zero = torch.zeros_like(cos)
    matrix = torch.stack(
        [torch.stack([cos * across, -sin * down, zero], 1),
         torch.stack([sin * across, cos * down, zero], 1)], dim=1,
    )  # fmt: skip
    grid = F.affine_grid(matrix, [len(images), 3, height, width], align_corners=False)
    return F.grid_sample(images, grid, align_corners=False, padding_mode='reflection')


def draw_turns(rng: Random, count: int) -> Tensor:
    """Draw angles: half of them small, some of the full circle."""
    reach = [rng.choice((0.5, 0.5, 1.6, math.pi)) for _ in range(count)]
    return torch.tensor([rng.uniform(-limit, limit) for limit in reach])


def target(roll: Tensor, known: Tensor) -> Tensor:
    """Spread angles [N] over the bins; where roll is not defined, over all alike [N, BINS]."""
    off = torch.remainder(angles() - roll[:, None] + math.pi, 2 * math.pi) - math.pi
    peak = (-0.5 * (off / _SPREAD).square()).softmax(1)
    return known[:, None] * peak + (1 - known[:, None]) / BINS


def make_batch(step: int, *, held_out: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Make pictures, their angles [N], and how well these are defined [N]."""
    rng = Random(f'roll {held_out} {step}')
    index = step * _SCENES
    seed = held_out_seed((1 << 30) + index) if held_out else train_seed(_FIRST_SEED + index)
    images, roll, known = (x.repeat_interleave(_TURNS, 0) for x in pictures(seed, _SCENES, _FILMS))
    turn = draw_turns(rng, len(images))
    images, roll = turned(images, turn, rng.choice(_SIZES)), roll - turn
    if rng.random() < 0.5:
        images, roll = images.flip(3), -roll
    if rng.random() < 0.5:
        images = images[:, rng.sample(range(3), 3)]
    if rng.random() < 0.2:
        images = images.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    return images, torch.remainder(roll + math.pi, 2 * math.pi) - math.pi, known


@torch.no_grad()
def evaluate(network: RollNetwork, batches: list[tuple[Tensor, Tensor, Tensor]]) -> str:
    """Describe the errors, in degrees, where roll is defined and below 60."""
    errors, sure = [], []
    for images, roll, known in batches:
        said = network(images)
        off = torch.remainder(angles()[said.argmax(1)] - roll + math.pi, 2 * math.pi) - math.pi
        keep = (known == 1) & (roll.abs() < math.radians(60))
        errors.append(off[keep].abs().rad2deg())
        sure.append(said.exp().amax(1)[keep])
    error, certainty = torch.cat(errors), torch.cat(sure)
    best = error[certainty > certainty.median()]
    parts = [
        f'{name}: median {float(x.median()):.1f}, {float((x < 10).float().mean()):.2f} within 10'
        for name, x in (('all', error), ('the surer half', best))
    ]
    return ', '.join(parts)


def main() -> None:
    """Train, and write the averaged weights."""
    parser = argparse.ArgumentParser(prog='ttt3r_ros.training.roll', description=__doc__)
    parser.add_argument('--out', type=Path, required=True, help='.safetensors to write')
    parser.add_argument('--steps', type=int, default=2500)
    arguments = parser.parse_args()
    if not arguments.out.parent.is_dir():
        parser.error(f'--out: there is no folder {arguments.out.parent}')
    try:
        load_atlas()
    except DatasetError as error:
        parser.error(str(error))
    logging.basicConfig(level=logging.INFO, format='%(asctime)s %(message)s')
    torch.set_num_threads(1)
    torch.manual_seed(1)
    network, average = RollNetwork(), RollNetwork()
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    held_out = [make_batch(step, held_out=True) for step in range(8)]
    for step in range(arguments.steps):
        for group in optimiser.param_groups:
            group['lr'] = _RATE * min(1, (step + 1) / 100) * (1 - step / arguments.steps)
        images, roll, known = make_batch(step)
        loss = -(target(roll, known) * network(images)).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            decay = min(0.995, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
        if step % 100 == 99 or step == arguments.steps - 1:
            _LOG.info(
                'step %d: loss %.3f; %s',
                step + 1,
                float(loss.detach()),
                evaluate(average, held_out),
            )
            weights = {name: x.half().contiguous() for name, x in average.state_dict().items()}
            with atomic_file(arguments.out) as file:
                file.write(save(weights, {'steps': str(step + 1)}))


if __name__ == '__main__':
    main()
