"""The map, path and trajectory of one epoch, and saving them."""

from __future__ import annotations

import os
from pathlib import Path
import threading
import time

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.geometry.se3 import Transform
from ttt3r_ros.io.writers import write_ply, write_tum
from ttt3r_ros.mapping import VoxelMap
from ttt3r_ros.node.clouds import cloud_message
from ttt3r_ros.node.conversions import NANOSECONDS, nanoseconds
from ttt3r_ros.node.packed_path import PackedPath
from ttt3r_ros.node.trajectory import Trajectory

_MOST_POSES = 200_000  # of the trajectory that is saved: two hours at 30 Hz, 21 MB


class Record:
    """
    What has been seen since the last reset; used from several threads.

    :param voxel_size: of the map, metres
    :param max_points: of the map
    :param max_path: poses that the published path may have
    """

    def __init__(self, voxel_size: float, max_points: int, max_path: int) -> None:
        self._lock = threading.Lock()
        self._max_points = max_points
        self._map = VoxelMap(voxel_size, max_points)
        self._path = PackedPath(max_path)
        self._trajectory = Trajectory(_MOST_POSES)
        self._map_header = Header()
        self._changed = False

    def clear(self) -> None:
        """Start anew."""
        with self._lock:
            self._map.clear()
            self._path.clear()
            self._trajectory.clear()
            self._changed = True

    def add_points(
        self,
        points_map: NDArray[np.float32],
        colors: NDArray[np.uint8],
        weights: NDArray[np.float32],
        header: Header,
    ) -> None:
        """
        Add the points of one frame to the map.

        :param points_map: metres, in the map frame [N, 3]
        :param colors: RGB [N, 3]
        :param weights: confidence [N]
        :param header: stamp of the image, map frame
        """
        with self._lock:
            self._map.add(points_map, colors, weights)
            self._map_header = header
            self._changed = True

    def add_pose(
        self, T_map_camera: Transform, T_odom_base: Transform | None, header: Header
    ) -> None:
        """
        Add the pose of one frame to trajectory and path.

        :param T_odom_base: None where odom is not known yet: then the path is left as it is
        :param header: stamp of the image, odom frame
        """
        with self._lock:
            self._trajectory.append(nanoseconds(header.stamp), T_map_camera)
            if T_odom_base is not None:
                self._path.append(T_odom_base, header)

    def path_message(self, header: Header) -> bytes:
        """Return the path so far, a serialised `nav_msgs/Path`."""
        with self._lock:
            return self._path.message(header)

    def map_message(self, map_frame: str) -> PointCloud2 | None:
        """Return the map if it has changed since the last call, else None."""
        with self._lock:
            if not self._changed:
                return None
            self._changed = False
            points, colors = self._map.points()
            header = Header(stamp=self._map_header.stamp, frame_id=map_frame)
        return cloud_message(points, colors, header)

    def set_voxel_size(self, voxel_size: float) -> None:
        """Change the resolution; what is there already is put into the new voxels."""
        with self._lock:
            points, colors = self._map.points()
            self._map = VoxelMap(voxel_size, self._max_points)
            if len(points):
                self._map.add(points, colors, np.ones(len(points), np.float32))
            self._changed = True

    def save(self, directory: Path, name: str) -> tuple[Path, Path]:
        """
        Write map (PLY) and trajectory (TUM, camera in map) into a folder.

        :param directory: made if it is not there
        :param name: beginning of the file names; what no file name can hold is replaced
        :return: the two files
        :raises DatasetError: if nothing has been seen yet, the folder is that of a user who does
            not exist, or a link leads out of it
        :raises OSError: if the folder cannot be written to, or the disk is full; then there is
            neither file
        """
        with self._lock:
            points, colors = self._map.points()
            stamps, poses = self._trajectory.read()
        if not len(stamps):
            raise DatasetError('nothing has been reconstructed yet')
        try:
            directory = directory.expanduser().absolute()  # whoever asks is in another folder
        except RuntimeError as error:
            raise DatasetError(f'{directory} is no folder: {error}') from error
        directory.mkdir(parents=True, exist_ok=True)
        stem = f'{_file_name(name)}_{time.strftime("%Y%m%d_%H%M%S")}'
        ply, tum = (_inside(directory, stem, suffix) for suffix in ('.ply', '.txt'))
        try:
            write_ply(ply, points, colors, 'metres; map frame, z up')
            write_tum(tum, stamps / NANOSECONDS, poses)
        except (OSError, MemoryError):
            ply.unlink(missing_ok=True)  # a map without its trajectory is half a result
            raise
        return ply, tum


def map_directory(setting: str) -> Path:
    """Return the folder for maps: the parameter, or `ttt3r` where ROS keeps its files."""
    if setting:
        return Path(setting)
    return Path(os.environ.get('ROS_HOME') or '~/.ros') / 'ttt3r'


def _file_name(name: str) -> str:
    kept = ''.join(letter if letter.isalnum() or letter in '-_' else '_' for letter in name)
    return kept.strip('_') or 'map'


def _inside(directory: Path, stem: str, suffix: str) -> Path:
    """Return a path that is free, and refuse one that a link leads out of the folder."""
    number, path = 1, directory / f'{stem}{suffix}'
    while path.exists() and not path.is_symlink():
        number += 1
        path = directory / f'{stem}_{number}{suffix}'
    try:
        inside = path.resolve().parent == directory.resolve()
    except RuntimeError as error:  # links in a circle
        raise DatasetError(f'{path} cannot be followed: {error}') from error
    if not inside:
        raise DatasetError(f'{path} leads out of {directory}')
    return path
