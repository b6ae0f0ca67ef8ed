from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.optimize import linprog
import torch

from ttt3r_ros.errors import DatasetError, ReconstructionError
from ttt3r_ros.evaluation.depth import (
    DepthSequence,
    depth_errors,
    fit_scale,
    fit_scale_shift,
    pool,
    resize_depth,
)


def pairs(seed: int, count: int = 500) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.3, 9.0, count).astype(np.float32)
    prediction = (truth * 0.4 + 0.2) * rng.lognormal(0.0, 0.2, count).astype(np.float32)
    return prediction.astype(np.float32), truth


def transcribed(p: list[float], g: list[float]) -> dict[str, float]:
    """The formulas, pixel by pixel in float64 and without numpy's arrays."""
    n = len(g)
    ratios = [max(a / b, b / a) for a, b in zip(p, g, strict=True)]
    both = list(zip(p, g, strict=True))
    return {
        'abs_rel': sum(abs(a - b) / b for a, b in both) / n,
        'sq_rel': sum((a - b) ** 2 / b for a, b in both) / n,
        'rmse': (sum((a - b) ** 2 for a, b in both) / n) ** 0.5,
        'log_rmse': (sum((np.log(a) - np.log(b)) ** 2 for a, b in both) / n) ** 0.5,
        'delta_1': sum(r < 1.25 for r in ratios) / n,
        'delta_2': sum(r < 1.25**2 for r in ratios) / n,
        'delta_3': sum(r < 1.25**3 for r in ratios) / n,
    }


def transcribed_scale(p: list[float], g: list[float]) -> float:
    both = list(zip(p, g, strict=True))
    s = (sum(g) / len(g)) / (sum(p) / len(p))
    for _ in range(10):
        w = [1.0 / (abs(s * a - b) + 1e-8) for a, b in both]
        top = sum(wi * a * b for wi, (a, b) in zip(w, both, strict=True))
        s = top / sum(wi * a * a for wi, (a, b) in zip(w, both, strict=True))
    return s


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_errors_equal_a_transcription_of_the_formulas(seed):
    p, g = pairs(seed)
    s = transcribed_scale(p.astype(float).tolist(), g.astype(float).tolist())
    assert fit_scale(p, g) == pytest.approx(s, rel=1e-9)
    ours = depth_errors(p, g, scale=s, shift=0.01)
    expected = transcribed((s * p.astype(float) + 0.01).tolist(), g.astype(float).tolist())
    assert ours.pixels == len(g)
    for name, value in expected.items():
        assert getattr(ours, name) == pytest.approx(value, rel=1e-12), name


@pytest.mark.parametrize('seed', [3, 4])
def test_scale_and_shift_reach_the_least_absolute_sum(seed):
    p, g = pairs(seed, count=80)
    # min Σ e with −e ≤ s p + t − g ≤ e, as a linear program in (s, t, e)
    columns = np.stack([p, np.ones_like(p)], axis=1).astype(float)
    eye = np.eye(len(p))
    program = linprog(
        np.r_[0.0, 0.0, np.ones(len(p))],
        A_ub=np.block([[columns, -eye], [-columns, -eye]]),
        b_ub=np.r_[g, -g].astype(float),
        bounds=[(None, None)] * 2 + [(0, None)] * len(p),
    )
    scale, shift = fit_scale_shift(p, g)
    assert np.abs(scale * p + shift - g).sum() == pytest.approx(program.fun, rel=1e-4)


def test_scale_and_shift_do_not_need_outliers_removed():
    p, _ = pairs(5)
    g = 2.0 * p + 0.5
    g[::10] = 50.0
    scale, shift = fit_scale_shift(p, g)
    assert (scale, shift) == pytest.approx((2.0, 0.5), abs=1e-3)


