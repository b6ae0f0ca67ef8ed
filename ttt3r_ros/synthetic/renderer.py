"""Rendering: radiance and depth of one view, and the shadow map of the main light."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.synthetic.arrays import SceneArrays
from ttt3r_ros.synthetic.raycast import localise, screen_bounds, trace
from ttt3r_ros.synthetic.shading import shade

SHADOW_SIDE = 96


def render_view(
    scene: SceneArrays,
    centre: NDArray[np.float32],
    T_world_camera: NDArray[np.float64],
    focal: float,
    rays: int,
    depth: NDArray[np.float32],
) -> NDArray[np.float64]:
    """
    Render one view.

    :param centre: of the primitives at this moment (moving objects moved) [N, 3]
    :param T_world_camera: the camera's pose in the scene [4, 4]
    :param focal: of the picture, pixels
    :param rays: per pixel along each side, 1 or 2, where the picture has edges
    :param depth: written, at pixel centres, metres along the camera's axis [H, W]
    :return: radiance, linear [H, W, 3]
    """
    camera = np.vstack([T_world_camera[:3, 3], T_world_camera[:3, :3]])
    solids = localise(
        scene.kind, centre, scene.rotation, scene.half, scene.textures, camera
    )  # fmt: skip
    bounds = screen_bounds(
        centre, scene.rotation, scene.half, camera, focal, depth.shape[1], depth.shape[0]
    )
    hit, face = np.empty(depth.shape, np.int32), np.empty(depth.shape, np.int32)
    trace(solids, bounds, focal, depth, hit, face)
    radiance = np.empty((*depth.shape, 3))
    shade(
        solids, camera, scene.table, scene.atlas, scene.lights, scene.air, scene.shadow,
        scene.shadow_focal, focal, rays, depth, hit, face, radiance,
    )  # fmt: skip
    return radiance


def render_shadow(scene: SceneArrays, blocks: NDArray[np.bool_]) -> None:
    """
    Fill the scene's shadow map.

    :param blocks: which primitives block light [N]
    """
    side = scene.shadow.shape[0]
    down = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]]
    camera = np.vstack([scene.lights[0, :3].astype(np.float64), down])
    solids = localise(scene.kind, scene.centre, scene.rotation, scene.half, scene.textures, camera)
    bounds = screen_bounds(
        scene.centre, scene.rotation, scene.half, camera, scene.shadow_focal, side, side
    )
    bounds[~blocks, 2] = -1e9
    hit, face = np.empty((side, side), np.int32), np.empty((side, side), np.int32)
    trace(solids, bounds, scene.shadow_focal, scene.shadow, hit, face)
