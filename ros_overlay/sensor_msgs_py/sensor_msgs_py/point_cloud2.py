"""Point clouds as messages, and as NumPy arrays."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
import sys
from typing import Any

import numpy as np
from numpy.lib.recfunctions import structured_to_unstructured, unstructured_to_structured
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

_TYPES: dict[int, np.dtype[Any]] = {
    PointField.INT8: np.dtype(np.int8),
    PointField.UINT8: np.dtype(np.uint8),
    PointField.INT16: np.dtype(np.int16),
    PointField.UINT16: np.dtype(np.uint16),
    PointField.INT32: np.dtype(np.int32),
    PointField.UINT32: np.dtype(np.uint32),
    PointField.FLOAT32: np.dtype(np.float32),
    PointField.FLOAT64: np.dtype(np.float64),
}


def dtype_from_fields(
    fields: Iterable[PointField], point_step: int | None = None
) -> np.dtype[np.void]:
    """
    Describe one point of a cloud as a structured type.

    :param fields: of the cloud; one with a count above 1 becomes `name_0`, `name_1`, …
    :param point_step: bytes from a point to the next, if there is padding
    """
    names: list[str] = []
    formats: list[np.dtype[Any]] = []
    offsets: list[int] = []
    for number, field in enumerate(fields):
        name, item = field.name or f'unnamed_field_{number}', _TYPES[field.datatype]
        for index in range(field.count):
            names.append(name if field.count == 1 else f'{name}_{index}')
            formats.append(item)
            offsets.append(field.offset + index * item.itemsize)
    end = max(
        (offset + item.itemsize for offset, item in zip(offsets, formats, strict=True)), default=0
    )
    return np.dtype(
        {
            'names': names,
            'formats': formats,
            'offsets': offsets,
            'itemsize': end if point_step is None else point_step,
        }
    )


def read_points(
    cloud: PointCloud2,
    field_names: Sequence[str] | None = None,
    skip_nans: bool = False,
) -> np.ndarray:
    """
    View the points of a cloud as a structured array.

    :param field_names: which fields to return; all by default
    :param skip_nans: leave out points of which a field is not a number
    :return: one record a point [N]
    """
    step = cloud.point_step
    rows = np.frombuffer(cloud.data, np.uint8).reshape(cloud.height, cloud.row_step)
    packed = np.ascontiguousarray(rows[:, : cloud.width * step])  # rows may be padded
    points = packed.reshape(-1).view(dtype_from_fields(cloud.fields, step))
    if cloud.is_bigendian != (sys.byteorder == 'big'):
        points = points.byteswap()
    if field_names is not None:
        points = points[list(field_names)]
    if skip_nans and len(points):
        nans = [np.isnan(points[name]) for name in points.dtype.names or ()]
        points = points[~np.any(nans, axis=0)]
    return points


def read_points_numpy(
    cloud: PointCloud2,
    field_names: Sequence[str] | None = None,
    skip_nans: bool = False,
) -> np.ndarray:
    """
    Read fields of one common type as an ordinary array.

    :param field_names: which fields to return; all by default
    :param skip_nans: leave out points of which a field is not a number
    :return: [N, F]
    """
    points = read_points(cloud, field_names, skip_nans)
    types = {points.dtype[name] for name in points.dtype.names or ()}
    assert len(types) == 1, 'All fields need to have the same datatype.'
    return structured_to_unstructured(points)


def create_cloud(
    header: Header, fields: Sequence[PointField], points: Iterable[Sequence[float]] | np.ndarray
) -> PointCloud2:
    """
    Make an unorganised cloud.

    :param fields: of each point
    :param points: a structured array [N], or values in the order of the fields [N, F]
    """
    layout = dtype_from_fields(fields)
    values = points if isinstance(points, np.ndarray) else np.array([*map(tuple, points)], layout)
    if values.dtype.names is None:
        values = unstructured_to_structured(values, layout)
    assert values.dtype == layout, 'The points do not have the types of the fields.'
    data = array('B')  # an array skips the message's check of every single byte
    data.frombytes(np.ascontiguousarray(values).tobytes())
    return PointCloud2(
        header=header,
        height=1,
        width=len(values),
        is_dense=False,
        is_bigendian=sys.byteorder == 'big',
        fields=list(fields),
        point_step=layout.itemsize,
        row_step=layout.itemsize * len(values),
        data=data,
    )


def create_cloud_xyz32(
    header: Header, points: Iterable[Sequence[float]] | np.ndarray
) -> PointCloud2:
    """Make a cloud with float32 fields x, y and z from points [N, 3] in metres."""
    fields = [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate('xyz')
    ]
    return create_cloud(header, fields, points)
