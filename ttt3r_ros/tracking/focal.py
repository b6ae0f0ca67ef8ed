"""
The focal length of a camera that nobody calibrated, from the points that are followed.

A wrong focal length bends the map: the turning camera sees points where they should not be. How
well the keyframes fit is compared for three focal lengths, and a parabola through the costs tells
the best one and how sure that is. Where it cannot be told (a camera that does not turn) the
parabola is flat, and what the network says stays in force. A late
comparison is done in three parts, after one image each: at once it takes as long as two images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ttt3r_ros.tracking.bundle import BundleProblem, adjust

_FEWEST_KEYFRAMES = 4  # in a map, before it says anything of the focal length
_STEP = 0.1  # between the focal lengths compared, log
_ITERATIONS = 4  # at each of them: the poses follow
_LONGEST = 0.15  # change that one comparison may ask for, log
_PRIOR_SIGMA = 0.2  # of the network's focal length, log
_TRUST = 0.1  # part of a parabola's curvature: the same images count in several keyframes
_KEPT = 0.85  # part of the earlier curvature: earlier maps were bent
_FIRST = 12  # keyframes that are all compared; from then on every twentieth
_LATER = 20


class FocalEstimate:
    """What the comparisons so far say of the focal length, as part of the image's width."""

    def __init__(self) -> None:
        self._curve = self._weighted = 0.0  # sum of curvatures, and of these times log-focals
        self._keyframes = 0
        self._comparison: Iterator[None] = iter(())

    def correct(self, log_focal: float) -> float:
        """
        Combine the network's focal length with what is known.

        :param log_focal: the network's, log of parts of the width
        :return: what to add to it
        """
        prior = 1.0 / _PRIOR_SIGMA**2
        return (self._weighted - self._curve * log_focal) / (self._curve + prior)

    def learn(self, problem: BundleProblem, width: int) -> None:
        """
        Compare focal lengths in a keyframe's problem; where that can wait, `proceed` does it.

        :param problem: after its refinement, at the focal length in force
        :param width: of the image, pixels
        """
        if len(problem.T_camera_world) < _FEWEST_KEYFRAMES:
            return
        self._keyframes += 1
        if self._keyframes > _FIRST and self._keyframes % _LATER:
            return
        self._end_comparison()
        self._comparison = self._compare(problem, width)
        if self._keyframes <= _FIRST:
            self._end_comparison()  # the next keyframe needs it

    def _end_comparison(self) -> None:
        for _ in self._comparison:
            pass

    def proceed(self) -> None:
        """Do the next third of a comparison, where one is under way."""
        next(self._comparison, None)

    def _compare(self, problem: BundleProblem, width: int) -> Iterator[None]:
        below = _cost(problem, -_STEP)
        yield
        here = _cost(problem, 0.0)
        yield
        above = _cost(problem, _STEP)
        curve = (below - 2 * here + above) / _STEP**2
        slope = (above - below) / (2 * _STEP)
        if curve <= 0:
            return
        in_force = float(np.log(problem.focal / width))
        best = in_force + float(np.clip(-slope / curve, -_LONGEST, _LONGEST))
        self._curve = _KEPT * self._curve + _TRUST * curve
        self._weighted = _KEPT * self._weighted + _TRUST * curve * best


def _cost(problem: BundleProblem, step: float) -> float:
    """Return the cost at another focal length; all poses but the first are refined for it."""
    ratio = np.exp(step)
    changed = replace(
        problem,
        fixed=1,
        rays=problem.rays / [ratio, ratio, 1.0],
        measured=problem.measured / ratio,
        focal=problem.focal * ratio,
    )
    return adjust(changed, _ITERATIONS).cost
