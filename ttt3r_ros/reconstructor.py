"""The one stateful class: images in, poses and metric points out; numpy on both sides."""

from __future__ import annotations

from dataclasses import replace
import logging
import time

import numpy as np
from numpy.typing import NDArray
import torch

from ttt3r_ros.devices import choose_device, choose_precision, enough_memory
from ttt3r_ros.errors import ReconstructionError
from ttt3r_ros.geometry import se3
from ttt3r_ros.geometry.camera import (
    FocalMemory,
    Intrinsics,
    depth_factor,
    focal_from_corner,
    focal_from_points,
)
from ttt3r_ros.model.checkpoint import SHIPPED_WEIGHTS, load_network
from ttt3r_ros.model.encoder import Encoded
from ttt3r_ros.model.network import Network, Prediction, State
from ttt3r_ros.model.ready import fast_calls, make_ready
from ttt3r_ros.model.roll import load_roll_network
from ttt3r_ros.model.update_rules import UPDATE_RULES
from ttt3r_ros.prepared import Preparation, Prepared
from ttt3r_ros.preprocess import check_camera
from ttt3r_ros.reconstructor_config import ReconstructorConfig
from ttt3r_ros.seen import Seen
from ttt3r_ros.threads import use_threads
from ttt3r_ros.tracking.pnp import PnpTracker
from ttt3r_ros.tracking.refine_depth import refine_depth
from ttt3r_ros.upright import Gimbal, turn_back, turning_axes
from ttt3r_ros.view import Durations, Tracking, View
from ttt3r_ros.watch import ConfidenceWatch, shows_nothing

__all__ = ['SHIPPED_WEIGHTS', 'Prepared', 'Reconstructor', 'ReconstructorConfig']

logger = logging.getLogger(__name__)

_ROLL_WEIGHTS = SHIPPED_WEIGHTS.with_name('roll.safetensors')


