"""
The camera's trajectory, solved from images and the network's depths by geometry.

Corners are followed by optical flow at the image's full resolution; each is a point of a map,
whose depth starts as the network's and is then triangulated. A pose is solved from the points
that are seen (PnP), and at keyframes the latest poses and depths are refined together, after the
pose is given out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
import logging

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.geometry.camera import ImageMapping, Intrinsics
from ttt3r_ros.geometry.se3 import Transform, inverse, rotation_angle
from ttt3r_ros.tracking.config import TrackerConfig
from ttt3r_ros.tracking.features import LEVELS, MOST_LEVELS, follow
from ttt3r_ros.tracking.frame import TrackingFrame, check_image, gray_image
from ttt3r_ros.tracking.mapper import Mapper, Sighting
from ttt3r_ros.tracking.pose import Array, project, solve_pose
from ttt3r_ros.tracking.scale import median_ratio
from ttt3r_ros.tracking.shutter import readout_shift
from ttt3r_ros.tracking.two_view import relative_pose

__all__ = ['PnpTracker', 'TrackedPose', 'TrackerConfig']

logger = logging.getLogger(__name__)

_OUTLIER = 3.0  # a point is given up at so many times the error of one that agrees
_LEAST_AGREEING = 0.3  # of the points that were found
_SURE = 0.6  # of the points agree with a pose in a map that did not fit at first
_APART = 0.03  # radians, between two answers of which one is wrong
_CROSSING = 1.5  # times as many points must agree as for a pose in the map
_MOST_BLURRED = 30  # frames; after that the map begins anew


@dataclass(frozen=True, kw_only=True)
class TrackedPose:
    """
    The pose of one frame.

    :param T_world_camera: [4, 4], metres
    :param status: first; tracked; network (blurred, or nothing in common with what was seen
        before: the network's motion since the last good pose is taken); lost (nothing to be seen:
        the last good pose is repeated, or that of a blurred image after it)
    :param inliers: points that agree with the pose
    :param matches: points that were found in the image
    :param covariance: of (x, y, z in metres, rotation about x, y, z in radians), in camera axes,
        relative to the map; None where the pose was not solved by flow [6, 6]
    :param focal_scale: what the given focal length is to be multiplied by; 1 if calibrated
    :param depth_scale: what the network's depth is to be multiplied by to agree with the map
    :param landmark_pixels: the map's points, in the network's image [N, 2]
    :param landmark_depth: their depths, metres [N]
    :param landmark_sigma: standard deviations of these depths' logarithms [N]
    :param blurred: the image is so blurred that the map has not learnt from it
    """

    T_world_camera: Transform
    status: str
    inliers: int
    matches: int
    covariance: Array | None
    focal_scale: float
    depth_scale: float
    landmark_pixels: Array
    landmark_depth: Array
    landmark_sigma: Array
    blurred: bool = False


@dataclass(frozen=True)
class _Matches:
    """
    Points of the map, followed to a new image.

    :param T_camera_world: about where its camera is [4, 4]
    :param rows: of the map [N]
    :param world: where they are, metres [N, 3]
    :param pixels: where they are seen [N, 2]
    :param before: where they were in the last good image [N, 2]
    :param clear: whether they stand out from noise, see `follow` [N]
    """

    T_camera_world: Transform
    rows: NDArray[np.int64]
    world: Array
    pixels: NDArray[np.float32]
    before: NDArray[np.float32]
    clear: NDArray[np.bool_]


class PnpTracker:
    """
    Follow a camera, one image after the other.

    The same images give the same poses: OpenCV's random numbers are seeded before each use.

    :param config: settings
    """

    def __init__(self, config: TrackerConfig | None = None) -> None:
        self._config = config or TrackerConfig()
        self.reset()

    @property
    def readout(self) -> float:
        """Time to read out an image, as found so far, as part of the time between images."""
        return self._mapper.shutter.readout

    def reset(self) -> None:
        """Forget everything: the next image is the first."""
        self._mapper = Mapper(self._config)
        self._camera: Intrinsics | None = None  # of the last image
        self._frame: TrackingFrame | None = None  # the last whose pose is known
        self._network_pose: Transform = np.eye(4)  # of that frame
        self._T_camera_world: Transform = np.eye(4)
        self._motion: Transform = np.eye(4)  # from the camera before that frame to its own
        self._depth_scale = self._focal_scale = 1.0
        self._frames_lost = 0
        self._blurred_pose: Transform | None = None  # T_world_camera of the last blurred image

    def add(
        self,
        image: NDArray[np.uint8],
        points: NDArray[np.float32],
        confidence: NDArray[np.float32],
        mapping: ImageMapping,
        camera: Intrinsics,
        network_pose: Transform,
        *,
        calibrated: bool = True,
    ) -> TrackedPose:
        """
        Find the pose of the next image.

        :param image: RGB, at its full resolution; its size may change [H, W, 3]
        :param points: the network's, camera frame, metres; only z is used [h, w, 3]
        :param confidence: the network's [h, w]
        :param mapping: from the image to the network's
        :param camera: of the image; an estimate may change from frame to frame
        :param network_pose: T_world_camera as regressed; the first frame's is taken as it is,
            that of others only where tracking is impossible
        :param calibrated: whether the camera's focal length is known; if not, it is found from
            the motion, with `camera` as a first guess
        :raises ImageError: the arrays do not fit together
        """
        self.finish()
        check_image(image, mapping)
        size = self._config.image_size
        self._focal_scale = 1.0 if calibrated else self.focal_scale(image, camera)
        self._camera = camera
        camera = camera.zoomed(self._focal_scale)
        frame = TrackingFrame.prepare(image, points, confidence, mapping, camera, size)
        if self._frame is None:
            self._start(frame, network_pose, inverse(network_pose))
            return self._report('first')
        sighting, unsettled = self._locate(self._frame, frame, network_pose)
        crossed = None
        if unsettled is not None:
            crossed = self._cross(frame, unsettled, network_pose, sighting)
        if crossed is not None:
            return crossed
        if sighting is None:
            return self._recover(frame, network_pose)
        self._T_camera_world, log_scale = self._mapper.learn(
            frame, sighting, calibrated=calibrated
        )
        self._frame, self._network_pose, self._motion = frame, network_pose, sighting.motion
        self._depth_scale = float(np.exp(log_scale))
        self._frames_lost, self._blurred_pose = 0, None
        return self._report(
            'tracked', int(sighting.agree.sum()), sighting.matches, sighting.covariance
        )

    def focal_scale(self, image: NDArray[np.uint8] | None, camera: Intrinsics) -> float:
        """
        Say what an estimated focal length is to be multiplied by, before `add` has the image.

        The first image is looked at for straight lines; others come with keyframes. With an image
        of another shape all that was learnt of the camera is forgotten, and places, too: with the
        wrong focal length they would be found again elsewhere.

        :param image: RGB, the next one; None where it shows nothing [H, W, 3]
        :param camera: estimate of its camera
        """
        self.finish()
        if image is not None and self._camera and not camera.has_shape_of(self._camera):
            self._mapper.forget_camera()
            self._camera = camera
        focal = self._mapper.focal
        if image is not None and not focal.has_looked:
            focal.look(gray_image(image, self._config.image_size))
        return float(np.exp(focal.correct(float(np.log(camera.fx / camera.width)))))

    def finish(self) -> None:
        """
        Learn from the last image what its own pose did not need.

        `add` does so first, where nobody did; the poses are the same.
        """
        refined = self._mapper.finish()
        if refined is not None:
            self._T_camera_world = refined

    def _locate(
        self, last: TrackingFrame, frame: TrackingFrame, network_pose: Transform
    ) -> tuple[Sighting | None, _Matches | None]:
        """
        Find the pose in the map: by the motion as before, or the network's in a sudden turn.

        :param last: the last good image
        :return: the pose, or None; the points that were followed, where it is None or in doubt
        """
        if last.gray.shape != frame.gray.shape:
            return None, None
        matches = self._follow(last, frame, self._motion, LEVELS)
        sighting = self._solve(frame, matches)
        if sighting is not None:
            return sighting, None
        again = self._follow(last, frame, self._network_motion(network_pose), MOST_LEVELS)
        sighting = self._solve(frame, again)
        if sighting is not None and sighting.agree.sum() > _SURE * sighting.matches:
            return sighting, None
        return sighting, max(matches, again, key=lambda found: int(found.clear.sum()))

    def _network_motion(self, network_pose: Transform) -> Transform:
        """Return the motion since the last good image, as the network sees it."""
        motion = inverse(network_pose) @ self._network_pose
        motion[:3, 3] *= self._depth_scale
        return motion

    def _follow(
        self, last: TrackingFrame, frame: TrackingFrame, motion: Transform, levels: int
    ) -> _Matches:
        """
        Follow the map's points.

        :param last: the last good image
        :param motion: from its camera to the new one, about
        :param levels: of the pyramid
        """
        matrix, points = frame.camera_matrix, self._mapper.landmarks.points
        rows = np.flatnonzero(points.followed)
        world, before = self._mapper.landmarks.world_points(matrix)[rows], points.pixels[rows]
        guess = motion @ self._T_camera_world
        shift = project(world, guess, matrix) - project(world, self._T_camera_world, matrix)
        start = before + np.nan_to_num(shift, nan=0.0, posinf=0.0, neginf=0.0)
        start = start.astype(np.float32)
        pixels, good, clear = follow(last.gray, frame.gray, before, start, levels)
        return _Matches(guess, rows[good], world[good], pixels[good], before[good], clear[good])

    def _solve(self, frame: TrackingFrame, matches: _Matches) -> Sighting | None:
        """Solve the pose; the map stays as it is."""
        config, matrix, pixels = self._config, frame.camera_matrix, matches.pixels
        shift = readout_shift(pixels, matches.before, len(frame.gray))
        solution = solve_pose(
            matches.world,
            pixels - self.readout * shift,
            matrix,
            (matches.T_camera_world, self._T_camera_world),
            config.max_error,
            config.min_inliers,
        )
        if solution is None or solution.inliers.mean() < _LEAST_AGREEING:
            return None
        if (solution.inliers & matches.clear).sum() < config.min_inliers:
            return None  # noise agrees with any pose that is guessed
        near = solution.errors < _OUTLIER * config.max_error
        return Sighting(
            T_camera_world=solution.T_camera_world,
            motion=solution.T_camera_world @ inverse(self._T_camera_world),
            rows=matches.rows[near],
            pixels=pixels[near],
            before=matches.before[near],
            agree=solution.inliers[near],
            matches=len(pixels),
            covariance=solution.covariance(matches.world, matrix),
        )

    def _cross(
        self,
        frame: TrackingFrame,
        matches: _Matches,
        network_pose: Transform,
        doubted: Sighting | None,
    ) -> TrackedPose | None:
        """Begin a new map where the points moved as for a camera, but not one in this map."""
        pose, clear = self._T_camera_world, matches.clear
        depth = (matches.world[clear] @ pose[:3, :3].T + pose[:3, 3])[:, 2]
        before, pixels = matches.before[clear], matches.pixels[clear]
        least = round(_CROSSING * self._config.min_inliers)
        found = relative_pose(before, pixels, depth, frame.camera_matrix, least)
        if found is None:
            return None
        if doubted is not None and rotation_angle(found.motion @ inverse(doubted.motion)) < _APART:
            return None
        logger.info('the map is left behind: tracking goes on from image to image')
        scale = median_ratio(np.log(found.depth) - frame.look_up(pixels), fewest=1)
        self._start(frame, network_pose, found.motion @ pose, scale)
        self._motion = found.motion
        return self._report('tracked', int(found.inliers.sum()), len(matches.pixels))

    def _recover(self, frame: TrackingFrame, network_pose: Transform) -> TrackedPose:
        """
        Find the place again, or ask the network; wait while nothing is to be seen.

        A blurred image leaves no trace in the map, which is looked for again in the next image.
        """
        place = self._mapper.find(frame)
        if place is not None:
            logger.info('tracking goes on from a place seen before')
            self._start(frame, network_pose, place.T_camera_world, place.log_scale)
            return self._report('tracked', place.inliers, place.matches)
        if self._mapper.is_empty(frame):
            lost = self._report('lost')
            # where a blur has led to, not where it began
            blurred = self._blurred_pose
            return lost if blurred is None else replace(lost, T_world_camera=blurred)
        self._frames_lost += 1
        pose = self._network_motion(network_pose) @ self._T_camera_world
        if self._frames_lost <= _MOST_BLURRED and self._mapper.is_blurred(frame):
            self._blurred_pose = inverse(pose)
            report = self._report('network')
            return replace(report, T_world_camera=self._blurred_pose, blurred=True)
        logger.info("nothing in common with earlier images: the network's motion is taken")
        self._start(frame, network_pose, pose)
        return self._report('network')

    def _start(
        self,
        frame: TrackingFrame,
        network_pose: Transform,
        T_camera_world: Transform,
        log_scale: float = 0.0,
    ) -> None:
        """Begin a new map at a frame."""
        self._mapper.start(frame, T_camera_world, log_scale)
        self._frame, self._network_pose = frame, network_pose
        self._T_camera_world, self._motion = T_camera_world, np.eye(4)
        self._depth_scale = float(np.exp(log_scale))
        self._frames_lost, self._blurred_pose = 0, None

    def _report(
        self,
        status: str,
        inliers: int = 0,
        matches: int = 0,
        covariance: Array | None = None,
    ) -> TrackedPose:
        pixels, depth, sigma = np.zeros((0, 2)), np.zeros(0), np.zeros(0)
        if self._frame is not None and status == 'tracked':
            known = self._mapper.triangulated(self._frame, self._T_camera_world)
            pixels, depth, sigma = known
        return TrackedPose(
            T_world_camera=inverse(self._T_camera_world),
            status=status,
            inliers=inliers,
            matches=matches,
            covariance=covariance,
            focal_scale=self._focal_scale,
            depth_scale=self._depth_scale,
            landmark_pixels=pixels,
            landmark_depth=depth,
            landmark_sigma=sigma,
        )
