import numpy as np
import pytest
import torch

from ttt3r_ros.geometry.se3 import inverse, quat_wxyz
from ttt3r_ros.synthetic.sequence import render_sequence
from ttt3r_ros.training.batches import Batch, collate
from ttt3r_ros.training.losses import relative_motion, total_loss
from ttt3r_ros.training.unroll import Unrolled
from ttt3r_ros.training.validation import abs_rel


@pytest.fixture(scope='module')
def batch() -> Batch:
    return collate([render_sequence(seed, 3, 32, 24) for seed in (1, 2)])


def truth(batch: Batch) -> Unrolled:
    """Return the predictions of a perfect network."""
    height, width = batch.log_depth.shape[-2:]
    x, y = torch.arange(width) - (width - 1) / 2, torch.arange(height) - (height - 1) / 2
    grid = torch.stack(torch.meshgrid(x, y, indexing='xy'), dim=-1)
    rays = torch.cat(
        [grid / batch.focal[:, None, None, None], torch.ones(len(batch.focal), height, width, 1)],
        -1,
    )
    points = rays[:, None] * batch.log_depth.exp()[..., None]
    return Unrolled(points, torch.ones_like(batch.log_depth), batch.translation, batch.quat_wxyz)


def test_the_truth_costs_nothing(batch: Batch) -> None:
    total, parts = total_loss(truth(batch), batch)
    assert float(total) == pytest.approx(0, abs=0.02)
    assert all(value < 1e-3 for value in parts.values())


@pytest.mark.parametrize(
    ('part', 'others'),
    [('depth', ('shape', 'edges', 'rays')), ('rays', ('depth', 'shape', 'edges'))],
)
def test_each_error_has_its_part(batch: Batch, part: str, others: tuple[str, ...]) -> None:
    right = truth(batch)
    factor = torch.tensor([1.3, 1.3, 1.3] if part == 'depth' else [1.3, 1.3, 1.0])
    _, parts = total_loss(right._replace(points=right.points * factor), batch)
    assert parts[part] > 0.2
    assert all(parts[name] < 1e-3 for name in others)


def test_a_wrong_pose_costs(batch: Batch) -> None:
    right = truth(batch)
    wrong = right._replace(translation=right.translation + torch.tensor([0.0, 0.0, 0.3]))
    _, parts = total_loss(wrong, batch)
    assert parts['translation'] == pytest.approx(0.3, abs=1e-3)
    assert parts['advance'] == pytest.approx(0, abs=1e-3)


def test_confidence_pays_where_the_error_is_small(batch: Batch) -> None:
    right = truth(batch)
    sure = right._replace(confidence=torch.full_like(right.confidence, 5.0))
    off = right._replace(points=right.points * 2)
    sure_and_off = sure._replace(points=off.points)
    assert total_loss(sure, batch)[0] < total_loss(right, batch)[0]
    assert total_loss(sure_and_off, batch)[0] > total_loss(off, batch)[0]


def test_relative_motion_agrees_with_matrices() -> None:
    made = render_sequence(4, 4, 16, 12)
    batch = collate([made])
    step, turn = relative_motion(batch.translation, batch.quat_wxyz)
    expected = inverse(made.T_world_camera[:-1]) @ made.T_world_camera[1:]
    np.testing.assert_allclose(step[0], expected[:, :3, 3], atol=1e-5)
    np.testing.assert_allclose(turn[0], [quat_wxyz(pose) for pose in expected], atol=1e-5)


def test_median_scaling_forgives_scale_alone(batch: Batch) -> None:
    scaled = batch.log_depth + 0.4
    assert abs_rel(scaled, batch.log_depth, median=False) == pytest.approx(
        np.exp(0.4) - 1, rel=1e-4
    )
    assert abs_rel(scaled, batch.log_depth, median=True) == pytest.approx(0, abs=1e-5)
