"""What the node makes of the first images of an epoch."""

from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ttt3r_ros.node.calibration import Decoded
from ttt3r_ros.node.frames import FrameNames, level_camera
from ttt3r_ros.node.pipeline import Pipeline
from ttt3r_ros.node.receiver import Received
from ttt3r_ros.node.settings import NodeConfig
from ttt3r_ros.node.statistics import Statistics
from ttt3r_ros.node.transforms import TransformException, Transforms
from ttt3r_ros.view import Tracking

TRACKED = Tracking(status='tracked')


def at(metres):
    pose = np.eye(4)
    pose[0, 3] = metres
    return pose


class Wheels:
    """TF with another source's odometry, silent for some images."""

    def __init__(self, poses):
        self.forget = MagicMock()
        self.send = MagicMock()
        self._poses = iter(poses)

    def mounting(self, _):
        return None

    def odometry(self, *_):
        pose = next(self._poses)
        if pose is None:
            raise TransformException('nothing yet')
        return pose


def pipeline_of(views, transforms, statistics, config=None, seen=None):
    outputs, record = MagicMock(), MagicMock()
    pipeline = Pipeline(
        MagicMock(config=object(), add=MagicMock(side_effect=views)),
        SimpleNamespace(decode=lambda _: Decoded(None, seen=seen), oldest_epoch=0, epoch=0),
        outputs,
        transforms,
        record,
        statistics,
        config or NodeConfig(),
        now=lambda: 0,
        warn=MagicMock(),
        inform=MagicMock(),
    )
    return pipeline, outputs, record


def received(seconds=0, epoch=0, jumps=0, frame='camera', came=0.0):
    header = Header(frame_id=frame)
    header.stamp.sec = seconds
    return Received(Image(header=header), came, epoch, jumps)


def test_an_epoch_begins_with_the_first_image_that_is_not_lost(fake_view):
    statuses, places = ('lost', 'first', 'tracked'), (0.0, 5.0, 5.5)
    views = [
        fake_view(index=i, pose=at(x), tracking=Tracking(status=status))
        for i, (status, x) in enumerate(zip(statuses, places, strict=True))
    ]
    transforms = MagicMock(mounting=MagicMock(return_value=None))
    statistics = Statistics()
    pipeline, outputs, record = pipeline_of(views, transforms, statistics)
    for _ in views:
        pipeline.process(received())
    assert statistics.snapshot(0.0).counts['lost'] == 1
    motions = [call.args[0] for call in outputs.send_odometry.call_args_list]
    assert [motion.pose_covariance[0, 0] > 1e5 for motion in motions] == [True, False, False]
    start = level_camera(0.0)
    np.testing.assert_allclose(motions[0].pose, start, atol=1e-12)
    np.testing.assert_allclose(motions[1].pose, start, atol=1e-12)
    np.testing.assert_allclose(motions[2].pose, start @ at(0.5), atol=1e-12)
    assert transforms.send.call_count == 2  # none of the lost image
    assert record.add_pose.call_count == record.add_points.call_count == 2


def test_where_odom_is_not_known_yet_odometry_says_so_and_no_velocity_leaps(fake_view):
    views = [fake_view(index=i, pose=at(0.1 * i), tracking=TRACKED) for i in range(4)]
    wheels = Wheels([None, at(5.0), None, at(5.2)])
    config = NodeConfig(publish_odom_tf=False, base_frame='base_link')
    pipeline, outputs, record = pipeline_of(views, wheels, Statistics(), config)
    for second in range(4):
        pipeline.process(received(second))
    motions = [call.args[0] for call in outputs.send_odometry.call_args_list]
    assert [motion.pose_covariance[0, 0] > 1e5 for motion in motions] == [
        True,
        False,
        False,
        False,
    ]
    np.testing.assert_allclose(motions[1].pose, at(5.0), atol=1e-9)  # where the two have met
    speeds = [np.linalg.norm(motion.twist[:3]) for motion in motions]
    np.testing.assert_allclose(speeds, [0.0, 0.1, 0.1, 0.1], atol=1e-9)
    poses = [call.args for call in record.add_pose.call_args_list]
    assert [T_odom_base is None for _, T_odom_base, _ in poses] == [True, False, False, False]


def test_odometry_that_does_not_come_is_a_problem_until_it_does(fake_view):
    views = [fake_view(index=i, pose=at(0.1 * i), tracking=TRACKED) for i in range(3)]
    config = NodeConfig(publish_odom_tf=False, base_frame='base_link')
    pipeline, _, _ = pipeline_of(views, Wheels([at(0.0), None, at(0.2)]), Statistics(), config)
    problems = []
    for second in range(3):
        pipeline.process(received(second))
        problems.append(pipeline.report.problem)
    assert problems == ['', 'no map -> odom for this image: nothing yet', '']


