"""
Where the frames are: poses of the network's world seen from map and odom (REP-103, REP-105).

`odom` and `map` are level and z-up; the robot (or, without one, the camera) stands at their origin
at the first image of an epoch. The world is the frame that the network gives poses in.
"""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ttt3r_ros.errors import ImageError
from ttt3r_ros.geometry.se3 import Transform, inverse
from ttt3r_ros.node.settings import NodeConfig
from ttt3r_ros.view import Tracking, View

# Columns: the optical axes (right, down, forward) in a body frame (forward, left, up).
R_BODY_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])

# Standard deviations of one pose where the confidence is 1, the least there is: a tenth of the
# distance to the scene, and six degrees.
POSITION_SIGMA = 0.1
ROTATION_SIGMA = 0.1
UNKNOWN_VARIANCE = 1e6

Matrix6: TypeAlias = NDArray[np.float64]  # [6, 6]


@dataclass(frozen=True)
class FrameNames:
    """Names of the frames, prefix included; `base` is the camera where there is no robot."""

    map: str
    odom: str
    base: str
    camera: str

    @classmethod
    def resolve(cls, config: NodeConfig, image_frame: str) -> FrameNames:
        """
        Put the prefix before each name, and fill in those that are left open.

        :param image_frame: frame_id of the images
        :raises ImageError: if the images name no frame and the settings neither
        """
        # old bags and bridged drivers write a slash before it, which tf2 does not know
        camera = config.camera_frame or image_frame.lstrip('/')
        if not camera:
            raise ImageError('the images have no frame_id; set the parameter camera_frame')
        if camera in (config.map_frame, config.odom_frame):
            raise ImageError(f'the images claim to be in frame {camera!r}, which is no camera')
        names = (config.map_frame, config.odom_frame, config.base_frame or camera, camera)
        return cls(*(config.frame_prefix + name for name in names))


def frame_of_map_points(config: NodeConfig) -> str:
    """
    Return the frame that the map's points are in.

    Where a localiser publishes map -> odom, `map` is its own. Ours begins at the origin of odom,
    and stays there where odom is ours.
    """
    of_another = config.publish_odom_tf and not config.publish_map_tf
    return config.frame_prefix + (config.odom_frame if of_another else config.map_frame)


def level_camera(tilt: float) -> Transform:
    """
    Return the pose of a camera without roll, in a level z-up frame at the same place.

    :param tilt: how far it looks down, radians
    :return: `T_level_camera`, camera in optical axes [4, 4]
    """
    cosine, sine = math.cos(tilt), math.sin(tilt)
    R_level_body = np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])
    transform = np.eye(4)
    transform[:3, :3] = R_level_body @ R_BODY_OPTICAL
    return transform


class Epoch:
    """
    Poses between two resets.

    :param T_world_first: pose that the network gives to the first image; near identity
    :param T_base_camera: mounting of the camera on the robot; None where there is no robot: then
        the camera is tracked, and stands in odom the way `tilt` says
    :param tilt: how far the first image looks down, radians; only used without a robot
    """

    def __init__(
        self, T_world_first: Transform, T_base_camera: Transform | None = None, tilt: float = 0.0
    ) -> None:
        mounting = np.eye(4) if T_base_camera is None else T_base_camera
        self._T_camera_base = inverse(mounting)
        T_map_first = level_camera(tilt) if T_base_camera is None else mounting
        self.T_map_world: Transform = T_map_first @ inverse(T_world_first)
        self._T_map_odom_first: Transform | None = None
        self.T_map_odom: Transform = np.eye(4)

    @property
    def has_met_odometry(self) -> bool:
        """Whether another source's odometry has told where `odom` is."""
        return self._T_map_odom_first is not None

    def map_base(self, T_world_camera: Transform) -> Transform:
        """Return `T_map_base` of a pose of the camera."""
        return self.T_map_world @ T_world_camera @ self._T_camera_base

    def odom_base(self, T_world_camera: Transform) -> Transform:
        """
        Return `T_odom_base`, continuous over the whole epoch.

        Where another source owns odom, this is our own estimate in that frame, anchored where
        the two met first.
        """
        anchor = np.eye(4) if self._T_map_odom_first is None else self._T_map_odom_first
        return inverse(anchor) @ self.map_base(T_world_camera)

    def odom_covariance(self, T_world_camera: Transform, covariance: Matrix6) -> Matrix6:
        """
        Carry the uncertainty of a camera's pose over to the base and the axes of odom.

        :param covariance: about the camera's axes [6, 6]
        :return: of the base frame, about the axes of odom [6, 6]
        """
        R_odom_camera = (self.odom_base(T_world_camera) @ inverse(self._T_camera_base))[:3, :3]
        # A rotation about the camera also moves the base.
        lever = np.eye(6)
        lever[:3, 3:] = -_cross(R_odom_camera @ self._T_camera_base[:3, 3])
        carry = lever @ _both(R_odom_camera)
        return carry @ covariance @ carry.T

    def follow_odometry(self, T_world_camera: Transform, T_odom_base: Transform) -> Transform:
        """
        Let map -> odom make up for the difference to another source of odometry.

        :param T_odom_base: what that source says for the same time
        :return: `T_map_odom` such that map -> camera is the network's pose
        """
        self.T_map_odom = self.map_base(T_world_camera) @ inverse(T_odom_base)
        if self._T_map_odom_first is None:
            self._T_map_odom_first = self.T_map_odom
        return self.T_map_odom


