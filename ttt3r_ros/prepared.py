"""What can be computed of an image before its turn, while an earlier one is decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
import time

import numpy as np
from numpy.typing import NDArray
import torch

from ttt3r_ros.geometry.camera import ImageMapping
from ttt3r_ros.model.config import NetworkConfig
from ttt3r_ros.model.encoder import Encoded
from ttt3r_ros.preprocess import fit_image, to_tensor
from ttt3r_ros.upright import turn_image


@dataclass(frozen=True)
class Prepared:
    """An image with all that can be computed before its turn; from `Reconstructor.prepare`."""

    image: NDArray[np.uint8]  # as it was given [H, W, 3]
    small: NDArray[np.uint8]  # at the size of the network's points [h, w, 3]
    mapping: ImageMapping  # from the one to the other
    detailed: NDArray[np.uint8]  # as the network sees it; see `NetworkConfig.detail`
    roll: float  # by which the image was turned before it was encoded, radians
    encoded: Encoded | None  # None: its turn will do that
    seconds: float  # that this took
    ready: torch.cuda.Event | None = None  # on a GPU: when it is really there


class Preparation:
    """
    Resizes and encodes images; on a GPU beside the decoding of others, in a stream of its own.

    :param config: of the network
    :param encode: the network's
    :param device: that it computes on
    :param dtype: of its images
    :param crop: images to whole patches; else they are stretched
    """

    def __init__(
        self,
        config: NetworkConfig,
        encode: Callable[..., Encoded],
        device: torch.device,
        dtype: torch.dtype,
        *,
        crop: bool,
    ) -> None:
        self._config, self._encode, self._crop = config, encode, crop
        self._device, self._dtype = device, dtype
        cuda = device.type == 'cuda'
        self._side = torch.cuda.Stream(device) if cuda else None  # type: ignore[no-untyped-call]

    def prepare(self, image: NDArray[np.uint8], roll: float, *, encode: bool) -> Prepared:
        """
        Do what does not depend on the images before.

        :param image: RGB [H, W, 3]
        :param roll: by which it is turned, radians
        :param encode: False where its turn comes at once
        :raises ImageError: the image cannot be used
        """
        began = time.perf_counter()
        fitted = fit_image(image, self._config, crop=self._crop)
        frame = Prepared(image, *fitted, roll, None, 0.0)
        if encode:
            with torch.cuda.stream(self._side):  # where there is none, this is nothing
                encoded = self._encoded_anew(frame)
                ready = None if self._side is None else self._side.record_event()
            frame = replace(frame, encoded=encoded, ready=ready)
        return replace(frame, seconds=time.perf_counter() - began)

    def encoded(self, frame: Prepared) -> Encoded:
        """Return what was encoded, or encode it; the GPU, not the host, waits until it is."""
        if frame.encoded is None:
            return self._encoded_anew(frame)
        if frame.ready is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(frame.ready)
            for tensor in (frame.encoded.tokens, frame.encoded.image, *frame.encoded.fine):
                tensor.record_stream(stream)  # its memory is not to be used again before
        return frame.encoded

    def _encoded_anew(self, frame: Prepared) -> Encoded:
        turned = frame.detailed
        if frame.roll:
            mapping = frame.mapping.enlarged(self._config.detail)
            turned = turn_image(frame.image, mapping, frame.roll)
        return self._encode(to_tensor([turned], self._device, self._dtype))
