"""
A path that is kept as it goes over the wire.

`nav_msgs/Path` repeats all its poses in every message; converting two thousand of them from
Python takes 8 ms each time, longer than half of the network. Here each pose is packed once, when
it comes. The layout is that of the Common Data Representation (OMG formal/2002-06-51 15.3;
little-endian, as ROS 2's middlewares read and write it): every number lies at a multiple of its
own size, counted from the end of the four bytes that tell the representation.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

from ttt3r_ros.geometry.se3 import Transform, quat_wxyz

_REPRESENTATION = b'\x00\x01\x00\x00'  # plain, little-endian
_DOUBLES = struct.Struct('<7d')


class PackedPath:
    """
    The newest poses of one frame, as a message.

    :param capacity: poses that are kept
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.clear()

    def clear(self) -> None:
        """Forget all poses."""
        self._packed = np.zeros((0, 0), np.uint8)  # twice the capacity, one row a pose
        self._frame = b''
        self._first = self._last = 0  # rows that count

    def __len__(self) -> int:
        return self._last - self._first

    def append(self, T_frame_body: Transform, header: Header) -> None:
        """
        Add a pose; the oldest goes if there are too many.

        :param header: stamp and frame; in another frame than the last pose's, the path starts anew
        """
        frame = header.frame_id.encode() + b'\x00'
        if frame != self._frame:
            self._frame = frame
            width = _aligned(_head_size(frame), 8) + _DOUBLES.size
            self._packed = np.zeros((2 * self._capacity, width), np.uint8)
            self._first = self._last = 0
        if self._last == len(self._packed):  # the newer half moves to the front
            self._packed[: self._capacity] = self._packed[self._capacity :]
            self._first, self._last = 1, self._capacity
        w, x, y, z = quat_wxyz(T_frame_body).tolist()
        numbers = _DOUBLES.pack(*T_frame_body[:3, 3].tolist(), x, y, z, w)
        head = _head(header, frame)
        row = head.ljust(self._packed.shape[1] - len(numbers), b'\x00') + numbers
        self._packed[self._last] = np.frombuffer(row, np.uint8)
        self._last += 1
        self._first = max(self._first, self._last - self._capacity)

    def message(self, header: Header) -> bytes:
        """Return the path as a serialised `nav_msgs/Path`."""
        before = _head(header, header.frame_id.encode() + b'\x00')
        before = before.ljust(_aligned(len(before), 4), b'\x00') + struct.pack('<I', len(self))
        rows = self._packed[self._first : self._last]
        return b''.join([_REPRESENTATION, before, self._poses(rows, len(before))])

    def _poses(self, rows: NDArray[np.uint8], offset: int) -> bytes:
        """Return the poses from an offset, a multiple of 4, on; only the first is shifted."""
        if not len(rows) or offset % 8 == 0:
            return rows.tobytes()
        size = _head_size(self._frame)
        gap = _aligned(offset + size, 8) - offset
        first: bytes = rows[0].tobytes()
        return first[:size].ljust(gap, b'\x00') + first[-_DOUBLES.size :] + rows[1:].tobytes()


def _head(header: Header, frame: bytes) -> bytes:
    """Pack stamp and frame, which end with a zero."""
    stamp = header.stamp
    return struct.pack('<iII', stamp.sec, stamp.nanosec, len(frame)) + frame


def _head_size(frame: bytes) -> int:
    return 12 + len(frame)


def _aligned(size: int, step: int) -> int:
    return -(-size // step) * step
