"""The one stateful class: images in, poses and metric points out; numpy on both sides."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from ttt3r_ros.devices import INT8, PRECISIONS, choose_device, choose_precision
from ttt3r_ros.errors import ReconstructionError
from ttt3r_ros.geometry import se3
from ttt3r_ros.geometry.camera import (
    ImageMapping,
    Intrinsics,
    focal_from_corner,
    focal_from_points,
)
from ttt3r_ros.model.checkpoint import load_network
from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.model.encoder import Encoded
from ttt3r_ros.model.network import Network, Prediction, State
from ttt3r_ros.model.quantise import quantise
from ttt3r_ros.model.update_rules import UPDATE_RULES
from ttt3r_ros.preprocess import fit_image, to_tensor
from ttt3r_ros.settings import check_settings, setting
from ttt3r_ros.tracking.pnp import PnpTracker
from ttt3r_ros.tracking.refine_depth import refine_depth
from ttt3r_ros.view import Health, Tracking, View

logger = logging.getLogger(__name__)

SHIPPED_WEIGHTS = Path(__file__).parent / 'weights' / 'small.safetensors'

_FOCAL_FRAMES = 60  # over which the focal length is smoothed
LARGEST_DRIFT = 100.0  # of the state from its start, relative; trained networks stay near 1


@dataclass(frozen=True, kw_only=True)
class ReconstructorConfig:
    """Settings of the reconstruction itself; each becomes one ROS parameter."""

    weights: str = setting(
        '', 'Weights file (.pth, .safetensors); empty: the shipped small model.'
    )
    preset: str = setting(
        '', 'Sizes of the network; empty: as the weights file says.', choices=('', *PRESETS)
    )
    device: str = setting('auto', 'auto, cpu, cuda or cuda:N.')
    precision: str = setting(
        'auto',
        'Number format of the network; int8 (CPU): of its large matrices, the rest in float32.',
        choices=('auto', *PRECISIONS, INT8),
    )
    world_head: bool = setting(
        False, 'Load the head for points in the world frame, if the weights have one.'
    )
    update_rule: str = setting(
        'ttt3r', 'How a frame changes the state.', choices=tuple(UPDATE_RULES), runtime=True
    )
    pose_source: str = setting(
        'auto',
        'Pose regressed by the network, or solved from its points (pnp); '
        'auto: pnp for the shipped small model, network for CUT3R’s.',
        choices=('auto', 'network', 'pnp'),
    )
    reset_interval: int = setting(
        0, 'Frames between state resets; 0 never resets.', ge=0, runtime=True
    )
    fit: str = setting(
        'crop',
        'How an image is brought to whole patches: cropped, or stretched.',
        choices=('crop', 'stretch'),
    )
    align_depth: bool = setting(
        True,
        'Correct the depth of each frame by the tracked landmarks: its scale, and a smooth field '
        '(pose source pnp).',
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if self.reset_interval == 1:
            raise ValueError('reset_interval is 1; each part needs 2 frames, and 0 never resets')


@dataclass(frozen=True)
class Prepared:
    """An image with all that can be computed before its turn; from `Reconstructor.prepare`."""

    image: NDArray[np.uint8]  # as it was given [H, W, 3]
    small: NDArray[np.uint8]  # as the network sees it [h, w, 3]
    mapping: ImageMapping  # from the one to the other
    encoded: Encoded


class Reconstructor:
    """
    A camera's images, one after the other, to metric points and poses.

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
        self.dtype = choose_precision(self._config.precision, self.device)
        if network is None:
            path = self._config.weights or SHIPPED_WEIGHTS
            wanted = frozenset({'world'} if self._config.world_head else ())
            network = load_network(path, preset=self._config.preset, outputs=wanted)
        if self._config.precision == INT8:
            network = quantise(network)
        # with channels last, tokens are feature maps as they lie in memory
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network: Network = network.to(self.device, self.dtype)
        source = self._config.pose_source
        if source == 'auto':
            source = 'pnp' if network.config.motion_radius else 'network'
        self._tracker = PnpTracker() if source == 'pnp' else None
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

        :raises ValueError: a value outside its limits
        """
        if reset_interval is not None:
            self._config = replace(self._config, reset_interval=reset_interval)
        if update_rule is not None and update_rule != self._config.update_rule:
            self._config = replace(self._config, update_rule=update_rule)
            self._state = self._state._replace(rule=())

    def reset(self) -> None:
        """Forget everything: the next image is the first."""
        self._index = 0
        self._focals: deque[float] = deque(maxlen=_FOCAL_FRAMES)
        self._last_pose = np.eye(4)
        if self._tracker:
            self._tracker.reset()
        self._start_chunk(np.eye(4))

    @torch.inference_mode()
    def prepare(self, image: NDArray[np.uint8]) -> Prepared:
        """
        Do ahead what does not depend on the images before: resize and encode.

        May be called in another thread, while `add` works on an earlier image: with a second core
        (or enough GPU) the next image is then encoded while this one is decoded.

        :param image: RGB [H, W, 3]
        :raises ImageError: the image cannot be used
        """
        small, mapping = fit_image(image, self.network.config, crop=self._config.fit == 'crop')
        encoded = self.network.encode(to_tensor([small], self.device, self.dtype))
        return Prepared(image, small, mapping, encoded)

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
        :param update: whether the state may change
        :param world: also ask the world head, if it is loaded
        :raises ImageError: the image cannot be used; the state is as before
        :raises ReconstructionError: the network's output is not finite; the state starts anew, and
            the trajectory goes on from the last pose
        """
        frame = image if isinstance(image, Prepared) else self.prepare(image)
        prediction = self._decode(frame.encoded, update=update, world=world)
        pinhole = self.network.config.points == 'pinhole'
        find_focal = focal_from_corner if pinhole else focal_from_points
        seen = _Seen.download(prediction, find_focal(prediction.points))
        if not seen.is_sound():
            self._start_chunk(self._last_pose)
            raise ReconstructionError(
                'the network’s output is not finite, or fits no camera; the state starts anew'
            )
        network_pose = se3.orthonormalise(self._T_world_chunk @ seen.T_chunk_camera)
        view = self._view(seen, network_pose, frame, camera)
        self._end_frame(frame.encoded, network_pose)
        return view

    def _decode(self, encoded: Encoded, *, update: bool, world: bool) -> Prediction:
        outputs = {'world'} if world and self.network.config.world_head else set()
        prediction, self._state = self.network.decode(
            encoded,
            self._state,
            UPDATE_RULES[self._config.update_rule],
            update=None if update else torch.zeros(1, dtype=torch.bool, device=self.device),
            outputs=frozenset(outputs),
        )
        return prediction

    def _start_chunk(self, T_world_chunk: se3.Transform) -> None:
        """Start the state anew; its poses are relative to the given one."""
        with torch.inference_mode():
            self._state = self.network.initial_state(1)
        self._T_world_chunk = T_world_chunk
        self._chunk_frames = 0

    def _end_frame(self, encoded: Encoded, network_pose: se3.Transform) -> None:
        """Count the frame; at a reset it is fed twice, to end one chunk and start the next."""
        self._index += 1
        self._chunk_frames += 1
        interval = self._config.reset_interval
        if interval and self._chunk_frames >= interval:
            logger.info('state reset after %d frames', self._chunk_frames)
            self._start_chunk(network_pose)
            self._decode(encoded, update=True, world=False)
            self._chunk_frames = 1

    def _view(
        self,
        seen: _Seen,
        network_pose: se3.Transform,
        frame: Prepared,
        camera: Intrinsics | None,
    ) -> View:
        mapping = frame.mapping
        estimate = Intrinsics.centred(mapping.width, mapping.height, seen.focal)
        in_input = mapping.to_input(estimate)
        longest = max(mapping.input_width, mapping.input_height)
        self._focals.append(float(np.log(in_input.fx / longest)))
        focal = longest * float(np.exp(np.median(self._focals)))
        aspect = in_input.fy / in_input.fx
        smoothed = replace(in_input, fx=focal, fy=focal * aspect)
        points, scale = seen.points, 1.0
        if camera is not None and self.network.config.points == 'pinhole':
            estimate = mapping.to_output(camera)
            points = estimate.rays() * points[..., 2:]
        pose, tracking = network_pose, Tracking(status='network')
        if self._tracker:
            tracked = self._tracker.add(
                frame.image, points, seen.confidence, mapping, camera or smoothed, network_pose
            )
            pose = tracked.T_world_camera
            tracking = Tracking(
                status=tracked.status,
                inliers=tracked.inliers,
                matches=tracked.matches,
                covariance=tracked.covariance,
            )
            if self._config.align_depth:
                scale = tracked.depth_scale
                points = refine_depth(
                    points * np.float32(scale), tracked.landmark_pixels, tracked.landmark_depth
                )
        self._last_pose = pose
        return View(
            index=self._index,
            T_world_camera=pose,
            points=points,
            confidence=seen.confidence,
            image=frame.small,
            intrinsics=estimate,
            input_intrinsics=smoothed,
            focal_spread=float(np.std(self._focals)),
            mapping=mapping,
            tracking=tracking,
            health=seen.health,
            depth_scale=scale,
            world_points=self._to_world(seen.world_points),
        )

    def _to_world(self, points: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        return None if points is None else se3.transform_points(self._T_world_chunk, points)


@dataclass(frozen=True)
class _Seen:
    """The network's output for one image, in numpy."""

    T_chunk_camera: se3.Transform
    points: NDArray[np.float32]
    confidence: NDArray[np.float32]
    world_points: NDArray[np.float32] | None
    focal: float
    health: Health

    @classmethod
    def download(cls, prediction: Prediction, focal: Tensor) -> _Seen:
        """Copy from the device, the small numbers in one piece, with the focal length [1]."""
        health = torch.cat(list(prediction.health))
        parts = [prediction.translation[0], prediction.quat_wxyz[0], focal, health]
        small = torch.cat([part.float() for part in parts]).cpu().double().numpy()
        pose = np.full((4, 4), np.nan)
        if np.isfinite(small[:7]).all():
            pose = se3.from_translation_quat(small[:3], small[3:7])
        world = prediction.world_points
        return cls(
            pose,
            _to_numpy(prediction.points),
            _to_numpy(prediction.confidence),
            None if world is None else _to_numpy(world),
            float(small[7]),
            Health(gain=float(small[8]), change=float(small[9]), drift=float(small[10])),
        )

    def is_sound(self) -> bool:
        """Whether everything is finite, the state has not exploded, and there is a focal."""
        health = self.health
        numbers = [self.focal, health.gain, health.change, health.drift]
        return bool(
            np.isfinite(numbers).all()
            and np.isfinite(self.T_chunk_camera).all()
            and np.isfinite(self.points).all()
            and self.focal > 0
            and health.drift < LARGEST_DRIFT
        )


def _to_numpy(tensor: Tensor) -> NDArray[np.float32]:
    return np.asarray(tensor[0].float().cpu().numpy(), np.float32)
