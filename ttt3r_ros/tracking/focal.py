"""
The focal length of a camera that nobody calibrated, from lines and from points that are followed.

The straight lines of single images tell it at once, where there are any (`vanishing.py`). A wrong
focal length also bends the map: the turning camera sees points where they should not be. How
well the keyframes fit is compared for three focal lengths, and for more where the best is at an
end; a parabola through the costs tells the best one and how sure that is. Where it cannot be told
(a camera that does not turn) the parabola is flat, and what lines and network say stays in force.
After the first keyframes this is done in parts, after one image each: at once it takes as long as
two images or three.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.tracking.bundle import BundleProblem, adjust
from ttt3r_ros.tracking.vanishing import VanishingEstimate

_FEWEST_KEYFRAMES = 4  # in a map, before it says anything of the focal length
_STEP = 0.1  # between the focal lengths compared, log
_ITERATIONS = 4  # at each of them: the poses follow
_LONGEST = 0.15  # from the best of those compared, that a parabola may ask for, log
_FARTHEST = 4  # steps from the focal length in force
_CLEARLY = 0.03  # part of the cost, by which another focal length must be better to go on there
_PRIOR_SIGMA = 0.2  # of the network's focal length, log
_TRUST = 0.1  # part of a parabola's curvature: the same images count in several keyframes
_KEPT = 0.85  # part of the earlier curvature: earlier maps were bent
_FIRST = 12  # keyframes that are all compared
_SETTLED, _OFTEN, _SELDOM = 40, 4, 20  # every fourth until the fortieth, then every twentieth
_LOOKS = 8  # keyframes whose lines are all looked at, then every twentieth
_OFFSETS = np.arange(-120, 121) * 0.01  # from the network's focal length, among which it lies, log


class FocalEstimate:
    """What lines and comparisons so far say of the focal length, as part of the image's width."""

    def __init__(self) -> None:
        self._curve = self._weighted = 0.0  # sum of curvatures, and of these times log-focals
        self._keyframes = self._offered = 0
        self._looking: Iterator[None] = iter(())  # what is under way
        self._comparison: Iterator[None] = iter(())
        self._lines = VanishingEstimate()

    def look(self, gray: NDArray[np.uint8]) -> None:
        """
        Look at the lines of the first image or of a keyframe, if they can still tell something.

        Where that can wait, `proceed` does it.

        :param gray: [H, W]
        """
        self._offered += 1
        if self._offered <= _LOOKS:
            self._lines.look(gray)
        elif self._offered % _SELDOM == 0:
            _end(self._looking)
            self._looking = self._lines.look_in_parts(gray)

    @property
    def has_looked(self) -> bool:
        """Whether the lines of any image were looked at."""
        return self._lines.images > 0

    def correct(self, log_focal: float) -> float:
        """
        Combine the network's focal length with what is known.

        :param log_focal: the network's, log of parts of the width
        :return: what to add to it
        """
        candidates = np.asarray(log_focal + _OFFSETS, np.float64)
        likelihood = self._lines.log_likelihood(candidates) - 0.5 * (_OFFSETS / _PRIOR_SIGMA) ** 2
        likelihood -= candidates * (0.5 * self._curve * candidates - self._weighted)
        posterior = np.exp(likelihood - likelihood.max())
        return float(posterior @ _OFFSETS / posterior.sum())

    def learn(self, problem: BundleProblem, width: int) -> None:
        """
        Compare focal lengths in a keyframe's problem; where that can wait, `proceed` does it.

        :param problem: after its refinement, at the focal length in force
        :param width: of the image, pixels
        """
        if len(problem.T_camera_world) < _FEWEST_KEYFRAMES:
            return
        self._keyframes += 1
        interval = _OFTEN if self._keyframes < _SETTLED else _SELDOM
        if self._keyframes > _FIRST and self._keyframes % interval:
            return
        _end(self._comparison)
        self._comparison = self._compare(problem, width)
        if self._keyframes <= _FIRST:
            _end(self._comparison)  # the next keyframe needs it

    def proceed(self) -> None:
        """Do the next part of what is under way, after an image."""
        for parts in (self._comparison, self._looking):
            if next(parts, self) is not self:
                return

    def _compare(self, problem: BundleProblem, width: int) -> Iterator[None]:
        costs = {}
        for step in (-1, 0, 1):
            costs[step] = _cost(problem, step * _STEP)
            yield
        way = best = min(costs, key=costs.__getitem__)
        # where the cost clearly falls, it is followed until it rises again
        while way and abs(best) < _FARTHEST and costs[0] - costs[best] > _CLEARLY * costs[0]:
            costs[best + way] = _cost(problem, (best + way) * _STEP)
            yield
            if costs[best + way] >= costs[best]:
                break
            best += way
        middle = best if best + way in costs else best - way
        below, here, above = (costs[middle + step] for step in (-1, 0, 1))
        curve = (below - 2 * here + above) / _STEP**2
        if curve <= 0:
            return
        offset = float(np.clip((below - above) / (2 * _STEP) / curve, -_LONGEST, _LONGEST))
        found = float(np.log(problem.focal / width)) + middle * _STEP + offset
        self._curve = _KEPT * self._curve + _TRUST * curve
        self._weighted = _KEPT * self._weighted + _TRUST * curve * found


def _end(parts: Iterator[None]) -> None:
    for _ in parts:
        pass


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
