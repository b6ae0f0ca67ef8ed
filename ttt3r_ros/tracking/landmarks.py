"""
The map: recent keyframes, and the points that are followed through them.

A point's place is its log-depth along a ray of its anchor, one of the keyframes. Pixels are those
of the shrunk image. Sizes: F keyframes, L points.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.geometry.se3 import Transform, inverse
from ttt3r_ros.tracking.pose import Array, viewing_rays
from ttt3r_ros.tracking.scale import rescale_pose

_MOST_COUNTED = 10  # network depths in a mean; later ones weigh no less, for the network learns


@dataclass
class Points:
    """One row for each point."""

    pixels: NDArray[np.float32]  # in the latest image in which it was followed [L, 2]
    followed: NDArray[np.bool_]  # whether that is the present one [L]
    anchor: NDArray[np.int64]  # keyframe [L]
    anchor_pixels: Array  # in the anchor, corrected for the shutter [L, 2]
    anchor_shift: Array  # what a readout of one frame adds to these [L, 2]
    log_depth: Array  # in the anchor, log of metres [L]
    prior: Array  # what the network says of it, averaged [L]
    counted: Array  # network depths in that average [L]

    def __len__(self) -> int:
        return len(self.anchor)

    def select(self, rows: NDArray[np.bool_]) -> Points:
        """Return some of the points."""
        return Points(*(getattr(self, item.name)[rows] for item in fields(self)))

    def joined(self, other: Points) -> Points:
        """Return these points and then the others."""
        names = [item.name for item in fields(self)]
        return Points(*(np.concatenate([getattr(self, n), getattr(other, n)]) for n in names))


class LandmarkMap:
    """
    Keyframe poses and points.

    :param T_camera_world: of the first keyframe
    """

    def __init__(self, T_camera_world: Transform) -> None:
        self.T_camera_world: Array = T_camera_world[None].copy()  # [F, 4, 4]
        self.keyframes = 1  # those that were forgotten included
        self.young = True  # the first keyframe is still in it
        # pixels in the keyframes, corrected for the shutter, nan where not seen [F, L, 2]
        self.seen: Array = np.zeros((1, 0, 2))
        self.shifts: Array = np.zeros((1, 0, 2))  # what a readout of one frame adds to them
        self.readout = 0.0  # with which they are corrected, see `correct`
        empty, pixels = np.zeros(0), np.zeros((0, 2))
        self.points = Points(
            pixels.astype(np.float32),
            empty.astype(np.bool_),
            empty.astype(np.int64),
            pixels,
            pixels,
            empty,
            empty,
            empty,
        )

    def world_points(self, camera_matrix: Array) -> Array:
        """Return all points in the world, metres [L, 3]."""
        points = self.points
        local = viewing_rays(points.anchor_pixels, camera_matrix)
        local *= np.exp(points.log_depth)[:, None]
        pose = inverse(self.T_camera_world)[points.anchor]
        return np.asarray(np.einsum('lij,lj->li', pose[:, :3, :3], local) + pose[:, :3, 3])

    def local_points(self, camera_matrix: Array, T_camera_world: Transform) -> Array:
        """Return all points in a camera's frame, metres [L, 3]."""
        world = self.world_points(camera_matrix)
        return np.asarray(world @ T_camera_world[:3, :3].T + T_camera_world[:3, 3])

    def mark_followed(self, rows: NDArray[np.int64], pixels: NDArray[np.float32]) -> None:
        """Note which points are seen in the present image [N], and where [N, 2]; only these."""
        self.points.followed[:] = False
        self.points.followed[rows] = True
        self.points.pixels[rows] = pixels

    def correct(self, readout: float) -> None:
        """Correct all pixels for another readout time, in parts of that between images."""
        change, self.readout = readout - self.readout, readout
        self.seen -= change * self.shifts
        self.points.anchor_pixels -= change * self.points.anchor_shift

    def insert(self, pixels: NDArray[np.float32], shift: Array, log_depth: Array) -> None:
        """
        Add points, anchored in the latest keyframe.

        :param pixels: where they are seen [N, 2]
        :param shift: what a readout of one frame adds to that [N, 2]
        :param log_depth: start [N]
        """
        count, last = len(pixels), len(self.seen) - 1
        anchor_pixels = pixels - self.readout * shift
        seen, shifts = np.full((last + 1, count, 2), np.nan), np.zeros((last + 1, count, 2))
        seen[last], shifts[last] = anchor_pixels, shift
        self.seen = np.concatenate([self.seen, seen], axis=1)
        self.shifts = np.concatenate([self.shifts, shifts], axis=1)
        new = Points(
            pixels,
            np.ones(count, np.bool_),
            np.full(count, last),
            anchor_pixels,
            shift.copy(),
            log_depth,
            log_depth.copy(),
            np.ones(count),
        )
        self.points = self.points.joined(new)

    def average_depth(self, rows: NDArray[np.int64], log_ratio: Array) -> None:
        """
        Count another depth of the network.

        :param rows: points [N]
        :param log_ratio: of this depth to that of the map [N]
        """
        points = self.points
        counted = np.minimum(points.counted[rows] + 1, _MOST_COUNTED)
        points.counted[rows] = counted
        points.prior[rows] += (points.log_depth[rows] + log_ratio - points.prior[rows]) / counted

    def rescale(self, log_scale: float, centre: Array) -> None:
        """
        Scale the map about a place; the images of a camera there do not change.

        :param centre: in the world [3]
        """
        self.points.log_depth += log_scale
        self.points.prior += log_scale
        self.T_camera_world = rescale_pose(self.T_camera_world, log_scale, centre)

    def shift_first(self, rows: NDArray[np.int64], shift: Array) -> None:
        """
        Note how points moved while the only keyframe was read out.

        :param rows: points [N]
        :param shift: what a readout of one frame adds to their pixels [N, 2]
        """
        readout = self.readout
        self.correct(0.0)
        self.shifts[0, rows] = self.points.anchor_shift[rows] = shift
        self.correct(readout)

    def add_keyframe(
        self,
        T_camera_world: Transform,
        rows: NDArray[np.int64],
        pixels: NDArray[np.float32],
        shift: Array,
    ) -> None:
        """
        Remember where points are seen.

        :param rows: points [N]
        :param pixels: as they are in the image [N, 2]
        :param shift: what a readout of one frame adds to them [N, 2]
        """
        seen = np.full((1, len(self.points), 2), np.nan)
        seen[0, rows] = pixels - self.readout * shift
        self.seen = np.concatenate([self.seen, seen])
        shifts = np.zeros((1, len(self.points), 2))
        shifts[0, rows] = shift
        self.shifts = np.concatenate([self.shifts, shifts])
        self.keyframes += 1
        self.T_camera_world = np.concatenate([self.T_camera_world, T_camera_world[None]])

    def drop_oldest(self, camera_matrix: Array) -> None:
        """Forget the first keyframe; points anchored there move to the next that saw them."""
        seen_later = np.isfinite(self.seen[1:, :, 0])
        keep = np.asarray(seen_later.any(axis=0))
        moved = np.flatnonzero(keep & (self.points.anchor == 0))
        self._move_anchors(moved, 1 + np.argmax(seen_later, axis=0)[moved], camera_matrix)
        self.points = self.points.select(keep)
        self.points.anchor -= 1
        self.seen, self.shifts = self.seen[1:, keep], self.shifts[1:, keep]
        self.T_camera_world = self.T_camera_world[1:]
        self.young = False

    def _move_anchors(
        self, rows: NDArray[np.int64], keyframe: NDArray[np.int64], camera_matrix: Array
    ) -> None:
        points = self.points
        pose = self.T_camera_world[keyframe]
        world = self.world_points(camera_matrix)[rows]
        local = np.einsum('lij,lj->li', pose[:, :3, :3], world) + pose[:, :3, 3]
        depth = np.maximum(local[:, 2], 1e-2)
        pixels = local @ camera_matrix.T
        points.anchor_pixels[rows] = pixels[:, :2] / depth[:, None]
        points.anchor_shift[rows] = self.shifts[keyframe, rows]
        change = np.log(depth) - points.log_depth[rows]
        points.log_depth[rows] += change
        points.prior[rows] += change
        points.anchor[rows] = keyframe

    def parallax(self, rows: NDArray[np.int64], T_camera_world: Transform) -> Array:
        """
        Return how far the camera has moved sideways since a point was first seen.

        :param rows: points [N]
        :return: part of the point's depth: about the angle between the two rays [N]
        """
        points = self.points
        centre = inverse(T_camera_world)[:3, 3]
        anchors = inverse(self.T_camera_world)[points.anchor[rows], :3, 3]
        return np.asarray(
            np.linalg.norm(anchors - centre, axis=1) / np.exp(points.log_depth[rows])
        )

    def turned(self, rows: NDArray[np.int64], T_camera_world: Transform) -> Array:
        """
        Return how far the camera has turned since a point was first seen.

        :param rows: points [N]
        :return: radians [N]
        """
        turns = self.T_camera_world[:, :3, :3] @ T_camera_world[:3, :3].T
        cosine = (np.trace(turns, axis1=1, axis2=2) - 1) / 2
        return np.asarray(np.arccos(np.clip(cosine, -1, 1)))[self.points.anchor[rows]]
