"""
What a scene is made of, as flat arrays for the compiled renderer.

World axes: x and y horizontal, z up, metres, the room's floor at z = 0. N primitives, M textures.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BOX, BALL, CYLINDER, SHELL = 0, 1, 2, 3

# Kinds of texture.
PLAIN, CLOUDS, CHECKS, STRIPES, BRICKS, BLOTCHES, WOOD, TEXT, PHOTO, KEYS, CARPET = range(11)

# Columns of the texture table.
KIND, RED0, RED1, SCALE, NOISE_SCALE, NOISE, COSINE, SINE, SEED = 0, 1, 4, 7, 8, 9, 10, 11, 12
TILE, EMISSION, GLOSS, FIT, RATIO = 13, 14, 15, 16, 17
TEXTURE_COLUMNS = 18


class SceneArrays(NamedTuple):
    """
    One scene.

    A primitive is the unit cube, ball or cylinder (axis z), scaled by `half`, turned by
    `rotation` and moved to `centre`; a shell is a box seen from inside.
    """

    kind: NDArray[np.int32]  # [N]
    centre: NDArray[np.float32]  # [N, 3]
    rotation: NDArray[np.float32]  # columns are the primitive's axes in the world [N, 3, 3]
    half: NDArray[np.float32]  # half the size along the primitive's axes [N, 3]
    textures: NDArray[np.int32]  # of the faces -x +x -y +y -z +z [N, 6]
    mover: NDArray[np.int32]  # index of the moving object it belongs to, or -1 [N]
    table: NDArray[np.float32]  # textures [M, TEXTURE_COLUMNS]
    atlas: NDArray[np.uint8]  # photographic tiles, each with its mip levels [K, 21824, 3]
    lights: NDArray[np.float32]  # position, colour, falloff [L, 7]; only the first casts shadows
    air: NDArray[np.float32]  # ambient light from above, from below, size of the room [3, 3]
    shadow: NDArray[np.float32]  # depth below the first light [S, S]
    shadow_focal: float  # of the shadow map, pixels

    @property
    def size(self) -> NDArray[np.float32]:
        """Size of the room, metres [3]."""
        return np.asarray(self.air[2])


# Columns of the table of primitives that one view's kernels read: the camera in the primitive's
# scaled frame, the camera's axes there, the primitive's axes in the world, half size, kind, faces.
ORIGIN, AXES, TURN, HALF, SOLID, FACES = 0, 3, 12, 21, 24, 25
SOLID_COLUMNS = 31
