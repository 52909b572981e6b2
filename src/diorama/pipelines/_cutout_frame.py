"""From coverage in a picture to a subject on white in a steady square."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

FILL = 0.72
"""Longest side of the subject's box, of the square's."""
SOLID = 0.5
"""Coverage from which on a pixel is the subject's."""
LARGE, APART = 0.25, 0.15
"""Area of a second piece that is told of, of the first one's; how far a piece is away that is left out, of its size."""
SPECK = 0.002
"""Area of a near piece that is left out, of the first one's."""
WIDE, FINE = (0.02, 8), (0.004, 3)
"""Reaches within which colours of subject and background are told apart, of the picture's longer side, and in pixels
at least."""
EDGE = 0.004
"""Distance from the picture's border, of its side, at which a subject counts as cut by it."""

Alpha = Float32[np.ndarray, "h w"]
Corners = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Piece:
    """A subject cut out of one frame.

    Attributes:
        colors: its own, where it covers.
        alpha: 0..1.
        box: left, top, right, bottom of `colors` in pixels of the frame.
        solid: the same of what is covered by half and more.
        cut: sides of the picture that cut it.
    """

    colors: UInt8[np.ndarray, "ch cw 3"]
    alpha: UInt8[np.ndarray, "ch cw"]
    box: Corners
    solid: Corners
    cut: tuple[str, ...]


def piece_of(image: UInt8[np.ndarray, "h w 3"], alpha: Alpha) -> Piece | None:
    """The covered part of a picture in its own colours; None where less than two pixels are covered."""
    solid = alpha >= SOLID
    if solid.sum() < 2:
        return None
    box, inner = _bounds(alpha > 1 / 255), _bounds(solid)
    room = max(WIDE[1], round(WIDE[0] * max(alpha.shape)))
    height, width = alpha.shape
    wide = max(box[0] - room, 0), max(box[1] - room, 0), min(box[2] + room, width), min(box[3] + room, height)
    part = np.s_[wide[1] : wide[3], wide[0] : wide[2]]
    own = own_colors(image[part], alpha[part], max(alpha.shape))
    here = np.s_[box[1] - wide[1] : box[3] - wide[1], box[0] - wide[0] : box[2] - wide[0]]
    covered = np.rint(alpha[part][here] * 255).astype(np.uint8)
    return Piece(own[here].copy(), covered, box, inner, _cut_sides(solid))


def own_colors(image: UInt8[np.ndarray, "h w 3"], alpha: Alpha, side: int) -> UInt8[np.ndarray, "h w 3"]:
    """Colours of what covers, without those behind it (blur fusion, Forte 2021).

    Args:
        image: RGB, a mixture.
        alpha: share of what covers.
        side: pixels of the whole picture's longer side.
    """
    mixed = image.astype(np.float32)
    front, back, share = mixed, mixed, alpha[..., None]
    for reach, least in (WIDE, FINE):
        size = (2 * max(least, round(reach * side)) + 1,) * 2
        weight = cv2.blur(alpha, size)[..., None]
        inner = cv2.blur(front * share, size) / np.maximum(weight, 1e-4)
        outer = cv2.blur(back * (1 - share), size) / np.maximum(1 - weight, 1e-4)
        front = (inner + share * (mixed - share * inner - (1 - share) * outer)).clip(0, 255)
        back = outer.clip(0, 255)
    return np.where(share >= 1, image, np.rint(front)).astype(np.uint8)


def main_piece(alpha: Alpha, last: Bool[np.ndarray, "h w"] | None) -> tuple[Alpha, bool]:
    """The largest of the pieces with whatever small is near it, and whether another large one is left out.

    Args:
        alpha: 0..1.
        last: the subject one frame before, which says whose piece it is.
    """
    count, numbers, stats, _ = cv2.connectedComponentsWithStats((alpha >= SOLID).astype(np.uint8), connectivity=8)
    if count <= 2:
        return alpha, False
    areas = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    areas[0] = 0
    shared = np.zeros(count) if last is None else np.bincount(numbers[last], minlength=count).astype(np.float64)
    shared[0] = 0
    main = int(np.argmax(shared if shared.any() else areas))
    extent = max(stats[main, cv2.CC_STAT_WIDTH], stats[main, cv2.CC_STAT_HEIGHT])
    away = cv2.distanceTransform((numbers != main).astype(np.uint8), cv2.DIST_L2, 5)
    nearest = np.full(count, np.inf)
    np.minimum.at(nearest, np.asarray(numbers, np.int64).ravel(), away.ravel())
    far = nearest > max(3.0, APART * float(extent))
    gone = far | (areas < SPECK * areas[main])
    gone[[0, main]] = False
    left_out = cv2.dilate(gone[numbers].astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    left_out &= ~((numbers > 0) & ~gone[numbers])
    return np.where(left_out, 0, alpha).astype(np.float32), bool((gone & (areas > LARGE * areas[main])).any())


def square_around(pieces: Sequence[Piece]) -> tuple[float, float, float]:
    """Left, top and side of the square, pixels of the frame, in which all pieces together fill `FILL`."""
    boxes = np.array([piece.solid for piece in pieces], np.float64)
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    side = max(float(np.ceil(float((high - low).max()) / FILL)), 2.0)
    left, top = np.round((low + high - side) / 2)
    return float(left), float(top), side


def framed(
    piece: Piece, square: tuple[float, float, float], size: int
) -> tuple[UInt8[np.ndarray, "s s 3"], Float32[np.ndarray, "s s"]]:
    """A piece on white, and its coverage, in a square that is brought to `size` pixels."""
    left, top, side = (round(value) for value in square)
    layer = np.zeros((side, side, 4), np.float32)
    x, y = piece.box[0] - left, piece.box[1] - top
    rows, columns = slice(max(-y, 0), min(side - y, len(piece.alpha))), slice(max(-x, 0), piece.alpha.shape[1])
    columns = slice(columns.start, min(side - x, piece.alpha.shape[1]))
    alpha = piece.alpha[rows, columns].astype(np.float32) / 255
    place = np.s_[y + rows.start : y + rows.stop, x + columns.start : x + columns.stop]
    layer[place] = np.concatenate([piece.colors[rows, columns] * alpha[..., None], alpha[..., None]], axis=-1)
    way = cv2.INTER_AREA if side >= size else cv2.INTER_LINEAR  # cubics would ring around what is solid
    small = cv2.resize(layer, (size, size), interpolation=way)
    covered = small[..., 3].clip(0, 1)
    return np.rint(small[..., :3] + 255 * (1 - covered[..., None])).clip(0, 255).astype(np.uint8), covered


def _bounds(mask: Bool[np.ndarray, "h w"]) -> Corners:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _cut_sides(solid: Bool[np.ndarray, "h w"]) -> tuple[str, ...]:
    height, width = solid.shape
    reach = 1 + round(EDGE * min(height, width)) // 2
    sides = {"left": solid[:, :reach], "top": solid[:reach], "right": solid[:, -reach:], "bottom": solid[-reach:]}
    return tuple(name for name, part in sides.items() if part.any(axis=0 if part.shape[0] <= reach else 1).sum() > 2)
