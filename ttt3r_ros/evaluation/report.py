"""Tables: CSV with everything, JSON with the settings, Markdown to read."""

from __future__ import annotations

from collections.abc import Sequence
import csv
from dataclasses import asdict
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from ttt3r_ros.evaluation.paper import Published
from ttt3r_ros.evaluation.results import Result
from ttt3r_ros.evaluation.statistics import lengths_of, methods_of, summarise
from ttt3r_ros.files import atomic_file

# What the tables show, and how: title and digits after the point.
COLUMNS: dict[str, tuple[str, int]] = {
    'ate': ('ATE [m]', 3),
    'ate_of_path': ('ATE [% of path]', 1),
    'rotation': ('rotation [°]', 1),
    'lost': ('lost [% of frames]', 1),
    'rpe_translation': ('RPE trans. [m]', 3),
    'rpe_rotation': ('RPE rot. [°]', 3),
    'ate_se3': ('ATE, no scaling [m]', 3),
    'scale': ('scale', 3),
    'metric/abs_rel': ('AbsRel, metric', 3),
    'metric/delta_1': ('δ<1.25, metric', 3),
    'scale/abs_rel': ('AbsRel, scale', 3),
    'scale/delta_1': ('δ<1.25, scale', 3),
    'scale_shift/abs_rel': ('AbsRel, scale & shift', 3),
    'median/abs_rel': ('AbsRel, per-frame median', 3),
    'accuracy': ('accuracy [m]', 3),
    'completeness': ('completeness [m]', 3),
    'chamfer': ('Chamfer [m]', 3),
    'normal_consistency': ('normals', 3),
    'fps': ('frames/s', 1),
    'fps_last': ('frames/s, last 50', 1),
    'memory': ('memory [GB]', 2),
}
# A baseline's unit of length is arbitrary.
_NOT_OF_BASELINES = ('ate_se3', 'scale')
_MORE_IS_BETTER = ('fps',)
# Of these it is shown how single recordings differ, beside those that curves are drawn of.
SPREADS = ('ate_of_path', 'rotation', 'lost')
# The error of each task that curves are drawn of.
CURVES = ('ate', 'scale/abs_rel', 'metric/abs_rel', 'median/abs_rel', 'chamfer', 'fps', 'memory')


def write_csv(path: Path, results: Sequence[Result]) -> None:
    """Write one line per recording, method and N, with every value."""
    names = sorted({name for r in results for score in r.scores for name in score.values})
    text = io.StringIO()
    table = csv.writer(text, lineterminator='\n')
    table.writerow(['recording', 'method', 'frames', 'frames_used', *names])
    for result in results:
        for score in result.scores:
            values = [score.values.get(name, '') for name in names]
            table.writerow([result.recording, result.method, score.frames, score.used, *values])
    with atomic_file(path) as file:
        file.write(text.getvalue().encode('utf-8'))


def write_json(path: Path, results: Sequence[Result], settings: dict[str, Any]) -> None:
    """Write all results with the settings that they were made with."""
    content = {'settings': settings, 'results': [asdict(result) for result in results]}
    with atomic_file(path) as file:
        file.write((json.dumps(content, indent=1, ensure_ascii=False) + '\n').encode('utf-8'))


def curve_table(results: Sequence[Result], value: str) -> list[str]:
    """Tabulate one error against N: mean, and quartiles where there are several recordings."""
    lengths = lengths_of(results)
    rows = []
    for method in methods_of(results):
        cells = [_cell(results, method, frames, value) for frames in lengths]
        if any(cells):
            rows.append([method, *cells])
    return markdown_table([COLUMNS[value][0], *map(str, lengths)], rows)


def detail_table(
    results: Sequence[Result], frames: int, published: Sequence[Published] = ()
) -> list[str]:
    """Tabulate all errors after N frames, with how many recordings, and published rows below."""
    methods = methods_of(results)
    baselines = {result.method for result in results if result.baseline}
    means = {
        method: {
            name: summarise(results, method, frames, name)
            for name in COLUMNS
            if method not in baselines or name not in _NOT_OF_BASELINES
        }
        for method in methods
    }
    columns = [name for name in COLUMNS if any(means[method].get(name) for method in methods)]
    rows = []
    for method in methods:
        count = max((s.count for s in means[method].values() if s), default=0)
        found = [(name, means[method].get(name)) for name in columns]
        numbers = [_number(s.mean if s else None, name) for name, s in found]
        rows.append([method, str(count), *numbers])
    for row in published:
        kind = 'paper, online' if row.online else 'paper, offline'
        rows.append(
            [f'{row.method} ({kind})', '', *(_number(row.values.get(c), c) for c in columns)]
        )
    return markdown_table(['method', 'sequences', *(COLUMNS[c][0] for c in columns)], rows)


def spread_table(results: Sequence[Result], frames: int, value: str) -> list[str]:
    """
    Tabulate how recordings differ, and on how many each method beats the first one.

    Here every recording counts once, also for depth.
    """
    methods = methods_of(results)
    by_method = {method: _by_recording(results, method, frames, value) for method in methods}
    first = by_method[methods[0]]
    rows = []
    for method, found in by_method.items():
        if not found:
            continue
        numbers = list(found.values())
        quantiles = np.percentile(numbers, [50, 0, 25, 75, 100]).tolist()
        cells = [_number(number, value) for number in (np.mean(numbers), *quantiles)]
        both = found.keys() & first.keys()
        won = sum(_better(found[name], first[name], value) for name in both)
        rows.append([method, *cells, '' if method == methods[0] else f'{won} of {len(both)}'])
    titles = ['mean', 'median', 'least', '1st quartile', '3rd quartile', 'most']
    return markdown_table([COLUMNS[value][0], *titles, f'better than {methods[0]}'], rows)


def problem_list(results: Sequence[Result]) -> list[str]:
    """List what could not be scored, and why."""
    return [
        f'- {result.recording}, {result.method}: {problem}'
        for result in results
        for problem in result.problems
    ]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out a table, first column to the left, others to the right."""
    lines = [' | '.join(header), ' | '.join(['---'] + ['---:'] * (len(header) - 1))]
    lines += [' | '.join(row) for row in rows]
    return [f'| {line} |' for line in lines]


def _cell(results: Sequence[Result], method: str, frames: int, value: str) -> str:
    summary = summarise(results, method, frames, value)
    if summary is None:
        return ''
    mean = _number(summary.mean, value)
    if summary.count == 1:
        return mean
    return f'{mean} ({_number(summary.low, value)}–{_number(summary.high, value)})'


def _number(number: float | None, value: str) -> str:
    return '' if number is None else f'{number:.{COLUMNS[value][1]}f}'


def _by_recording(
    results: Sequence[Result], method: str, frames: int, value: str
) -> dict[str, float]:
    scores = {r.recording: r.at(frames) for r in results if r.method == method}
    known = {name: score.values for name, score in scores.items() if score is not None}
    return {name: values[value] for name, values in known.items() if value in values}


def _better(one: float, other: float, value: str) -> bool:
    return one > other if value in _MORE_IS_BETTER else one < other
