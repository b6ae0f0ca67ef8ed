"""What only a GPU can show; skipped elsewhere."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
import pytest
import torch

from ttt3r_ros.reconstructor import Reconstructor, ReconstructorConfig
from ttt3r_ros.synthetic.sequence import render_sequence
from ttt3r_ros.synthetic.settings import held_out_seed
from ttt3r_ros.view import View

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA GPU')


@pytest.fixture(scope='module')
def images() -> NDArray[np.uint8]:
    return render_sequence(held_out_seed(7000), 12, 160, 120).rgb


@pytest.fixture(scope='module')
def expected(images: NDArray[np.uint8]) -> list[View]:
    return list(views(images, ReconstructorConfig(device='cpu', pose_source='network')))


def views(images: NDArray[np.uint8], config: ReconstructorConfig) -> Iterator[View]:
    reconstructor = Reconstructor(config)
    for image in images:
        yield reconstructor.add(image)


def assert_alike(made: list[View], expected: list[View], tolerance: float) -> None:
    for one, other in zip(made, expected, strict=True):
        ratio = np.abs(one.points[..., 2] / other.points[..., 2] - 1)
        assert np.median(ratio) < tolerance
        offset = one.T_world_camera[:3, 3] - other.T_world_camera[:3, 3]
        assert np.linalg.norm(offset) < 10 * tolerance


@pytest.mark.parametrize('graphs', [True, False])
@pytest.mark.parametrize('rule', ['ttt3r', 'cut3r', 'filt3r', 'recal3r'])
def test_a_gpu_sees_what_a_processor_sees(
    images: NDArray[np.uint8], rule: str, *, graphs: bool, caplog: pytest.LogCaptureFixture
) -> None:
    on_cpu = ReconstructorConfig(device='cpu', pose_source='network', update_rule=rule)
    on_gpu = ReconstructorConfig(
        device='cuda', precision='float32', pose_source='network', update_rule=rule,
        cuda_graphs=graphs,
    )  # fmt: skip
    assert_alike(list(views(images, on_gpu)), list(views(images, on_cpu)), 1e-3)
    assert 'without a CUDA graph' not in caplog.text


@pytest.mark.parametrize('precision', ['float16', 'bfloat16'])
def test_half_precision_is_close(
    images: NDArray[np.uint8], expected: list[View], precision: str
) -> None:
    config = ReconstructorConfig(device='cuda', precision=precision, pose_source='network')
    assert_alike(list(views(images, config)), expected, 0.01)


def test_encoding_ahead_changes_nothing(images: NDArray[np.uint8], expected: list[View]) -> None:
    config = ReconstructorConfig(device='cuda', precision='float32', pose_source='network')
    reconstructor = Reconstructor(config)
    made = []
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(reconstructor.prepare, images[0])
        for image in [*images[1:], images[-1]]:
            now, ahead = ahead.result(), pool.submit(reconstructor.prepare, image)
            made.append(reconstructor.add(now))
        ahead.result()
    assert_alike(made, expected, 1e-3)
