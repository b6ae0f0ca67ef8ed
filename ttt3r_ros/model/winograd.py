"""
Convolutions of 3 x 3 with a quarter of the products (docs/decisions/0072-winograd.md).

Winograd's F(4 x 4, 3 x 3) (Lavin & Gray, arXiv 1509.09308, section 4): tiles of 6 x 6 pixels and
kernels are transformed to 6 x 6 sums, whose products, summed over channels, are transformed to
4 x 4 pixels of the result. 36 products take the place of 144.

Sizes: B batch, h and w pixels, C and N channels, R and T tiles down and across.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ttt3r_ros.model.lean import replace_layers
from ttt3r_ros.model.linear import Shared
from ttt3r_ros.model.network import Network

_TILE = 4  # pixels of the result, on each side
_SEEN = 6  # pixels that these depend on, on each side
_NUMBERS = 600_000  # transformed at once, 2.4 MB: about what a processor's cache holds

_OF_PIXELS = torch.tensor(
    [
        [4.0, 0.0, -5.0, 0.0, 1.0, 0.0],
        [0.0, -4.0, -4.0, 1.0, 1.0, 0.0],
        [0.0, 4.0, -4.0, -1.0, 1.0, 0.0],
        [0.0, -2.0, -1.0, 2.0, 1.0, 0.0],
        [0.0, 2.0, -1.0, -2.0, 1.0, 0.0],
        [0.0, 4.0, 0.0, -5.0, 0.0, 1.0],
    ]
)
_OF_WEIGHTS = torch.tensor(
    [
        [1 / 4, 0.0, 0.0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0.0, 0.0, 1.0],
    ]
)
_OF_PRODUCTS = torch.tensor(
    [
        [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
        [0.0, 1.0, -1.0, 2.0, -2.0, 0.0],
        [0.0, 1.0, 1.0, 4.0, 4.0, 0.0],
        [0.0, 1.0, -1.0, 8.0, -8.0, 1.0],
    ]
)


class WinogradConv2d(Shared):
    """
    A convolution of 3 x 3 that keeps the size of float32 maps, on processors.

    :param conv: as trained
    :param kept: type in which its weights are kept
    """

    def __init__(self, conv: nn.Conv2d, kept: torch.dtype) -> None:
        super().__init__()
        weight = conv.weight.detach().to(kept, copy=True)
        self._weight = weight.permute(2, 3, 1, 0).contiguous()  # [down, across, C, N]
        self._bias = None if conv.bias is None else conv.bias.detach().float().clone()

    def forward(self, x: Tensor, *, inside: bool = False) -> Tensor:
        """
        Convolve.

        :param x: [B, C, h, w]
        :param inside: leave out the first and the last row of the result
        :return: [B, N, h, w], or two rows less; channels last
        """
        channels, out_channels = self._weight.shape[2:]
        height, width = x.shape[2] - 2 * inside, x.shape[3]
        rows, across = -(-height // _TILE), -(-width // _TILE)
        size = across * _SEEN**2 * max(channels, out_channels)
        down = max(1, min(rows, _NUMBERS // size))  # rows of tiles that are worked on at once
        tiles = x.new_zeros(down * _TILE + 2, across, _SEEN, channels)  # zeros beyond the image
        kernels = self._kernels()
        out = x.new_empty(len(x), rows, _TILE, across, _TILE, out_channels)
        for image, result in zip(x.movedim(1, -1), out, strict=True):
            for first in range(0, rows, down):
                part = result[first : first + down]
                seen = tiles[: len(part) * _TILE + 2]
                _fill(seen, image, first * _TILE - 1 + inside)
                found = _convolve(seen, kernels).permute(2, 0, 3, 1, 4)
                if self._bias is None:
                    part.copy_(found)
                else:
                    torch.add(found, self._bias, out=part)
        return out.flatten(3, 4).flatten(1, 2)[:, :height, :width].movedim(-1, 1)

    def _kernels(self) -> Tensor:
        """Return the weights transformed [6, 6, C, N]."""
        _, across, channels, out_channels = self._weight.shape
        lines = _OF_WEIGHTS @ self._weight.float().flatten(1)
        sums = torch.matmul(_OF_WEIGHTS, lines.view(_SEEN, across, -1))
        return sums.view(_SEEN, _SEEN, channels, out_channels)


def _fill(tiles: Tensor, image: Tensor, top: int) -> None:
    """
    Copy rows of an image into tiles that overlap by two columns; beyond the image come zeros.

    :param tiles: [rows, T, 6, C], zeros where no image reaches
    :param image: [h, w, C]
    :param top: the first row, which may lie outside
    """
    height, width, channels = image.shape
    first, end = max(0, top), min(height, top + len(tiles))
    tiles[: first - top] = 0
    tiles[end - top :] = 0
    rows, seen = tiles[first - top : end - top], image[first:end]
    whole = width // _TILE
    columns = seen[:, : whole * _TILE]
    rows[:, :whole, 1 : 1 + _TILE] = columns.view(len(seen), whole, _TILE, channels)
    rest = width - whole * _TILE
    if rest:
        rows[:, whole, 1 : 1 + rest] = seen[:, whole * _TILE :]
    rows[:, 1:, 0] = rows[:, :-1, _TILE]
    rows[:, :-1, -1] = rows[:, 1:, 1]


def _convolve(tiles: Tensor, kernels: Tensor) -> Tensor:
    """
    Convolve.

    :param tiles: rows of the image, in tiles of six columns that overlap [4 R + 2, T, 6, C]
    :param kernels: transformed [6, 6, C, N]
    :return: [4, 4, R, T, N]
    """
    rows, across, _, channels = tiles.shape
    down, length = rows // _TILE, tiles[0].numel()
    lines = torch.matmul(_OF_PIXELS, tiles)
    pixels = lines.new_empty(_SEEN, down, length)
    seen = lines.as_strided((down, _SEEN, length), (_TILE * length, length, 1))
    torch.bmm(_OF_PIXELS.expand(down, -1, -1), seen, out=pixels.transpose(0, 1))
    products = lines.new_empty(_SEEN, _SEEN, down * across, kernels.shape[-1])
    for pixel, kernel, product in zip(pixels, kernels, products, strict=True):
        torch.bmm(pixel.view(-1, _SEEN, channels).transpose(0, 1), kernel, out=product)
    half = torch.matmul(_OF_PRODUCTS, products.flatten(1)).view(_TILE, _SEEN, -1)
    return torch.matmul(_OF_PRODUCTS, half).view(_TILE, _TILE, down, across, -1)


def use_winograd(network: Network, dtype: torch.dtype, kept: torch.dtype) -> Network:
    """
    Return a wide network like the given one with its convolutions of 3 x 3 by Winograd's method.

    Only in float32 and where a processor's products are Intel MKL's: there it was measured to be
    faster. Elsewhere the network is returned as it is. All other parameters are shared with the
    given one, which stays as it is.

    :param dtype: in which it is to compute
    :param kept: in which the convolutions' weights are to be kept
    """
    has_mkl = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    if dtype != torch.float32 or not has_mkl:
        return network
    names = [name for name, module in network.named_modules() if _is_suitable(module)]
    return replace_layers(network, names, lambda _, conv: WinogradConv2d(conv, kept))


def _is_suitable(module: nn.Module) -> bool:
    if not isinstance(module, nn.Conv2d):
        return False
    form = (module.kernel_size, module.stride, module.padding, module.dilation, module.groups)
    return form == ((3, 3), (1, 1), (1, 1), (1, 1), 1)
