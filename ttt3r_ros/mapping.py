"""A map of coloured points that grows frame by frame and never beyond a bound."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BITS = 21  # per axis of a voxel's key; with 2 cm voxels the map may extend 20 km each way
_HALF = 1 << (_BITS - 1)
_AT_ONCE = 50  # when full, a part of the map so small makes room at once: to choose it takes long


class VoxelMap:
    """
    Weighted mean position and colour of all points that fell into each voxel of a grid.

    When full, new voxels take the place of those that were not seen for longest, among these of
    those seen least. The same points in the same order always give the same map.

    :param voxel_size: metres
    :param max_points: number of voxels at most
    :raises ValueError: if one of them is not positive
    """

    def __init__(self, voxel_size: float, max_points: int) -> None:
        if not voxel_size > 0:
            raise ValueError(f'voxel_size is {voxel_size}; it must be positive')
        if max_points < 1:
            raise ValueError(f'max_points is {max_points}; it must be at least 1')
        self._voxel_size = voxel_size
        self._max_points = max_points
        self.clear()

    def __len__(self) -> int:
        return self._count

    @property
    def _keys(self) -> NDArray[np.int64]:
        return self._lists[0][0, : self._count]

    @property
    def _rows(self) -> NDArray[np.int64]:
        return self._lists[0][1, : self._count]

    def clear(self) -> None:
        """Forget everything."""
        # Voxels are listed by rising key; each has a row in the tables, which never moves. The
        # list of keys and rows changes by being written anew, into the other of two buffers.
        # Filled, not np.zeros: their memory is taken now, and does not grow with the map.
        self._lists = [np.full((2, self._max_points), 0, np.int64) for _ in range(2)]
        self._kept = np.full(self._max_points, 0, np.bool_)
        self._count = 0
        self._values = np.full((self._max_points, 6), 0, np.float32)  # mean position and colour
        self._weights = np.full(self._max_points, 0, np.float64)
        self._last_seen = np.full(self._max_points, 0, np.int64)  # number of that `add`
        self._times_seen = np.full(self._max_points, 0, np.int64)
        self._free = np.arange(self._max_points)  # rows that are not taken
        self._adds = 0

    def add(
        self,
        points: NDArray[np.floating],
        colors: NDArray[np.uint8],
        weights: NDArray[np.floating],
    ) -> None:
        """
        Add the points of one frame.

        :param points: world frame, metres; those not finite or beyond the grid are left out [N, 3]
        :param colors: RGB [N, 3]
        :param weights: positive; others are left out [N]
        :raises ValueError: if the shapes do not belong together
        """
        if points.shape != (len(weights), 3) or colors.shape != points.shape:
            raise ValueError(
                f'points {points.shape}, colors {colors.shape} and weights {weights.shape} '
                'do not belong together'
            )
        self._adds += 1
        with np.errstate(invalid='ignore'):
            cells = np.floor(points.astype(np.float64) / self._voxel_size)
            usable = (np.abs(cells) < _HALF).all(axis=1) & (weights > 0) & np.isfinite(weights)
        if not usable.any():
            return
        values = np.concatenate([points[usable], colors[usable]], axis=1, dtype=np.float64)
        keys, sums, weight = _sum_by_voxel(_keys(cells[usable]), values, weights[usable])
        if len(keys) > self._max_points:
            heaviest = np.sort(np.argsort(-weight, kind='stable')[: self._max_points])
            keys, sums, weight = keys[heaviest], sums[heaviest], weight[heaviest]
        rows = self._find_rows(keys)
        before = self._weights[rows]
        total = before + weight
        self._values[rows] = (self._values[rows] * before[:, None] + sums) / total[:, None]
        self._weights[rows] = total
        self._last_seen[rows] = self._adds
        self._times_seen[rows] += 1

    def points(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return positions in metres [M, 3] and RGB colours [M, 3]."""
        values = np.compress(self._weights > 0, self._values, axis=0)
        colors = np.empty((len(values), 3), np.uint8)
        np.rint(values[:, 3:], out=colors, casting='unsafe')
        return values[:, :3], colors

    def _find_rows(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the table rows of voxels, given by rising key; make those that are new."""
        places = np.searchsorted(self._keys, keys)
        known = places < len(self._keys)
        known[known] = self._keys[places[known]] == keys[known]
        new = keys[~known]
        if len(new):
            self._last_seen[self._rows[places[known]]] = self._adds  # not to be dropped now
            self._drop(self._count + len(new) - self._max_points)
            rows, self._free = self._free[: len(new)], self._free[len(new) :]
            self._insert(new, rows)
        return self._rows[np.searchsorted(self._keys, keys)]

    def _insert(self, keys: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        """List new voxels, by rising key."""
        places = np.searchsorted(self._keys, keys) + np.arange(len(keys))
        before, after = self._lists
        total = self._count + len(keys)
        kept = self._kept[:total]
        kept[:] = True
        kept[places] = False
        for old, new, added in zip(before, after, (keys, rows), strict=True):
            new[:total][kept] = old[: self._count]
            new[places] = added
        self._lists, self._count = [after, before], total

    def _drop(self, count: int) -> None:
        """Give up the voxels that were not seen for longest, among these those seen least."""
        if count <= 0:
            return
        merit = self._last_seen[self._rows] << 31 | self._times_seen[self._rows]
        at_once = min(max(count, self._max_points // _AT_ONCE), self._count)
        dropped = np.argpartition(merit, at_once - 1)[:at_once]
        out_of_sight = merit[dropped] < self._adds << 31
        if np.count_nonzero(out_of_sight) >= count:
            dropped = dropped[out_of_sight]
        else:
            dropped = np.argpartition(merit, count - 1)[:count]
        rows = self._rows[dropped]
        self._weights[rows], self._values[rows], self._times_seen[rows] = 0, 0, 0
        self._free = np.concatenate([self._free, rows])
        before, after = self._lists
        kept = self._kept[: self._count]
        kept[:] = True
        kept[dropped] = False
        left = self._count - len(dropped)
        np.compress(kept, before[:, : self._count], axis=1, out=after[:, :left])
        self._lists, self._count = [after, before], left


def _keys(cells: NDArray[np.float64]) -> NDArray[np.int64]:
    """Pack voxel indices [N, 3] into one integer each [N]."""
    x, y, z = (cells.astype(np.int64) + _HALF).T
    return np.asarray((x << 2 * _BITS) | (y << _BITS) | z, dtype=np.int64)


def _sum_by_voxel(
    keys: NDArray[np.int64], values: NDArray[np.float64], weights: NDArray[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """
    Sum up the points of each voxel.

    :return: rising keys [V], weighted sums of the values [V, C], sums of the weights [V]
    """
    unique, voxel = np.unique(keys, return_inverse=True)
    weights = weights.astype(np.float64)
    columns = [weights * column for column in values.T]
    *sums, weight = (np.bincount(voxel, c, len(unique)).astype(float) for c in [*columns, weights])
    return unique, np.stack(sums, axis=1), weight
