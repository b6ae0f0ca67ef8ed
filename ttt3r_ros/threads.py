"""How many threads of the processor the numerical libraries take."""

from __future__ import annotations

import logging

import threadpoolctl
import torch

from ttt3r_ros.model.network import Network

__all__ = ['use_threads']

logger = logging.getLogger(__name__)

_own: int | None = None  # PyTorch's number before it was first changed here


def use_threads(count: int, network: Network) -> int:
    """
    Set how many threads PyTorch and the libraries of linear algebra take, in the whole process.

    The threads of PyTorch (OpenMP) and of NumPy, SciPy and OpenCV (OpenBLAS) wait for one another
    in busy loops. On the small matrices of tracking that only costs, most of all where another
    process wants the processor: linear algebra beside PyTorch gets one thread in any case.

    :param count: threads of PyTorch; 0: one for a network that is not wide, which several
        compute no faster, else as many as PyTorch had
    :param network: that will be computed
    :return: threads of PyTorch from now on
    :raises ValueError: if the count is negative
    """
    global _own  # noqa: PLW0603  # as the number itself
    if count < 0:
        raise ValueError(f'threads is {count}; it must be at least 0')
    if _own is None:
        _own = torch.get_num_threads()
    if count == 0:
        count = _own if network.config.is_wide else 1
    if count != torch.get_num_threads():
        logger.debug('PyTorch computes with %d threads, before with %d', count, _own)
        torch.set_num_threads(count)
    threadpoolctl.threadpool_limits(1, user_api='blas')  # type: ignore[no-untyped-call]
    return count
