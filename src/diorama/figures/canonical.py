"""The canonical pictures of a character: its A-pose from the front and the back on white, with vertex codes.

The same camera, light and cut as those of the theatre, from which networks learn what they are: a character of a photo
and an actor look alike to them.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, UInt8

from diorama.core.camera import Cameras
from diorama.core.mesh import Mesh
from diorama.errors import UsageError
from diorama.figures.codes import color_map, position_colors
from diorama.figures.harmonics import Lighting, harmonics, sphere
from diorama.figures.show import show_one
from diorama.figures.texture import Character
from diorama.geometry.raster import rasterize

EDGE, STEP = 3 / 16, 16
"""Share of a picture's width that is cut off on each side, in steps that networks can halve."""
FILLS = 0.92
"""Part of the height that the figure fills."""
AWAY = 4.0
"""Heights of the figure from which the camera looks."""
SIDES: tuple[Literal["front", "back"], ...] = ("front", "back")
BRIGHT, MOST_GAIN = 215.0, 2.0
"""What the brightest 2 % of a person are raised to, for photos taken in the dark, and by how much at most."""
SUN, SKY, GROUND = (0.75, 0.72, 0.66), (0.48, 0.5, 0.54), (0.34, 0.33, 0.31)


def canonical_pictures(
    character: Character, size: int = 256
) -> tuple[UInt8[np.ndarray, "s h w 3"], UInt8[np.ndarray, "s h w 3"]]:
    """Pictures of both sides (front, back), and the vertex codes of the naked body in them.

    Args:
        character: who.
        size: pixels of the height; the width is what is left of a square of it.

    Raises:
        UsageError: a size below 32.
    """
    if size < 32:
        raise UsageError(f"pictures of {size} pixels", "size", "give 32 or more")
    pictures, codes, gain = [], [], _exposure(character)
    for side in SIDES:
        camera = canonical_view(character.figure.mesh.vertices, size, side)
        shown = show_one(character, character.figure.mesh.vertices, camera, light=canonical_light(side).scaled(gain))
        pictures.append(middle_of(shown.over(np.full((size, size, 3), 255, np.uint8))))
        codes.append(codes_of(character.body.mesh, camera))
    return np.stack(pictures), np.stack(codes)


def codes_of(mesh: Mesh, camera: Cameras) -> UInt8[np.ndarray, "h w 3"]:
    """The vertex codes of the naked body in a canonical picture, without its edges."""
    return middle_of(color_map(rasterize(mesh.vertices, mesh.faces, camera), mesh.faces, position_colors(mesh)))


def middle_of(picture: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w2 c"]:
    """A canonical picture without its edges: the figure fills the height, beside it there is little to learn."""
    size = picture.shape[1]
    edge = int(EDGE * size) // STEP * STEP
    return picture[:, edge : size - edge]


def _exposure(character: Character) -> Float[np.ndarray, "3"]:
    bright = (
        float(np.percentile(character.colors.mean(axis=1)[character.known > 0], 98)) if character.known.any() else 1
    )
    return np.full(3, np.clip(BRIGHT / max(bright, 1.0), 1, MOST_GAIN))


def canonical_view(vertices: Float32[np.ndarray, "v 3"], size: int, side: Literal["front", "back"]) -> Cameras:
    """The camera of a figure at rest: from far in front or behind, the figure fills the height."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    middle, extent = (low + high) / 2, float((high - low)[:2].max())
    turn = 1.0 if side == "front" else -1.0
    viewmat = np.diag([turn, -1.0, -turn, 1.0])
    viewmat[:3, 3] = -viewmat[:3, :3] @ middle + [0, 0, AWAY * extent]
    focal = FILLS * size * AWAY
    K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1.0]])
    return Cameras(viewmat[None], K[None], size, size)


def canonical_light(side: Literal["front", "back"]) -> Lighting:
    """The light of the theatre's canonical pictures: a lamp above the camera, sky and ground."""
    normals = sphere(400)
    way = np.array([0.3, 0.6, 1.0]) if side == "front" else np.array([-0.3, 0.6, -1.0])
    lamp = np.maximum((normals @ (way / np.linalg.norm(way)) + 0.25) / 1.25, 0)[:, None]
    up = (0.5 + 0.5 * normals[:, 1])[:, None]
    lit: Float[np.ndarray, "n 3"] = lamp * np.array(SUN) + up * np.array(SKY) + (1 - up) * np.array(GROUND)
    return Lighting(np.linalg.lstsq(harmonics(normals), lit, rcond=None)[0].astype(np.float32))
