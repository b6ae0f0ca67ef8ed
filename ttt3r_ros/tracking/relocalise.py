"""Finding a place again by its looks (ORB), once the thread of optical flow has torn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.geometry.se3 import Transform, inverse
from ttt3r_ros.tracking.frame import TrackingFrame
from ttt3r_ros.tracking.pose import Array, solve_pose, viewing_rays
from ttt3r_ros.tracking.scale import median_ratio, rescale_pose

_KEYPOINTS = 500
_PLACES = 10
_OF_ONE_MAP = 5  # else a young map, with a keyframe for nearly each image, would push out others
_LEAST_INLIERS = 30  # chance matches rarely bring 10
_MAX_ERROR = 4.0  # pixels; ORB is less precise than flow


@dataclass(frozen=True)
class _Place:
    """A keyframe that can be found again; its looks are only computed when asked for."""

    T_camera_world: Transform
    frame: TrackingFrame
    log_scale: float  # of the map, relative to the network's depth of this frame
    map_number: int  # of the map that it is a keyframe of
    pixels: Array | None = None  # [N, 2]
    looks: NDArray[np.uint8] | None = None  # [N, 32]


@dataclass(frozen=True)
class Relocalisation:
    """
    Where the camera is.

    :param log_scale: of the map, relative to the network's depth of this frame
    """

    T_camera_world: Transform
    inliers: int
    matches: int
    log_scale: float


class Places:
    """The last keyframes of the last maps, to be found again."""

    def __init__(self) -> None:
        self._places: list[_Place] = []
        self._map = 0

    def begin_map(self) -> None:
        """Let further keyframes belong to a new map."""
        self._map += 1

    def add(self, T_camera_world: Transform, frame: TrackingFrame, log_scale: float) -> None:
        """Remember a keyframe of the present map."""
        own = [index for index, place in enumerate(self._places) if place.map_number == self._map]
        if len(own) == _OF_ONE_MAP:
            del self._places[own[0]]
        elif len(self._places) == _PLACES:
            del self._places[0]
        self._places.append(_Place(T_camera_world, frame, log_scale, self._map))

    def rescale(self, log_scale: float, centre: Array) -> None:
        """Follow a scaling of the present map about a place in the world [3]; others stay."""
        for index, place in enumerate(self._places):
            if place.map_number == self._map:
                pose = rescale_pose(place.T_camera_world, log_scale, centre)
                scale = place.log_scale + log_scale
                self._places[index] = replace(place, T_camera_world=pose, log_scale=scale)

    def find(self, frame: TrackingFrame) -> Relocalisation | None:
        """
        Look for the frame among the places.

        :return: by the place that most points agree with, the latest of several; None where the
            frame is at none. A place further away would do, but with an error of decimetres
        """
        pixels, looks = _describe(frame)
        if len(pixels) < _LEAST_INLIERS:
            return None
        self._places = [_described(place) for place in self._places]
        compared = (_compare(frame, pixels, looks, place) for place in reversed(self._places))
        found = [place for place in compared if place is not None]
        return max(found, key=lambda place: place.inliers, default=None)


def _described(place: _Place) -> _Place:
    if place.pixels is not None:
        return place
    pixels, looks = _describe(place.frame)
    return replace(place, pixels=pixels, looks=looks)


def _describe(frame: TrackingFrame) -> tuple[Array, NDArray[np.uint8]]:
    keypoints, looks = cv2.ORB.create(_KEYPOINTS).detectAndCompute(frame.gray, None)
    pixels = np.array([keypoint.pt for keypoint in keypoints], dtype=np.float64).reshape(-1, 2)
    # OpenCV says None where there are none, whatever its types say.
    return pixels, np.asarray(() if looks is None else looks, np.uint8).reshape(len(pixels), 32)


def _compare(
    frame: TrackingFrame, pixels: Array, looks: NDArray[np.uint8], place: _Place
) -> Relocalisation | None:
    assert place.pixels is not None
    assert place.looks is not None
    if len(place.pixels) < _LEAST_INLIERS:
        return None
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(looks, place.looks)
    here = pixels[[match.queryIdx for match in matches]]
    there = place.pixels[[match.trainIdx for match in matches]]
    depth = np.exp(place.frame.look_up(there) + place.log_scale)
    usable = np.isfinite(depth)
    here, there, depth = here[usable], there[usable], depth[usable]
    local = viewing_rays(there, place.frame.camera_matrix) * depth[:, None]
    pose = inverse(place.T_camera_world)
    points = local @ pose[:3, :3].T + pose[:3, 3]
    solution = solve_pose(points, here, frame.camera_matrix, (), _MAX_ERROR, _LEAST_INLIERS)
    if solution is None:
        return None
    inliers = solution.inliers
    T = solution.T_camera_world
    depth_here = (points[inliers] @ T[:3, :3].T + T[:3, 3])[:, 2]
    log_scale = median_ratio(np.log(depth_here) - frame.look_up(here[inliers]), fewest=1)
    return Relocalisation(T, int(inliers.sum()), len(here), log_scale)
