"""Corners, and following them from one image to the next."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.tracking.exposure import Exposure

Pixels = NDArray[np.float32]

_WINDOW = (13, 13)  # pixels around a corner that are compared
LEVELS = 3
"""Of the pyramid; with the window: motions up to about 50 pixels from the guess."""
MOST_LEVELS = 5
"""Of the pyramid, where there is no good guess."""
_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 0.03)
_LEAST_TEXTURE = 1e-4  # smallest eigenvalue of a patch that can be followed (OpenCV's units)
_NOISE_TEXTURE = 0.23 / 1024  # that eigenvalue for noise of variance 1 (Scharr's kernel)
_RESIDUAL_VARIANCE = 0.79  # of noise in one image, where two differ by 1 in the mean (normal)
_LEAST_CLEAR = 1.5  # times the texture of noise
_GAINS = 4  # times at most that the brightness is compared anew: each finds more points
_BACK_ERROR = 0.7  # pixels between a point and where it returns to when followed back
_BORDER = 3  # pixels
_QUALITY = 0.002  # weakest corner, relative to the strongest
_ENOUGH = 0.5  # of the corners that are wanted
_CLOSEST = 3.0  # pixels at half the size, between corners
_EDGES = 0.02  # part of the image whose detail tells how sharp it is


def detect(gray: NDArray[np.uint8], taken: NDArray[np.floating], count: int) -> Pixels:
    """
    Find corners that are spread over the image and away from those that there are.

    Works at half the size: a corner that is to be followed need not be precise, and it is ten
    times as fast.

    :param gray: [H, W]
    :param taken: pixels of the points that there are [M, 2]
    :param count: at most so many
    :return: pixels, the strongest first [N, 2]
    """
    if count <= 0 or min(gray.shape) < 8 * _BORDER:
        return np.zeros((0, 2), np.float32)
    half = np.asarray(cv2.pyrDown(gray), np.uint8)
    distance = max(3.0, 0.6 * float(np.sqrt(half.size / (count + len(taken)))))
    corners = _strongest(half, taken / 2, count, distance)
    # where most of the image is plain, closer together where it is not
    wanted = _ENOUGH * (count + len(taken))
    if len(corners) + len(taken) < wanted and distance > _CLOSEST:
        closer = max(_CLOSEST, distance / 2)
        there = np.concatenate([taken / 2, corners])
        more = _strongest(half, there, int(wanted) - len(there) + 1, closer)
        corners = np.concatenate([corners, more])
    return 2 * corners


def _strongest(
    gray: NDArray[np.uint8], taken: NDArray[np.floating], count: int, distance: float
) -> Pixels:
    """Find the strongest corners at a distance from one another and from what there is."""
    mask = np.zeros(gray.shape, np.uint8)
    mask[2 * _BORDER : -2 * _BORDER, 2 * _BORDER : -2 * _BORDER] = 255
    for x, y in np.round(taken).astype(int).tolist():
        cv2.circle(mask, (x, y), int(distance), 0, -1)
    corners = cv2.goodFeaturesToTrack(gray, count, _QUALITY, distance, mask=mask, blockSize=5)
    # OpenCV says None where there are none, whatever its types say.
    return np.asarray(() if corners is None else corners, np.float32).reshape(-1, 2)


def follow(
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    pixels: Pixels,
    guess: Pixels,
    levels: int = LEVELS,
) -> tuple[Pixels, NDArray[np.bool_], NDArray[np.bool_]]:
    """
    Follow points by pyramidal Lucas–Kanade flow, there and back.

    :param before: image in which the points are known [H, W]
    :param after: image in which they are looked for [H, W]
    :param pixels: in the image before [N, 2]
    :param guess: in the image after [N, 2]
    :param levels: of the pyramid; more find points that moved far, and lose small ones
    :return: pixels in the image after [N, 2]; whether they return to where they came from [N];
        and whether they stand out from noise in both directions: on a bare wall or along an edge
        noise stays where it is guessed, whatever the camera does [N]
    """
    if len(pixels) == 0:
        return pixels, np.zeros(0, np.bool_), np.zeros(0, np.bool_)
    exposure = Exposure(before, after)
    before = exposure.guess(pixels, guess)
    there, found, residual = _flow(before, after, pixels, guess, levels)
    for _ in range(_GAINS):
        lit = exposure.correct(pixels[found], there[found])
        if lit is None:
            break
        before = lit
        there, found, residual = _flow(before, after, pixels, guess, levels)
    back, returned, texture = _flow(
        after, before, there, pixels, 0, cv2.OPTFLOW_LK_GET_MIN_EIGENVALS
    )
    good = found & returned & (np.abs(back - pixels).max(axis=1) < _BACK_ERROR)
    height, width = after.shape
    inside = (there > _BORDER) & (there < [width - 1 - _BORDER, height - 1 - _BORDER])
    # where the surface fits best, what is left is noise
    noise = float(np.percentile(residual[good], 25)) if good.any() else 0.0
    clear = texture > _LEAST_CLEAR * _NOISE_TEXTURE * _RESIDUAL_VARIANCE * noise**2
    return there, good & inside.all(axis=1), clear


def _flow(
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    pixels: Pixels,
    guess: Pixels,
    levels: int,
    flags: int = 0,
) -> tuple[Pixels, NDArray[np.bool_], Pixels]:
    """Return places, whether they were found, and mean absolute differences, or as flags say."""
    # The guess is overwritten by OpenCV.
    there, found, told = cv2.calcOpticalFlowPyrLK(
        before,
        after,
        np.ascontiguousarray(pixels, np.float32).reshape(-1, 1, 2),
        np.array(guess, np.float32).reshape(-1, 1, 2),
        winSize=_WINDOW,
        maxLevel=levels,
        criteria=_CRITERIA,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW | flags,
        minEigThreshold=_LEAST_TEXTURE,
    )
    return np.asarray(there[:, 0], np.float32), found[:, 0] > 0, np.asarray(told[:, 0])


def sharpness(gray: NDArray[np.uint8]) -> float:
    """
    Measure how sharp the sharpest edges of an image are, however few there are.

    :return: mean square of the Laplacian at half size, over the 2 % where it is greatest
    """
    detail = np.abs(cv2.Laplacian(cv2.pyrDown(gray), cv2.CV_32F)).ravel()
    first = int(len(detail) * (1 - _EDGES))
    strongest = np.partition(detail, first)[first:]
    return float(np.mean(strongest * strongest))
