"""The figures of the paper, as PNG: error against views, trajectories, depth strips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.evaluation.report import COLUMNS
from ttt3r_ros.evaluation.results import Result
from ttt3r_ros.evaluation.scorers import Arrays
from ttt3r_ros.evaluation.statistics import lengths_of, methods_of, summarise
from ttt3r_ros.evaluation.trajectories import align
from ttt3r_ros.files import atomic_file

# Told apart by colour-blind readers too (Petroff, arXiv 2107.02270, without its grey).
_COLORS = ('#1845fb', '#ff5e02', '#c91f16', '#c849a9', '#adad7d', '#86c8dd', '#578dff')
_STYLES = ('-', ':', '-.')  # of methods beyond the colours
_GREYS = ('0.45', '0.65', '0.8')
_STRIP_LENGTH = 6  # pictures in a row
_MOST_SHADED = 4  # methods whose spread can be told apart


def draw_curves(path: Path, results: Sequence[Result], values: Sequence[str], title: str) -> None:
    """
    Draw errors against the number of views: mean over recordings; quartiles of few methods shaded.

    :param path: of the PNG
    :param values: one panel each
    """
    figure = _figure(4.6 * len(values), 3.6)
    lines = _lines(results)
    for axes, value in zip(np.atleast_1d(figure.subplots(1, len(values))), values, strict=True):
        shaded = sum(color not in _GREYS for color, _ in lines.values()) <= _MOST_SHADED
        for method, line in lines.items():
            _draw_curve(axes, results, method, value, line, shaded=shaded)
        axes.set_xlabel('number of views')
        axes.set_ylabel(COLUMNS[value][0])
        axes.set_xlim(left=0.0)
        axes.set_ylim(0.0, 1.05 * axes.get_ylim()[1])  # values that are all alike lie at the top
        axes.grid(alpha=0.3)
    figure.legend(
        *axes.get_legend_handles_labels(), loc='outside right center', fontsize='x-small'
    )
    figure.suptitle(title, fontsize='medium', parse_math=False)
    _save(figure, path)


def draw_trajectories(path: Path, runs: Mapping[str, Arrays], title: str) -> None:
    """
    Draw trajectories after Sim(3) alignment, along the two axes of highest variance.

    :param path: of the PNG
    :param runs: `estimate` and `truth` [N, 4, 4] by method
    """
    figure = _figure(5.0, 4.4)
    axes = figure.subplots()
    truth = next(iter(runs.values()))['truth'][:, :3, 3]
    u, v = np.sort(np.argsort(truth.var(axis=0))[1:])
    axes.plot(truth[:, u], truth[:, v], color='black', linewidth=2.0, label='ground truth')
    axes.plot(*truth[0, [u, v]], 'o', color='black')
    for index, (method, run) in enumerate(runs.items()):
        aligned = align(run['estimate'], run['truth'])[:, :3, 3]
        color, style = _line(index)
        axes.plot(aligned[:, u], aligned[:, v], style, color=color, linewidth=1.2, label=method)
    axes.set_aspect('equal', adjustable='datalim')
    axes.set_xlabel(f'{"xyz"[u]} [m]')
    axes.set_ylabel(f'{"xyz"[v]} [m]')
    axes.grid(alpha=0.3)
    axes.legend(fontsize='x-small')
    axes.set_title(title, fontsize='medium', parse_math=False)
    _save(figure, path)


def draw_depth_strips(path: Path, runs: Mapping[str, Arrays], title: str) -> None:
    """
    Draw image, true depth and each method's depth (scaled by the median) for some frames.

    These are frames that all methods have: one that failed midway kept others than those that did
    not. Without any, nothing is drawn.

    :param path: of the PNG
    :param runs: `images`, `true_depths` and `depths` [K, h, w] by method, and their `numbers` [K]
    """
    first = next(iter(runs.values()))
    common = reduce(np.intersect1d, [run['numbers'] for run in runs.values()])
    if not len(common):
        path.unlink(missing_ok=True)
        return
    shown = common[np.unique(np.linspace(0, len(common) - 1, _STRIP_LENGTH).astype(int))]
    chosen = np.searchsorted(first['numbers'], shown)
    truth = first['true_depths'][chosen]
    low, high = np.nanpercentile(truth, [2, 98])
    rows: list[tuple[str, NDArray[Any]]] = [
        ('image', first['images'][chosen]),
        ('truth', truth),
    ]
    for method, run in runs.items():
        own = np.searchsorted(run['numbers'], shown)
        depth, true = run['depths'][own], run['true_depths'][own]
        scale = np.nanmedian(true) / np.median(depth[np.isfinite(true)])
        rows.append((f'{method}\n× {scale:.2f}', depth * scale))
    height, width = truth.shape[1:]
    figure = _figure(1.6 * len(chosen) + 0.8, 1.6 * len(rows) * height / width + 0.5)
    grid = np.atleast_2d(figure.subplots(len(rows), len(chosen), squeeze=False))
    for line, (name, pictures) in zip(grid, rows, strict=True):
        for axes, picture in zip(line, pictures, strict=True):
            axes.imshow(picture, cmap='turbo', vmin=low, vmax=high)
            axes.set_xticks([])
            axes.set_yticks([])
        line[0].set_ylabel(name, fontsize='xx-small')
    title = f'{title}; colours from {low:.1f} to {high:.1f} m'
    figure.suptitle(title, fontsize='small', parse_math=False)
    _save(figure, path)


def draw_clouds(path: Path, runs: Mapping[str, Arrays], title: str) -> None:
    """
    Draw the aligned clouds from above, beside the true one.

    :param path: of the PNG
    :param runs: `true_cloud` and `cloud` [N, 3] by method
    """
    truth = next(iter(runs.values()))['true_cloud']
    low, high = np.percentile(truth, [1, 99], axis=0)
    clouds = {'truth': truth} | {method: run['cloud'] for method, run in runs.items()}
    figure = _figure(3.2 * len(clouds), 3.4)
    panels = np.atleast_1d(figure.subplots(1, len(clouds)))
    for axes, (name, cloud) in zip(panels, clouds.items(), strict=True):
        axes.scatter(cloud[:, 0], cloud[:, 2], s=0.3, c=cloud[:, 1], cmap='viridis',
                     vmin=low[1], vmax=high[1], linewidths=0)  # fmt: skip
        axes.set_xlim(low[0] - 0.3, high[0] + 0.3)
        axes.set_ylim(low[2] - 0.3, high[2] + 0.3)
        axes.set_aspect('equal', adjustable='box')
        axes.set_title(name, fontsize='x-small')
        axes.tick_params(labelsize='xx-small')
        axes.locator_params(axis='x', nbins=5)
    title = f'{title}: x, z in metres, coloured by height'
    figure.suptitle(title, fontsize='small', parse_math=False)
    _save(figure, path)


def _draw_curve(
    axes: Axes,
    results: Sequence[Result],
    method: str,
    value: str,
    line: tuple[str, str],
    *,
    shaded: bool,
) -> None:
    found = [(n, summarise(results, method, n, value)) for n in lengths_of(results)]
    known = [(n, summary) for n, summary in found if summary is not None]
    if not known:
        return
    lengths = [n for n, _ in known]
    color, style = line
    axes.plot(lengths, [s.mean for _, s in known], style, color=color, marker='.', label=method)
    if shaded and any(s.count > 1 for _, s in known) and color not in _GREYS:
        low, high = ([getattr(s, name) for _, s in known] for name in ('low', 'high'))
        axes.fill_between(lengths, low, high, color=color, alpha=0.12, linewidth=0)


def _lines(results: Sequence[Result]) -> dict[str, tuple[str, str]]:
    """Choose colour and style of each method."""
    baselines = {result.method for result in results if result.baseline}
    methods = methods_of(results)
    real = [method for method in methods if method not in baselines]
    rest = [method for method in methods if method in baselines]
    return {m: _line(i) for i, m in enumerate(real)} | {
        m: (_GREYS[i % len(_GREYS)], '--') for i, m in enumerate(rest)
    }


def _line(index: int) -> tuple[str, str]:
    turn, color = divmod(index, len(_COLORS))
    return _COLORS[color], _STYLES[turn % len(_STYLES)]


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout='constrained')


def _save(figure: Figure, path: Path) -> None:
    with atomic_file(path) as file:
        figure.savefig(file, format='png', dpi=110)
