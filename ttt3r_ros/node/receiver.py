"""Takes images in: subscriptions, the order of stamps, the queue, decoding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
import threading
import time
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import ROSClock
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ttt3r_ros.node.calibration import CameraCalibration, Decoded
from ttt3r_ros.node.conversions import NANOSECONDS, nanoseconds
from ttt3r_ros.node.decoding import Decoder, compressed_to_rgb, to_rgb
from ttt3r_ros.node.frame_queue import FrameQueue
from ttt3r_ros.node.listener import Listener
from ttt3r_ros.node.settings import NodeConfig
from ttt3r_ros.node.stamps import SequenceGaps, StampMonitor, Verdict
from ttt3r_ros.node.statistics import Statistics

_IN_FLIGHT = 50  # images of a queue that may wait to be taken from DDS, which counts no loss
# Later than Humble, callbacks may ask for each message's number and publisher; without these,
# images that are lost in transport are not counted.
_TELLS_INFO = hasattr(Subscription, 'CallbackType')
_REFUSED = {Verdict.DROP: 'out of order', Verdict.EARLY: 'ahead of the clock'}
_UNUSUAL = 10  # images in a row with such stamps, from which on it is said
_DEPTH = 10  # images that may wait in DDS without a queue, while Python is busy


@dataclass(frozen=True)
class Received:
    """
    An image message on its way to the worker.

    :param msg: the message as it came
    :param received: monotonic seconds
    :param epoch: number of the epoch it belongs to
    :param jumps: of the stamps back, up to this image
    :param ahead: what was prepared of it before its turn, or the error that it has
    """

    msg: Any
    received: float
    epoch: int
    jumps: int = 0
    ahead: Future[Any] = field(default_factory=Future, compare=False)

    @property
    def stamp(self) -> Time:
        """Stamp of the image."""
        return self.msg.header.stamp

    @property
    def frame_id(self) -> str:
        """Frame that the image claims to be in."""
        return str(self.msg.header.frame_id)


class ImageReceiver:
    """
    Subscribes to the camera and passes its images on; callbacks only judge and enqueue.

    :param node: whose subscriptions they are
    :param config: settings of the node
    :param statistics: where events are counted
    :param decoder: of raw images
    :param announce: logs the beginning of a new epoch, given its number and its cause
    :param warn: logs a warning about bad data, given its kind and a text
    """

    def __init__(
        self,
        node: Node,
        config: NodeConfig,
        statistics: Statistics,
        decoder: Decoder,
        *,
        announce: Callable[[int, str], None],
        warn: Callable[[str, str], None],
    ) -> None:
        self._node = node
        self._config = config
        self._statistics = statistics
        self._decoder = decoder
        compressed = config.image_transport == 'compressed'
        self._kind: Any = CompressedImage if compressed else Image
        self._announce = announce
        self._warn = warn
        self._calibration = CameraCalibration(config, statistics, warn)
        self._listeners: list[Listener] = []
        self._refused = 0  # images in a row
        self.age = 0.0  # of the newest stamp when it came, seconds; 0 where it is not known
        self._stamps = StampMonitor(config.time_jump_threshold)
        self._gaps = SequenceGaps()
        self._lock = threading.Lock()
        self._epoch = 0
        self._jumps = 0
        self.oldest_epoch = 0  # results of earlier ones are not to be published
        self._paused = False
        self.queue: FrameQueue[Received] = FrameQueue(config.input_queue)

    @property
    def epoch(self) -> int:
        """Number of the epoch that the next image belongs to."""
        return self._epoch

    @property
    def topic(self) -> str:
        """Full name of the image topic."""
        topic = self._node.resolve_topic_name('image')
        compressed = self._kind is CompressedImage
        return f'{topic}/compressed' if compressed else topic

    @property
    def info_topic(self) -> str:
        """
        Full name of the topic `camera_info`.

        As with image_transport it lies beside the images, unless it is remapped itself.
        """
        topic = self._node.resolve_topic_name('camera_info')
        if topic != f'{self._node.get_namespace().rstrip("/")}/camera_info':
            return topic
        return self._node.resolve_topic_name('image').rpartition('/')[0] + '/camera_info'

    def subscribe(self) -> None:
        """Begin to receive."""
        self.queue = FrameQueue(self._config.input_queue)
        self.queue.hold(self._paused)
        self._statistics.listen_again()
        self._gaps = SequenceGaps()  # what was sent while nobody listened is not lost
        waiting = self._config.input_queue
        depth = waiting + _IN_FLIGHT if waiting else _DEPTH
        on_image = self._on_image if _TELLS_INFO else lambda msg: self._on_image(msg, {})
        # A group of their own: a slow service must not delay images.
        group = MutuallyExclusiveCallbackGroup()
        on_lower = None if self._must_be_reliable else self._tell_of_best_effort
        self._listeners = [self._listen(self._kind, self.topic, on_image, depth, group, on_lower)]
        if not self._calibration.is_from_file:
            # As the images: best effort loses what is sent before the two sides have met.
            take = self._calibration.take
            self._listeners.append(
                self._listen(CameraInfo, self.info_topic, take, 5, group, lambda: None)
            )
        self._calibration.await_again()

    def _listen(
        self,
        kind: Any,
        topic: str,
        callback: Callable[..., None],
        depth: int,
        group: MutuallyExclusiveCallbackGroup,
        on_lower: Callable[[], None] | None,
    ) -> Listener:
        return Listener(
            self._node,
            kind,
            topic,
            callback,
            depth,
            group=group,
            reliable=self._reliable,
            on_lower=on_lower,
        )

    def _tell_of_best_effort(self) -> None:
        self._warn(
            f'{self.topic} best effort',
            f'{self.topic} is published best effort, and listened to so: input_queue cannot keep '
            'what is lost on the way',
        )

    @property
    def _must_be_reliable(self) -> bool:
        return self._config.image_qos == 'reliable'

    @property
    def _reliable(self) -> bool:
        return self._config.input_queue > 0 or self._must_be_reliable

    @property
    def paused(self) -> bool:
        """Whether images are thrown away as they come."""
        return self._paused

    def pause(self, paused: bool) -> None:
        """Throw images away as they come, and let those wait that are in the queue; or go on."""
        self._paused = paused
        if paused and self._config.input_queue == 0:
            self._statistics.count('paused', self.queue.clear())  # it would be old by then
        self.queue.hold(paused)
        self._statistics.listen_again()

    def why_silent(self) -> str:
        """Tell why no image can come, as far as the other side shows it; empty: not known."""
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        if not publishers:
            raw = self._node.resolve_topic_name('image')
            other = raw if self._kind is CompressedImage else f'{raw}/compressed'
            there = (
                f', but {other} (image_transport)' if self._node.count_publishers(other) else ''
            )
            return f'nobody publishes it{there}'
        wanted = f'sensor_msgs/msg/{self._kind.__name__}'
        kinds = {publisher.topic_type for publisher in publishers}
        if wanted not in kinds:
            return (
                f'it is published as {", ".join(sorted(kinds))}, and image_transport '
                f'{self._config.image_transport} listens to {wanted}'
            )
        policies = {publisher.qos_profile.reliability for publisher in publishers}
        if self._must_be_reliable and policies == {ReliabilityPolicy.BEST_EFFORT}:
            return 'it is published best effort, image_qos asks for reliable'
        return ''

    def unsubscribe(self) -> None:
        """Receive no more; what waits is thrown away."""
        for listener in self._listeners:
            listener.close()
        self._listeners = []
        self.queue.close()

    def start_epoch(self) -> None:
        """Let images from now on belong to a new epoch, and throw away what waits."""
        with self._lock:
            self._begin_epoch()

    def clock_jumped(self, now: int) -> bool:
        """
        Take note that the clock was set back; start a new epoch if the images have not yet.

        In one step: an image of the new time that comes meanwhile is not to be thrown away.

        :param now: the new time, nanoseconds
        :return: whether a new epoch was started
        """
        with self._lock:
            jumped = self._stamps.clock_jumped(now)
            if jumped:
                self._begin_epoch()
            return jumped

    def _begin_epoch(self) -> None:
        self._epoch += 1
        self.oldest_epoch = self._epoch
        self._stamps.forget()
        self.age = 0.0
        self._statistics.count('discarded', self.queue.clear())

    def decode(self, frame: Received) -> Decoded:
        """
        Decode an image, and undistort it where the camera is calibrated.

        :raises ImageError: if the message is broken
        """
        if isinstance(frame.msg, CompressedImage):
            image = compressed_to_rgb(frame.msg)
        else:
            image = to_rgb(frame.msg, self._decoder)
        self._calibration.wait(self._info_is_published)
        return self._calibration.undistort(image)

    def _info_is_published(self) -> bool:
        return bool(self._node.count_publishers(self.info_topic))

    def _on_image(self, msg: Any, info: Mapping[str, Any]) -> None:
        now = time.monotonic()
        self._statistics.receive(now)
        if lost := self._gaps.count(info):
            self._statistics.count('lost in transport', lost)
        if self._paused:
            self._statistics.count('paused')
            return
        stamp = nanoseconds(msg.header.stamp)
        with self._lock:
            clock = self._node.get_clock()
            there = clock.now().nanoseconds  # 0: a simulated clock that has not begun
            simulated = isinstance(clock, ROSClock) and clock.ros_time_is_active
            verdict = self._stamps.judge(stamp, there if simulated else 0)
            if verdict is Verdict.JUMP:
                self._epoch += 1
                self._jumps += 1
            frame = Received(msg, now, self._epoch, self._jumps)
            fits = verdict in _REFUSED or self.queue.put(frame)
        if verdict in _REFUSED:
            self._refuse(verdict, stamp, there)
            return
        self._refused = 0
        self.age = (there - stamp) / NANOSECONDS if there else 0.0
        if verdict is Verdict.JUMP:
            self._statistics.count('back in time')
            self._announce(frame.epoch, f'stamps of {self.topic} jumped back')
        if not fits:
            self._statistics.count('overflowed' if self._config.input_queue else 'dropped')

    def _refuse(self, verdict: Verdict, stamp: int, now: int) -> None:
        """Count an image that its stamp rules out, and warn where there is one after the other."""
        self._statistics.count(_REFUSED[verdict])
        self._refused += 1
        if self._refused < _UNUSUAL:
            return
        reason = 'which is not later than that of an image before'
        if verdict is Verdict.EARLY:
            reason = f'{(stamp - now) / NANOSECONDS:.1f} s ahead of /clock'
        self._warn(
            _REFUSED[verdict],
            f'the last {self._refused} images on {self.topic} are of no use: stamped '
            f'{stamp / NANOSECONDS:.3f} s, {reason}',
        )
