"""Settings of the tracker."""

from __future__ import annotations

from dataclasses import dataclass

from ttt3r_ros.settings import check_settings, setting


@dataclass(frozen=True, kw_only=True)
class TrackerConfig:
    """Settings of `PnpTracker`; pixels are those of the shrunk image."""

    image_size: int = setting(
        640, 'Images with a longer side are shrunk to it for tracking, pixels.', ge=160, le=4096
    )
    features: int = setting(300, 'Points that are followed at once.', ge=50, le=4000)
    max_error: float = setting(
        3.0, 'Image error of a point that agrees with the pose, pixels.', ge=0.5, le=20.0
    )
    min_inliers: int = setting(
        20, 'Tracking is lost where fewer points agree on a pose.', ge=6, le=1000
    )
    rolling_shutter: float = setting(
        0.5,
        'Time to read out an image from top to bottom, as part of the time between frames; '
        'what is thought before the images tell.',
        ge=-1.0,
        le=1.0,
    )
    refine: bool = setting(
        True, 'Refine keyframe poses and depths together; else depths are the network’s mean.'
    )
    window: int = setting(8, 'Keyframes that are remembered.', ge=3, le=30)
    free_poses: int = setting(2, 'Keyframes whose poses are refined, the latest.', ge=1, le=20)
    keyframe_motion: float = setting(
        0.05, 'Median motion in the image between keyframes, part of its width.', ge=0.005, le=0.5
    )
    keyframe_interval: int = setting(
        20, 'Frames between keyframes at most, while the camera moves.', ge=1, le=1000
    )
    depth_sigma: float = setting(
        0.7, 'Error of one depth of the network, as weighed in refining, log.', ge=0.01, le=10.0
    )
    scale_frames: int = setting(
        150, 'Frames over which the map’s scale follows the network’s.', ge=1, le=100_000
    )

    def __post_init__(self) -> None:
        check_settings(self)
