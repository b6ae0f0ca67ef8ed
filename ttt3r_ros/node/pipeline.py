"""From one image message to everything that is published about it; runs in the worker thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
import math
import os
import threading
import time
from typing import Any

from builtin_interfaces.msg import Time
import cv2
import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

from ttt3r_ros.errors import ImageError, ReconstructionError, Ttt3rError
from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.geometry.se3 import Transform, transform_points
from ttt3r_ros.node.calibration import Decoded
from ttt3r_ros.node.conversions import nanoseconds
from ttt3r_ros.node.frames import (
    UNKNOWN_VARIANCE,
    Epoch,
    FrameNames,
    TwistEstimator,
    camera_covariance,
    twist_covariance,
)
from ttt3r_ros.node.outputs import Motion, Outputs
from ttt3r_ros.node.receiver import ImageReceiver, Received
from ttt3r_ros.node.record import Record
from ttt3r_ros.node.settings import NodeConfig
from ttt3r_ros.node.statistics import Statistics
from ttt3r_ros.node.transforms import TransformException, Transforms
from ttt3r_ros.reconstructor import Prepared, Reconstructor, ReconstructorConfig
from ttt3r_ros.settings import settings_of
from ttt3r_ros.view import View


@dataclass(frozen=True)
class Report:
    """What is known of the last frame, for diagnostics; `problem` says why there is none newer."""

    problem: str = ''
    failed: bool = False  # because of the reconstruction, not of the image
    view: View | None = None
    confidence: float = float('nan')
    calibrated: Intrinsics | None = None


class Pipeline:
    """
    Turns images into messages, one after the other.

    :param reconstructor: the network and its state
    :param receiver: where the images come from
    :param outputs: the publishers
    :param transforms: TF
    :param record: map, path and trajectory
    :param statistics: where events are counted
    :param config: settings of the node
    :param now: the node's clock, nanoseconds
    :param warn: logs a warning about bad data, given its kind and a text
    :param inform: logs what is worth knowing
    """

    def __init__(
        self,
        reconstructor: Reconstructor,
        receiver: ImageReceiver,
        outputs: Outputs,
        transforms: Transforms,
        record: Record,
        statistics: Statistics,
        config: NodeConfig,
        *,
        now: Callable[[], int],
        warn: Callable[[str, str], None],
        inform: Callable[[str], None],
    ) -> None:
        self._reconstructor = reconstructor
        self._receiver = receiver
        self._outputs = outputs
        self._transforms = transforms
        self._record = record
        self._statistics = statistics
        self.config = config
        self._now = now
        self._warn = warn
        self._inform = inform
        self._lock = threading.Lock()  # held while results go out: a reset comes before or after
        self._started = -1  # the epoch that the state belongs to
        self._jumps = 0  # of the stamps back, that TF has been told of
        self._camera_frame = ''  # of the images of this epoch
        self._heard = -math.inf  # monotonic seconds, when the last of them came
        self._mounting: Transform | None = None
        self._epoch: Epoch | None = None  # begins with the first image that is not lost
        self._twist = TwistEstimator()
        self._trouble = ''  # with what was published of the last image
        self._changes: dict[str, Any] = {}  # settings that the reconstructor has yet to take over
        self.report = Report()

    def reset(self) -> int:
        """
        Start a new epoch: nothing of the present one goes out after this returns.

        :return: its number
        """
        with self._lock:
            self._receiver.start_epoch()
            self._record.clear()
            self.report = Report()
            return self._receiver.epoch

    def clock_jumped(self, now: int) -> int | None:
        """
        Start a new epoch because the clock was set back, unless the images have done so already.

        :param now: the new time, nanoseconds
        :return: its number; None where none was started
        """
        with self._lock:
            if not self._receiver.clock_jumped(now):
                return None
            self._transforms.forget()
            self._record.clear()
            self.report = Report()
            return self._receiver.epoch

    @property
    def device(self) -> str:
        """What the network runs on."""
        return str(self._reconstructor.device)

    def change_settings(self, values: dict[str, Any]) -> None:
        """
        Take over settings that may change at run time.

        :param values: by name; those of others are ignored
        :raises ValueError: if one of them is not allowed; then nothing has changed
        """
        own = {name: values[name] for name in settings_of(NodeConfig) if name in values}
        theirs = {
            name: values[name] for name in settings_of(ReconstructorConfig) if name in values
        }
        replace(self._reconstructor.config, **theirs)
        with self._lock:
            self.config = replace(self.config, **own)
            self._changes |= theirs
            if 'voxel_size' in own:
                self._record.set_voxel_size(own['voxel_size'])

    @property
    def can_prepare(self) -> bool:
        """Whether something can work on the next image, while this one is decoded."""
        return self._reconstructor.device.type == 'cuda' or len(os.sched_getaffinity(0)) > 1

    def prepare(self, frame: Received) -> None:
        """
        Do of an image what needs no state, before its turn and in another thread.

        Its errors are told when its turn comes; if that has come already, nothing is done.
        """
        if not frame.ahead.set_running_or_notify_cancel():
            return
        try:
            frame.ahead.set_result(self._decode(frame, ahead=True))
        except Exception as error:  # noqa: BLE001 - raised again where the result is asked for
            frame.ahead.set_exception(error)

    def _decode(self, frame: Received, *, ahead: bool) -> tuple[Prepared, Decoded]:
        decoded = self._receiver.decode(frame)
        return self._reconstructor.prepare(decoded.image, encode=ahead), decoded

    def process(self, frame: Received) -> None:
        """Do all there is to do for one image; data that cannot be used are counted."""
        try:
            self._reconstruct(frame)
        except (ReconstructionError, MemoryError) as error:
            self._skip('failed', f'no pose: {error or "memory has run out"}', failed=True)
        except Ttt3rError as error:
            self._skip('bad', f'image skipped: {error}')
        except TransformException as error:
            self._skip('waiting', f'waiting for the transform of the camera: {error}')
        except (cv2.error, np.linalg.LinAlgError) as error:
            # of data that nobody foresaw; what they have left half done is not to be built upon
            self.reset()
            self._skip('failed', f'no pose, all starts anew: {error}', failed=True, kind='anew')

    def _skip(self, event: str, problem: str, *, failed: bool = False, kind: str = '') -> None:
        self._statistics.count(event)
        self.report = replace(self.report, problem=problem, failed=failed)
        self._warn(kind or event, problem)

    def _reconstruct(self, frame: Received) -> None:
        began = time.monotonic()
        names = FrameNames.resolve(self.config, frame.frame_id)
        alone = frame.ahead.cancel()
        prepared, decoded = self._decode(frame, ahead=False) if alone else frame.ahead.result()
        frame = self._enter(frame, names)
        self._take_over_changes(frame)
        world = self.config.points_source == 'network_world'
        view = self._reconstructor.add(prepared, camera=decoded.camera, world=world)
        with self._lock:
            if frame.epoch < self._receiver.oldest_epoch:
                self._statistics.count('discarded')
                return
            least, farthest = self.config.min_confidence, self.config.max_depth
            valid = view.usable(min_confidence=least, max_depth=farthest)
            if decoded.seen is not None:
                valid &= view.mapping.pick(decoded.seen)
            epoch = self._publish(frame, names, view, valid)
            published = time.monotonic()
            now = self._now() or math.nan  # a simulated clock that has not begun
            latency = (now - nanoseconds(frame.stamp)) / 1e9
            # From here on nobody waits for this image, but perhaps the next one.
            if view.tracking.belongs_in_map:
                self._add_to_map(frame.stamp, names, view, valid, epoch.T_map_world)
            confidence = float(view.confidence.mean())
            self.report = Report(
                self._trouble, view=view, confidence=confidence, calibrated=decoded.camera
            )
        mapped = time.monotonic()
        self._reconstructor.finish()
        ended = time.monotonic()
        network, tracking = view.durations.network, view.durations.tracking + ended - mapped
        parts = {'network': network, 'tracking': tracking}
        parts['everything else'] = ended - began - network - tracking
        self._statistics.publish(published, latency, published - frame.received, parts)

    def _take_over_changes(self, frame: Received) -> None:
        """Let the reconstructor take over what has been set since the last image, and say so."""
        with self._lock:
            changes, self._changes = self._changes, {}
        before = self._reconstructor.config
        self._reconstructor.change(**changes)
        at = nanoseconds(frame.stamp) / 1e9
        for name, value in changes.items():
            old = getattr(before, name)
            if value != old:
                self._inform(f'{name} is {value} from the image at {at:.6f} on; it was {old}')

    def _enter(self, frame: Received, names: FrameNames) -> Received:
        """
        Take an image into its epoch; one of another camera begins an epoch where the first has
        been silent for long: nobody may be there to ask for it.

        :return: the image, in the epoch that it belongs to
        :raises ImageError: if it is of another camera
        """
        before, silence = self._camera_frame, frame.received - self._heard
        other = frame.epoch == self._started and names.camera != before
        if other and silence <= self.config.image_timeout:
            raise ImageError(
                f'it is in frame {names.camera}, those before in {before}: of another camera? '
                '(~/reset takes that)'
            )
        if other:
            frame = replace(frame, epoch=self.reset())
            self._warn(
                'another camera',
                f'images are in frame {names.camera}, and none in {before} has come for '
                f'{silence:.1f} s: epoch {frame.epoch} begins, poses start from identity again',
            )
        if frame.epoch != self._started:
            self._start(frame, names)
        self._heard = frame.received
        return frame

    def _start(self, frame: Received, names: FrameNames) -> None:
        if frame.jumps != self._jumps:  # the first image after it may never have come this far
            self._jumps = frame.jumps
            self._transforms.forget()
        self._mounting = self._transforms.mounting(names)
        if self._started < 0 and self._mounting is None and self.config.camera_tilt == 0.0:
            self._inform('no base_frame and no camera_tilt: the first image is taken as level')
        self._epoch = None
        self._twist = TwistEstimator()
        self._record.clear()
        self._reconstructor.reset()
        self._started, self._camera_frame = frame.epoch, names.camera

    def _publish(
        self, frame: Received, names: FrameNames, view: View, valid: NDArray[np.bool_]
    ) -> Epoch:
        """Publish what is known of an image; return the epoch it is in."""
        config, out, self._trouble = self.config, self._outputs, ''
        header = Header(stamp=frame.stamp, frame_id=names.camera)
        epoch = self._epoch
        if epoch is None:
            epoch = Epoch(view.T_world_camera, self._mounting, config.camera_tilt)
        lost = view.tracking.status == 'lost'
        if lost:
            self._statistics.count('lost')
            self._publish_lost(frame.stamp, names, view, epoch)
        else:
            self._epoch = epoch  # no image that is lost tells where the epoch begins
            self._publish_motion(frame.stamp, names, view, epoch)
        out.send_images(view, valid, header)
        out.send_points(view, valid, header, organized=config.organized_points)
        out.send_estimate(view.input_intrinsics, header)
        return epoch

    def _publish_lost(self, stamp: Time, names: FrameNames, view: View, epoch: Epoch) -> None:
        """Answer with odometry that says of itself that it knows nothing; no transform, no map."""
        unknown = np.eye(6) * UNKNOWN_VARIANCE
        motion = Motion(epoch.odom_base(view.T_world_camera), np.zeros(6), unknown, unknown)
        header = Header(stamp=stamp, frame_id=names.odom)
        self._outputs.send_odometry(motion, header, names.base)

    def _publish_motion(self, stamp: Time, names: FrameNames, view: View, epoch: Epoch) -> None:
        T_map_odom: Transform | None = np.eye(4)
        if not self.config.publish_odom_tf:
            T_map_odom = self._follow(stamp, names, view, epoch)
        in_odom = self.config.publish_odom_tf or epoch.has_met_odometry
        pose = epoch.odom_base(view.T_world_camera)
        # in the map, for odom moves when the other source is met
        moved = epoch.map_base(view.T_world_camera)
        twist = self._twist.update(nanoseconds(stamp) / 1e9, moved, view.tracking)
        covariance = epoch.odom_covariance(
            view.T_world_camera, camera_covariance(view, self.config.covariance_scale)
        )
        velocity = twist_covariance(covariance, pose, self._twist.interval)
        unknown = np.eye(6) * UNKNOWN_VARIANCE
        motion = Motion(pose, twist, covariance if in_odom else unknown, velocity)
        self._transforms.send(names, stamp, T_map_odom, pose)
        header = Header(stamp=stamp, frame_id=names.odom)
        self._outputs.send_odometry(motion, header, names.base)
        T_map_camera = epoch.T_map_world @ view.T_world_camera
        self._record.add_pose(T_map_camera, pose if in_odom else None, header)
        if self._outputs.wanted('path'):
            self._outputs.send('path', self._record.path_message(header))

    def _follow(
        self, stamp: Time, names: FrameNames, view: View, epoch: Epoch
    ) -> Transform | None:
        """Return map -> odom with the odometry of another source; None if that is silent."""
        try:
            odometry = self._transforms.odometry(names, stamp)
        except TransformException as error:
            self._statistics.count('without odometry')
            self._trouble = f'no {names.map} -> {names.odom} for this image: {error}'
            self._warn('without odometry', self._trouble)
            return None
        return epoch.follow_odometry(view.T_world_camera, odometry)

    def _add_to_map(
        self,
        stamp: Time,
        names: FrameNames,
        view: View,
        valid: NDArray[np.bool_],
        T_map_world: Transform,
    ) -> None:
        points, T_map_points = view.points, T_map_world @ view.T_world_camera
        if self.config.points_source == 'network_world' and view.world_points is not None:
            points, T_map_points = view.world_points, T_map_world
        self._record.add_points(
            transform_points(T_map_points, points[valid]),
            view.image[valid],
            view.confidence[valid],
            Header(stamp=stamp, frame_id=names.map),
        )
