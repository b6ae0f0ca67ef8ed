"""
The focal length of a camera that nobody calibrated, from the points that are followed.

A wrong focal length bends the map: the turning camera sees points where they should not be. How
well the keyframes fit is compared for three focal lengths, and for more where the best is at an
end; a parabola through the costs tells the best one and how sure that is. Where it cannot be told
(a camera that does not turn) the parabola is flat, and what the network says stays in force. A
late comparison is done in parts, after one image each: at once it takes as long as two images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ttt3r_ros.tracking.bundle import BundleProblem, adjust

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
        interval = _OFTEN if self._keyframes < _SETTLED else _SELDOM
        if self._keyframes > _FIRST and self._keyframes % interval:
            return
        self._end_comparison()
        self._comparison = self._compare(problem, width)
        if self._keyframes <= _FIRST:
            self._end_comparison()  # the next keyframe needs it

    def _end_comparison(self) -> None:
        for _ in self._comparison:
            pass

    def proceed(self) -> None:
        """Do the next part of a comparison, where one is under way."""
        next(self._comparison, None)

    def _compare(self, problem: BundleProblem, width: int) -> Iterator[None]:
        costs = {}
        for step in (-1, 0, 1):
            costs[step] = _cost(problem, step * _STEP)
            yield
        way = best = min(costs, key=costs.__getitem__)
        # where the cost clearly falls, it is followed until it rises again
        while way and abs(best) < _FARTHEST and costs[0] - costs[best] > _CLEARLY * costs[0]:
            costs[best + way] = _cost(problem, (best + way) * _STEP)
            if costs[best + way] >= costs[best]:
                break
            best += way
            yield
        middle = best if best + way in costs else best - way
        below, here, above = (costs[middle + step] for step in (-1, 0, 1))
        curve = (below - 2 * here + above) / _STEP**2
        if curve <= 0:
            return
        offset = float(np.clip((below - above) / (2 * _STEP) / curve, -_LONGEST, _LONGEST))
        found = float(np.log(problem.focal / width)) + middle * _STEP + offset
        self._curve = _KEPT * self._curve + _TRUST * curve
        self._weighted = _KEPT * self._weighted + _TRUST * curve * found


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
