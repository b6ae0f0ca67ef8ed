"""What the reconstructor says of one image."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.geometry.camera import ImageMapping, Intrinsics
from ttt3r_ros.geometry.se3 import Transform, transform_points

_MOST = float(np.finfo(np.float32).max)  # larger limits would overflow, with a warning


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """
    Where the pose comes from and how well it is supported.

    :param status: network (regressed), first, tracked or lost (nothing to be seen, or
        nothing the network knows: the last good pose is repeated, or that of a blurred image after
        it; before the first the identity)
    :param inliers: points that agree with the pose; 0 without tracking
    :param matches: points that were found in this image; 0 without tracking
    :param covariance: of (x, y, z in metres, rotation about x, y, z in radians) in the camera's
        axes [6, 6]; None where nothing is known
    :param blurred: the image is so blurred that the map does not learn from it
    :param unseen: nothing is to be seen, or nothing the network knows: lost, and the points are a
        guess. A camera that is lost before a bare wall still sees how far that is
    """

    status: str
    inliers: int = 0
    matches: int = 0
    covariance: NDArray[np.float64] | None = None
    blurred: bool = False
    unseen: bool = False

    @property
    def belongs_in_map(self) -> bool:
        """Whether the points may be added to a map: not where the pose or the image is too bad."""
        return self.status != 'lost' and not self.blurred

    def leaps(self, last: Tracking) -> bool:
        """
        Whether the step from the last pose to this one is no motion of the camera.

        A camera that finds itself again leaps from where it was left, or from where the network's
        motion brought it.

        :param last: tracking of the image before
        """
        return last.status == 'lost' or (last.blurred and self.status == 'tracked')


@dataclass(frozen=True, kw_only=True)
class Health:
    """
    How the frame changed the state, averaged over its tokens.

    :param gain: share of the decoded step that the update rule took
    :param change: size of the change, relative to the state
    :param drift: distance from the start state, relative to it
    """

    gain: float
    change: float
    drift: float


@dataclass(frozen=True, kw_only=True)
class Durations:
    """
    What the image took, in seconds of the clock on the wall.

    :param network: from the image to the network's output, what was prepared ahead included
    :param tracking: pose by geometry and the correction of depth; 0 without
    """

    network: float = 0.0
    tracking: float = 0.0


@dataclass(frozen=True, kw_only=True)
class View:
    """
    One image, reconstructed; h and w are the network's image size.

    :param index: of the frame since the start or the last reset
    :param T_world_camera: camera to world; the world is the first camera that is not lost;
        OpenCV axes, metres
    :param points: in the camera frame, metres [h, w, 3]
    :param confidence: the network's own, at least 1 [h, w]
    :param image: the pixels that the network saw, RGB [h, w, 3]
    :param intrinsics: of that image; the camera that points and depth are made with
    :param input_intrinsics: of the input image, smoothed over frames; estimated even where the
        camera is known, to be compared with it
    :param focal_spread: relative spread of the focal length over recent frames
    :param mapping: from the input image to the network's
    :param depth_scale: what the network's depth was multiplied by to agree with the track, before
        a smooth field corrected it further
    :param world_points: from the world head, if asked for [h, w, 3]
    :param durations: how long it took
    """

    index: int
    T_world_camera: Transform
    points: NDArray[np.float32]
    confidence: NDArray[np.float32]
    image: NDArray[np.uint8]
    intrinsics: Intrinsics
    input_intrinsics: Intrinsics
    focal_spread: float
    mapping: ImageMapping
    tracking: Tracking
    health: Health
    depth_scale: float = 1.0
    world_points: NDArray[np.float32] | None = None
    durations: Durations = field(default_factory=Durations)

    @property
    def depth(self) -> NDArray[np.float32]:
        """Depth along z in metres [h, w]."""
        return self.points[..., 2]

    def usable(self, *, min_confidence: float, max_depth: float) -> NDArray[np.bool_]:
        """
        Tell which points are to be used: in front, near and confident enough [h, w].

        None of an image that shows nothing: a robot would avoid what the network makes up.

        :param min_confidence: points less confident than this are left out
        :param max_depth: points farther than this are left out, metres; 0: no limit
        """
        if self.tracking.unseen:
            return np.zeros(self.confidence.shape, dtype=bool)
        usable: NDArray[np.bool_] = np.isfinite(self.points).all(axis=-1) & (self.depth > 0)
        usable &= self.confidence >= min(min_confidence, _MOST)
        if max_depth > 0:
            usable &= self.depth <= min(max_depth, _MOST)
        return usable

    def points_world(self) -> NDArray[np.float32]:
        """Return the points, moved by the pose to the world frame [h, w, 3]."""
        return transform_points(self.T_world_camera, self.points)