def test_a_constant_prediction_is_shifted_to_the_median():
    g = np.array([1.0, 2.0, 4.0], np.float32)
    assert fit_scale_shift(np.ones(3, np.float32), g) == (1.0, 1.0)
    rounded = np.array([1.7, 1.7 + 3e-7, 1.7 - 3e-7], np.float32)
    assert fit_scale_shift(rounded, g) == pytest.approx((1.0, 0.3), abs=1e-5)


def test_predictions_shifted_below_zero_count_as_wrong():
    errors = depth_errors(np.ones(4, np.float32), np.ones(4, np.float32), shift=-3.0)
    assert errors.delta_3 == 0.0
    assert np.isfinite(errors.log_rmse)


def test_clipping_acts_after_alignment():
    p, g = np.array([10.0, 1.0], np.float32), np.array([60.0, 7.0], np.float32)
    assert depth_errors(p, g, scale=7.0, largest=60.0).abs_rel == pytest.approx(0.0)


def test_alignments_of_a_sequence_undo_what_they_should():
    rng = np.random.default_rng(6)
    truths = [rng.uniform(1, 4, (12, 16)).astype(np.float32) for _ in range(3)]
    scored = {name: DepthSequence() for name in ('same', 'scaled', 'affine', 'each')}
    for index, truth in enumerate(truths):
        scored['same'].add(truth, truth)
        scored['scaled'].add(truth * 3, truth)
        scored['affine'].add(truth * 0.5 + 0.7, truth)
        scored['each'].add(truth * (index + 1), truth)
    assert scored['same'].errors('metric').abs_rel < 1e-6
    assert scored['scaled'].errors('scale').abs_rel < 1e-6
    assert scored['affine'].errors('scale_shift').abs_rel < 1e-5
    assert scored['each'].errors('median').abs_rel < 1e-6
    assert scored['scaled'].errors('metric').abs_rel == pytest.approx(2.0, rel=1e-5)
    assert scored['each'].errors('scale').abs_rel > 0.1


def test_unknown_and_far_depth_does_not_count():
    truth = np.array([[1.0, np.nan, 0.0, 80.0, 2.0]], np.float32)
    sequence = DepthSequence(farthest=70.0)
    sequence.add(np.array([[1.0, 9.0, 9.0, 9.0, 2.0]], np.float32), truth)
    errors = sequence.errors('metric')
    assert (errors.pixels, errors.abs_rel) == (2, 0.0)


def test_predictions_are_resized_to_the_truth():
    small = np.random.default_rng(7).uniform(1, 2, (6, 8)).astype(np.float32)
    bicubic = torch.nn.functional.interpolate(
        torch.from_numpy(small)[None, None], (24, 32), mode='bicubic'
    )
    np.testing.assert_allclose(resize_depth(small, 32, 24), bicubic[0, 0], atol=1e-5)


def test_eight_bytes_are_kept_of_each_valid_value():
    truth = np.full((200, 300), 2.0)
    truth[:50] = np.nan
    sequence = DepthSequence()
    tracemalloc.start()
    for _ in range(10):
        sequence.add(np.ones((20, 30)), truth)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept == pytest.approx(8 * 10 * 150 * 300, rel=0.01)


def test_sequences_are_weighted_by_their_pixels():
    small = depth_errors(np.full(1, 2.0, np.float32), np.ones(1, np.float32))
    large = depth_errors(np.ones(3, np.float32), np.ones(3, np.float32))
    pooled = pool([small, large])
    assert (pooled.pixels, pooled.abs_rel, pooled.delta_1) == (4, 0.25, 0.75)


def test_unusable_depth_is_refused():
    sequence = DepthSequence()
    with pytest.raises(ReconstructionError, match='frame 0'):
        sequence.add(np.full((2, 2), np.nan), np.ones((2, 2), np.float32))
    sequence.add(np.ones((2, 2)), np.full((2, 2), np.nan, np.float32))
    with pytest.raises(DatasetError, match='valid'):
        sequence.errors('metric')
    with pytest.raises(ValueError, match='alignment'):
        sequence.errors('affine')
