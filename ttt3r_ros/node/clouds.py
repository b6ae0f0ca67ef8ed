"""Point clouds as messages."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from ttt3r_ros.node.conversions import fill_bytes

_XYZ_RGB = (('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('rgb', '<u4'))
_DENSE = np.dtype([*_XYZ_RGB, ('confidence', '<f4')])
_MAP = np.dtype([*_XYZ_RGB])


def cloud_message(
    points: NDArray[np.float32],
    colors: NDArray[np.uint8],
    header: Header,
    confidence: NDArray[np.float32] | None = None,
) -> PointCloud2:
    """
    Build a coloured cloud; organised if the points are an image of points.

    :param points: metres, NaN where there is none [N, 3] or [H, W, 3]
    :param colors: RGB, same shape
    :param confidence: one value per point, or None for a cloud without [N] or [H, W]
    """
    cells = np.empty(points.shape[:-1], _MAP if confidence is None else _DENSE)
    cells['x'], cells['y'], cells['z'] = points[..., 0], points[..., 1], points[..., 2]
    cells['rgb'] = pack_rgb(colors)
    if confidence is not None:
        cells['confidence'] = confidence
    height, width = points.shape[:2] if points.ndim == 3 else (1, len(points))
    msg = PointCloud2(
        header=header,
        height=height,
        width=width,
        fields=_fields(cells.dtype),
        is_bigendian=False,
        point_step=cells.itemsize,
        row_step=cells.itemsize * width,
        # One column tells: all three coordinates of a point are left out together.
        is_dense=bool(np.isfinite(points[..., 2]).all()),
    )
    fill_bytes(msg.data, cells.reshape(-1))
    return msg


def pack_rgb(colors: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """
    Pack colours the way PCL and RViz expect: 0x00RRGGBB, in a field declared as float32.

    :param colors: RGB [..., 3]
    :return: [...]
    """
    bgra = np.zeros((*colors.shape[:-1], 4), np.uint8)
    bgra[..., 2], bgra[..., 1], bgra[..., 0] = colors[..., 0], colors[..., 1], colors[..., 2]
    packed: NDArray[np.uint32] = bgra.view('<u4')[..., 0]
    return packed


def _fields(layout: np.dtype[np.void]) -> list[PointField]:
    assert layout.fields is not None
    return [
        PointField(name=name, offset=offset, datatype=PointField.FLOAT32, count=1)
        for name, (_, offset, *_) in layout.fields.items()
    ]
