"""
Images of a rolled camera, turned upright for the network, and what it says of them turned back.

The network then sees what a camera in a gimbal would see; its axis and its focal length are those
of the real one. The gimbal rests while the image is about upright, so that most images pass
through unchanged (docs/decisions/0026).

Angles are in radians, counter-clockwise as one sees the image.
"""

from __future__ import annotations

from dataclasses import replace
import math

import cv2
import numpy as np
from numpy.typing import NDArray
import torch

from ttt3r_ros.geometry.camera import ImageMapping, Intrinsics
from ttt3r_ros.model.roll import BINS, RollNetwork
from ttt3r_ros.seen import Seen

_RESTING = math.radians(10.0)  # the gimbal begins to move when it is off by more
_ARRIVED = math.radians(3.0)  # and rests again when it is off by less
_FASTEST = math.radians(6.0)  # per image
_FIRST = 8  # images; after them one of `_EVERY` is looked at
_EVERY = 3
_TRUST = 0.35  # of the evidence after the first: neighbours repeat each other's errors
_WRONG = 0.2  # that one image's evidence is
_ROLL, _ANY = math.radians(25.0), 0.3  # spread of usual rolls, and the share of unusual ones
_PITCH, _PITCHES = math.radians(15.0), math.radians(30.0)  # looking down, usual and its spread
_LOST = 0.005  # that the camera's rotation is, between two looks
_SURE = 0.6  # probability within `_NEAR` of the most likely roll
_NEAR = 2  # bins
_DIRECTIONS = 2000


class Gimbal:
    """
    Follows the roll of a camera.

    Gravity is looked for in the world that the camera is tracked in: among directions on the
    sphere, by Bayes' rule, as each image tells the roll that its camera has against it.

    :param network: tells the roll of one image
    """

    def __init__(self, network: RollNetwork) -> None:
        self._network = network
        self._directions = _sphere(_DIRECTIONS)
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next image is the first."""
        self._seen = 0
        self._moving = False
        self.angle = 0.0  # by which the last image was turned
        self.lose(np.eye(3))

    def lose(self, R_world_camera: NDArray[np.float64]) -> None:
        """Forget where gravity pulls, of a camera whose rotation cannot be trusted [3, 3]."""
        self._belief = self._believed = _usual(self._directions @ R_world_camera)

    def take_back(self) -> None:
        """Forget what the last image told of gravity: it cannot be trusted."""
        self._belief = self._believed

    @torch.inference_mode()
    def follow(
        self,
        image: NDArray[np.uint8],
        R_world_camera: NDArray[np.float64],
    ) -> float:
        """
        Look at the next image; return by how much to turn it.

        :param image: RGB, about 64 pixels long [H, W, 3]
        :param R_world_camera: its rotation, as far as it can be foreseen [3, 3]
        """
        down = self._directions @ R_world_camera
        first = self._seen == 0
        self._believed = self._belief
        if self._seen < _FIRST or self._seen % _EVERY == 0:
            pixels = torch.from_numpy(image).movedim(-1, 0)[None].float() / 127.5 - 1
            probability = self._network(pixels)[0].double().exp().numpy()
            self._learn(probability, down, 1.0 if first else _TRUST)
        self._seen += 1
        roll = self._most_likely(_roll(down))
        if roll is not None:
            self._move(roll, at_once=first)
        return self.angle

    def _learn(
        self, probability: NDArray[np.float64], down: NDArray[np.float64], trust: float
    ) -> None:
        """Take an image's evidence in, for all directions in its camera [D, 3]."""
        at = np.mod(_roll(down), math.tau) * (BINS / math.tau)
        seen = np.interp(at, np.arange(BINS + 1), np.append(probability, probability[0]))
        defined = (1 - _WRONG) * np.hypot(down[:, 0], down[:, 1])
        evidence = defined * seen + (1 - defined) / BINS
        belief = ((1 - _LOST) * self._belief + _LOST * _usual(down)) * evidence**trust
        self._belief = belief / belief.sum()

    def _most_likely(self, rolls: NDArray[np.float64]) -> float | None:
        """Return the roll that is most likely, of those of all directions, if it is known."""
        index = np.rint(np.mod(rolls, math.tau) * (BINS / math.tau)).astype(int) % BINS
        shares = np.bincount(index, self._belief, BINS)
        window = np.sum([np.roll(shares, step) for step in range(-_NEAR, _NEAR + 1)], axis=0)
        best = int(np.argmax(window))
        if window[best] < _SURE:
            return None
        off = np.mod(index - best + BINS // 2, BINS) - BINS // 2
        weight = self._belief * (np.abs(off) <= _NEAR)
        return math.atan2(float(weight @ np.sin(rolls)), float(weight @ np.cos(rolls)))

    def _move(self, roll: float, *, at_once: bool) -> None:
        off = math.remainder(roll - self.angle, math.tau)
        self._moving = abs(off) > (_ARRIVED if self._moving else _RESTING)
        if self._moving:
            step = off if at_once else max(-_FASTEST, min(_FASTEST, off))
            self.angle = math.remainder(self.angle + step, math.tau)


def _sphere(count: int) -> NDArray[np.float64]:
    """Spread directions evenly (Fibonacci's lattice) [count, 3]."""
    step = np.arange(count) + 0.5
    z = 1 - 2 * step / count
    turn = step * math.pi * (3 - math.sqrt(5))
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], axis=1)


