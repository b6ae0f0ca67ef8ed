#!/usr/bin/env python3
"""
Measure the tracker on a recording with ground truth, fed with simulated network depth.

The true depth is shrunk to the small network's size and made wrong in several ways; `network` is
the shipped network itself, which does not know the camera. Each line is one run: ATE after Sim(3)
in metres, scale of the track over that of the truth, its spread over windows of 50 frames, mean
rotation error in degrees relative to the first frame, frames not tracked, AbsRel after the median
scale of each frame, before and after `refine_depth` (of the network after it only), and the
processor's time per frame in milliseconds (use one thread: OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
import time

import cv2
import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.evaluation.trajectories import absolute_trajectory_error, umeyama
from ttt3r_ros.geometry.camera import ImageMapping, Intrinsics
from ttt3r_ros.geometry.se3 import inverse, rotation_angle
from ttt3r_ros.io.sequence import Sequence, open_sequence
from ttt3r_ros.reconstructor import Reconstructor
from ttt3r_ros.tracking.pnp import PnpTracker, TrackerConfig
from ttt3r_ros.tracking.refine_depth import refine_depth

SMALL = (96, 72)
DEPTHS = ('true', 'jitter', 'smooth', 'constant', 'network')
WINDOW = 50


@dataclass
class Outcome:
    """What one run gives."""

    poses: list[NDArray[np.float64]]
    lost: int
    seconds: float
    depth_before: list[float]
    depth_after: list[float]


def field(rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a smooth field with a deviation of 1."""
    drawn = cv2.resize(rng.normal(size=(3, 4)), SMALL, interpolation=cv2.INTER_CUBIC)
    return np.asarray(drawn / drawn.std(), np.float32)


def filled(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill holes from the nearest pixel and shrink."""
    valid = np.isfinite(depth) & (depth > 0)
    _, label = cv2.distanceTransformWithLabels(
        (~valid).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    value = np.zeros(label.max() + 1, np.float32)
    value[label[valid]] = depth[valid]
    return np.asarray(cv2.resize(value[label], SMALL, interpolation=cv2.INTER_AREA))


def spoil(
    depth: NDArray[np.float32], kind: str, still: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """
    Make a depth map wrong.

    :param kind: true; jitter: 20 % scale and a 25 % smooth field, new in each frame; smooth: a
        field of 20 % that stays, one of 12 % and 10 % of scale that do not; constant: 2 m
    :param still: the field that stays
    """
    if kind == 'jitter':
        return depth * np.exp(0.2 * rng.normal() + 0.25 * field(rng)).astype(np.float32)
    if kind == 'smooth':
        log_error = 0.2 * still + 0.12 * field(rng) + 0.1 * rng.normal()
        return depth * np.exp(log_error).astype(np.float32)
    return np.full_like(depth, 2.0) if kind == 'constant' else depth


def relative_error(depth: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Compute AbsRel after scaling by the medians."""
    scaled = depth * (np.median(truth) / np.median(depth))
    return float(np.mean(np.abs(scaled / truth - 1)))


def run(
    sequence: Sequence, camera: Intrinsics, config: TrackerConfig, kind: str, seed: int
) -> Outcome:
    """Track a whole recording."""
    rng = np.random.default_rng(seed)
    still, tracker = field(rng), PnpTracker(config)
    size = (camera.width, camera.height)
    scales = (SMALL[0] / size[0], SMALL[1] / size[1])
    mapping = ImageMapping(*size, *SMALL, *scales, 0, 0)
    rays, confidence = mapping.to_output(camera).rays(), np.ones(SMALL[::-1], np.float32)
    outcome = Outcome([], 0, 0.0, [], [])
    for frame in sequence:
        recorded, image = frame.depth(), frame.image()
        assert recorded is not None
        truth = filled(recorded)
        points = rays * spoil(truth, kind, still, rng)[..., None]
        start = time.thread_time()
        found = tracker.add(image, points, confidence, mapping, camera, np.eye(4))
        outcome.seconds += time.thread_time() - start
        outcome.poses.append(found.T_world_camera)
        outcome.lost += found.status not in ('first', 'tracked')
        refined = refine_depth(
            points * np.float32(found.depth_scale),
            found.landmark_pixels,
            found.landmark_depth,
            found.landmark_sigma,
        )
        outcome.depth_before.append(relative_error(points[..., 2], truth))
        outcome.depth_after.append(relative_error(refined[..., 2], truth))
    return outcome


def run_network(sequence: Sequence) -> Outcome:
    """Reconstruct a whole recording with the shipped network, which does not know the camera."""
    reconstructor, outcome = Reconstructor(), Outcome([], 0, 0.0, [], [])
    for frame in sequence:
        recorded, image = frame.depth(), frame.image()
        assert recorded is not None
        start = time.thread_time()
        view = reconstructor.add(image)
        outcome.seconds += time.thread_time() - start
        outcome.poses.append(view.T_world_camera)
        outcome.lost += view.tracking.status not in ('first', 'tracked')
        depth = np.asarray(cv2.resize(view.depth, SMALL), np.float32)
        outcome.depth_after.append(relative_error(depth, filled(recorded)))
    return outcome


def report(name: str, outcome: Outcome, truth: NDArray[np.float64]) -> None:
    """Print one line."""
    poses = np.array(outcome.poses)
    positions, true = poses[:, :3, 3], truth[:, :3, 3]
    scale = 1 / umeyama(positions, true, True).scale
    starts = range(0, len(poses) - WINDOW + 1, WINDOW // 2)
    windows = [slice(start, start + WINDOW) for start in starts]
    sizes = [1 / umeyama(positions[part], true[part], True).scale / scale for part in windows]
    error = inverse(inverse(poses[:1]) @ poses) @ (inverse(truth[:1]) @ truth)
    spread = f'{min(sizes):.2f}..{max(sizes):.2f}' if sizes else '-'
    print(
        f'{name:30s} ATE {absolute_trajectory_error(poses, truth):.4f}  scale {scale:.2f}  '
        f'windows {spread}  rotation {np.degrees(rotation_angle(error)).mean():.2f}  '
        f'lost {outcome.lost}  AbsRel {np.mean(outcome.depth_before or np.nan):.3f} -> '
        f'{np.mean(outcome.depth_after):.3f}  {1e3 * outcome.seconds / len(poses):.1f} ms',
        flush=True,
    )


def main() -> None:
    """Run the tracker on all kinds of depth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('recording', type=Path, help='with depth and poses: TUM or 7-Scenes')
    parser.add_argument('--focal', type=float, default=525.0, help='pixels of the full image')
    parser.add_argument('--depth', nargs='+', default=list(DEPTHS), choices=DEPTHS)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--plain', action='store_true', help='without refining the map (not of `network`)'
    )
    parser.add_argument('--rolling-shutter', type=float, default=TrackerConfig().rolling_shutter)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    sequence = open_sequence(arguments.recording)
    height, width = next(iter(sequence)).image().shape[:2]
    camera = Intrinsics.centred(width, height, arguments.focal)
    truth = np.array([frame.T_world_camera for frame in sequence])
    config = replace(
        TrackerConfig(),
        refine=not arguments.plain,
        rolling_shutter=arguments.rolling_shutter,
    )
    for kind in arguments.depth:
        own = kind == 'network'
        outcome = (
            run_network(sequence) if own else run(sequence, camera, config, kind, arguments.seed)
        )
        report(f'{arguments.recording.name} {kind}', outcome, truth)


if __name__ == '__main__':
    main()
