"""A photo of somebody with the body that lies in it, and what such photos say of places on that body."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int32, UInt8

from diorama.core.camera import Cameras
from diorama.core.mesh import vertex_normals
from diorama.errors import UsageError
from diorama.figures.contour import distances
from diorama.figures.texels import Texels, at_texels
from diorama.geometry.raster import Fragments, rasterize

SURE = 0.9
"""Coverage from which a pixel of a soft mask counts as the person."""
BORDER, LEAST_BORDER = 0.006, 2.0
"""Part of the person's height, and pixels at least, that are left out along the mask's edge: colours mix there."""
BEHIND = 0.03
"""Metres by which a place may lie behind what its pixel shows."""
OFF, LEAST_OFF = 0.006, 2
"""Part of the person's height, and pixels at least, by which a limb may be off."""
GRAZING = 0.15
"""Cosine between the normal and the way to the camera, below which nothing is taken."""


@dataclass(frozen=True, eq=False)
class Sight:
    """One photo, or one frame of a clip.

    Attributes:
        photo: RGB.
        mask: where the person is seen, coverage 0..1; occluders before the person are outside.
        vertices: of the naked body as it is posed there, metres in the world.
        camera: one view of the photo's size.

    Raises:
        UsageError: sizes that do not fit, an empty mask, values that are not finite or out of range.
    """

    photo: UInt8[np.ndarray, "h w 3"]
    mask: Bool[np.ndarray, "h w"] | Float32[np.ndarray, "h w"]
    vertices: Float32[np.ndarray, "v 3"]
    camera: Cameras

    def __post_init__(self) -> None:
        size = self.photo.shape[:2]
        if self.mask.shape != size or (self.camera.height, self.camera.width) != size or len(self.camera) != 1:
            given = f"photo {size}, mask {self.mask.shape}, {len(self.camera)} views"
            raise UsageError(
                f"{given} of {self.camera.height, self.camera.width}", "Sight", "give one size, one camera"
            )
        if not np.isfinite(self.vertices).all():
            raise UsageError("a vertex is not finite", "Sight.vertices", "fit the body again")
        if self.mask.dtype != bool and not ((self.mask >= 0) & (self.mask <= 1)).all():
            raise UsageError("a mask outside of 0..1", "Sight.mask", "give coverage from 0 to 1")
        if not self.person.any():
            raise UsageError("an empty mask", "Sight.mask", "choose a photo that shows the person")

    @property
    def person(self) -> Bool[np.ndarray, "h w"]:
        """The pixels that surely show the person."""
        return self.mask >= SURE if self.mask.dtype != bool else self.mask

    @property
    def inner(self) -> Bool[np.ndarray, "h w"]:
        """The person without the mask's border."""
        border = max(LEAST_BORDER, BORDER * float(np.ptp(np.flatnonzero(self.person.any(axis=1)))))
        return distances(~self.person[None])[0] > border

    def moved(self, vertices: Float32[np.ndarray, "v 3"]) -> "Sight":
        """The same photo over another body."""
        return replace(self, vertices=vertices)


@dataclass(frozen=True, eq=False)
class Taken:
    """What a photo says of each texel.

    Attributes:
        colors: 0..255, where weight is above 0.
        weight: how squarely the camera sees it, 0..1; 0 where it is hidden, beside the mask or at its border.
        normals: unit, in the world of the photo.
    """

    colors: Float32[np.ndarray, "n 3"]
    weight: Float32[np.ndarray, " n"]
    normals: Float32[np.ndarray, "n 3"]


def taken_from(sight: Sight, faces: Int32[np.ndarray, "f 3"], texels: Texels) -> Taken:
    """Colours of a photo at the texels of the body in it.

    Raises:
        UsageError: faces of another mesh.
    """
    found = rasterize(sight.vertices, faces, sight.camera)
    places = at_texels(texels, faces, sight.vertices)
    normals = at_texels(texels, faces, vertex_normals(sight.vertices, faces))
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
    (pixels,), (depth,) = sight.camera.project(places.astype(np.float64))
    towards = sight.camera.centers[0].astype(np.float32) - places
    facing = (normals * towards).sum(axis=1) / np.maximum(np.linalg.norm(towards, axis=1), 1e-6)
    good = np.isfinite(pixels).all(axis=1) & (depth > 0) & (facing > GRAZING)
    x, y = np.where(good[:, None], pixels, -1).T
    good &= (x >= 0.5) & (y >= 0.5) & (x < sight.camera.width - 0.5) & (y < sight.camera.height - 0.5)
    column, row = (np.where(good, a, 0).astype(np.int64) for a in (x, y))
    nearest, farthest = _around(found)
    good &= (depth < nearest[row, column] + BEHIND) & (depth > farthest[row, column] - 2 * BEHIND)
    left, top = np.floor(x[good] - 0.5).astype(np.int64), np.floor(y[good] - 0.5).astype(np.int64)
    corners = (top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)
    # all four pixels that a colour is mixed from must be the person's
    inner = sight.inner
    inside = np.logical_and.reduce([inner[at] for at in corners])
    fx, fy = (x[good] - 0.5 - left)[:, None], (y[good] - 0.5 - top)[:, None]
    shares = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
    mixed = sum(share * sight.photo[at] for share, at in zip(shares, corners, strict=True))
    colors, weight = np.zeros_like(places), np.zeros(len(places), np.float32)
    colors[good], weight[good] = mixed, np.where(inside, facing[good] ** 2, 0)
    return Taken(colors, weight, normals)


def _around(found: Fragments) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
    """The nearest and the farthest depth of the body around each pixel, so that edges of limbs are left.

    A body that was fitted is off by more pixels the larger it is seen.
    """
    covered = torch.from_numpy(found.face_ids >= 0)
    rows = torch.nonzero(covered.any(dim=1)).flatten()
    tall = int(rows[-1] - rows[0]) + 1 if len(rows) else 0
    reach = max(LEAST_OFF, round(OFF * tall))
    depth = torch.from_numpy(found.depth)[None, None]

    def widest(values: Float[torch.Tensor, "1 1 h w"]) -> Float32[np.ndarray, "h w"]:
        rows = torch.nn.functional.max_pool2d(values, (1, 2 * reach + 1), 1, (0, reach))
        return torch.nn.functional.max_pool2d(rows, (2 * reach + 1, 1), 1, (reach, 0))[0, 0].numpy()

    return -widest(-depth), widest(torch.where(covered, depth, -torch.inf))
