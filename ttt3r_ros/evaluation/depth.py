"""
Errors of depth maps, under the alignments of the video depth protocols.

All frames of a sequence are stacked to one long array of valid pixels; sums are in float64, in
pieces, so that a thousand frames fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.errors import DatasetError, ReconstructionError

Float32 = NDArray[np.float32]
ALIGNMENTS = ('metric', 'scale', 'scale_shift', 'median')
_PIECE = 1 << 21
_SCALE_ROUNDS = 10  # of reweighting, in the fit of a scale
_ROUNDS = 60  # in that of scale and shift, on an evenly spread part of the pixels,
_PART = 1 << 18  # of about so many,
_FINAL_ROUNDS = 6  # and on all of them
_EPSILON = 1e-8  # of the reweighting, in metres
_CONSTANT = 1e-5  # relative range up to which a prediction is constant but for rounding
_SMALLEST = 1e-5  # metres; a shift may push predictions below zero, where ratios make no sense


@dataclass(frozen=True)
class DepthErrors:
    """Errors over `pixels` valid pixels; RMSE in metres, the δ's as fractions."""

    pixels: int
    abs_rel: float
    sq_rel: float
    rmse: float
    log_rmse: float
    delta_1: float
    delta_2: float
    delta_3: float


def resize_depth(depth: NDArray[np.floating], width: int, height: int) -> Float32:
    """Resize a predicted depth map by bicubic interpolation [height, width]."""
    resized = cv2.resize(
        np.ascontiguousarray(depth, np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    return np.asarray(resized, dtype=np.float32)


def fit_scale(prediction: Float32, truth: Float32) -> float:
    """
    Find the scale of least absolute error by reweighted least squares.

    s₀ = mean(g) / mean(p); then s = Σ w p g / Σ w p² with w = 1 / (|s p − g| + 1e-8).

    :param prediction: p, metres [N]
    :param truth: g, metres [N]
    :return: s
    """
    scale = float(np.mean(truth, dtype=np.float64) / np.mean(prediction, dtype=np.float64))
    for _ in range(_SCALE_ROUNDS):
        dot = square = 0.0
        for p, g in _pieces(prediction, truth):
            weighted = p / (np.abs(scale * p - g) + _EPSILON)
            dot += float(weighted @ g)
            square += float(weighted @ p)
        scale = dot / square
    return scale


def fit_scale_shift(prediction: Float32, truth: Float32) -> tuple[float, float]:
    """
    Find s and t that minimise Σ |s p + t − g|, by reweighted least squares.

    :param prediction: p, metres [N]
    :param truth: g, metres [N]
    :return: (s, t); where the prediction is constant s is 1 and t the median of g − p
    """
    if np.ptp(prediction) <= _CONSTANT * np.abs(prediction).max():
        return 1.0, float(np.median(truth - prediction))
    step = -(-len(truth) // _PART)
    part = _least_absolute(prediction[::step], truth[::step], None, _ROUNDS)
    return _least_absolute(prediction, truth, part, _FINAL_ROUNDS)


def depth_errors(
    prediction: Float32,
    truth: Float32,
    scale: float = 1.0,
    shift: float = 0.0,
    largest: float = math.inf,
) -> DepthErrors:
    """
    Compare predictions with the truth, pixel by pixel.

    :param prediction: metres [N]
    :param truth: metres, all valid: finite and > 0 [N]
    :param scale: applied to the prediction
    :param shift: added to the scaled prediction, metres
    :param largest: aligned predictions are clipped there (Sintel: 70 m)
    :return: the errors; aligned predictions below 1e-5 m count as 1e-5 m
    :raises DatasetError: if there is no pixel
    """
    if not len(truth):
        raise DatasetError('no pixel has valid ground-truth depth')
    sums = np.zeros(7)
    for p, g in _pieces(prediction, truth):
        aligned = np.clip(scale * p + shift, _SMALLEST, largest)
        difference = aligned - g
        log_ratio = np.log(aligned / g)
        ratio = np.maximum(aligned / g, g / aligned)
        sums += [
            np.sum(np.abs(difference) / g),
            np.sum(difference**2 / g),
            np.sum(difference**2),
            np.sum(log_ratio**2),
            *(np.count_nonzero(ratio < 1.25**power) for power in (1, 2, 3)),
        ]
    mean = (sums / len(truth)).tolist()
    return DepthErrors(
        len(truth), mean[0], mean[1], math.sqrt(mean[2]), math.sqrt(mean[3]), *mean[4:]
    )


def pool(errors: Sequence[DepthErrors]) -> DepthErrors:
    """Average sequences to a data set, weighted by valid pixels."""
    pixels = np.array([item.pixels for item in errors], dtype=np.float64)
    values = np.array([astuple(item)[1:] for item in errors])
    return DepthErrors(int(pixels.sum()), *(pixels @ values / pixels.sum()).tolist())


class DepthSequence:
    """
    The valid pixels of one sequence, gathered frame by frame.

    :param farthest: ground truth counts where it is above 0 and below this, in metres
    :param clip: aligned predictions are clipped there, in metres
    :param step: only every so manieth row and column of the truth counts
    """

    def __init__(self, farthest: float = math.inf, clip: float = math.inf, step: int = 1) -> None:
        self._farthest, self._clip = farthest, clip
        self._some = (slice(None, None, step), slice(None, None, step))
        self._predictions: list[Float32] = []
        self._truths: list[Float32] = []

    def add(self, prediction: NDArray[np.floating], truth: NDArray[np.floating]) -> None:
        """
        Add one frame.

        :param prediction: depth map of any size; resized to the truth's, metres [h, w]
        :param truth: metres, NaN where unknown [H, W]
        :raises ReconstructionError: if the prediction is not finite everywhere
        """
        if not np.isfinite(prediction).all():
            raise ReconstructionError(f'depth of frame {len(self._truths)} is not finite')
        height, width = truth.shape
        # the prediction to the whole size first: else it would lie beside the pixels that count
        resized, truth = resize_depth(prediction, width, height)[self._some], truth[self._some]
        valid = (truth > 0.0) & (truth < self._farthest)  # false for NaN
        self._predictions.append(resized[valid])
        self._truths.append(truth[valid].astype(np.float32))

    def errors(self, alignment: str) -> DepthErrors:
        """
        Score all frames added so far.

        :param alignment: one of `ALIGNMENTS`: none (metric), one scale, one scale and shift, or
            the ratio of medians of each frame by itself
        :return: errors over all valid pixels of the sequence
        :raises ValueError: if the alignment is unknown
        :raises DatasetError: if there is no valid pixel
        """
        if alignment not in ALIGNMENTS:
            raise ValueError(f'alignment is {alignment!r}; choose one of {", ".join(ALIGNMENTS)}')
        truth = np.concatenate([np.empty(0, np.float32), *self._truths])
        if not len(truth):
            raise DatasetError('no pixel of the sequence has valid ground-truth depth')
        parts = self._predictions if alignment != 'median' else self._median_scaled()
        prediction = np.concatenate(parts)
        scale, shift = 1.0, 0.0
        if alignment == 'scale':
            scale = fit_scale(prediction, truth)
        elif alignment == 'scale_shift':
            scale, shift = fit_scale_shift(prediction, truth)
        return depth_errors(prediction, truth, scale, shift, self._clip)

    def _median_scaled(self) -> list[Float32]:
        return [
            p * np.float32(np.median(g) / np.median(p)) if len(g) else p
            for p, g in zip(self._predictions, self._truths, strict=True)
        ]


def _least_absolute(
    prediction: Float32, truth: Float32, start: tuple[float, float] | None, rounds: int
) -> tuple[float, float]:
    """Iterate from a start, or from plain least squares; return the best of all rounds."""
    line, best = start, (math.inf, 1.0, 0.0)
    for _ in range(rounds):
        normal, right, cost = np.zeros((2, 2)), np.zeros(2), 0.0
        for p, g in _pieces(prediction, truth):
            residual = np.zeros_like(p) if line is None else np.abs(line[0] * p + line[1] - g)
            weight = 1.0 / (residual + _EPSILON)
            weighted = weight * p
            normal += [[weighted @ p, weighted.sum()], [weighted.sum(), weight.sum()]]
            right += [weighted @ g, weight @ g]
            cost += float(residual.sum())
        if line is not None:
            best = min(best, (cost, *line))
        scale, shift = np.linalg.solve(normal, right).tolist()
        line = (scale, shift)
    return best[1:]


def _pieces(
    prediction: Float32, truth: Float32
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    for start in range(0, len(truth), _PIECE):
        stop = start + _PIECE
        yield prediction[start:stop].astype(np.float64), truth[start:stop].astype(np.float64)
