"""The next image is prepared while one is decoded; which image is next, and what it says, stay."""

import threading
from types import SimpleNamespace
from unittest.mock import MagicMock

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header
import torch

from ttt3r_ros.errors import ImageError
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.network import Network
from ttt3r_ros.node.calibration import Decoded
from ttt3r_ros.node.frame_queue import FrameQueue
from ttt3r_ros.node.pipeline import Pipeline
from ttt3r_ros.node.receiver import Received
from ttt3r_ros.node.settings import NodeConfig
from ttt3r_ros.node.statistics import Statistics
from ttt3r_ros.node.worker import Worker
from ttt3r_ros.reconstructor import Reconstructor, ReconstructorConfig


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(3)
    return Network(PRESETS['small']).requires_grad_(False).eval()


class Bench:
    """A pipeline whose surroundings say nothing."""

    def __init__(self, network):
        transforms = MagicMock(mounting=MagicMock(return_value=None))
        self.decoded = []
        receiver = SimpleNamespace(decode=self.decode, oldest_epoch=0, epoch=0)
        self.statistics = Statistics()
        config = ReconstructorConfig(device='cpu', pose_source='network')
        self.pipeline = Pipeline(
            Reconstructor(config, network),
            receiver,
            MagicMock(),
            transforms,
            MagicMock(),
            self.statistics,
            NodeConfig(),
            now=lambda: 0,
            warn=MagicMock(),
            inform=MagicMock(),
        )

    def decode(self, frame):
        self.decoded.append(frame.msg.step)
        if frame.msg.step == 99:
            raise ImageError('broken')
        random = np.random.default_rng(frame.msg.step)
        blocks = random.integers(0, 256, (6, 8, 3), np.uint8)
        return Decoded(blocks.repeat(8, axis=0).repeat(8, axis=1))


def frame(number):
    return Received(Image(header=Header(frame_id='camera'), step=number), 0.0, 0)


def test_what_was_prepared_gives_the_same_bit_for_bit(network):
    ahead, alone = Bench(network), Bench(network)
    for number in range(4):
        one, other = frame(number), frame(number)
        ahead.pipeline.prepare(one)
        for bench, each in ((ahead, one), (alone, other)):
            bench.pipeline.process(each)
        a, b = ahead.pipeline.report.view, alone.pipeline.report.view
        assert a.index == number
        assert np.array_equal(a.points, b.points)
        assert np.array_equal(a.T_world_camera, b.T_world_camera)
    assert ahead.decoded == [0, 1, 2, 3]


def test_an_image_whose_turn_has_come_is_not_prepared_again(network):
    bench, late = Bench(network), frame(1)
    bench.pipeline.process(late)
    bench.pipeline.prepare(late)
    assert bench.decoded == [1]


def test_an_error_is_told_when_the_turn_of_the_image_comes(network):
    bench, broken = Bench(network), frame(99)
    bench.pipeline.prepare(broken)
    assert not bench.statistics.snapshot(0.0).counts
    bench.pipeline.process(broken)
    assert bench.statistics.snapshot(0.0).counts == {'bad': 1}
    assert 'broken' in bench.pipeline.report.problem


def test_the_next_is_prepared_while_one_is_worked_on_and_the_newest_still_wins():
    queue = FrameQueue()
    go, working, prepared = threading.Event(), threading.Event(), threading.Semaphore(0)
    ahead, done = [], []

    def work(item):
        done.append(item)
        working.set()
        go.wait(10)

    def prepare(item):
        ahead.append(item)
        prepared.release()

    worker = Worker(queue, work, lambda: None, prepare)
    queue.put(1)
    assert working.wait(10)
    for item in (2, 3):
        queue.put(item)
        while item not in ahead:
            assert prepared.acquire(timeout=10)
    assert done == [1]
    go.set()
    while done != [1, 3]:
        assert worker.join(0.01) is False
    queue.close()
    assert worker.join(10)


def test_libraries_that_fail_on_an_image_cost_the_epoch_and_not_the_node(network, monkeypatch):
    bench = Bench(network)
    epochs: list[int] = []
    bench.pipeline._receiver.start_epoch = lambda: epochs.append(1)
    bench.pipeline.process(frame(1))
    for error in (cv2.error('scale'), np.linalg.LinAlgError('singular')):
        with monkeypatch.context() as patch:
            patch.setattr(Reconstructor, 'add', MagicMock(side_effect=error))
            bench.pipeline.process(frame(2))
        assert str(error) in bench.pipeline.report.problem
        assert bench.pipeline.report.failed
    assert epochs == [1, 1]
    assert bench.statistics.snapshot(0.0).counts['failed'] == 2
    bench.pipeline.process(frame(3))
    assert not bench.pipeline.report.problem
