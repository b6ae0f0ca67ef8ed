"""
What is measured of networks, one table after the other; every row is a dictionary of numbers.

Neither tracker nor ROS is imported: they would count as memory of the network.
"""

from __future__ import annotations

from dataclasses import replace
import gc
from multiprocessing import get_context
from pathlib import Path
import tempfile

import numpy as np
import torch

from ttt3r_ros.benchmark.clock import Clock, Timing, count_flops, peak_memory, resident_memory
from ttt3r_ros.benchmark.stages import Stages, Stream, network_stages, noise_images
from ttt3r_ros.devices import INT8, choose_precision
from ttt3r_ros.model.checkpoint import SHIPPED_WEIGHTS, load_network, save_safetensors
from ttt3r_ros.model.config import PRESETS, NetworkConfig
from ttt3r_ros.model.network import Network
from ttt3r_ros.model.ready import make_ready
from ttt3r_ros.model.update_rules import UPDATE_RULES

Row = dict[str, float | str]
SEED = 0
_SMALL = 10.0  # GFLOP
_STREAMS = 5  # of each rule
_STEPS_UNTIL_FULL = 4  # until no step takes more memory than the one before


def build(preset: str, precision: str, device: torch.device) -> Network:
    """
    Load a network as the reconstructor does: the shipped small one, else one with random weights.

    Speed does not depend on the weights; only the heads for points and pose are made.
    """
    weights = SHIPPED_WEIGHTS if preset == 'small' else _random_weights(preset)
    network, _ = make_ready(load_network(weights, outputs=frozenset()), precision, device)
    gc.collect()
    return network


def _random_weights(preset: str) -> Path:
    """Return a file of random weights, made by another process: its memory is not ours."""
    path = Path(tempfile.gettempdir()) / f'ttt3r_random_{preset}.safetensors'
    if not path.is_file():
        process = get_context('spawn').Process(target=write_random_weights, args=(preset, path))
        process.start()
        process.join()
    return path


def write_random_weights(preset: str, path: Path) -> None:
    """Write weights for points and pose."""
    torch.manual_seed(SEED)
    config = replace(PRESETS[preset], world_head=False, rgb_head=False)
    save_safetensors(path, Network(config).state_dict(), config)


def row(name: str, timing: Timing, flops: float = 0.0) -> Row:
    """Describe a measurement; the share says how much of the machine's product speed it has."""
    described: Row = {
        'what': name,
        'ms': timing.seconds * 1000,
        'per second': 1 / timing.seconds,
        'GEMM-GFLOP': timing.cost,
    }
    if flops:
        described |= {'GFLOP': flops, 'roofline share': flops / timing.cost}
    return described


def stage_rows(clock: Clock, stages: Stages) -> list[Row]:
    """Measure stages, with their operations counted."""
    rows = []
    for name, work in stages.items():
        flops = count_flops(work)
        small = flops < _SMALL  # others are warm by being counted
        timing = clock.measure(work, warm=small)
        rows.append(row(name, timing, flops))
    return rows


def whole_model(clock: Clock, network: Network, precision: str) -> list[Row]:
    """Measure the stages of a network, and the memory of a process that loads and steps."""
    dtype = choose_precision(precision, clock.device, wide=network.config.is_wide)
    images = noise_images(network.config, clock.device, dtype)
    stream = Stream(network, images, precision=precision)
    for _ in range(_STEPS_UNTIL_FULL):
        stream.step()
    # before operations are counted, which takes memory of its own
    memory = {'resident GB': resident_memory(), 'peak GB': peak_memory(clock.device)}
    rows = stage_rows(clock, network_stages(stream))
    next(row for row in rows if row['what'] == 'network step').update(memory)
    return rows


def precision_rows(clock: Clock, preset: str, precisions: list[str]) -> list[Row]:
    """
    Measure steps in several precisions, and how far their points are from those of the first.

    Each takes turns with the first, too: the machine's speed may change between two rows.
    """
    rows, exact = [], torch.zeros(0)
    first: Stream | None = None
    for precision in precisions:
        network = build(preset, precision, clock.device)
        dtype = choose_precision(precision, clock.device, wide=network.config.is_wide)
        images = noise_images(network.config, clock.device, dtype)
        stream = Stream(network, images, precision=precision, replay=True)
        for _ in range(4):
            points = stream.step().points.float()
        if first is None:
            first, exact = stream, points
        described = row(precision, clock.measure(stream.step))
        described[f'relative to {precisions[0]}'] = clock.ratio(stream.step, first.step)
        error = float((points - exact).norm() / exact.norm())
        rows.append(described | {'relative error of points': error})
    return rows


def resolution_rows(clock: Clock, preset: str, sizes: list[int]) -> list[Row]:
    """Measure steps at several lengths of the longer image side."""
    network, rows = build(preset, 'float32', clock.device), []
    for size in sizes:
        config: NetworkConfig = replace(network.config, image_size=size)
        images = noise_images(config, clock.device, torch.float32)
        height, width = (side // config.detail for side in images.shape[-2:])
        stream = Stream(network, images, replay=True)
        rows.append(row(f'{width}x{height}', clock.measure(stream.step), count_flops(stream.step)))
    return rows


def batch_rows(clock: Clock, preset: str, batches: list[int]) -> list[Row]:
    """Measure steps of several cameras at once, per camera."""
    network, rows = build(preset, 'float32', clock.device), []
    for batch in batches:
        images = noise_images(network.config, clock.device, torch.float32, batch)
        timing = clock.measure(Stream(network, images, replay=True).step)
        each = Timing(timing.seconds / batch, timing.cost / batch, timing.gemm)
        rows.append(row(f'{batch} cameras, each', each))
    return rows


def rule_rows(clock: Clock, preset: str) -> list[Row]:
    """
    Measure steps with every update rule, each in turns with cut3r's.

    Where its tensors lie makes a stream up to 0.4 % faster or slower: several of each count.
    cut3r is compared with further streams of itself: what comes out there is the noise.
    """
    network = build(preset, 'float32', clock.device)
    images = noise_images(network.config, clock.device, torch.float32)
    cost = clock.measure(Stream(network, images, 'cut3r', replay=True).step).cost
    ratios: dict[str, list[float]] = {name: [] for name in UPDATE_RULES}
    for _ in range(min(_STREAMS, clock.repeats)):
        plain = Stream(network, images, 'cut3r', replay=True)
        for name, known in ratios.items():
            stream = Stream(network, images, name, replay=True)
            repeats = -(-clock.repeats // _STREAMS)
            known.append(clock.ratio(stream.step, plain.step, repeats=repeats))
    medians = {name: float(np.median(known)) for name, known in ratios.items()}
    return [
        {'what': name, 'GEMM-GFLOP': cost * ratio, 'relative to cut3r': f'{ratio:.3f}'}
        for name, ratio in medians.items()
    ]


def lower_precisions(device: torch.device) -> list[str]:
    """Name what there is beside float32."""
    return ['bfloat16', 'float16'] if device.type == 'cuda' else ['bfloat16', INT8]
