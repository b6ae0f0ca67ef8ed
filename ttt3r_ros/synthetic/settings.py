"""Ranges from which synthetic scenes, cameras and motions are drawn, and the seed split."""

from __future__ import annotations

from dataclasses import dataclass

from ttt3r_ros.settings import check_settings, setting

HELD_OUT_SEED = 1 << 40
MOTIONS = ('mixed', 'handheld', 'closeup', 'planar', 'stopgo', 'rotation')


@dataclass(frozen=True, kw_only=True)
class SceneSettings:
    """Ranges of everything random in a sequence; the defaults are those of the held-out ones."""

    fov_min: float = setting(45.0, 'Smallest field of view along the long side, degrees.', ge=10.0)
    fov_max: float = setting(
        100.0, 'Largest field of view along the long side, degrees.', le=140.0
    )
    rotation_min: float = setting(0.1, 'Slowest rotation, degrees RMS per frame.', ge=0.0)
    rotation_max: float = setting(4.0, 'Fastest rotation, degrees RMS per frame.', ge=0.0)
    translation_min: float = setting(0.002, 'Slowest translation, metres RMS per frame.', ge=0.0)
    translation_max: float = setting(0.08, 'Fastest translation, metres RMS per frame.', ge=0.0)
    motion: str = setting('mixed', 'Kind of camera motion.', choices=MOTIONS)
    tilted: float = setting(
        0.12, 'Share of hand-held cameras that are tilted, by up to 52 degrees.', ge=0.0, le=1.0
    )
    supersampling: int = setting(2, 'Rays per pixel along each side; 1 or 2.', ge=1, le=2)
    moving_objects: float = setting(0.2, 'Share of scenes with moving objects.', ge=0.0, le=1.0)
    overexposed: float = setting(
        0.0, 'Share of cameras that take too much light, up to four times.', ge=0.0, le=1.0
    )
    photometric: bool = setting(True, 'Exposure, white balance, blur, vignetting and noise.')

    def __post_init__(self) -> None:
        check_settings(self)


def held_out_seed(index: int) -> int:
    """Return the seed of a scene that training never sees; training seeds stay below 2^40."""
    return HELD_OUT_SEED + index


def train_seed(index: int) -> int:
    """
    Return the seed of a training scene.

    :raises ValueError: where the index would reach the held-out seeds
    """
    if not 0 <= index < HELD_OUT_SEED:
        raise ValueError(f'training scene {index} is outside [0, 2^40)')
    return index
