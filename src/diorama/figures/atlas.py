"""Texels of faces laid out in one picture, for formats that know textures only (glTF)."""

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from diorama.errors import LimitError, UsageError
from diorama.figures.texels import Texels

WIDEST = 8192
"""Pixels a side of the picture; viewers on small devices take no more."""


def atlas(
    texels: Texels, colors: Float32[np.ndarray, "n 3"]
) -> tuple[UInt8[np.ndarray, "h w 3"], Float32[np.ndarray, "u 2"], Int32[np.ndarray, "f 3"]]:
    """A texture, its coordinates (v downwards) and those of each face's corners.

    Two faces of as many steps share a rectangle, one of them turned around; each has one more row beyond its slanted
    edge, with that edge's colours, so that nothing of the other is mixed in.

    Args:
        texels: of a mesh.
        colors: of the texels, 0..255.

    Raises:
        UsageError: not one colour a texel.
        LimitError: more texels than fit into `WIDEST` pixels a side.
    """
    if len(colors) != len(texels):
        raise UsageError(f"{len(colors)} colours for {len(texels)} texels", "atlas", "give one each")
    order = np.argsort(texels.steps, kind="stable")
    heights, widths = texels.steps + 1, texels.steps + 4
    area = int((heights[order[::2]].astype(np.int64) * widths[order[::2]]).sum())
    side = 1 << max(6, int(np.ceil(np.log2(np.sqrt(1.1 * area) + 1))))
    while True:
        places = _places(texels.steps[order], side)
        if places is not None:
            break
        side *= 2
    if side > WIDEST:
        raise LimitError(f"a texture of {side} pixels a side", "atlas", "make the character with fewer texels")
    corner = np.empty((len(order), 2), np.int64)
    turned = np.empty(len(order), bool)
    corner[order], turned[order] = places, np.arange(len(order)) % 2 == 1
    picture = np.full((side, side, 3), 127, np.uint8)
    _fill(picture, texels, colors, corner, turned)
    ends = np.stack([np.zeros_like(texels.steps), texels.steps, np.zeros_like(texels.steps)], axis=1).astype(np.int64)
    down = np.stack([np.zeros_like(texels.steps), np.zeros_like(texels.steps), texels.steps], axis=1).astype(np.int64)
    x, y = _turned(ends, down, texels.steps[:, None], turned[:, None])
    uvs = np.stack([corner[:, :1] + x + 0.5, corner[:, 1:] + y + 0.5], axis=-1).reshape(-1, 2) / side
    return picture, uvs.astype(np.float32), np.arange(3 * len(order), dtype=np.int32).reshape(-1, 3)


def _places(steps: Int32[np.ndarray, " f"], side: int) -> np.ndarray | None:
    """The corners of the rectangles of faces in order of their steps, in shelves; None where the side is too small."""
    found = np.empty((len(steps), 2), np.int64)
    x = y = shelf = 0
    for first in range(0, len(steps), 2):
        tall = int(steps[min(first + 1, len(steps) - 1)])
        if x + tall + 4 > side:
            x, y, shelf = 0, y + shelf, 0
        shelf = max(shelf, tall + 1)
        if y + shelf > side or tall + 4 > side:
            return None
        found[first : first + 2] = x, y
        x += tall + 4
    # both faces of a pair are laid out for the finer one
    return found


def _turned(
    across: np.ndarray, down: np.ndarray, steps: np.ndarray, turned: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where a lattice point of a face lies in its rectangle."""
    return np.where(turned, steps + 3 - across, across), np.where(turned, steps - down, down)


def _fill(
    picture: UInt8[np.ndarray, "h w 3"],
    texels: Texels,
    colors: Float32[np.ndarray, "n 3"],
    corner: np.ndarray,
    turned: np.ndarray,
) -> None:
    face = texels.faces
    steps = texels.steps[face]
    across = np.rint(texels.weights[:, 1] * steps).astype(np.int64)
    down = np.rint(texels.weights[:, 2] * steps).astype(np.int64)
    bytes_ = np.rint(colors).clip(0, 255).astype(np.uint8)
    edge = across + down == steps
    known = np.zeros(picture.shape[:2], bool)
    for further, which in ((1, edge), (0, np.ones_like(edge))):  # a face's own texels are written last
        x, y = _turned(across[which] + further, down[which], steps[which], turned[face[which]])
        at = corner[face[which], 1] + y, corner[face[which], 0] + x
        picture[at], known[at] = bytes_[which], True
    # what is between takes the colour to its left: viewers mix it in where they reduce the picture
    left = np.maximum.accumulate(np.where(known, np.arange(len(picture)), 0), axis=1)
    rows = np.arange(len(picture)).reshape(-1, 1)
    picture[:] = picture[rows, left]
