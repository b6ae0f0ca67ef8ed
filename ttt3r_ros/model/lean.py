"""
Weights converted one tensor at a time, so that a large network never stands in memory twice.

A weights file is mapped into memory: its pages are loaded where they are read, and counted as the
process's own. Those that are not needed any more are given back at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import copy
import ctypes
import mmap
import sys
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from ttt3r_ros.model.layers import CrossAttention, SelfAttention

if TYPE_CHECKING:
    from ttt3r_ros.model.network import Network

LARGE = 2**18
"""Weights of a matrix from which on another form of it saves more than it costs."""

_PAGE_OUT = (
    21  # MADV_PAGEOUT, Linux 5.4: pages of files are dropped, all others keep their content
)
_OWN = '_in_own_memory'  # what marks a tensor that was converted


def convert(network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """
    Bring all parameters to a device and type, convolutions' to channels last.

    With channels last, tokens are feature maps as they lie in memory. What was converted before
    stays where it is: a network may be shared, and is not to move each time.
    """
    for tensor in (*network.parameters(), *network.buffers()):
        kind = dtype if tensor.is_floating_point() else tensor.dtype
        layout = torch.channels_last if tensor.dim() == 4 else torch.preserve_format
        old = tensor.data
        new = old.to(device, kind, memory_format=layout)
        same = new.data_ptr() == old.data_ptr()
        if same and hasattr(tensor, _OWN):
            continue
        # what still lay in a mapped file would change, or end the process, with the file
        tensor.data = old.clone() if same else new
        setattr(tensor, _OWN, True)
        page_out(old)


def replace_matrices(
    network: Network,
    make: Callable[[nn.Linear, Tensor | None], nn.Module],
    within: tuple[str, ...] = ('',),
) -> Network:
    """
    Return a network like the given one with other modules for its large linear layers.

    All other parameters are shared with the given one, which stays as it is. Attention whose
    queries and keys both come from such modules gets them in the order of the cheapest rotation.

    :param make: the module that takes a layer's place, with its rows in the order given
    :param within: beginnings of the names of the layers that are replaced
    """
    chosen = [
        name
        for name, module in network.named_modules()
        if name.startswith(within) and _is_large(module)
    ]
    orders: dict[str, Tensor] = {}
    paired = []
    for name, module in network.named_modules():
        if isinstance(module, SelfAttention | CrossAttention):
            rows = {f'{name}.{own}': order for own, order in module.pair_rows().items()}
            if rows.keys() <= set(chosen):
                paired.append(name)
                orders |= rows
    replaced = replace_layers(network, chosen, lambda name, layer: make(layer, orders.get(name)))
    for name in paired:
        cast(SelfAttention | CrossAttention, replaced.get_submodule(name)).paired = True
    return replaced


def replace_layers(
    network: Network, names: Sequence[str], make: Callable[[str, Any], nn.Module]
) -> Network:
    """
    Return a network like the given one with other modules for some layers; itself for none.

    All other parameters are shared with the given one, which stays as it is.

    :param names: of the layers, which have a `weight`
    :param make: the module that takes the place of a layer, given its name and itself
    """
    if not names:
        return network
    shared = {id(parameter): parameter for parameter in network.parameters()}
    replaced: Network = copy.deepcopy(network, shared)
    for name in names:
        parent, _, own = name.rpartition('.')
        layer = replaced.get_submodule(name)
        setattr(replaced.get_submodule(parent), own, make(name, layer))
        page_out(cast(Tensor, layer.weight))
    return replaced


def _is_large(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) and module.weight.numel() >= LARGE


def page_out(tensor: Tensor) -> None:
    """
    Give the memory of a mapped file's tensor back; it is read again if it is used again.

    Where the system cannot, nothing happens.
    """
    if not sys.platform.startswith('linux') or tensor.device.type != 'cpu':
        return
    page = mmap.PAGESIZE
    begin, size = tensor.data_ptr(), tensor.numel() * tensor.element_size()
    first, last = -(-begin // page) * page, (begin + size) // page * page
    if last > first:
        library = ctypes.CDLL(None)
        library.madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _PAGE_OUT)
