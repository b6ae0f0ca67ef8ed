"""A loaded network made ready to compute images: precision, order of the weights, device."""

from __future__ import annotations

import torch

from ttt3r_ros.devices import INT8, choose_precision
from ttt3r_ros.model.fused import fuse
from ttt3r_ros.model.lean import convert
from ttt3r_ros.model.network import Network
from ttt3r_ros.model.packed import pack
from ttt3r_ros.model.quantise import quantise


def make_ready(
    network: Network, precision: str, device: torch.device
) -> tuple[Network, torch.dtype]:
    """
    Return a network in the form in which it computes fastest, and the type of its tensors.

    Parameters that keep their form are shared with the given network, and brought to the device
    and type in place.

    :param precision: see `choose_precision`
    :raises ValueError: a precision that the device does not have; or a network that was made ready
        for something else, whose layers cannot be brought into another form
    """
    dtype = choose_precision(precision, device, wide=network.config.is_wide)
    kind = INT8 if precision == INT8 else str(dtype).removeprefix('torch.')
    form = f'{kind} on {device}'
    if network.form not in ('', form):
        raise ValueError(
            f'the network was made ready for {network.form}, not for {form}: load it anew'
        )
    ready = quantise(network) if precision == INT8 else network
    ready = pack(ready, device, dtype)
    convert(ready, device, dtype)
    ready = fuse(ready)
    if ready is not network:
        ready.form = form
    return ready, dtype
