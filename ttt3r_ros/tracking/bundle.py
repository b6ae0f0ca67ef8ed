"""
Joint refinement of the last keyframe poses and of the depths of the points seen in them.

The cost is the robust reprojection error plus a weak pull of every depth to the network's. A point
has one unknown, its log-depth in its anchor; these are eliminated (variable projection: Golub and
Pereyra, 1973), so that SciPy's trust region sees six unknowns a keyframe, and no more.

Sizes: F keyframes, of which the last V are free, L points, O observations.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ttt3r_ros.geometry.se3 import inverse, orthonormalise
from ttt3r_ros.tracking.pose import Array

Indices = NDArray[np.int64]

_NEAREST = 1e-3  # metres
_DEPTH_STEPS = 1  # Newton step of the depths at each set of poses; they start near
_SETTLE_STEPS = 4  # of these, where the poses are fixed
_LONGEST_DEPTH_STEP = 0.5  # log
_START_RADIUS = 0.1  # of the trust region, metres and radians


@dataclass(frozen=True)
class BundleProblem:
    """
    What is known.

    :param T_camera_world: poses to start from [F, 4, 4]
    :param fixed: so many of the first poses stay as they are
    :param anchor: keyframe in which a point's depth counts [L]
    :param rays: to the points from their anchors, z = 1 [L, 3]
    :param log_depth: to start from, log of metres [L]
    :param prior: the network's [L]
    :param prior_sigma: error of one of them
    :param frame: keyframe of each observation, never the anchor [O]
    :param point: of each observation; ascending, each of the L points at least once [O]
    :param measured: where it was seen, with the focal length and centre taken out [O, 2]
    :param focal: pixels
    :param max_error: at which an error counts half (Cauchy's loss), pixels
    """

    T_camera_world: Array
    fixed: int
    anchor: Indices
    rays: Array
    log_depth: Array
    prior: Array
    prior_sigma: float
    frame: Indices
    point: Indices
    measured: Array
    focal: float
    max_error: float


@dataclass(frozen=True)
class Adjusted:
    """
    The outcome.

    :param T_camera_world: [F, 4, 4]
    :param log_depth: [L]
    :param cost: half the robust sum of squares, pixels and deviations of the prior
    """

    T_camera_world: Array
    log_depth: Array
    cost: float


def adjust(problem: BundleProblem, iterations: int) -> Adjusted:
    """
    Refine poses and depths.

    :param iterations: of the trust region; each costs about as much as the pose of one image
    """
    cost = _ReducedCost(problem)
    free = len(problem.T_camera_world) - problem.fixed
    result = minimize(  # type: ignore[no-untyped-call]
        cost.value,
        np.zeros(6 * free),
        jac=cost.gradient,
        hess=cost.hessian,
        method='trust-exact',
        options={
            'maxiter': iterations,
            'gtol': 1e-2,
            'initial_trust_radius': _START_RADIUS,
            'max_trust_radius': 1.0,
        },
    )
    value = cost.value(result.x)
    poses = cost.poses(result.x).T_camera_world
    for k in range(problem.fixed, len(poses)):
        poses[k] = orthonormalise(poses[k])
    return Adjusted(poses, cost.log_depth, value)


def settle(problem: BundleProblem) -> Array:
    """Refine the depths alone, all poses being fixed; return the log-depths [L]."""
    cost = _ReducedCost(problem)
    poses = cost.poses(np.zeros(6 * (len(problem.T_camera_world) - problem.fixed)))
    cost.settle_depths(poses, _SETTLE_STEPS)
    return cost.log_depth


@dataclass(frozen=True)
class _Poses:
    """
    Poses after an update: p' = R(w) p + v in the camera frame.

    :param T_camera_world: after the update [F, 4, 4]
    :param shift: v [F, 3]
    :param by_update: slopes of the free poses' small turns, after R(w), and shifts [6 V, 6 V]
    """

    T_camera_world: Array
    shift: Array
    by_update: Array


@dataclass(frozen=True)
class _Residuals:
    """
    Image errors and their slopes.

    :param local: points in the cameras that see them [O, 3]
    :param in_anchor: the same in their anchors [O, 3]
    :param turn: rotation from the anchors to these cameras [O, 3, 3]
    :param error: pixels [O, 2]
    :param weight: of the robust loss [O]
    :param by_local: slope by the point in the camera [O, 2, 3]
    :param by_depth: slope by the log-depth [O, 2]
    :param depth_slope: of the cost [L]
    :param depth_curve: second derivative of the cost (Gauss–Newton) [L]
    """

    local: Array
    in_anchor: Array
    turn: Array
    error: Array
    weight: Array
    by_local: Array
    by_depth: Array
    depth_slope: Array
    depth_curve: Array


class _ReducedCost:
    """The cost of poses, with each depth at its best for them."""

    def __init__(self, problem: BundleProblem) -> None:
        self._problem = problem
        self._starts = np.flatnonzero(np.diff(problem.point, prepend=-1))
        self._anchor = problem.anchor[problem.point]
        self._at: Array | None = None
        self.log_depth = problem.log_depth

    def value(self, x: Array) -> float:
        return self._evaluate(x)[0]

    def gradient(self, x: Array) -> Array:
        return self._evaluate(x)[1]

    def hessian(self, x: Array) -> Array:
        return self._evaluate(x)[2]

    def poses(self, x: Array) -> _Poses:
        """Apply an update, (w, v) for each free pose [6 V]."""
        problem = self._problem
        count = len(problem.T_camera_world)
        steps = np.zeros((count, 6))
        steps[problem.fixed :] = x.reshape(-1, 6)
        update, by_update = np.tile(np.eye(3), (count, 1, 1)), np.eye(len(x))
        for k in range(problem.fixed, count):
            update[k], by_vector = cv2.Rodrigues(steps[k, :3])
            # dR/dw_j R^T is the cross product with the small turn that follows from w_j.
            cross = by_vector.reshape(3, 3, 3) @ update[k].T
            turn = slice(6 * (k - problem.fixed), 6 * (k - problem.fixed) + 3)
            by_update[turn, turn] = cross[:, [2, 0, 1], [1, 2, 0]].T
        poses = problem.T_camera_world.copy()
        poses[:, :3] = update @ poses[:, :3]
        poses[:, :3, 3] += steps[:, 3:]
        return _Poses(poses, steps[:, 3:], by_update)

    def _evaluate(self, x: Array) -> tuple[float, Array, Array]:
        """Return cost, gradient [6 V] and Gauss–Newton Hessian [6 V, 6 V]; once for each x."""
        if self._at is None or not np.array_equal(x, self._at):
            poses = self.poses(x)
            residuals = self.settle_depths(poses)
            self._at, self._known = x.copy(), self._eliminate(poses, residuals)
        return self._known

    def settle_depths(self, poses: _Poses, steps: int = _DEPTH_STEPS) -> _Residuals:
        residuals = self._residuals(poses)
        for _ in range(steps):
            step = residuals.depth_slope / residuals.depth_curve
            limit = _LONGEST_DEPTH_STEP
            self.log_depth = self.log_depth - np.clip(step, -limit, limit)
            residuals = self._residuals(poses)
        return residuals

    def _residuals(self, poses: _Poses) -> _Residuals:
        problem, anchor, frame = self._problem, self._anchor, self._problem.frame
        in_anchor = (problem.rays * np.exp(self.log_depth)[:, None])[problem.point]
        relative = poses.T_camera_world[:, None] @ inverse(poses.T_camera_world)
        relative = relative[frame, anchor]
        turn = relative[:, :3, :3]
        turned = np.einsum('oij,oj->oi', turn, in_anchor)
        local = turned + relative[:, :3, 3]
        z = np.maximum(local[:, 2], _NEAREST)
        ratio = local[:, :2] / z[:, None]
        error = problem.focal * (ratio - problem.measured)
        by_local = np.zeros((len(z), 2, 3))
        by_local[:, 0, 0] = by_local[:, 1, 1] = problem.focal / z
        by_local[:, :, 2] = -problem.focal * ratio / z[:, None]
        by_depth = np.einsum('oij,oj->oi', by_local, turned)
        weight = 1.0 / (1.0 + (error**2).sum(axis=1) / problem.max_error**2)
        trust = problem.prior_sigma**-2
        slope = self._per_point(weight * (error * by_depth).sum(axis=1))
        curve = self._per_point(weight * (by_depth * by_depth).sum(axis=1))
        slope += trust * (self.log_depth - problem.prior)
        curve += trust
        return _Residuals(local, in_anchor, turn, error, weight, by_local, by_depth, slope, curve)

    def _eliminate(self, poses: _Poses, at: _Residuals) -> tuple[float, Array, Array]:
        problem = self._problem
        by_pose = self._pose_slopes(poses, at)
        root = np.sqrt(at.weight)
        slopes = (by_pose * root[:, None, None]).reshape(2 * len(root), -1)
        errors = (at.error * root[:, None]).ravel()
        weighted = at.by_depth * at.weight[:, None]
        mixed = self._per_point(np.einsum('oik,oi->ok', by_pose, weighted))  # [L, 6 V]
        reduced = mixed / at.depth_curve[:, None]
        gradient = slopes.T @ errors - reduced.T @ at.depth_slope
        # By OpenCV: NumPy's product would wake the threads of BLAS, which on a busy machine costs
        # many times more.
        hessian = _gram(slopes, slopes) - _gram(mixed, reduced)
        gradient = poses.by_update.T @ gradient
        hessian = poses.by_update.T @ hessian @ poses.by_update
        square = problem.max_error**2
        cost = square * np.log1p((at.error**2).sum(axis=1) / square).sum()
        cost += (((self.log_depth - problem.prior) / problem.prior_sigma) ** 2).sum()
        return 0.5 * float(cost), gradient, hessian

    def _pose_slopes(self, poses: _Poses, at: _Residuals) -> Array:
        """Return the slopes of the errors by small turns and shifts of free poses [O, 2, 6 V]."""
        problem, anchor, frame = self._problem, self._anchor, self._problem.frame
        count, numbers = len(poses.shift), np.arange(len(frame))
        slopes = np.zeros((len(frame), 2, count, 6))
        # The camera that sees the point: p' = R(w) p + v.
        arm = at.local - poses.shift[frame]
        slopes[numbers, :, frame, :3] = np.cross(arm[:, None], at.by_local)
        slopes[numbers, :, frame, 3:] = at.by_local
        # Its anchor, the other way round: p = R(w)^T (p' - v).
        by_anchor = at.by_local @ at.turn
        arm = at.in_anchor - poses.shift[anchor]
        slopes[numbers, :, anchor, :3] = np.cross(by_anchor, arm[:, None])
        slopes[numbers, :, anchor, 3:] = -by_anchor
        return slopes[:, :, problem.fixed :].reshape(len(frame), 2, -1)

    def _per_point(self, values: Array) -> Array:
        """Add up the observations of each point [O, ...] -> [L, ...]."""
        return np.asarray(np.add.reduceat(values, self._starts))


def _gram(a: Array, b: Array) -> Array:
    """Return a^T b [K, L] of a [N, K] and b [N, L]."""
    return np.asarray(cv2.gemm(a, b, 1.0, np.empty(0), 0.0, flags=cv2.GEMM_1_T), np.float64)
