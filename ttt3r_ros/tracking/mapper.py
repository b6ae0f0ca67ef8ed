"""What is learnt from a frame whose pose is known: points, scale, keyframes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.geometry.se3 import Transform, inverse
from ttt3r_ros.tracking import keyframes
from ttt3r_ros.tracking.config import TrackerConfig
from ttt3r_ros.tracking.features import detect, sharpness
from ttt3r_ros.tracking.focal import FocalEstimate
from ttt3r_ros.tracking.frame import TrackingFrame
from ttt3r_ros.tracking.landmarks import LandmarkMap
from ttt3r_ros.tracking.pose import Array, project, viewing_rays
from ttt3r_ros.tracking.relocalise import Places, Relocalisation
from ttt3r_ros.tracking.scale import NetworkScale, median_ratio, rescale_pose
from ttt3r_ros.tracking.shutter import ShutterEstimate, readout_shift

_PIXEL_ANGLE = 0.006  # radians by which the directions of a corner in two images are off, about
_TURNED_ANGLE = 0.15  # the same, per radian of turning: focal length and distortion are estimates
_BLURRED = 0.35  # sharpness, relative to that of the keyframes, at which nothing is to be seen
_SMOOTHING = 0.2  # of the keyframes' sharpness


@dataclass(frozen=True)
class Sighting:
    """
    Points found in a frame whose pose is solved.

    :param T_camera_world: [4, 4]
    :param motion: from the camera of the frame before to this one [4, 4]
    :param rows: of the map [N]
    :param pixels: where they are seen [N, 2]
    :param before: where they were one frame earlier [N, 2]
    :param agree: whether they agree with the pose [N]
    :param matches: points that were found, those too far off included
    :param covariance: of the pose, see `PoseSolution.covariance` [6, 6]
    """

    T_camera_world: Transform
    motion: Transform
    rows: NDArray[np.int64]
    pixels: NDArray[np.float32]
    before: NDArray[np.float32]
    agree: NDArray[np.bool_]
    matches: int
    covariance: Array


@dataclass(frozen=True)
class _Keyframe:
    """A frame that is to become one; the parameters are those of `Mapper.learn`."""

    frame: TrackingFrame
    sighting: Sighting
    T_camera_world: Transform
    log_scale: float
    calibrated: bool


class Mapper:
    """
    Keeps the map.

    What a frame's own pose does not need, `learn` leaves to `finish`, which must be called before
    the next frame.

    :param config: settings
    """

    def __init__(self, config: TrackerConfig) -> None:
        self._config = config
        self._sharpness = 0.0  # mean of the keyframes
        self.landmarks = LandmarkMap(np.eye(4))
        self.forget_camera()
        self.shutter = ShutterEstimate(config.rolling_shutter)
        self._due: _Keyframe | None = None
        self._learnt = False  # whether there is a frame since the last `finish`

    def forget_camera(self) -> None:
        """Forget the focal length, and the places that were seen with it."""
        self._places, self.focal = Places(), FocalEstimate()

    def start(self, frame: TrackingFrame, T_camera_world: Transform, log_scale: float) -> None:
        """
        Begin a new map with one keyframe; the places that were seen before stay known.

        :param log_scale: of the map, relative to the network's depth of this frame
        """
        self.landmarks = LandmarkMap(T_camera_world)
        self.landmarks.correct(self.shutter.readout)
        self._places.begin_map()
        self._scale = NetworkScale(self._config.scale_frames)
        self._end_keyframe(frame, np.eye(4), log_scale)

    def learn(
        self, frame: TrackingFrame, sighting: Sighting, *, calibrated: bool
    ) -> tuple[Transform, float]:
        """
        Take a frame into the map.

        :param calibrated: whether the focal length is known
        :return: T_camera_world; logarithm of what the network's depth of this frame is to be
            multiplied by
        """
        self._learnt = True
        self._learn_shutter(frame, sighting)
        self.landmarks.mark_followed(sighting.rows, sighting.pixels)
        rows = sighting.rows[sighting.agree]
        pose, log_scale = self._weigh_network(frame, sighting.T_camera_world, rows)
        self._frames_since += 1
        width = frame.gray.shape[1]
        if keyframes.is_due(self.landmarks, self._frames_since, width, self._config):
            self._due = _Keyframe(frame, sighting, pose, log_scale, calibrated)
        elif self._frames_since % self._config.keyframe_interval == 0:
            self._look_how_sharp(frame)  # at rest there are no keyframes, but the light may go
        return pose, log_scale

    def finish(self) -> Transform | None:
        """
        Learn more of the focal length, and make the last frame a keyframe where it is to be one.

        Once for each frame: further calls do nothing.

        :return: the keyframe's T_camera_world, refined; None where it is none
        """
        learnt, self._learnt = self._learnt, False
        due, self._due = self._due, None
        if learnt:
            self.focal.proceed()
        if due is None:
            return None
        frame, sighting, landmarks = due.frame, due.sighting, self.landmarks
        pose, log_scale = due.T_camera_world, due.log_scale
        landmarks.correct(self.shutter.readout)
        shift = readout_shift(sighting.pixels, sighting.before, len(frame.gray))
        landmarks.add_keyframe(pose, sighting.rows, sighting.pixels, shift)
        if not due.calibrated:
            self.focal.look(frame.gray)
        if self._config.refine:
            problem = keyframes.refine(landmarks, frame.camera_matrix, self._config)
            if problem is not None and not due.calibrated:
                self.focal.learn(problem, frame.gray.shape[1])
            pose = landmarks.T_camera_world[-1]
            log_ratio = self._log_ratio(frame, pose, sighting.rows[sighting.agree])
            log_scale = -median_ratio(log_ratio)
        if len(landmarks.T_camera_world) > self._config.window:
            landmarks.drop_oldest(frame.camera_matrix)
        self._end_keyframe(frame, sighting.motion, log_scale)
        return pose

    def _learn_shutter(self, frame: TrackingFrame, sighting: Sighting) -> None:
        """Learn how long an image is read out, and how points moved in a map's first image."""
        landmarks, rows, height = self.landmarks, sighting.rows, len(frame.gray)
        if len(landmarks.T_camera_world) == 1 and self._frames_since == 0:
            earlier = 2 * sighting.before - sighting.pixels  # if the motion was the same
            landmarks.shift_first(rows, readout_shift(sighting.before, earlier, height))
            return  # the pose was solved without
        agree = sighting.agree
        self.shutter.learn(
            landmarks.world_points(frame.camera_matrix)[rows[agree]],
            sighting.pixels[agree],
            sighting.before[agree],
            landmarks.points.anchor_shift[rows[agree]],
            sighting.T_camera_world,
            sighting.motion,
            frame.camera_matrix,
            height,
        )

    def _weigh_network(
        self, frame: TrackingFrame, pose: Transform, rows: NDArray[np.int64]
    ) -> tuple[Transform, float]:
        """Average the network's depths into points and scale; return pose and log-scale."""
        landmarks = self.landmarks
        log_ratio = self._log_ratio(frame, pose, rows)
        known = np.isfinite(log_ratio)
        ratio = median_ratio(log_ratio)
        landmarks.average_depth(rows[known], log_ratio[known] - ratio)
        if not self._config.refine:
            landmarks.points.log_depth[rows] = landmarks.points.prior[rows]
        step = self._scale.follow(ratio)
        # A young map is scaled about its start: the whole path was as wrong as the scale. An old
        # one about the camera, whose pose then stays where it is: the start is out of sight.
        centre = inverse(landmarks.T_camera_world[0] if landmarks.young else pose)[:3, 3]
        landmarks.rescale(step, centre)
        self._places.rescale(step, centre)
        return rescale_pose(pose, step, centre), step - ratio

    def _log_ratio(self, frame: TrackingFrame, pose: Transform, rows: NDArray[np.int64]) -> Array:
        """Compare the network's depths with those of the map; nan where not known [N]."""
        depth = self.landmarks.local_points(frame.camera_matrix, pose)[rows, 2]
        known = frame.look_up(self.landmarks.points.pixels[rows])
        return np.asarray(known - np.log(np.maximum(depth, 1e-3)))

    def _end_keyframe(self, frame: TrackingFrame, motion: Transform, log_scale: float) -> None:
        """Add new points where there are few, and remember the place."""
        config, landmarks, matrix = self._config, self.landmarks, frame.camera_matrix
        taken = landmarks.points.pixels[landmarks.points.followed]
        pixels = detect(frame.gray, taken, config.features - len(taken))
        log_depth = frame.look_up(pixels) + log_scale
        known = np.isfinite(log_depth)
        pixels, log_depth = pixels[known], log_depth[known]
        local = viewing_rays(pixels, matrix) * np.exp(log_depth)[:, None]
        before = project(local, inverse(motion), matrix)
        before = np.where(np.isfinite(before), before, pixels)
        landmarks.insert(pixels, readout_shift(pixels, before, len(frame.gray)), log_depth)
        self._places.add(landmarks.T_camera_world[-1], frame, log_scale)
        self._look_how_sharp(frame)
        self._frames_since = 0

    def _look_how_sharp(self, frame: TrackingFrame) -> None:
        sharp = sharpness(frame.gray)
        self._sharpness += (_SMOOTHING if self._sharpness else 1.0) * (sharp - self._sharpness)

    def triangulated(self, frame: TrackingFrame, pose: Transform) -> tuple[Array, Array, Array]:
        """
        Return what the map knows of this frame's depth.

        :return: pixels in the network's image [N, 2], depths in metres [N], and how wrong these
            may be (standard deviation of the logarithm): large with little parallax, and with
            much turning where the camera moved little [N]
        """
        landmarks = self.landmarks
        rows = np.flatnonzero(landmarks.points.followed)
        depth = landmarks.local_points(frame.camera_matrix, pose)[rows, 2]
        error = _PIXEL_ANGLE + _TURNED_ANGLE * landmarks.turned(rows, pose)
        sigma = error / np.maximum(landmarks.parallax(rows, pose), 1e-6)
        return frame.network_pixels(landmarks.points.pixels[rows]), depth, sigma

    def find(self, frame: TrackingFrame) -> Relocalisation | None:
        """Look for a frame among the keyframes; None where it is none of them."""
        return self._places.find(frame)

    def is_empty(self, frame: TrackingFrame) -> bool:
        """Whether there is nothing to be followed: black, covered, a bare wall."""
        few = self._config.min_inliers
        return len(detect(frame.gray, np.zeros((0, 2)), 2 * few)) < few

    def is_blurred(self, frame: TrackingFrame) -> bool:
        """Whether it is much less sharp than the keyframes."""
        return sharpness(frame.gray) < _BLURRED * self._sharpness
