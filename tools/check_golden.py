#!/usr/bin/env python3
"""
Compare the network with a file of the reference's outputs.

Weights and images are regenerated from names and a seed, as the goldens' description says; the
worst error over the frames, ||out - golden|| / ||golden||, is printed for each array.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
import sys
import zlib

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from ttt3r_ros.model.config import PRESETS, NetworkConfig
from ttt3r_ros.model.network import OUTPUTS, Encoded, Network, Prediction, State
from ttt3r_ros.model.ready import make_ready
from ttt3r_ros.model.update_rules import UPDATE_RULES

_SMALL_OUTPUT = ('head.4.weight', 'pose_head.mlp.fc2.weight', 'head.proj.weight')
_MAPS = ('pts3d_in_self_view', 'pts3d_in_other_view', 'conf_self', 'conf', 'rgb')


def golden_tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    """Return the weights that belong to a checkpoint name."""
    size = int(np.prod(shape))
    state = np.random.RandomState(zlib.crc32(name.encode()))
    noise = state.standard_normal(size).astype(np.float32).reshape(shape)
    if len(shape) == 1:
        weight = 0.1 * noise + (1 if name.endswith('.weight') else 0)
    else:
        scale = 0.2 if name.endswith(_SMALL_OUTPUT) else 1.0
        weight = noise * np.float32(scale / np.sqrt(size // shape[0]))
    return torch.from_numpy(np.asarray(weight, np.float32))


def golden_network(config: NetworkConfig) -> Network:
    """Build a network whose weights are functions of their names."""
    with torch.device('meta'):
        network = Network(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    tensors = {name: golden_tensor(name, shape) for name, shape in shapes.items()}
    network.load_state_dict(tensors, assign=True)
    return network.requires_grad_(False).eval()


def golden_images(count: int, height: int, width: int, seed: int) -> Tensor:
    """Return the images of a seed [count, 3, height, width]."""
    state = np.random.RandomState(seed)
    images = state.uniform(-1, 1, (count, 3, height, width)).astype(np.float32)
    return torch.from_numpy(images)


def outputs_of(
    network: Network, encoded: Encoded, before: State, seen: Prediction
) -> dict[str, Tensor | None]:
    """Name the values of one frame as the goldens do."""
    recalled = network.pose_retriever.read(encoded.tokens.mean(1, keepdim=True), before.memory)
    return {
        'pts3d_in_self_view': seen.points,
        'conf_self': seen.confidence,
        'camera_pose': torch.cat([seen.translation, seen.quat_wxyz], dim=-1),
        'beta': seen.gate,
        'pts3d_in_other_view': seen.world_points,
        'conf': seen.world_confidence,
        'rgb': seen.colors,
        'enc': encoded.tokens,
        'state_in': before.tokens,
        'mem_in': before.memory,
        'pose_in': torch.where(before.first[:, None, None], network.pose_token, recalled),
    }


def run(
    network: Network,
    images: Tensor,
    rule: str,
    *,
    reset_after: tuple[int, ...] = (),
    no_update: tuple[int, ...] = (),
    outputs: frozenset[str] = OUTPUTS,
) -> Iterator[dict[str, Tensor | None]]:
    """
    Step through images [n, 3, H, W], or batches of them [n, B, 3, H, W].

    :return: for each frame, what `outputs_of` names, each with a batch axis
    """
    images = images if images.dim() == 5 else images[:, None]
    state = network.initial_state(images.shape[1])
    for index, image in enumerate(images):
        update = torch.full((len(image),), index not in no_update)
        with torch.inference_mode():
            encoded = network.encode(image)
            seen, following = network.decode(
                encoded, state, UPDATE_RULES[rule], update=update, outputs=outputs
            )
            yield outputs_of(network, encoded, state, seen)
        state = network.initial_state(len(image)) if index in reset_after else following


def worst_errors(
    golden: dict[str, NDArray[np.float32]], frames: Iterator[dict[str, Tensor | None]], step: int
) -> dict[str, float]:
    """Return the largest relative error over the frames for each array of the golden."""
    worst: dict[str, float] = {}
    for index, frame in enumerate(frames):
        for name, wanted in golden.items():
            tensor = frame[name]
            assert tensor is not None, f'{name} was not computed'
            value = tensor[0].double().numpy()
            if name in _MAPS:
                value = value[::step, ::step]
            expected = wanted[index].astype(np.float64)
            if value.shape != expected.shape:
                sys.exit(f'{name} is {value.shape}, the golden {expected.shape}: see --subsample')
            error = np.linalg.norm(value - expected) / np.linalg.norm(expected)
            worst[name] = max(worst.get(name, 0.0), float(error))
    return worst


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison; the exit status is 1 where it fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('file', type=Path)
    parser.add_argument('--preset', required=True, choices=tuple(PRESETS))
    parser.add_argument('--head', choices=('dpt', 'linear'), help='instead of the preset’s')
    parser.add_argument('--rule', default='ttt3r', choices=tuple(UPDATE_RULES))
    parser.add_argument('--images', required=True, help='count x height x width, as in 6x64x80')
    parser.add_argument('--seed', type=int, required=True)
    parser.add_argument('--subsample', type=int, default=1, help='every nth pixel of the maps')
    parser.add_argument('--reset-after', type=int, nargs='*', default=[], metavar='FRAME')
    parser.add_argument('--no-update', type=int, nargs='*', default=[], metavar='FRAME')
    parser.add_argument('--tolerance', type=float, default=5e-4)
    parser.add_argument('--ready', action='store_true', help='in the form that computes images')
    options = parser.parse_args(arguments)
    config = PRESETS[options.preset]
    if options.head:
        config = replace(config, head=options.head)
    with np.load(options.file) as content:
        golden = {name: content[name] for name in content.files}
    wanted = {'gate': 'beta', 'world': 'conf', 'colors': 'rgb'}
    outputs = frozenset(output for output, name in wanted.items() if name in golden)
    count, height, width = map(int, options.images.split('x'))
    network = golden_network(config)
    if options.ready:
        network, _ = make_ready(network, 'float32', torch.device('cpu'))
    frames = run(
        network,
        golden_images(count, height, width, options.seed),
        options.rule,
        reset_after=tuple(options.reset_after),
        no_update=tuple(options.no_update),
        outputs=outputs,
    )
    errors = worst_errors(golden, frames, options.subsample)
    for name, error in errors.items():
        verdict = 'ok' if error <= options.tolerance else 'FAILED'
        print(f'{name:20s} {error:.2e}  {verdict}')
    return int(max(errors.values()) > options.tolerance)


if __name__ == '__main__':
    sys.exit(main())
