"""The executable `sequence_player`: plays a recording as a camera would."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
import math
import signal
import sys
import threading
import time

import cv2
from nav_msgs.msg import Odometry
import rclpy
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from ttt3r_ros.errors import DatasetError, Ttt3rError
from ttt3r_ros.files import user_path
from ttt3r_ros.io.frames import Frame, Sequence
from ttt3r_ros.io.images import FRAME_RATE
from ttt3r_ros.io.sequence import open_sequence
from ttt3r_ros.node.clocks import steady_clock
from ttt3r_ros.node.conversions import (
    camera_info_message,
    fill_bytes,
    image_message,
    nanoseconds,
    stamp_from_nanoseconds,
)
from ttt3r_ros.node.parameters import Parameters
from ttt3r_ros.node.shared_memory import make_room_for_images
from ttt3r_ros.node.start import start_ros
from ttt3r_ros.settings import check_settings, setting

_PATIENCE = 60.0  # seconds to wait for the reconstruction of an image
_FIRST_PATIENCE = 10.0  # for that of the first, which is lost if the other side is slow to match
_LATE = 0.1  # seconds, from which on what was missed is not made up for
_ACQUAINTANCE = 0.5  # seconds until a publisher that we know of knows of us


@dataclass(frozen=True, kw_only=True)
class PlayerConfig:
    """Settings of the player; each becomes one ROS parameter."""

    input: str = setting('', 'Video, folder of images, TUM or 7-Scenes folder, or rosbag2.')
    topic: str = setting('', 'Image topic of a bag; empty: the only one there is.')
    rate: float = setting(
        0.0, 'Images per second; 0: as fast as they were recorded.', ge=0.0, le=1000.0
    )
    speed: float = setting(
        1.0, 'Factor on the speed of the recording, where rate is 0.', ge=0.01, le=100.0
    )
    loop: bool = setting(False, 'Begin again at the end.')
    max_frames: int = setting(0, 'Stop after so many images; 0: play all.', ge=0)
    stride: int = setting(1, 'Play every Nth image.', ge=1)
    stamps: str = setting(
        'now',
        'Stamp images with the time at which they are played, or as recorded.',
        choices=('now', 'recorded'),
    )
    publish_clock: bool = setting(False, 'Publish the stamps on /clock (simulated time).')
    compressed: bool = setting(False, 'Play JPEG images on image/compressed.')
    frame_id: str = setting('camera_optical_frame', 'Frame of the images.')
    listeners: int = setting(0, 'Wait for so many subscribers before the first image.', ge=0)
    ahead: int = setting(
        0,
        'Play at most so many images for which no odometry has come yet, however slow that is; '
        '0: do not wait for it.',
        ge=0,
    )
    log: str = setting('', 'Write stamp and monotonic time [ns] of each image to this file.')

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.input:
            raise ValueError('input is empty; name a recording')


def timed_frames(frames: Iterable[Frame], config: PlayerConfig) -> Iterator[tuple[Frame, float]]:
    """
    Yield the frames to be played, each with the seconds since the first at which it is due.

    Where stamps go back, as in a recording that holds several, the frame is due at once.

    :param frames: of one round
    :param config: stride, number of frames, rate and speed
    """
    before, due = math.inf, 0.0
    chosen = islice(frames, 0, None, config.stride)
    for played, frame in enumerate(islice(chosen, config.max_frames or None)):
        due += max(frame.stamp - before, 0.0) / config.speed
        before = frame.stamp
        yield frame, played / config.rate if config.rate else due


class Pace:
    """Lets images be sent when they are due; after a delay there is no burst."""

    def __init__(self) -> None:
        self._wall = steady_clock()
        self._begin = self._wall.now()

    def wait(self, elapsed: float) -> None:
        """
        Wait until an image is due.

        :param elapsed: seconds since the first
        """
        due = self._begin + Duration(seconds=elapsed)
        now = self._wall.now()
        if now - due > Duration(seconds=_LATE):
            self._begin = now - Duration(seconds=elapsed)
        else:
            self._wall.sleep_until(due)


class SequencePlayer(Node):
    """Publishes `image` (or `image/compressed`), `camera_info` and, if asked for, `/clock`."""

    def __init__(self) -> None:
        super().__init__('sequence_player')
        self._config = Parameters(self, [PlayerConfig]).read(PlayerConfig)
        self._sequence: Sequence = open_sequence(
            user_path(self._config.input), topic=self._config.topic
        )
        # Reliable matches both kinds of subscribers.
        qos = QoSProfile(depth=10)
        if self._config.compressed:
            topic = self.resolve_topic_name('image') + '/compressed'
            self._images = self.create_publisher(CompressedImage, topic, qos)
        else:
            self._images = self.create_publisher(Image, 'image', qos)
        self._infos = self.create_publisher(CameraInfo, 'camera_info', qos)
        self._time_topic: Publisher[ClockMessage] | None = None
        if self._config.publish_clock:
            self._time_topic = self.create_publisher(ClockMessage, '/clock', qos)
        self._answered: set[int] = set()
        self._log: list[str] = []
        self._has_met = False  # who answers
        self._answer = threading.Condition()
        if self._config.ahead:
            self.create_subscription(Odometry, 'odometry', self._on_odometry, QoSProfile(depth=50))

    def play(self) -> int:
        """
        Play to the end; with `loop`, until the process is ended.

        :return: number of images played
        """
        self._wait_for_listeners()
        count = 0
        waited_for: deque[int] = deque(maxlen=self._config.ahead)
        pace = Pace()
        for frame, msg, elapsed in self._rounds():
            if not self._config.ahead:
                pace.wait(elapsed)
            elif len(waited_for) == self._config.ahead:
                self._wait_for_answer(waited_for)
            waited_for.append(self._send(msg, self._stamp(frame)))
            count += 1
            if not rclpy.ok():
                break
        if waited_for:
            self._wait_for_answer([waited_for[-1]])
        if self._config.log:
            user_path(self._config.log).write_text(''.join(self._log), encoding='ascii')
        return count

    def _rounds(self) -> Iterator[tuple[Frame, Image | CompressedImage, float]]:
        """Yield frames, with their message and when it is due; one that cannot be read is not."""
        begin, step, readable = 0.0, 1.0 / (self._config.rate or FRAME_RATE), True
        while rclpy.ok() and readable:
            last, readable = 0.0, False
            for frame, elapsed in timed_frames(self._sequence, self._config):
                step = elapsed - last if elapsed > last else step
                last = elapsed
                try:
                    msg = self._image(frame)
                except DatasetError as error:
                    self.get_logger().error(f'left out: {error}')
                    continue
                readable = True
                yield frame, msg, begin + elapsed
            if not self._config.loop:
                return
            begin += last + step  # the next round comes as another image would

    def _stamp(self, frame: Frame) -> int:
        if self._config.stamps == 'recorded':
            return frame.nanoseconds
        return int(self.get_clock().now().nanoseconds)

    def _image(self, frame: Frame) -> Image | CompressedImage:
        rgb = frame.image()
        if not self._config.compressed:
            return image_message(rgb, 'rgb8', Header())
        _, data = cv2.imencode('.jpg', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        msg = CompressedImage(format='rgb8; jpeg compressed bgr8')
        fill_bytes(msg.data, data)
        return msg

    def _send(self, msg: Image | CompressedImage, stamp: int) -> int:
        """Publish an image with all that belongs to it; return its stamp."""
        msg.header = Header(stamp=stamp_from_nanoseconds(stamp), frame_id=self._config.frame_id)
        with self._answer:
            self._answered.discard(stamp)  # it may be that of an earlier round
        if self._config.log:
            self._log.append(f'{stamp} {time.monotonic_ns()}\n')
        if self._time_topic is not None:
            self._time_topic.publish(ClockMessage(clock=msg.header.stamp))
        camera = self._sequence.intrinsics
        if camera is not None:
            self._infos.publish(camera_info_message(camera, msg.header))
        self._images.publish(msg)
        return stamp

    def _wait_for_listeners(self) -> None:
        while rclpy.ok() and self._images.get_subscription_count() < self._config.listeners:
            time.sleep(0.05)
        while rclpy.ok() and self._config.ahead and not self.count_publishers('odometry'):
            time.sleep(0.05)
        if self._config.ahead:
            time.sleep(_ACQUAINTANCE)

    def _on_odometry(self, msg: Odometry) -> None:
        with self._answer:
            self._has_met = True
            self._answered.add(nanoseconds(msg.header.stamp))
            self._answer.notify()

    def _wait_for_answer(self, stamps: Collection[int]) -> None:
        """Wait until one of the stamps has come back as odometry."""
        patience = _PATIENCE if self._has_met else _FIRST_PATIENCE
        deadline = time.monotonic() + patience
        with self._answer:
            while rclpy.ok() and self._answered.isdisjoint(stamps):
                if time.monotonic() > deadline:
                    text = f'no odometry for an image within {patience:.0f} s'
                    self.get_logger().warning(text)
                    return
                self._answer.wait(0.2)  # not longer: a signal has to be noticed
            self._answered.intersection_update(stamps)  # nobody will wait for others


def main(args: list[str] | None = None) -> None:
    """
    Play a recording.

    :param args: command line; by default that of the process
    """
    make_room_for_images()
    start_ros('sequence_player', args)
    try:
        player = SequencePlayer()
    except (Ttt3rError, ValueError) as error:
        print(f'sequence_player: {error}', file=sys.stderr)
        rclpy.try_shutdown()
        sys.exit(1)
    spinning = threading.Thread(target=_spin, args=(player,), daemon=True)
    spinning.start()
    failed = False
    try:
        count = player.play()
        player.get_logger().info(f'{count} images played')
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (Ttt3rError, OSError) as error:  # the recording is damaged, or no log can be written
        player.get_logger().error(str(error))
        failed = True
    except RuntimeError:  # that of rclpy, where the signal came while it published
        if rclpy.ok():
            raise
    rclpy.try_shutdown()
    # The work is done: a signal to all, as launch sends it, must not turn that into a failure.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    spinning.join(timeout=1.0)
    if failed:
        sys.exit(1)


def _spin(node: Node) -> None:
    with suppress(ExternalShutdownException):
        rclpy.spin(node)


if __name__ == '__main__':
    main()
