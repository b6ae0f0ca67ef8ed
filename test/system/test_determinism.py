"""The same images, weights and machine give the same bits: live, offline, and again."""

from pathlib import Path
import subprocess
import sys

import cv2
from harness import stamp
import numpy as np
import pytest
from std_msgs.msg import Header

from ttt3r_ros.io.sequence import open_sequence
from ttt3r_ros.io.writers import write_tum
from ttt3r_ros.node.clouds import cloud_message
from ttt3r_ros.node.conversions import image_message, pose_message
from ttt3r_ros.node.frames import Epoch
from ttt3r_ros.reconstructor import Reconstructor, ReconstructorConfig
from ttt3r_ros.synthetic.sequence import render_sequence
from ttt3r_ros.view import View

FRAMES = 12
SOURCES = ['network', 'pnp']


@pytest.fixture(scope='module')
def images() -> list[np.ndarray]:
    return list(render_sequence(2**40 + 11, FRAMES, 320, 240).rgb)


def offline(images, source: str) -> list[View]:
    reconstructor = Reconstructor(ReconstructorConfig(pose_source=source))
    return [reconstructor.add(image) for image in images]


def bits_of_views(views: list[View]) -> list[tuple]:
    """Return pose, depth and points as the node is to publish them."""
    epoch, header = Epoch(views[0].T_world_camera), Header()
    return [
        (
            str(pose_message(epoch.odom_base(view.T_world_camera))),
            view.depth.tobytes(),
            cloud_message(view.points, view.image, header, view.confidence).data.tobytes(),
        )
        for view in views
    ]


def bits_of_messages(client, begin: float) -> list[tuple]:
    """Return what came for the images from that time on."""
    topics = ('odometry', 'depth/image', 'points')
    kept = [
        [msg for msg in client.received[topic] if msg.header.stamp.sec >= begin]
        for topic in topics
    ]
    return [
        (str(odometry.pose.pose), depth.data.tobytes(), points.data.tobytes())
        for odometry, depth, points in zip(*kept, strict=True)
    ]


def live(system, images, begin: float) -> list[tuple]:
    """Send images one at a time, for of large outputs only the newest is kept."""
    client = system.client
    for index, pixels in enumerate(images):
        header = Header(stamp=stamp(begin + index), frame_id='optical')
        client.send(image_message(pixels, 'rgb8', header))
        for topic in ('odometry', 'depth/image', 'points'):
            client.wait_for_stamp(topic, begin + index)
    return bits_of_messages(client, begin)


@pytest.mark.parametrize('source', SOURCES)
def test_live_and_offline_give_the_same_bits_and_again_after_a_reset(system, images, source):
    system.start(input_queue=50, weights='', pose_source=source, organized_points=True)
    system.client.listen('odometry', 'depth/image', 'points')
    wanted = bits_of_views(offline(images, source))
    assert live(system, images, 100.0) == wanted
    system.client.call_reset()
    assert live(system, images, 200.0) == wanted


@pytest.mark.parametrize('source', SOURCES)
def test_images_that_wait_in_a_queue_give_the_same_poses(system, images, source):
    """Then the next image is encoded while one is decoded."""
    system.start(input_queue=50, weights='', pose_source=source)
    client = system.client
    client.listen('odometry')
    for index, pixels in enumerate(images):
        header = Header(stamp=stamp(100.0 + index), frame_id='optical')
        client.send(image_message(pixels, 'rgb8', header))
    client.wait_for_stamp('odometry', 100.0 + FRAMES - 1)
    poses = [str(msg.pose.pose) for msg in client.received['odometry']]
    assert poses == [pose for pose, _, _ in bits_of_views(offline(images, source))]


def test_the_command_line_gives_the_same_poses_and_the_same_files_again(images, tmp_path):
    recording = tmp_path / 'images'
    recording.mkdir()
    for index, pixels in enumerate(images):
        cv2.imwrite(str(recording / f'{index:03}.png'), pixels[..., ::-1])
    results = [reconstruct(recording, tmp_path / name) for name in ('first', 'again')]
    assert results[0] == results[1]
    views = offline(images, 'auto')
    stamps = [frame.stamp for frame in open_sequence(recording)]
    write_tum(tmp_path / 'wanted.txt', stamps, np.array([view.T_world_camera for view in views]))
    assert results[0]['trajectory.txt'] == (tmp_path / 'wanted.txt').read_bytes()


def reconstruct(recording: Path, out: Path) -> dict[str, bytes]:
    """Run `ttt3r reconstruct`, and return its files but the picture, which tells the speed."""
    code = 'from ttt3r_ros.cli.main import main; raise SystemExit(main())'
    command = [sys.executable, '-c', code, 'reconstruct', str(recording), '--out', str(out)]
    subprocess.run(command, check=True, timeout=300)
    files = (path for path in out.rglob('*') if path.is_file() and path.name != 'summary.png')
    return {str(path.relative_to(out)): path.read_bytes() for path in files}