def _roll(down: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much to turn images in which gravity pulls in directions [D, 3]."""
    return np.arctan2(-down[:, 0], down[:, 1])


def _usual(down: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how usual it is that gravity pulls in directions of the camera [D, 3]."""
    pitch = np.arcsin(down[:, 2].clip(-1, 1))
    roll = np.exp(-0.5 * (_roll(down) / _ROLL) ** 2) / (_ROLL * math.sqrt(math.tau))
    weight = (1 - _ANY) * roll + _ANY / math.tau
    weight *= np.exp(-0.5 * ((pitch - _PITCH) / _PITCHES) ** 2)
    return np.asarray(weight / weight.sum())


def turn_image(image: NDArray[np.uint8], mapping: ImageMapping, angle: float) -> NDArray[np.uint8]:
    """
    Turn an image about its middle, and bring it to the network's size in one go.

    What lies beyond its edges is mirrored.

    :param image: RGB [H, W, 3]
    :param mapping: how it is scaled and cropped where it is not turned
    :return: RGB [h, w, 3]
    """
    shrink = [max(1, int(0.5 / scale)) for scale in (mapping.scale_x, mapping.scale_y)]
    size = (max(1, image.shape[1] // shrink[0]), max(1, image.shape[0] // shrink[1]))
    reduced = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    to_input = np.diag([1 / mapping.scale_x, 1 / mapping.scale_y, 1.0])
    to_input[:2, 2] = mapping.points_to_input(np.zeros(2))
    to_reduced = np.diag([size[0] / image.shape[1], size[1] / image.shape[0], 1.0])
    to_reduced[:2, 2] = 0.5 * (to_reduced.diagonal()[:2] - 1)
    matrix = to_reduced @ to_input @ _turning(mapping, -angle)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    turned = cv2.warpAffine(
        reduced,
        matrix[:2],
        (mapping.width, mapping.height),
        flags=flags,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(turned, np.uint8)


def turn_back(seen: Seen, mapping: ImageMapping, angle: float, *, pinhole: bool) -> Seen:
    """
    Return what would have been seen of the image as it is.

    Where the turned image did not reach, the depth of its edge goes on, with the least confidence.

    :param seen: of the turned image
    :param mapping: from the input image to the network's
    :param angle: by which the image was turned
    :param pinhole: whether points lie on the rays of a pinhole camera
    """
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    matrix, size = _turning(mapping, angle)[:2], (mapping.width, mapping.height)

    def back(values: NDArray[np.float32]) -> NDArray[np.float32]:
        edge = cv2.BORDER_REPLICATE
        return np.asarray(
            cv2.warpAffine(values, matrix, size, flags=flags, borderMode=edge), np.float32
        )

    confidence = cv2.warpAffine(
        seen.confidence, matrix, size, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=1.0
    )
    if pinhole:
        camera = Intrinsics.centred(mapping.width, mapping.height, seen.focal)
        points = camera.rays() * back(np.ascontiguousarray(seen.points[..., 2]))[..., None]
    else:
        points = back(seen.points) @ turning_axes(angle)[:3, :3].astype(np.float32)
    return replace(
        seen,
        points=points,
        confidence=np.asarray(confidence, np.float32),
        world_points=None if seen.world_points is None else back(seen.world_points),
    )


def turning_axes(angle: float) -> NDArray[np.float64]:
    """Return what takes points of the real camera to those of the turned one [4, 4]."""
    cos, sin = math.cos(angle), math.sin(angle)
    transform = np.eye(4)
    transform[:2, :2] = [[cos, sin], [-sin, cos]]
    return transform


def _turning(mapping: ImageMapping, angle: float) -> NDArray[np.float64]:
    """Return what takes pixels of the network's image as it is to those of the turned one."""
    matrix = np.eye(3)
    # stretched images are turned as they were before
    stretch = np.array([mapping.scale_x, mapping.scale_y])
    matrix[:2, :2] = turning_axes(angle)[:2, :2] * (stretch[:, None] / stretch)
    centre = np.array([mapping.width - 1, mapping.height - 1]) / 2
    matrix[:2, 2] = centre - matrix[:2, :2] @ centre
    return matrix