def test_images_of_another_camera_are_refused_until_a_reset(fake_view):
    views = [fake_view(index=i, pose=at(0.0), tracking=TRACKED) for i in range(3)]
    transforms = MagicMock(mounting=MagicMock(return_value=None))
    statistics = Statistics()
    pipeline, outputs, _ = pipeline_of(views, transforms, statistics)
    for epoch, frame in ((0, 'camera'), (0, 'rear'), (0, 'camera'), (1, 'rear')):
        pipeline.process(received(epoch=epoch, frame=frame))
        assert bool(pipeline.report.problem) == ((epoch, frame) == (0, 'rear'))
    assert statistics.snapshot(0.0).counts['bad'] == 1
    sent = [call.args[2] for call in outputs.send_odometry.call_args_list]
    assert sent == ['camera', 'camera', 'rear']


def test_another_camera_takes_over_where_the_first_has_been_silent_for_long(fake_view):
    views = [fake_view(index=i, pose=at(0.0), tracking=TRACKED) for i in range(4)]
    transforms = MagicMock(mounting=MagicMock(return_value=None))
    pipeline, outputs, _ = pipeline_of(views, transforms, Statistics())
    receiver = pipeline._receiver

    def start_epoch() -> None:
        receiver.epoch = receiver.oldest_epoch = receiver.epoch + 1

    receiver.start_epoch = start_epoch
    images = (('camera', 0.0), ('camera', 9.0), ('rear', 10.0), ('rear', 13.9), ('rear', 14.1))
    for frame, came in images:
        pipeline.process(received(frame=frame, came=came))
        assert bool(pipeline.report.problem) == (came in (10.0, 13.9))
    assert receiver.epoch == 1
    kind, text = pipeline._warn.call_args.args
    assert kind == 'another camera'
    assert 'in frame rear, and none in camera has come for 5.1 s: epoch 1 begins' in text
    pipeline.process(received(epoch=1, frame='rear', came=14.2))
    pipeline.process(received(epoch=1, frame='camera', came=14.3))
    frames = [call.args[2] for call in outputs.send_odometry.call_args_list]
    assert frames == ['camera', 'camera', 'rear', 'rear']


def test_tf_is_forgotten_after_a_jump_even_if_the_image_that_jumped_does_not_come(fake_view):
    views = [fake_view(index=i, pose=at(0.0), tracking=TRACKED) for i in range(5)]
    transforms = MagicMock(mounting=MagicMock(return_value=None))
    pipeline, _, _ = pipeline_of(views, transforms, Statistics())
    for epoch, jumps, forgotten in ((0, 0, 0), (0, 0, 0), (1, 1, 1), (1, 1, 1), (2, 1, 1)):
        pipeline.process(received(epoch=epoch, jumps=jumps))
        assert transforms.forget.call_count == forgotten


def test_an_image_that_shows_nothing_has_no_points_but_one_that_is_lost_has(fake_view):
    dark = Tracking(status='lost', unseen=True)
    views = [fake_view(index=i, tracking=t) for i, t in enumerate((dark, Tracking(status='lost')))]
    transforms = MagicMock(mounting=MagicMock(return_value=None))
    pipeline, outputs, _ = pipeline_of(views, transforms, Statistics())
    for _ in views:
        pipeline.process(received())
    for sent in (outputs.send_images, outputs.send_points):
        valid = [call.args[1] for call in sent.call_args_list]
        assert [mask.all() for mask in valid] == [False, True]
        assert not valid[0].any()


def test_what_the_lens_has_not_seen_has_no_points(fake_view):
    view = fake_view(tracking=TRACKED)
    seen = np.ones(view.confidence.shape, dtype=bool)
    seen[:3] = False
    transforms = MagicMock(mounting=MagicMock(return_value=None))
    pipeline, outputs, record = pipeline_of([view], transforms, Statistics(), seen=seen)
    pipeline.process(received())
    assert np.array_equal(outputs.send_points.call_args.args[1], seen)
    assert len(record.add_points.call_args.args[0]) == seen.sum()


def test_after_a_reset_nothing_is_told_of_the_epoch_before(fake_view):
    transforms = MagicMock(mounting=MagicMock(return_value=None))
    pipeline, _, _ = pipeline_of([fake_view(tracking=TRACKED)], transforms, Statistics())
    pipeline._receiver.start_epoch = lambda: None
    pipeline.process(received())
    assert pipeline.report.view is not None
    pipeline.reset()
    assert pipeline.report.view is None


def test_a_camera_that_is_its_own_base_is_levelled_as_one_without_a_robot():
    config = NodeConfig(base_frame='camera', publish_tf=False)
    transforms = Transforms.__new__(Transforms)
    assert transforms.mounting(FrameNames.resolve(config, 'camera')) is None


def test_before_a_simulated_clock_begins_there_is_no_latency(fake_view):
    statistics = Statistics()
    transforms = MagicMock(mounting=MagicMock(return_value=None))
    pipeline, _, _ = pipeline_of([fake_view(tracking=TRACKED)], transforms, statistics)
    pipeline.process(received(seconds=1000))
    assert np.isnan(statistics.snapshot(0.0).latency).all()
