"""A loaded network made ready to compute images: its precision, layers, device and calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from ttt3r_ros.devices import INT8, choose_precision
from ttt3r_ros.model.encoder import Encoded
from ttt3r_ros.model.fused import fuse
from ttt3r_ros.model.graphs import CudaRecorder, in_own_memory
from ttt3r_ros.model.lean import convert
from ttt3r_ros.model.network import Network, Prediction, State
from ttt3r_ros.model.packed import pack
from ttt3r_ros.model.quantise import quantise
from ttt3r_ros.model.replay import Replayed
from ttt3r_ros.model.traces import trace
from ttt3r_ros.model.winograd import use_winograd

_GRAPH_TOLERANCE = 0.02  # kernels may be chosen otherwise, and half precision rounds coarsely
_TRACE_TOLERANCE = 1e-4  # the operations are the same


def make_ready(
    network: Network, precision: str, device: torch.device
) -> tuple[Network, torch.dtype]:
    """
    Return a network in the form in which it computes fastest, and the type of its tensors.

    Parameters that keep their form are shared with the given network, and brought to the device
    and type in place.

    :param precision: see `choose_precision`
    :raises ValueError: a precision that the device does not have; or a network that was made ready
        for something else, whose layers or parameters cannot be brought into another form
    """
    dtype = choose_precision(precision, device, wide=network.config.is_wide)
    kind = str(dtype).removeprefix('torch.') if precision == 'auto' else precision
    form = f'{kind} on {device}'
    held = f'{str(dtype).removeprefix("torch.")} on {device}'
    for made, wanted in ((network.form, form), (network.held, held)):
        if made not in ('', wanted):
            raise ValueError(
                f'the network was made ready for {made}, not for {wanted}: load it anew'
            )
    network.held = held
    ready = quantise(network) if precision == INT8 else network
    kept = torch.float32 if kind == 'float32' else torch.bfloat16
    if device.type == 'cpu' and network.config.is_wide:
        ready = use_winograd(pack(ready, dtype, kept), dtype, kept)
    convert(ready, device, dtype)
    ready = fuse(ready)
    if ready is not network:
        ready.form = form
    return ready, dtype


class Calls(NamedTuple):
    """A network's two functions, in the form in which they are called fastest."""

    encode: Callable[..., Encoded]
    decode: Callable[..., tuple[Prediction, State]]


def fast_calls(
    network: Network, precision: str, device: torch.device, *, graphs: bool, traces: bool
) -> Calls:
    """
    Return a ready network's functions, to be replayed where calling its operations takes long.

    :param precision: that it was made ready for
    :param graphs: decode by CUDA graphs, on a GPU
    :param traces: encode and decode by traces: a small network on a processor. Int8 looks at
        values, and a trace would keep those of one image
    """
    encode, decode = network.encode, network.decode
    if device.type == 'cuda':
        if not graphs:
            return Calls(encode, decode)
        capture = in_own_memory(CudaRecorder(device))
        return Calls(encode, Replayed(decode, capture, 'a CUDA graph', _GRAPH_TOLERANCE))
    if not traces or precision == INT8 or network.config.is_wide:
        return Calls(encode, decode)
    encoder = Replayed(encode, trace, 'a trace', _TRACE_TOLERANCE)
    return Calls(encoder, Replayed(decode, trace, 'a trace', _TRACE_TOLERANCE))