class TwistEstimator:
    """Velocity from successive poses, in the axes of the moving frame (as `nav_msgs/Odometry`)."""

    def __init__(self) -> None:
        self._last: tuple[float, Transform] | None = None
        self._sure: tuple[float, Transform] | None = None  # the last that belongs in the map
        self._tracking = Tracking(status='first')
        self.interval = 0.0  # seconds between the two poses that the velocity comes from

    def update(self, stamp: float, pose: Transform, tracking: Tracking) -> NDArray[np.float64]:
        """
        Take the next pose.

        After a blur the velocity is the mean since the last image before it: the step from the
        blurred image's pose is a leap of the estimate, not a motion.

        :param stamp: seconds
        :param pose: `T_fixed_moving` [4, 4]
        :param tracking: where the pose comes from; a lost image has none, and is left out
        :return: linear (m/s) and angular (rad/s) velocity; zero for the first pose [6]
        """
        last = self._sure if tracking.leaps(self._tracking) else self._last
        self._last, self._tracking = (stamp, pose), tracking
        if tracking.belongs_in_map:
            self._sure = self._last
        if last is None or stamp <= last[0]:
            self.interval = 0.0
            return np.zeros(6)
        self.interval = stamp - last[0]
        motion = inverse(last[1]) @ pose
        turn = Rotation.from_matrix(motion[:3, :3]).as_rotvec()
        # Seen from halfway: from either end, who turns while driving would also move sideways.
        moved = Rotation.from_rotvec(-turn / 2).apply(motion[:3, 3])
        return np.concatenate([moved, turn]) / self.interval


def camera_covariance(view: View, scale: float) -> Matrix6:
    """
    Tell how uncertain a pose is.

    Where the pose is solved from points, the solution tells. Else it is derived from how sure the
    network is: its confidence c >= 1 weights the training loss as c * error - log c, least where
    the expected error is 1 / c; both deviations are taken proportional to 1 / c, that of the
    position also to the distance of the scene, for the loss is relative to it.

    :param view: of one image
    :param scale: factor on the standard deviations
    :return: of position (m) and rotation (rad), about the camera's axes [6, 6]
    """
    if view.tracking.covariance is not None:
        return view.tracking.covariance * scale**2
    sigma = scale / max(float(view.confidence.mean()), 1.0)
    distance = float(np.median(view.depth))
    sigmas = np.repeat([POSITION_SIGMA * distance * sigma, ROTATION_SIGMA * sigma], 3)
    return np.diag(sigmas**2)


def twist_covariance(covariance: Matrix6, pose: Transform, interval: float) -> Matrix6:
    """
    Derive the uncertainty of a velocity from that of the two poses it comes from.

    :param covariance: of each pose, about the axes of the fixed frame [6, 6]
    :param pose: `T_fixed_moving` [4, 4]
    :param interval: seconds between them; 0 where there is no velocity, which then says nothing
    :return: in (m/s)^2 and (rad/s)^2, about the axes of the moving frame [6, 6]
    """
    if interval <= 0:
        return np.eye(6) * UNKNOWN_VARIANCE
    turn = _both(pose[:3, :3].T)
    return 2.0 * turn @ covariance @ turn.T / interval**2


def _both(rotation: NDArray[np.float64]) -> Matrix6:
    """Return the matrix that turns the axes of positions and rotations alike."""
    matrix = np.zeros((6, 6))
    matrix[:3, :3] = matrix[3:, 3:] = rotation
    return matrix


def _cross(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y, z = vector
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
