"""The picture that shows a reconstruction at one glance: some frames, and the map from above."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.files import atomic_file
from ttt3r_ros.geometry.se3 import Transform

_INK, _FAINT = '#222222', '#888888'
_ESTIMATE, _TRUTH = '#d6006e', '#111111'
_INVALID = '#d9d9d9'
# Inches: width of a small image, space between them and around, least height of the picture.
_PANEL, _GAP, _LEFT, _RIGHT, _LEAST_HEIGHT = 2.3, 0.08, 0.35, 0.85, 6.0
_HEAD, _LINE = 1.2, 0.2  # height of a title and three lines; of each further line
_HEADINGS = 8  # viewing directions drawn along the way
_INSET_BELOW = 0.12  # of the map: a way shorter than this is drawn once more, enlarged
_MOST_POINTS = 150_000
Limits: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class ShownFrame:
    """
    One column of the picture.

    :param index: position in the recording
    :param image: RGB [H, W, 3]
    :param depth: metres, NaN where invalid [h, w]
    :param confidence: of the network, at least 1 [h, w]
    :param true_depth: metres, NaN where invalid [H, W]
    """

    index: int
    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    confidence: NDArray[np.float32]
    true_depth: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class SeenMap:
    """
    The map and the way of the camera, in the frame of the first camera.

    :param points: metres [M, 3]
    :param colors: RGB [M, 3]
    :param T_world_camera: estimated [N, 4, 4]
    :param true_positions: aligned with the estimate, NaN where unknown [N, 3]
    :param ordered: whether the camera went from each position to the next
    """

    points: NDArray[np.float32]
    colors: NDArray[np.uint8]
    T_world_camera: Transform
    true_positions: NDArray[np.float64] | None = None
    ordered: bool = True


def draw_summary(
    path: Path, title: str, figures: str, frames: list[ShownFrame], seen: SeenMap
) -> None:
    """
    Write the picture as PNG.

    :param path: of the file
    :param title: what was reconstructed
    :param figures: lines with the results
    :param frames: one column each, at least one
    :param seen: what is drawn from above
    """
    rows = _rows(frames)
    height, width = frames[0].image.shape[:2]
    row_height = _PANEL * min(max(height / width, 0.4), 1.4) + _GAP
    head = _HEAD + _LINE * max(figures.count('\n') - 2, 0)
    size_y = max(len(rows) * row_height + head + _GAP, _LEAST_HEIGHT)
    left_width = len(frames) * (_PANEL + _GAP) + _LEFT + _RIGHT
    map_width = size_y - head + 0.3
    size_x = left_width + map_width
    figure = Figure(figsize=(size_x, size_y), dpi=110, facecolor='white')
    FigureCanvasAgg(figure)
    left, right = np.ravel(
        figure.subfigures(1, 2, width_ratios=[left_width, map_width], squeeze=False)
    )
    figure.text(
        0.2 / size_x, 1 - 0.32 / size_y, title, fontsize=15, weight='bold', color=_INK,
        parse_math=False,
    )  # fmt: skip
    figure.text(
        0.2 / size_x, 1 - 0.42 / size_y, figures, fontsize=10.5, color=_INK, va='top',
        linespacing=1.35,
    )  # fmt: skip
    grid = left.subplots(
        len(rows), len(frames), squeeze=False,
        gridspec_kw={
            'left': _LEFT / left_width, 'right': 1 - _RIGHT / left_width,
            'bottom': _GAP / size_y, 'top': (_GAP + len(rows) * row_height) / size_y,
            'wspace': _GAP / _PANEL, 'hspace': _GAP / row_height,
        },
    )  # fmt: skip
    _draw_frames(left, grid, frames, rows)
    bottom = 0.5 / size_y
    axes = right.add_axes((0.09, bottom, 0.89, 1 - head / size_y - bottom))
    _draw_map(axes, seen)
    with atomic_file(path) as file:
        figure.savefig(file, format='png')


def _rows(frames: list[ShownFrame]) -> list[str]:
    has_truth = any(frame.true_depth is not None for frame in frames)
    return ['input', 'depth', *(['true depth'] if has_truth else []), 'confidence']


def _draw_frames(
    figure: Any, grid: NDArray[Any], frames: list[ShownFrame], rows: list[str]
) -> None:
    depth_limits = _limits([image for f in frames for image in (f.depth, f.true_depth)])
    confidence_limits = _limits([frame.confidence for frame in frames])
    for column, frame in enumerate(frames):
        images: dict[str, tuple[NDArray[Any] | None, str | None, Limits | None]] = {
            'input': (frame.image, None, None),
            'depth': (frame.depth, 'turbo', depth_limits),
            'true depth': (frame.true_depth, 'turbo', depth_limits),
            'confidence': (frame.confidence, 'viridis', confidence_limits),
        }
        grid[0, column].set_title(f'frame {frame.index}', fontsize=9, color=_INK, pad=3)
        for row, name in enumerate(rows):
            _show(grid[row, column], *images[name])
    for row, name in enumerate(rows):
        grid[row, 0].set_ylabel(name, fontsize=10, color=_INK)
    _color_bar(figure, grid[1 : len(rows) - 1], 'turbo', depth_limits, 'metres')
    _color_bar(figure, grid[len(rows) - 1 :], 'viridis', confidence_limits, 'confidence')


def _show(
    axes: Any, image: NDArray[Any] | None, colors: str | None, limits: Limits | None
) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor(_INVALID)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if image is None:
        axes.text(0.5, 0.5, 'none', ha='center', va='center', transform=axes.transAxes)
        return
    low, high = limits or (None, None)
    axes.imshow(image, cmap=colors, vmin=low, vmax=high, interpolation='nearest')


def _color_bar(figure: Any, axes: NDArray[Any], colors: str, limits: Limits, label: str) -> None:
    """Draw a colour bar right of some rows of images."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    # The place for an image, which itself may be narrower or lower.
    first, last = (row[-1].get_position(original=True) for row in (axes[0], axes[-1]))
    span = first.y1 - last.y0
    width = 0.05 * (first.x1 - first.x0)
    place = figure.add_axes((first.x1 + width, last.y0 + 0.06 * span, width, 0.88 * span))
    bar = figure.colorbar(ScalarMappable(Normalize(*limits), colors), cax=place)
    bar.set_label(label, fontsize=9, color=_INK)
    bar.ax.tick_params(labelsize=8, color=_FAINT)
    bar.outline.set_visible(False)


