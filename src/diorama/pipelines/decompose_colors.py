"""The colours of a person over its body, as most frames of a clip show them: what passes before it leaves no trace."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8

from diorama.core.camera import Cameras
from diorama.core.figure import Figure
from diorama.figures.surface import spread_over
from diorama.geometry.raster import rasterize
from diorama.perception.peel import HUE, LIGHTNESS, lab_of

SURE = 0.6
"""Of a soft mask, from which on a pixel may be the person's."""
BEHIND = 0.03
"""Metres by which a vertex may lie behind what its pixel shows."""
RIM = 8
"""Pixels around those that are looked at, more than `lab_of` looks aside."""
OFTEN = 4
"""Frames from which on a colour is fully trusted."""
USUAL = np.array([LIGHTNESS, HUE, HUE], np.float32)
"""Deviations of a surface's colour as it turns in the light."""
DEVIATION = 1.5
"""A standard deviation over a median one."""
FACE, HAND = ("head", "jaw", "neck"), ("wrist", "finger", "metacarpal")
"""Beginnings of the names of joints."""
FEW, OTHER = 4, 2.0
"""Vertices that must tell a hand's colour, and squared deviations from which on it is another colour."""


@dataclass(frozen=True, eq=False)
class BodyView:
    """A frame with the body that lies in it, at reduced size.

    Attributes:
        image: the frame.
        soft: the person's mask, 0..1.
        vertices: of the posed body, metres in the camera's world.
        camera: one view of the picture's size.
    """

    image: UInt8[np.ndarray, "h w 3"]
    soft: Float32[np.ndarray, "h w"]
    vertices: Float32[np.ndarray, "v 3"]
    camera: Cameras


def surface_look(views: Sequence[BodyView], figure: Figure) -> Float32[np.ndarray, "v 4"]:
    """What each vertex looks like, from the frames that show it, and from around it where none does.

    Args:
        views: frames spread over the clip; fifty are plenty. At least one.
        figure: the body.

    Returns:
        CIE Lab, the median; and by how many `USUAL` deviations it changes from frame to frame.
    """
    seen = np.stack([_seen(view, figure.mesh.faces) for view in views])
    often = np.isfinite(seen[..., 0]).sum(axis=0)
    look, shown = np.zeros((seen.shape[1], 4), np.float32), often > 0
    look[shown, :3] = np.nanmedian(seen[:, shown], axis=0)
    off = np.nanmedian(np.abs(seen[:, shown] - look[shown, :3]), axis=0) / USUAL
    look[shown, 3] = DEVIATION * np.sqrt((off**2).sum(axis=-1))
    trust = np.minimum(often / OFTEN, 1).astype(np.float32)
    return spread_over(*_empty_handed(look, trust, figure), figure.mesh.faces)


def _empty_handed(
    look: Float32[np.ndarray, "v 4"], trust: Float32[np.ndarray, " v"], figure: Figure
) -> tuple[Float32[np.ndarray, "v 4"], Float32[np.ndarray, " v"]]:
    """Of two hands of different colours one holds something: it takes the look of the one more like the face."""
    names, joints = figure.skeleton.names, figure.skin_joints[:, 0]

    def rows(starts: tuple[str, ...], end: str = "") -> Bool[np.ndarray, " v"]:
        return np.isin(joints, [k for k, name in enumerate(names) if name.startswith(starts) and name.endswith(end)])

    face, hands = rows(FACE) & (trust > 0), [rows(HAND, end) for end in (".L", ".R")]
    known = [hand & (trust > 0) for hand in hands]
    if min(hand.sum() for hand in known) < FEW or not face.any():
        return look, trust
    left, right, skin = (np.median(look[at], axis=0) for at in (*known, face))
    if _unlike(left, right) < OTHER:
        return look, trust
    wrong = hands[0] if _unlike(left, skin) > _unlike(right, skin) else hands[1]
    better = right if wrong is hands[0] else left
    return np.where(wrong[:, None], better, look), np.where(wrong, np.float32(1), trust)


def _unlike(one: Float32[np.ndarray, "4"], other: Float32[np.ndarray, "4"]) -> float:
    """Squared deviations between two colours."""
    return float((((one - other)[:3] / USUAL) ** 2).sum())


def _seen(view: BodyView, faces: Int32[np.ndarray, "f 3"]) -> Float32[np.ndarray, "v 3"]:
    """Lab of the vertices that the frame shows, NaN for the others."""
    found = rasterize(view.vertices, faces, view.camera)
    (pixels,), (depth,) = view.camera.project(view.vertices.astype(np.float64))
    height, width = view.soft.shape
    good: Bool[np.ndarray, " v"] = (depth > 0) & np.isfinite(pixels).all(axis=1)
    good &= (pixels >= 0).all(axis=1) & (pixels < [width, height]).all(axis=1)
    column, row = np.where(good[:, None], pixels, 0).astype(np.int64).T
    good &= (depth < found.depth[row, column] + BEHIND) & (view.soft[row, column] > SURE)
    colors = np.full((len(depth), 3), np.nan, np.float32)
    if good.any():
        row, column = row[good], column[good]
        top, left = max(int(row.min()) - RIM, 0), max(int(column.min()) - RIM, 0)
        lab = lab_of(view.image[top : int(row.max()) + RIM + 1, left : int(column.max()) + RIM + 1])
        colors[good] = lab[row - top, column - left]
    return colors
