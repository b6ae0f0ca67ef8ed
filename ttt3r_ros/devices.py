"""Which processor and which number format to compute with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from time import perf_counter

import torch
from torch.nn.functional import linear

from ttt3r_ros.errors import ReconstructionError

INT8 = 'int8'
"""Precision of matrices that are kept and multiplied as 8-bit integers, on a CPU."""

PRECISIONS = {
    'float32': torch.float32,
    'bfloat16': torch.bfloat16,
    'float16': torch.float16,
}

_TRIAL = (768, 768)  # as CUT3R's networks have: some 8 ms
_AMPERE = (8, 0)  # the first GPUs that multiply bfloat16
_CLEARLY = 0.8  # times are not exact
_NO_MEMORY = ('memory: you tried', 'not enough memory', 'out of memory', 'Insufficient memory')


def _is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error of Python, NumPy, PyTorch or OpenCV says that memory has run out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return any(text in str(error) for text in _NO_MEMORY)


@contextmanager
def enough_memory(device: torch.device) -> Iterator[None]:
    """Turn the errors of several libraries about memory into one of ours."""
    try:
        yield
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        if device.type == 'cuda':
            torch.cuda.empty_cache()
        raise ReconstructionError(f'memory has run out: {error}') from error


def choose_device(name: str) -> torch.device:
    """
    Resolve a device name.

    :param name: auto (a CUDA GPU if there is one), or as torch names it: cpu, cuda, cuda:1
    :raises ValueError: unknown, or not on this machine
    """
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f'device is {name!r}; choose auto, cpu, cuda or cuda:N') from error
    if device.type not in ('cpu', 'cuda'):
        raise ValueError(f'device is {name!r}; choose auto, cpu, cuda or cuda:N')
    if device.type == 'cuda' and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f'device is {name!r}; this machine has no such CUDA device')
    return device


def multiplies_bfloat16() -> bool:
    """
    Tell whether the CPU has units for matrices of bfloat16 (Intel AMX).

    There such a product takes an eighth of the time of one of float32. Without them it can take
    eight times as long.
    """
    return _has('amx_bf16')


@cache
def bfloat16_is_faster() -> bool:
    """
    Tell whether the CPU multiplies matrices of bfloat16 faster than ones of float32.

    By its units for them or, without, by a trial of some 0.05 s: there are processors whose
    instructions for bfloat16 take twice the time, and ones where they take half.
    """
    if multiplies_bfloat16():
        return True
    times = []
    for dtype in (torch.bfloat16, torch.float32):
        factor = torch.ones(_TRIAL, dtype=dtype)
        times.append(min(_seconds(partial(linear, factor, factor)) for _ in range(5)))
    return times[0] < _CLEARLY * times[1]


def _seconds(work: Callable[[], object]) -> float:
    begin = perf_counter()
    work()
    return perf_counter() - begin


def multiplies_int8() -> bool:
    """Tell whether the CPU adds products of 8 bits in 32 at once (Intel VNNI)."""
    return _has('avx512_vnni') or _has('avx_vnni')


def _has(capability: str) -> bool:
    told: dict[str, object] = getattr(torch.cpu, 'get_capabilities', dict)()  # in newer PyTorch
    return bool(told.get(capability, False))


def choose_precision(name: str, device: torch.device, *, wide: bool = False) -> torch.dtype:
    """
    Resolve a precision to the type of the tensors between layers.

    :param name: auto, one of `PRECISIONS`, or `INT8`; auto is float32 on a CPU, but bfloat16 for
        a wide network where `multiplies_bfloat16`; bfloat16 on a GPU that has it, float16 on
        others; INT8 is as auto, for what is not rounded; bfloat16 is float32 for a wide network
        on a CPU that is not `bfloat16_is_faster`: there the weights alone are rounded
    :param wide: whether matrix products take most of the network's time
    :raises ValueError: unknown, float16 on a CPU, or INT8 elsewhere
    """
    if name == INT8:
        if device.type != 'cpu':
            raise ValueError('precision is int8; on a GPU choose bfloat16 or float16')
        name = 'auto'
    if name == 'auto':
        if device.type == 'cpu':
            return torch.bfloat16 if wide and multiplies_bfloat16() else torch.float32
        # PyTorch emulates it where the GPU lacks it, which is slow
        has_bfloat16 = torch.cuda.get_device_capability(device) >= _AMPERE
        return torch.bfloat16 if has_bfloat16 else torch.float16
    if name not in PRECISIONS:
        raise ValueError(
            f'precision is {name!r}; choose auto, {INT8} or one of {", ".join(PRECISIONS)}'
        )
    if name == 'float16' and device.type == 'cpu':
        raise ValueError('precision is float16; on a CPU choose float32 or bfloat16')
    if name == 'bfloat16' and device.type == 'cpu' and wide and not bfloat16_is_faster():
        return torch.float32
    return PRECISIONS[name]
