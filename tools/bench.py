"""
Measures speed and memory, prints tables, and puts them into docs/performance.md.

Every section runs in a process of its own, so that its peak memory is its own. Sections that are
not asked for stay as they are in the document.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import importlib.util
import json
from pathlib import Path
import platform
import re
import subprocess
import sys

import numpy as np
import torch

from ttt3r_ros.benchmark import cases
from ttt3r_ros.benchmark.clock import Clock
from ttt3r_ros.devices import choose_device, choose_precision
from ttt3r_ros.files import atomic_file
from ttt3r_ros.node.memory import give_back_memory, tune_allocator

Rows = list[cases.Row]
_FULL = 'cut3r_512_dpt'


def pack_rows(clock: Clock) -> Rows:
    """Measure making the cloud message of the small model's size; nothing where ROS is not."""
    if importlib.util.find_spec('sensor_msgs') is None:
        return []
    clouds = importlib.import_module('ttt3r_ros.node.clouds')
    header = importlib.import_module('std_msgs.msg').Header()
    points = np.random.default_rng(0).normal(size=(72, 96, 3)).astype(np.float32)
    colors = np.zeros((72, 96, 3), np.uint8)

    def pack() -> object:
        return clouds.cloud_message(points, colors, header, points[..., 2])

    return [cases.row('pack the cloud', clock.measure(pack))]


def reconstructor_rows(clock: Clock) -> Rows:
    """Measure an image's whole way; the libraries of tracking are loaded for this section only."""
    whole = importlib.import_module('ttt3r_ros.benchmark.whole')
    rows: Rows = whole.reconstructor_rows(clock)
    return rows


def whole_rows(clock: Clock, preset: str, precision: str) -> Rows:
    """Measure a network whose memory is allocated as in the node."""
    network = cases.build(preset, precision, clock.device)
    dtype = choose_precision(precision, clock.device, wide=network.config.is_wide)
    tune_allocator(wide=dtype.itemsize if network.config.is_wide else 0)
    give_back_memory()
    return cases.whole_model(clock, network, precision)


# name → (calls measured, rows)
SECTIONS: dict[str, tuple[int, Callable[[Clock], Rows]]] = {
    'small': (30, lambda c: whole_rows(c, 'small', 'float32')),
    'reconstructor': (20, lambda c: reconstructor_rows(c) + pack_rows(c)),
    'precision': (
        15,
        lambda c: cases.precision_rows(c, 'small', ['float32', *cases.lower_precisions(c.device)]),
    ),
    'resolutions': (10, lambda c: cases.resolution_rows(c, 'small', [64, 96, 128, 160, 224])),
    'cameras': (10, lambda c: cases.batch_rows(c, 'small', [1, 2, 4, 8])),
    'rules': (40, lambda c: cases.rule_rows(c, 'small')),
    'full': (5, lambda c: whole_rows(c, _FULL, 'float32')),
    'full-bfloat16': (5, lambda c: whole_rows(c, _FULL, 'bfloat16')),
    'full-int8': (5, lambda c: whole_rows(c, _FULL, 'int8')),
    'full-rules': (3, lambda c: cases.rule_rows(c, _FULL)),
}
_BY_DEFAULT = [name for name in SECTIONS if not name.startswith('full')]


def main() -> None:
    """Measure the sections that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('sections', nargs='*', help=f'of {", ".join(SECTIONS)}; or: all')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--repeats', type=int, help='calls measured; default: as fits the section')
    parser.add_argument('--out', type=Path, default=Path('bench_out'))
    parser.add_argument('--document', type=Path, default=Path('docs/performance.md'))
    parser.add_argument('--inside', action='store_true', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    names = arguments.sections or _BY_DEFAULT
    names = list(SECTIONS) if names == ['all'] else names
    if unknown := set(names) - SECTIONS.keys():
        parser.error(f'unknown sections {", ".join(sorted(unknown))}')
    arguments.out.mkdir(exist_ok=True)
    for name in names:
        file = arguments.out / f'{name}.json'
        if arguments.inside:
            measure(name, arguments, file)
            continue
        own = [name, '--inside', *sys.argv[1 + len(arguments.sections) :]]
        subprocess.run([sys.executable, __file__, *own], check=True)
        print(f'\n{name}\n{page(file)}', flush=True)
        if arguments.document.is_file():
            fill(arguments.document, name, page(file))


def measure(name: str, arguments: argparse.Namespace, file: Path) -> None:
    """Measure one section in this process, whose memory is allocated as in the node."""
    tune_allocator()
    torch.set_num_threads(arguments.threads)
    device = choose_device(arguments.device)
    repeats, rows = SECTIONS[name]
    clock = Clock(device, arguments.repeats or repeats)
    result = {
        'device': torch.cuda.get_device_name(device) if device.type == 'cuda' else processor(),
        'threads': arguments.threads,
        'torch': torch.__version__,
        'rows': rows(clock),
        'GFLOP/s': clock.measure(lambda: None).gemm,
    }
    with atomic_file(file) as output:
        output.write(json.dumps(result, indent=1).encode())


def processor() -> str:
    """Return the name of the processor."""
    cpuinfo = Path('/proc/cpuinfo')
    found = re.search(r'model name\s*: (.*)', cpuinfo.read_text()) if cpuinfo.is_file() else None
    return found[1] if found else platform.processor()


def page(file: Path) -> str:
    """Lay a result out as a table."""
    result = json.loads(file.read_text())
    rows = result['rows']
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [' | '.join(columns), ' | '.join(['---'] + ['--:'] * (len(columns) - 1))]
    lines += [' | '.join(_number(row.get(name, '')) for name in columns) for row in rows]
    table = '\n'.join(f'| {line} |' for line in lines)
    return (
        f'{table}\n\n{result["device"]}, {result["threads"]} thread(s), '
        f'PyTorch {result["torch"]}, {result["GFLOP/s"]:.0f} GFLOP/s of the float32 product.'
    )


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f'{value:.3g}' if value < 1000 else f'{value:.0f}'


def fill(document: Path, name: str, text: str) -> None:
    """Replace what is between the markers of a section."""
    block = re.compile(rf'(<!-- bench: {name} -->\n).*?(<!-- end -->)', re.DOTALL)
    old = document.read_text(encoding='utf-8')
    new = block.sub(lambda found: f'{found[1]}\n{text}\n\n{found[2]}', old)
    document.write_text(new, encoding='utf-8')


if __name__ == '__main__':
    main()
