"""What `ttt3r reconstruct` leaves on disk, gathered frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
import logging
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.cli.accuracy import Accuracy, true_depth
from ttt3r_ros.cli.folders import make_depth_folder, make_results_folder
from ttt3r_ros.cli.picture import SeenMap, ShownFrame, draw_summary
from ttt3r_ros.geometry.camera import ImageMapping, Intrinsics
from ttt3r_ros.geometry.se3 import Transform, transform_points
from ttt3r_ros.io.frames import ColorImage, Frame
from ttt3r_ros.io.writers import (
    median_camera,
    write_depth_png,
    write_intrinsics,
    write_ply,
    write_tum,
)
from ttt3r_ros.mapping import VoxelMap
from ttt3r_ros.settings import check_settings, setting
from ttt3r_ros.view import View

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """Settings of what is written."""

    min_confidence: float = setting(
        1.0, 'Points less confident than this are left out (1 keeps all).', ge=1.0
    )
    max_depth: float = setting(
        20.0, 'Points farther than this many metres are left out; 0: no limit.', ge=0.0
    )
    voxel_size: float = setting(0.02, 'Edge of a voxel of the map in metres.', ge=0.001, le=10.0)
    max_map_points: int = setting(1_000_000, 'Most points the map may hold.', ge=1000)

    def __post_init__(self) -> None:
        check_settings(self)


class Results:
    """
    Writes depth images at once; map, trajectory, intrinsics and picture in `finish`.

    :param folder: made if it does not exist; earlier results are replaced from the first frame on
    :param config: of what is written
    :param shown: positions in the recording of the frames that the picture shows
    """

    def __init__(self, folder: Path, config: OutputConfig, shown: frozenset[int]) -> None:
        self._folder, self._config, self._shown = folder, config, shown
        self._map = VoxelMap(config.voxel_size, config.max_map_points)
        self._indices: list[int] = []
        self._stamps: list[float] = []
        self._poses: list[Transform] = []
        self._cameras: list[Intrinsics] = []
        self._columns: list[ShownFrame] = []
        self._last: ShownFrame | None = None
        self._accuracy = Accuracy()
        self._lost, self._seconds = 0, 0.0
        self._unlike = 0  # frames whose true depth is not registered to the image
        self.left_out = 0
        self._depth: Path | None = None

    @property
    def count(self) -> int:
        """Return the number of frames added."""
        return len(self._poses)

    def leave_out(self, frame: Frame, error: Exception) -> None:
        """Count a frame that could not be reconstructed, and log why."""
        _logger.warning('frame %d is left out: %s', frame.index, error)
        self.left_out += 1

    def add(
        self,
        frame: Frame,
        image: ColorImage,
        view: View,
        seconds: float,
        seen: NDArray[np.bool_] | None = None,
    ) -> None:
        """
        Add one frame.

        :param frame: as recorded
        :param image: of the frame, RGB [H, W, 3]
        :param view: what the reconstruction made of it
        :param seconds: that it took
        :param seen: which pixels of the image the lens has seen [H, W]; None: all
        """
        self._seconds += seconds
        if self._depth is None:
            make_results_folder(self._folder)
            self._depth = make_depth_folder(self._folder)
        # Not the frame, which may hold its image.
        self._indices.append(frame.index)
        self._stamps.append(frame.stamp)
        self._poses.append(view.T_world_camera)
        self._cameras.append(view.mapping.to_input(view.intrinsics))
        config = self._config
        kept = view.usable(min_confidence=config.min_confidence, max_depth=config.max_depth)
        if seen is not None:
            kept = kept & view.mapping.pick(seen)
        self._lost += view.tracking.status == 'lost'
        if view.tracking.belongs_in_map:
            points = transform_points(view.T_world_camera, view.points[kept])
            self._map.add(points, view.image[kept], view.confidence[kept])
        depth = to_input_size(view.depth, view.mapping)
        kept_depth = np.where(to_input_size(kept, view.mapping) == 1.0, depth, np.nan)
        write_depth_png(self._depth / f'{frame.index:06d}.png', kept_depth)
        truth = true_depth(frame)
        if truth is not None and truth.shape == depth.shape:
            # A quarter of the pixels tells as much and costs a quarter of the time.
            self._accuracy.add_depth(depth[::2, ::2], truth[::2, ::2])
        elif truth is not None:
            self._unlike += 1
        self._accuracy.add_pose(view.T_world_camera, frame.T_world_camera)
        # The last one makes sure that there is something to show.
        shown = np.where(kept, view.depth, np.float32(np.nan))
        self._last = ShownFrame(frame.index, image, shown, view.confidence, truth)
        if frame.index in self._shown:
            self._columns.append(self._last)

    def finish(self, title: str, *, ordered: bool) -> list[str]:
        """
        Write what is left.

        :param title: of the picture
        :param ordered: whether the frames follow one another
        :return: the results in words
        """
        assert self._last is not None, 'no frame was added'
        points, colors = self._map.points()
        poses = np.array(self._poses)
        comment = 'metres; x right, y down, z ahead of the first camera'
        write_ply(self._folder / 'points.ply', points, colors, comment)
        write_tum(self._folder / 'trajectory.txt', self._stamps, poses)
        path = self._folder / 'intrinsics.json'
        write_intrinsics(path, self._indices, self._stamps, self._cameras)
        lines = [
            f'{self._frames_in_words()}, {len(points)} points, {self._focal()}',
            *self._accuracy.lines(),
        ]
        if self._unlike:
            lines.append(f'{self._unlike} true depth images have another size than their images')
        if not len(points):
            none_seen = 'the camera is lost in every frame'
            limits = 'lower --min-confidence or raise --max-depth'
            why = none_seen if self._lost == self.count else limits
            lines.append(f'no point was kept: {why}')
        true = self._accuracy.true_positions()
        seen = SeenMap(points, colors, poses, true, ordered)
        columns = self._columns or [self._last]
        draw_summary(self._folder / 'summary.png', title, '\n'.join(lines), columns, seen)
        return lines

    def _frames_in_words(self) -> str:
        exceptions = {'lost': self._lost, 'left out': self.left_out}
        few = ', '.join(f'{count} {what}' for what, count in exceptions.items() if count)
        speed = f'{self.count / self._seconds:.1f} frames/s'
        frames = f'{self.count} frame{"" if self.count == 1 else "s"}'
        return frames + (f' ({few})' if few else '') + f', {speed}'

    def _focal(self) -> str:
        if len({(camera.width, camera.height) for camera in self._cameras}) > 1:
            return 'images of several sizes'
        camera = median_camera(self._cameras)
        return f'focal length {camera.fx:.0f} px for {camera.width}x{camera.height}'


def to_input_size(values: NDArray[np.generic], mapping: ImageMapping) -> NDArray[np.float32]:
    """
    Bring what was estimated for the network's image to the recorded image's pixels.

    :param values: depth, or anything else that may be interpolated linearly [h, w]
    :param mapping: from the recorded image to the network's
    :return: NaN where the network's image does not reach [H, W]
    """
    columns = np.arange(mapping.input_width, dtype=np.float64)
    rows = np.arange(mapping.input_height, dtype=np.float64)
    x = mapping.points_to_output(np.stack([columns, np.zeros_like(columns)], axis=-1))[:, 0]
    y = mapping.points_to_output(np.stack([np.zeros_like(rows), rows], axis=-1))[:, 1]
    map_x, map_y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    resized = cv2.remap(
        values.astype(np.float32), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    outside_x = (x < -0.5) | (x > mapping.width - 0.5)
    outside_y = (y < -0.5) | (y > mapping.height - 0.5)
    resized[outside_y[:, None] | outside_x[None, :]] = np.nan
    return np.asarray(resized, dtype=np.float32)