class Reconstructor:
    """
    A camera's images, one after the other, to metric points and poses.

    Sets the number of threads of PyTorch and OpenBLAS for the whole process (`config.threads`).

    :param config: settings
    :param network: used instead of loading `config.weights`
    :raises CheckpointError: the weights cannot be loaded
    :raises ValueError: a device or precision that this machine does not have
    """

    _state: State

    def __init__(
        self, config: ReconstructorConfig | None = None, network: Network | None = None
    ) -> None:
        self._config = config or ReconstructorConfig()
        self.device = choose_device(self._config.device)
        choose_precision(self._config.precision, self.device)  # or an error, before loading
        if network is None:
            path = self._config.weights or SHIPPED_WEIGHTS
            wanted = frozenset({'world'} if self._config.world_head else ())
            network = load_network(path, preset=self._config.preset, outputs=wanted)
        use_threads(self._config.threads, network)
        self.network, self.dtype = make_ready(network, self._config.precision, self.device)
        self._calls = fast_calls(
            self.network,
            self._config.precision,
            self.device,
            graphs=self._config.cuda_graphs,
            traces=self._config.torchscript,
        )
        self._preparation = Preparation(
            self.network.config,
            self._calls.encode,
            self.device,
            self.dtype,
            crop=self._config.fit == 'crop',
        )
        small = network.config.motion_radius > 0
        source = self._config.pose_source
        if source == 'auto':
            source = 'pnp' if small else 'network'
        upright = self._config.upright
        if upright == 'auto':
            upright = 'on' if small and source == 'pnp' else 'off'
        self._gimbal = Gimbal(load_roll_network(_ROLL_WEIGHTS)) if upright == 'on' else None
        self._tracker = PnpTracker() if source == 'pnp' else None
        self._watch = ConfidenceWatch()
        self.reset()

    @property
    def config(self) -> ReconstructorConfig:
        """The settings in force."""
        return self._config

    @property
    def tracks(self) -> bool:
        """Whether poses are solved from the points, and not the network's own."""
        return self._tracker is not None

    def change(self, *, update_rule: str | None = None, reset_interval: int | None = None) -> None:
        """
        Change settings between two frames; a new rule starts with an empty memory of its own.

        :raises ValueError: a value outside its limits; then nothing has changed
        """
        rule, interval = self._config.update_rule, self._config.reset_interval
        self._config = replace(
            self._config,
            update_rule=rule if update_rule is None else update_rule,
            reset_interval=interval if reset_interval is None else reset_interval,
        )
        if self._config.update_rule != rule:
            self._state = self._state._replace(rule=())

    def reset(self) -> None:
        """Forget everything: the next image is the first."""
        self._index = 0
        self._focals = FocalMemory()
        self._last_pose = np.eye(4)
        self._network_pose = np.eye(4)  # of the last good image, as the tracker was told
        self._spin = np.eye(3)  # rotation of the camera from the image before to the last one
        self._last_tracking = Tracking(status='first')
        self._watch.reset()
        if self._gimbal:
            self._gimbal.reset()
        if self._tracker:
            self._tracker.reset()
        self._start_chunk(np.eye(4))

    @torch.inference_mode()
    def prepare(self, image: NDArray[np.uint8], *, encode: bool = True) -> Prepared:
        """
        Do ahead what does not depend on the images before: resize and encode.

        May be called in another thread, while `add` works on an earlier image: with a second core
        (or enough GPU) the next image is then encoded while this one is decoded.

        :param image: RGB [H, W, 3]; not to be written to before `add` has returned its view
        :param encode: False where its turn comes at once: only then is the camera's roll known,
            and what was encoded with another one is encoded again
        :raises ImageError: the image cannot be used
        :raises ReconstructionError: it needs more memory than there is
        """
        with enough_memory(self.device):
            # a guess: whether the camera has rolled since, its turn will tell
            roll = self._gimbal.angle if self._gimbal else 0.0
            return self._preparation.prepare(image, roll, encode=encode)

    @torch.inference_mode()
    def add(
        self,
        image: NDArray[np.uint8] | Prepared,
        *,
        camera: Intrinsics | None = None,
        update: bool = True,
        world: bool = False,
    ) -> View:
        """
        Reconstruct the next image.

        :param image: RGB [H, W, 3], or what `prepare` made of it, which gives the same view; the
            size may change from frame to frame
        :param camera: the image's intrinsics, where they are known
        :param update: whether the state may change; else the image does not count for
            `reset_interval`
        :param world: also ask the world head, if it is loaded
        :raises ImageError: image or camera cannot be used; the state is as before
        :raises ReconstructionError: the network's output is not finite; the state starts anew, and
            the trajectory goes on from the last pose. Or memory has run out
        """
        frame = image if isinstance(image, Prepared) else self.prepare(image, encode=False)
        if camera is not None:
            check_camera(camera, frame.mapping)
        self.finish()
        with enough_memory(self.device):
            return self._add(frame, camera, update=update, world=world)

    def finish(self) -> None:
        """
        Learn from the last image what its own view does not need (the tracker's keyframes).

        `add` does so first, where nobody did; views are the same. Between two
        images it costs none of them time.

        :raises ReconstructionError: memory has run out
        """
        if self._tracker:
            with enough_memory(self.device):
                self._tracker.finish()

    def _add(
        self, frame: Prepared, camera: Intrinsics | None, *, update: bool, world: bool
    ) -> View:
        began = time.perf_counter()
        unseen = shows_nothing(frame.small)
        if self._gimbal:
            frame = self._turn(frame, self._gimbal, unseen=unseen)
        if not self._chunk_begun:
            self._chunk_roll = frame.roll
        before = self._state
        encoded = self._preparation.encoded(frame)
        prediction = self._decode(encoded, update=update, world=world)
        pinhole = self.network.config.points == 'pinhole'
        focal = (focal_from_corner if pinhole else focal_from_points)(prediction.points)
        seen = Seen.download(prediction, focal)
        if not seen.is_sound():
            self._start_chunk(self._network_pose)
            raise ReconstructionError(
                'the network’s output is not finite, or fits no camera; the state starts anew'
            )
        lost = unseen or self._watch.collapsed(seen.confidence)
        if frame.roll:
            seen = turn_back(seen, frame.mapping, frame.roll, pinhole=pinhole)
        T_world_turned = self._T_world_turned() @ seen.T_chunk_camera
        network_pose = se3.orthonormalise(T_world_turned @ turning_axes(frame.roll))
        decoded = time.perf_counter()
        if lost:
            # Neither state nor track may learn from it: both go on when the view returns.
            self._state = before
            if self._gimbal and not unseen:
                self._gimbal.take_back()
            view = self._view(seen, None, frame, camera)
        else:
            view = self._view(seen, network_pose, frame, camera)
        tracked = time.perf_counter()
        self._index += 1
        if not lost:
            self._end_frame(encoded, frame.roll, network_pose, update=update)
        network = frame.seconds + decoded - began
        return replace(view, durations=Durations(network=network, tracking=tracked - decoded))

    def _turn(self, frame: Prepared, gimbal: Gimbal, *, unseen: bool) -> Prepared:
        """Follow the camera's roll; what was encoded with another one is of no use."""
        foreseen = self._last_pose[:3, :3] @ self._spin
        roll = gimbal.angle if unseen else gimbal.follow(frame.small, foreseen)
        return frame if roll == frame.roll else replace(frame, roll=roll, encoded=None)

    def _decode(self, encoded: Encoded, *, update: bool, world: bool) -> Prediction:
        outputs = {'world'} if world and self.network.config.world_head else set()
        prediction, self._state = self._calls.decode(
            encoded,
            self._state,
            UPDATE_RULES[self._config.update_rule],
            None if update else torch.zeros(1, dtype=torch.bool, device=self.device),
            frozenset(outputs),
        )
        return prediction

    def _start_chunk(self, T_world_chunk: se3.Transform) -> None:
        """Start the state anew; its poses are relative to the given one."""
        with torch.inference_mode():
            self._state = self.network.initial_state(1)
        self._T_world_chunk = T_world_chunk
        self._chunk_frames = 0  # that it shares with no other
        self._chunk_begun = False  # whether the state has taken an image
        self._chunk_roll = 0.0  # by which its first image was turned

    def _T_world_turned(self) -> se3.Transform:  # noqa: N802 - a transform
        """Return what takes the state's frame, that of its first image as turned, to the world."""
        return self._T_world_chunk @ turning_axes(self._chunk_roll).T

    def _end_frame(
        self, encoded: Encoded, roll: float, network_pose: se3.Transform, *, update: bool
    ) -> None:
        """Count what the state took; at a reset it is fed twice, to end a chunk and start one."""
        self._network_pose = network_pose
        self._chunk_frames += update
        self._chunk_begun |= update
        interval = self._config.reset_interval
        if update and interval and self._chunk_frames >= interval:
            logger.info('state reset after %d frames', self._chunk_frames)
            self._start_chunk(network_pose)
            self._decode(encoded, update=True, world=False)
            self._chunk_begun, self._chunk_roll = True, roll

    def _view(
        self,
        seen: Seen,
        network_pose: se3.Transform | None,
        frame: Prepared,
        camera: Intrinsics | None,
    ) -> View:
        """Put together what is known; without a pose the frame is lost."""
        mapping = frame.mapping
        estimate = Intrinsics.centred(mapping.width, mapping.height, seen.focal)
        seeing = network_pose is not None
        smoothed = self._focals.smooth(mapping.to_input(estimate), learn=seeing)
        points, scale, pinhole = seen.points, 1.0, self.network.config.points == 'pinhole'
        known = camera or smoothed
        if pinhole and self._tracker:
            image = frame.image if seeing else None
            known = camera or smoothed.zoomed(self._tracker.focal_scale(image, smoothed))
            points = points * depth_factor(mapping.to_output(known), seen.focal)
        if pinhole and camera is not None:
            estimate = mapping.to_output(camera)
            points = estimate.rays() * points[..., 2:]
        pose, tracking = network_pose, Tracking(status='network')
        if pose is None:
            pose, tracking = self._last_pose, Tracking(status='lost', unseen=True)
        elif self._tracker:
            tracked = self._tracker.add(
                frame.image,
                points,
                seen.confidence,
                mapping,
                camera or smoothed,
                pose,
                calibrated=camera is not None or not pinhole,
            )
            pose = tracked.T_world_camera
            tracking = Tracking(
                status=tracked.status,
                inliers=tracked.inliers,
                matches=tracked.matches,
                covariance=tracked.covariance,
                blurred=tracked.blurred,
            )
            if self._config.align_depth:
                scale = tracked.depth_scale
                points = refine_depth(
                    points * np.float32(scale),
                    tracked.landmark_pixels,
                    tracked.landmark_depth,
                    tracked.landmark_sigma,
                )
        if camera is None and pinhole and self._tracker:
            smoothed = known
            estimate = mapping.to_output(known)
            points = estimate.rays() * points[..., 2:]
        self._remember(pose, tracking)
        return View(
            index=self._index,
            T_world_camera=pose,
            points=points,
            confidence=seen.confidence,
            image=frame.small,
            intrinsics=estimate,
            input_intrinsics=smoothed,
            focal_spread=self._focals.spread,
            mapping=mapping,
            tracking=tracking,
            health=seen.health if seeing else replace(seen.health, gain=0.0, change=0.0),
            depth_scale=scale,
            world_points=self._to_world(seen.world_points),
        )

    def _remember(self, pose: se3.Transform, tracking: Tracking) -> None:
        """Keep what the next image is expected from."""
        moved = tracking.status != 'lost' and not tracking.leaps(self._last_tracking)
        self._spin = self._last_pose[:3, :3].T @ pose[:3, :3] if moved else np.eye(3)
        self._last_tracking = tracking
        self._last_pose = pose
        if self._gimbal and self._tracker and tracking.status == 'network':
            self._gimbal.lose(pose[:3, :3])

    def _to_world(self, points: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        return None if points is None else se3.transform_points(self._T_world_turned(), points)
