"""Video files, decoded by OpenCV."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
import logging
from pathlib import Path

import cv2
from cv2.typing import MatLike
import numpy as np

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.io.frames import ColorImage, Frame, Sequence
from ttt3r_ros.io.images import FRAME_RATE

_logger = logging.getLogger(__name__)


class Video(Sequence):
    """
    A video file; read from start to end, for seeking is not exact in most formats.

    :raises DatasetError: if not even the first image can be decoded
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path.stem)
        self._path = path
        capture = self._open()
        declared = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        readable, _ = capture.read()
        capture.release()
        if not readable:
            raise DatasetError(f'{path} is no video that can be decoded, or it is truncated')
        self._declared = max(declared, 1)

    def __len__(self) -> int:
        return self._declared

    def __iter__(self) -> Iterator[Frame]:
        capture = self._open()
        rate = capture.get(cv2.CAP_PROP_FPS) or FRAME_RATE
        index, stamp = 0, -1.0
        try:
            while True:
                decoded, bgr = capture.read()
                if not decoded:
                    break
                # Phones record at a varying rate; some files carry no times at all.
                shown = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
                stamp = shown if shown > stamp else stamp + 1.0 / rate
                yield Frame(index, stamp, partial(_rgb, bgr))
                index += 1
        finally:
            capture.release()
        if index < self._declared:
            _logger.warning(
                '%s: %d of %d frames could be decoded', self._path, index, self._declared
            )

    def _open(self) -> cv2.VideoCapture:
        # whole: what stands before a colon (10:30.mp4) would be a protocol
        capture = cv2.VideoCapture(str(self._path.absolute()))
        if not capture.isOpened():
            raise DatasetError(f'{self._path} is no video that can be decoded, or it is truncated')
        return capture


def _rgb(bgr: MatLike) -> ColorImage:
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
