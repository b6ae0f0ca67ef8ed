#!/usr/bin/env python3
"""
Measures what every update rule costs, and puts the table into docs/update_rules.md.

Timed is all that follows the encoder, on noise images and, where no weights are shipped, random
weights: what a rule adds depends on neither. Each rule takes turns with
cut3r, cut3r with a second stream of itself; time is processor time of one
thread, memory the peak that a process of its own reaches above what it holds before the frame.
"""

from __future__ import annotations

import argparse
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
import re
import resource

import torch

from ttt3r_ros.benchmark.cases import build
from ttt3r_ros.benchmark.clock import Clock, resident_memory
from ttt3r_ros.benchmark.stages import noise_images
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.encoder import Encoded
from ttt3r_ros.model.network import Network, State
from ttt3r_ros.model.update_rules import UPDATE_RULES

_CPU = torch.device('cpu')


class Stream:
    """A network that reads two encoded images again and again under one rule."""

    def __init__(self, network: Network, encoded: list[Encoded], rule: str) -> None:
        self._network, self._encoded, self._rule = network, encoded, UPDATE_RULES[rule]
        with torch.inference_mode():
            self.state: State = network.initial_state(1)
        self.step()

    @torch.inference_mode()
    def step(self) -> None:
        """Decode the next image."""
        self._encoded.reverse()
        self.state = self._network.decode(self._encoded[0], self.state, self._rule)[1]

    def kept(self) -> float:
        """Return the size of what the rule remembers, in MB."""
        return sum(part.nbytes for part in self.state.rule) / 1e6

    def peak(self) -> float:
        """Return what a step takes above what the process holds, in MB; in a child process."""
        context = get_context('fork')
        there, here = context.Pipe(duplex=False)
        child = context.Process(target=self._report_peak, args=(here,))
        child.start()
        peak: float = there.recv()
        child.join()
        return peak

    def _report_peak(self, pipe: Connection) -> None:
        before = resident_memory()
        self.step()
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        pipe.send(1000 * (most - before))


def table(preset: str, repeats: int) -> str:
    """Measure all rules, each in turns with cut3r."""
    network = build(preset, 'float32', _CPU)
    images = noise_images(network.config, _CPU, torch.float32)[:2]
    with torch.inference_mode():
        encoded = [network.encode(image) for image in images]
    streams = {rule: Stream(network, list(encoded), rule) for rule in UPDATE_RULES}
    clock, plain = Clock(_CPU, repeats), Stream(network, list(encoded), 'cut3r')
    cost = clock.measure(plain.step).cost
    lines = [
        '| rule | GEMM-GFLOP | relative to cut3r | remembers, MB | peak of a step, MB |',
        '| --- | ---: | ---: | ---: | ---: |',
    ]
    for rule, stream in streams.items():
        ratio = clock.ratio(stream.step, plain.step)
        lines.append(
            f'| {rule} | {cost * ratio:.4g} | {ratio:.3f} | {stream.kept():.2f} '
            f'| {stream.peak():.0f} |'
        )
    size = f'{images.shape[4]}×{images.shape[3]}'
    return '\n'.join([*lines, '', f'`{preset}`, {size}, {repeats} rounds in turns with `cut3r`.'])


def main() -> None:
    """Measure one preset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('preset', choices=PRESETS, nargs='?', default='small')
    parser.add_argument('--repeats', type=int, default=15)
    parser.add_argument('--document', type=Path, default=Path('docs/update_rules.md'))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    text = table(arguments.preset, arguments.repeats)
    print(text)
    block = re.compile(rf'(<!-- costs: {arguments.preset} -->\n).*?(<!-- end -->)', re.DOTALL)
    if arguments.document.is_file():
        old = arguments.document.read_text(encoding='utf-8')
        new = block.sub(lambda found: f'{found[1]}\n{text}\n\n{found[2]}', old)
        arguments.document.write_text(new, encoding='utf-8')


if __name__ == '__main__':
    main()
