"""What the node makes of the first images of an epoch."""

from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ttt3r_ros.node.frames import level_camera
from ttt3r_ros.node.pipeline import Pipeline
from ttt3r_ros.node.receiver import Received
from ttt3r_ros.node.settings import NodeConfig
from ttt3r_ros.node.statistics import Statistics
from ttt3r_ros.view import Tracking


def at(metres):
    pose = np.eye(4)
    pose[0, 3] = metres
    return pose


def test_an_epoch_begins_with_the_first_image_that_is_not_lost(fake_view):
    statuses, places = ('lost', 'first', 'tracked'), (0.0, 5.0, 5.5)
    views = [
        fake_view(index=i, pose=at(x), tracking=Tracking(status=status))
        for i, (status, x) in enumerate(zip(statuses, places, strict=True))
    ]
    transforms = MagicMock(mounting=MagicMock(return_value=None))
    outputs, record, statistics = MagicMock(), MagicMock(), Statistics()
    pipeline = Pipeline(
        MagicMock(config=object(), add=MagicMock(side_effect=views)),
        SimpleNamespace(decode=lambda _: (None, None), oldest_epoch=0),
        outputs,
        transforms,
        record,
        statistics,
        NodeConfig(),
        now=lambda: 0,
        warn=MagicMock(),
        inform=MagicMock(),
    )
    for _ in views:
        pipeline.process(Received(Image(header=Header(frame_id='camera')), 0.0, 0))
    assert statistics.snapshot(0.0).counts['lost'] == 1
    motions = [call.args[0] for call in outputs.send_odometry.call_args_list]
    assert [motion.pose_covariance[0, 0] > 1e5 for motion in motions] == [True, False, False]
    start = level_camera(0.0)
    np.testing.assert_allclose(motions[0].pose, start, atol=1e-12)
    np.testing.assert_allclose(motions[1].pose, start, atol=1e-12)
    np.testing.assert_allclose(motions[2].pose, start @ at(0.5), atol=1e-12)
    assert transforms.send.call_count == 2  # none of the lost image
    assert record.add_pose.call_count == record.add_points.call_count == 2
