"""The log of a training run as a picture."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from ttt3r_ros.training.log import read_log

_PANELS = (
    ('log-depth error, training', ('error', 'shape')),
    ('AbsRel, held-out', ('held_out_absrel_single', 'held_out_absrel_late',
                          'held_out_absrel_single_median', 'held_out_absrel_late_median')),
    ('rays, training; focal, held-out', ('rays', 'held_out_focal')),
    ('pose error / static, held-out', ('held_out_ate_share', 'held_out_rotation_share')),
)  # fmt: skip


def draw_curves(log: Path, picture: Path) -> None:
    """
    Draw the log.

    :param log: see `read_log`
    :param picture: PNG to write
    :raises OSError: one of them cannot be read or written
    """
    lines = read_log(log)
    figure = Figure(figsize=(11, 7), layout='constrained')
    for axes, (title, names) in zip(figure.subplots(2, 2).flat, _PANELS, strict=True):
        for name in names:
            points = [(line['frames'] / 1000, line[name]) for line in lines if name in line]
            if points:
                axes.plot(*zip(*points, strict=True), label=name.removeprefix('held_out_'))
        axes.set_title(title)
        axes.set_xlabel('thousand frames')
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        if axes.has_data():
            axes.legend(fontsize='small')
    figure.savefig(picture, dpi=110)
