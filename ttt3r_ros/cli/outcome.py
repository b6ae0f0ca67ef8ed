"""What the node said, read back from the bag, and what is made of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from ttt3r_ros.cli.accuracy import Accuracy, true_depth
from ttt3r_ros.cli.picture import SeenMap, ShownFrame, draw_summary
from ttt3r_ros.errors import DatasetError
from ttt3r_ros.geometry.se3 import Transform, inverse, transform_points
from ttt3r_ros.io import ros_messages
from ttt3r_ros.io.frames import DepthImage, Frame
from ttt3r_ros.io.writers import write_ply, write_tum

_COLUMNS = 4  # frames in the picture
_UNKNOWN_VARIANCE = 1e6  # of a lost camera's pose (docs/frames.md)


@dataclass
class Outcome:
    """
    The messages of a run, by stamp in nanoseconds.

    :param poses: of the optical frame in odom [4, 4]
    :param depths: metres, NaN invalid [h, w]
    :param confidences: at least 1 [h, w]
    :param points: of the last map, map frame [N, 3]
    :param colors: of the last map, RGB [N, 3]
    :param lost: stamps of the images in which the camera was lost
    """

    poses: dict[int, Transform] = field(default_factory=dict)
    depths: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    confidences: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    points: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 3), np.float32))
    colors: NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, 3), np.uint8))
    lost: set[int] = field(default_factory=set)


def read_outcome(bag: Path) -> Outcome:
    """Read what the node published from a bag."""
    outcome = Outcome()
    with AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_HUMBLE)) as reader:
        for connection, _, data in reader.messages():
            topic = connection.topic.removeprefix('/')
            if topic not in ('odometry', 'depth/image', 'confidence/image', 'map_points'):
                continue
            message: Any = reader.deserialize(data, connection.msgtype)
            stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
            if topic == 'odometry':
                outcome.poses[stamp] = ros_messages.pose(message)
                if message.pose.covariance[0] >= _UNKNOWN_VARIANCE:
                    outcome.lost.add(stamp)
            elif topic == 'map_points':
                outcome.points, outcome.colors = _read_cloud(message)
            else:
                pixels = message.data.view('<f4').reshape(message.height, message.width)
                images = outcome.depths if topic == 'depth/image' else outcome.confidences
                images[stamp] = pixels
    return outcome


def write_outcome(folder: Path, name: str, frames: Iterable[Frame], outcome: Outcome) -> list[str]:
    """
    Write `points.ply`, `trajectory.txt` and `summary.png`; measure where there is ground truth.

    :param folder: for the files
    :param name: of the recording
    :param frames: that were played; read once, and not kept
    :param outcome: what the node said about them
    :return: the results in words
    :raises DatasetError: if nothing came out
    """
    accuracy, columns = Accuracy(), []
    found: dict[int, Transform] = {}
    shown = _chosen_for_picture(outcome)
    for frame in frames:
        stamp = frame.nanoseconds
        if stamp in outcome.poses and stamp not in found:
            found[stamp] = outcome.poses[stamp]
            accuracy.add_pose(found[stamp], frame.T_world_camera)
            columns += _compare_depth(frame, stamp, outcome, accuracy, show=stamp in shown)
    if not found:
        raise DatasetError('no pose came out of the node')
    write_ply(folder / 'points.ply', outcome.points, outcome.colors, 'metres; map frame, z up')
    poses = np.array(list(found.values()))
    write_tum(folder / 'trajectory.txt', np.array(list(found)) / 1e9, poses)
    lines = [f'{len(outcome.points)} points in the map', *accuracy.lines()]
    if outcome.lost:
        lines.append(f'the camera was lost in {len(outcome.lost)} of {len(outcome.poses)} frames')
    T_first_map = inverse(poses[0])  # the picture is drawn as the first camera saw the world
    true = accuracy.true_positions()
    if true is not None:
        true = true @ T_first_map[:3, :3].T + T_first_map[:3, 3]
    seen = SeenMap(
        transform_points(T_first_map, outcome.points),
        outcome.colors,
        T_first_map @ poses,
        true,
    )
    if columns:
        draw_summary(folder / 'summary.png', name, '\n'.join(lines), columns, seen)
    return lines


def _chosen_for_picture(outcome: Outcome) -> set[int]:
    """Choose the stamps of some frames from the first to the last."""
    stamps = sorted(outcome.poses)
    positions = np.linspace(0, len(stamps) - 1, _COLUMNS).round().astype(int).tolist()
    return {stamps[position] for position in positions if stamps}


def _compare_depth(
    frame: Frame, stamp: int, outcome: Outcome, accuracy: Accuracy, *, show: bool
) -> list[ShownFrame]:
    """Measure the depth of a frame, and return the frame if it shall be shown and can be."""
    depth = outcome.depths.get(stamp)
    if depth is None:
        return []
    truth = true_depth(frame)
    if truth is not None:
        truth = _as_seen(truth, depth.shape)
        accuracy.add_depth(depth, truth)
    if not show or stamp not in outcome.confidences:
        return []
    confidence = outcome.confidences[stamp]
    return [ShownFrame(frame.index, frame.image(), depth, confidence, truth)]


def _as_seen(truth: DepthImage, shape: tuple[int, ...]) -> DepthImage:
    """Bring the true depth to the network's image, which is scaled and cut in the middle."""
    (height, width), (rows, columns) = truth.shape, shape
    scale = min(height / rows, width / columns)
    top, left = (height - rows * scale) / 2, (width - columns * scale) / 2
    x = (np.arange(columns, dtype=np.float32) + 0.5) * scale - 0.5 + left
    y = (np.arange(rows, dtype=np.float32) + 0.5) * scale - 0.5 + top
    map_x, map_y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return np.asarray(cv2.remap(truth, map_x, map_y, cv2.INTER_NEAREST), np.float32)


def _read_cloud(message: Any) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    cells = message.data.reshape(message.width * message.height, message.point_step)
    points = np.ascontiguousarray(cells[:, :12]).view('<f4')
    offset = next(item.offset for item in message.fields if item.name == 'rgb')
    return points, np.ascontiguousarray(cells[:, offset : offset + 3][:, ::-1])
