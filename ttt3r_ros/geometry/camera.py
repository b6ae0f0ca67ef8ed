"""
Pinhole cameras: intrinsics, their change under resizing and cropping, focal from a pointmap.

Pixel coordinates count pixel *centres* (ROS, OpenCV): the centre of the first pixel is (0, 0) and
the middle of an image of width W is (W - 1) / 2.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

_SHORTEST, _LONGEST = 0.05, 100.0  # focal length of a camera, parts of the longer side
_FARTHEST = 10.0  # principal point from the image, of a window of a larger one; in these parts
_FOCAL_FRAMES = 60  # over which a focal length is smoothed
_WEISZFELD = 10  # iterations that find a focal length
_DEPTH_BY_FOCAL = 0.6  # power of the focal length with which the small network's depth grows


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera without distortion; all in pixels."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    @classmethod
    def centred(cls, width: int, height: int, focal: float) -> Intrinsics:
        """Build a camera with square pixels and the principal point in the middle."""
        return cls(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The matrix K [3, 3]."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], dtype=float)

    @property
    def is_possible(self) -> bool:
        """Whether there are such cameras; one whose units are no pixels is none."""
        size = max(self.width, self.height)
        focal_fits = all(_SHORTEST * size < f < _LONGEST * size for f in (self.fx, self.fy))
        return focal_fits and max(abs(self.cx), abs(self.cy)) <= _FARTHEST * size

    def zoomed(self, factor: float) -> Intrinsics:
        """Return the same camera with a focal length that is so many times as long."""
        return replace(self, fx=self.fx * factor, fy=self.fy * factor)

    def has_shape_of(self, other: Intrinsics) -> bool:
        """Whether the images are as those of another camera, but for their scale."""
        difference = abs(self.width * other.height - other.width * self.height)
        # sides are rounded to whole pixels
        return 2 * difference <= max(self.width + self.height, other.width + other.height)

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """
        Project camera-frame points.

        :param points: metres [..., 3]
        :return: pixels (x, y); not finite where z = 0 [..., 2]
        """
        with np.errstate(divide='ignore', invalid='ignore'):
            ratio = points[..., :2] / points[..., 2:]
        return np.asarray(ratio * [self.fx, self.fy] + [self.cx, self.cy], dtype=np.float64)

    def rays(self) -> NDArray[np.float32]:
        """Return the viewing ray of every pixel, with z = 1 [height, width, 3]."""
        x = (np.arange(self.width, dtype=np.float32) - self.cx) / self.fx
        y = (np.arange(self.height, dtype=np.float32) - self.cy) / self.fy
        rays = np.ones((self.height, self.width, 3), np.float32)
        rays[..., 0], rays[..., 1] = x, y[:, None]
        return rays


@dataclass(frozen=True)
class ImageMapping:
    """
    How an image was scaled and then cropped.

    A pixel centre x of the input lies at `(x + 0.5) * scale_x - 0.5 - offset_x` of the output.
    """

    input_width: int
    input_height: int
    width: int
    height: int
    scale_x: float
    scale_y: float
    offset_x: int
    offset_y: int

    def to_output(self, camera: Intrinsics) -> Intrinsics:
        """Return the intrinsics of the output image, from those of the input image."""
        return Intrinsics(
            self.width,
            self.height,
            camera.fx * self.scale_x,
            camera.fy * self.scale_y,
            (camera.cx + 0.5) * self.scale_x - 0.5 - self.offset_x,
            (camera.cy + 0.5) * self.scale_y - 0.5 - self.offset_y,
        )

    def to_input(self, camera: Intrinsics) -> Intrinsics:
        """Return the intrinsics of the input image, from those of the output image."""
        return Intrinsics(
            self.input_width,
            self.input_height,
            camera.fx / self.scale_x,
            camera.fy / self.scale_y,
            (camera.cx + 0.5 + self.offset_x) / self.scale_x - 0.5,
            (camera.cy + 0.5 + self.offset_y) / self.scale_y - 0.5,
        )

    def points_to_output(self, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map pixel centres of the input image to the output image [..., 2]."""
        scale, offset = self._scale_offset()
        return np.asarray((pixels + 0.5) * scale - 0.5 - offset, dtype=np.float64)

    def points_to_input(self, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map pixel centres of the output image to the input image [..., 2]."""
        scale, offset = self._scale_offset()
        return np.asarray((pixels + 0.5 + offset) / scale - 0.5, dtype=np.float64)

    def pick(self, image: NDArray[np.generic]) -> NDArray[Any]:
        """
        Return the pixel of an input image that is nearest to the centre of each output pixel.

        :param image: [input_height, input_width, ...]
        """
        along = np.arange(max(self.width, self.height), dtype=float)[:, None]
        at = np.rint(self.points_to_input(along)).astype(int)  # of x and of y
        columns = at[: self.width, 0].clip(0, self.input_width - 1)
        rows = at[: self.height, 1].clip(0, self.input_height - 1)
        return np.asarray(image[np.ix_(rows, columns)])

    def enlarged(self, times: int) -> ImageMapping:
        """Return the mapping to an output image that is so many times as large."""
        return replace(
            self,
            width=times * self.width,
            height=times * self.height,
            scale_x=times * self.scale_x,
            scale_y=times * self.scale_y,
            offset_x=times * self.offset_x,
            offset_y=times * self.offset_y,
        )

    def _scale_offset(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        scale = np.array([self.scale_x, self.scale_y])
        return scale, np.array([self.offset_x, self.offset_y], dtype=np.float64)


class FocalMemory:
    """
    Smooths an estimated focal length over the images of a camera, which may be scaled.

    Images of another shape come from another camera, of which nothing is known yet. Pixels are
    taken as square and the principal point as in the middle of the input image, however that was
    stretched and cropped for the network.
    """

    def __init__(self) -> None:
        self._last: Intrinsics | None = None  # that was learnt from
        self._log_focals: deque[float] = deque(maxlen=_FOCAL_FRAMES)  # of parts of the longer side

    @property
    def spread(self) -> float:
        """Relative spread over the images; 0 before the first."""
        return float(np.std(self._log_focals)) if self._log_focals else 0.0

    def smooth(self, camera: Intrinsics, *, learn: bool) -> Intrinsics:
        """
        Return a camera with the median of its focal lengths.

        :param camera: as estimated from one image, of the input image
        :param learn: whether that image counts; before the first, the focal length stays as it is
        """
        camera = _as_made(camera)
        longest = max(camera.width, camera.height)
        if self._last is None or not camera.has_shape_of(self._last):
            if not learn:
                return camera
            self._log_focals.clear()
        if learn:
            self._last = camera
            self._log_focals.append(float(np.log(camera.fx / longest)))
        focal = longest * float(np.exp(np.median(self._log_focals)))
        return replace(camera, fx=focal, fy=focal * camera.fy / camera.fx)


def _as_made(camera: Intrinsics) -> Intrinsics:
    """Return a camera with square pixels and the principal point in the middle."""
    focal = camera.fx * math.sqrt(camera.fy / camera.fx)  # of equal ones exactly the same
    return Intrinsics.centred(camera.width, camera.height, focal)


def depth_factor(known: Intrinsics, thought: float) -> np.float32:
    """
    Return how much farther things are than was thought with another focal length.

    What an image shows of a thing of known size is its size over its distance, times the focal
    length: the distance grows in proportion. Of a network that does not know the focal length,
    depth follows the focal length that it thinks of less closely (decision 0038).

    :param known: the camera, of the image that depth is told of
    :param thought: focal length with which depth was told, pixels
    :return: what depth is to be multiplied by
    """
    return np.float32((np.sqrt(known.fx * known.fy) / thought) ** _DEPTH_BY_FOCAL)


def focal_from_corner(points: Tensor) -> Tensor:
    """
    Return the focal length of a pointmap made by a pinhole: any pixel tells it, a corner best.

    :param points: camera-frame points, principal point in the middle of the image [B, H, W, 3]
    :return: focal length in pixels [B]
    """
    corner = points[:, 0, 0]
    return corner[:, 2] / corner[:, 0] * (-(points.shape[2] - 1) / 2)


def focal_from_points(points: Tensor) -> Tensor:
    """
    Find the focal length that best explains a pointmap, by Weiszfeld's iterations (DUSt3R, 3.3).

    :param points: camera-frame points, principal point in the middle of the image [B, H, W, 3]
    :return: focal length in pixels [B]
    """
    batch, height, width, _ = points.shape
    x = torch.arange(width, device=points.device, dtype=points.dtype) - (width - 1) / 2
    y = torch.arange(height, device=points.device, dtype=points.dtype) - (height - 1) / 2
    pixels = torch.stack(torch.meshgrid(x, y, indexing='xy'), dim=-1).reshape(1, -1, 2)
    rays = (points[..., :2] / points[..., 2:]).nan_to_num(0.0, 0.0, 0.0).reshape(batch, -1, 2)
    dot, square = (rays * pixels).sum(-1), (rays * rays).sum(-1)
    focal = dot.sum(-1) / square.sum(-1)
    for _ in range(_WEISZFELD):
        distance = (pixels - focal[:, None, None] * rays).norm(dim=-1)
        weight = distance.clamp(min=1e-8).reciprocal()
        focal = (weight * dot).sum(-1) / (weight * square).sum(-1)
    return focal
