"""Writes all that a run leaves: CSV, JSON, a Markdown page and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import re
from typing import Any

from ttt3r_ros.evaluation.benchmark import Benchmark
from ttt3r_ros.evaluation.figures import (
    draw_clouds,
    draw_curves,
    draw_depth_strips,
    draw_trajectories,
)
from ttt3r_ros.evaluation.paper import Published
from ttt3r_ros.evaluation.report import (
    COLUMNS,
    CURVES,
    SPREADS,
    curve_table,
    detail_table,
    problem_list,
    spread_table,
    write_csv,
    write_json,
)
from ttt3r_ros.evaluation.results import Result
from ttt3r_ros.evaluation.scorers import Arrays
from ttt3r_ros.evaluation.statistics import lengths_of, summarise
from ttt3r_ros.files import atomic_file

_DRAWN = 4  # recordings of which trajectories and pictures are drawn
_DRAWINGS = {
    'trajectory': ('estimate', draw_trajectories),
    'depth': ('depths', draw_depth_strips),
    'cloud': ('cloud', draw_clouds),
}


def write_summary(
    benchmark: Benchmark,
    results: Sequence[Result],
    base: Path,
    title: str,
    published: dict[int, list[Published]],
    settings: dict[str, Any],
) -> Path:
    """
    Write tables and figures of a run.

    :param base: where; names of files begin with it
    :param title: of the page
    :param published: rows to print beside our own, by N
    :param settings: how the results were made; each is a line of the page
    :return: path of the Markdown page
    """
    write_csv(base.with_name(f'{base.name}.csv'), results)
    source = {'source': benchmark.settings['source']}
    write_json(base.with_name(f'{base.name}.json'), results, settings | source)
    lines = [f'# {title}', '']
    lines += [f'- {name}: {value}' for name, value in settings.items()]
    lines += [f'- {_scored(results)}', '']
    lines += _curves(results, base, title)
    lengths = lengths_of(results)
    for frames in [n for n in lengths if n in published] or lengths[-1:]:
        lines += [f'After {frames} frames:', '']
        lines += [*detail_table(results, frames, published.get(frames, ())), '']
    lines += _spread(results)
    problems = problem_list(results)
    if problems:
        lines += ['Not scored:', '', *problems, '']
    lines += _drawings(benchmark, results, base)
    path = base.with_name(f'{base.name}.md')
    with atomic_file(path) as file:
        file.write(('\n'.join(lines).rstrip() + '\n').encode('utf-8'))
    return path


def _scored(results: Sequence[Result]) -> str:
    everything = {result.recording for result in results}
    scored = {result.recording for result in results if result.scores}
    line = f'sequences scored: {len(scored)} of {len(everything)}'
    longest, method = lengths_of(results)[-1:], results[0].method
    found = {
        name: summarise(results, method, n, name) for n in longest for name in ('path', 'revisits')
    }
    path, loops = found.get('path'), found.get('revisits')
    if path is not None and loops is not None:
        line += (
            f'; after {longest[0]} frames the camera has moved {path.mean:.1f} m, and '
            f'{loops.mean:.0%} of the frames look where one at least 100 earlier had looked'
        )
    return line


def _drawn_values(results: Sequence[Result], wanted: Sequence[str] = CURVES) -> list[str]:
    known = {name for result in results for score in result.scores for name in score.values}
    return [name for name in wanted if name in known]


def _spread(results: Sequence[Result]) -> list[str]:
    """Show how the recordings differ, after the longest N, where there are several."""
    if len({result.recording for result in results if result.scores}) < 2:
        return []
    frames = lengths_of(results)[-1]
    lines = []
    for value in _drawn_values(results, (*CURVES, *SPREADS)):
        lines += [f'{COLUMNS[value][0]} of the single sequences after {frames} frames:', '']
        lines += [*spread_table(results, frames, value), '']
    return lines


def _curves(results: Sequence[Result], base: Path, title: str) -> list[str]:
    lengths, values = lengths_of(results), _drawn_values(results)
    if len(lengths) < 2:
        return []
    lines = []
    for value in values:
        lines += [f'{COLUMNS[value][0]} against the number of frames:', '']
        lines += [*curve_table(results, value), '']
    name = f'{base.name}-curves.png'
    draw_curves(base.with_name(name), results, values, title)
    return [*lines, f'![{title}]({name})', '']


def _drawings(benchmark: Benchmark, results: Sequence[Result], base: Path) -> list[str]:
    """Draw the pictures for which the runs kept something."""
    lines = []
    recordings = list(dict.fromkeys(r.recording for r in results if r.scores))
    for recording in recordings[:_DRAWN]:
        runs: dict[str, Arrays] = {
            r.method: benchmark.arrays(recording, r.method, base.parent)
            for r in results
            if r.recording == recording and r.scores and not r.baseline
        }
        for kind, (needed, draw) in _DRAWINGS.items():
            drawable = {method: kept for method, kept in runs.items() if len(kept.get(needed, ()))}
            if drawable:
                safe = re.sub(r'[^A-Za-z0-9_]+', '-', recording)
                name = f'{base.name}-{kind}-{safe}.png'
                draw(base.with_name(name), drawable, recording)
                if base.with_name(name).is_file():
                    lines += [f'![{kind} of {recording}]({name})', '']
    return lines
