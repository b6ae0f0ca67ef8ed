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
    :raises ValueError: a precision that the device does not have
    """
    dtype = choose_precision(precision, device, wide=network.config.is_wide)
    if precision == INT8:
        network = quantise(network)
    network = pack(network, device, dtype)
    convert(network, device, dtype)
    return fuse(network), dtype