def _draw_map(axes: Any, seen: SeenMap) -> None:
    """Draw x to the right and z upwards: the first camera looks up the page."""
    points, colors = _thin(seen)
    middle, half = _square_around(points, _ways(seen))
    # Later ones cover earlier ones: what is higher lies above, as seen from above.
    order = np.argsort(-points[:, 1], kind='stable')
    axes.scatter(points[order, 0], points[order, 2], s=2.0, c=colors[order] / 255.0, linewidths=0)
    _draw_way(axes, seen, arrow=0.09 * half)
    _frame_axes(axes, middle, half)
    axes.set_xlabel('right of the first camera [m]', fontsize=9, color=_INK)
    axes.set_ylabel('ahead of the first camera [m]', fontsize=9, color=_INK)
    axes.set_title('map from above', fontsize=10, color=_INK, pad=4)
    axes.legend(loc='lower right', fontsize=8.5, framealpha=0.9, edgecolor='#cccccc')
    _draw_inset(axes, seen, half)


def _draw_inset(axes: Any, seen: SeenMap, half: float) -> None:
    """Draw a way that is tiny in the map once more, enlarged."""
    middle, small = _square_around(np.empty((0, 3), np.float32), _ways(seen))
    if small > _INSET_BELOW * half:
        return
    inset = axes.inset_axes((0.02, 0.02, 0.3, 0.3))
    _draw_way(inset, seen, arrow=0.25 * small)
    _frame_axes(inset, middle, small)
    inset.tick_params(length=0, labelbottom=False, labelleft=False)
    inset.text(
        0.5, 1.02, f'enlarged: {2 * small:.2g} m wide', transform=inset.transAxes, fontsize=8.5,
        color=_INK, ha='center', va='bottom', bbox={'fc': 'white', 'ec': 'none', 'pad': 1.5},
    )  # fmt: skip


def _ways(seen: SeenMap) -> NDArray[np.float64]:
    """Return all camera positions to be drawn [K, 3]."""
    estimated = np.asarray(seen.T_world_camera[:, :3, 3])
    if seen.true_positions is None:
        return estimated
    known = np.isfinite(seen.true_positions).all(axis=1)
    return np.concatenate([estimated, seen.true_positions[known]])


def _draw_way(axes: Any, seen: SeenMap, arrow: float) -> None:
    """
    Draw the camera's way and where it looked.

    :param arrow: length of the viewing directions, metres
    """
    path, ahead = seen.T_world_camera[:, :3, 3], seen.T_world_camera[:, :3, 2]
    lines = [(path, _ESTIMATE, 'estimated')]
    if seen.true_positions is not None:
        lines.insert(0, (seen.true_positions, _TRUTH, 'ground truth (aligned)'))
    style = '-' if seen.ordered else '.'
    for positions, color, label in lines:
        axes.plot(positions[:, 0], positions[:, 2], style, color='white', lw=4.0, ms=12, alpha=0.8)
        axes.plot(positions[:, 0], positions[:, 2], style, color=color, lw=1.8, ms=8, label=label)
    picked = np.unique(np.linspace(0, len(path) - 1, _HEADINGS).round().astype(int))
    tips = path[picked] + arrow * ahead[picked]
    for start, tip in zip(path[picked], tips, strict=True):
        axes.plot([start[0], tip[0]], [start[2], tip[2]], color=_ESTIMATE, lw=1.0)
    first = {'ms': 7, 'mfc': 'white', 'mec': _ESTIMATE, 'mew': 2, 'label': 'first'}
    axes.plot(path[0, 0], path[0, 2], 'o', **first)


def _frame_axes(axes: Any, middle: NDArray[np.float64], half: float) -> None:
    axes.set_aspect('equal')
    axes.set_xlim(middle[0] - half, middle[0] + half)
    axes.set_ylim(middle[2] - half, middle[2] + half)
    axes.tick_params(labelsize=8, color=_FAINT)
    axes.grid(color='#e6e6e6', lw=0.6)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_color('#cccccc')


def _thin(seen: SeenMap) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    step = len(seen.points) // _MOST_POINTS + 1
    return seen.points[::step], seen.colors[::step]


def _square_around(
    points: NDArray[np.float32], path: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """
    Find what to show: the ways, and the points but for the outermost two percent.

    :return: the middle [3] and half the side, metres
    """
    around = path
    if len(points):
        around = np.concatenate([np.percentile(points, [2, 98], axis=0), path])
    low, high = around.min(axis=0), around.max(axis=0)
    half = 0.54 * max(high[0] - low[0], high[2] - low[2], 0.05)
    return np.asarray((low + high) / 2), float(half)


def _limits(images: list[NDArray[np.float32] | None]) -> Limits:
    """Return the range of colours: without the extreme two percent."""
    values = [image[np.isfinite(image)].reshape(-1) for image in images if image is not None]
    stacked = np.concatenate(values) if values else np.empty(0)
    if not len(stacked):
        return 0.0, 1.0
    low, high = np.percentile(stacked, [1, 99]).tolist()
    return low, max(high, low + 1e-3)
