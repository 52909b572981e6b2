"""The front and the back of an object as one view shows it: a small network's guess, and how it looks from elsewhere.

To make other views of an object from nothing takes more training than a laptop gives. What one view shows can be told
pixel by pixel: how far the surface is, how far the surface behind it, and in which parts both are. Two sheets with a
wall between them are a solid that looks roughly right from all around; the generator begins with its pictures.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int32, Int64, UInt8
from torch import nn
from torch.nn import functional

from diorama.diffusion.checkpoint import read_tensors
from diorama.diffusion.fit import fit
from diorama.diffusion.parts_net import CHANNELS, CONTRAST, PATCH, Branch, PartsNetConfig, sizes_of, to_codes
from diorama.geometry.orbit import around
from diorama.geometry.raster import rasterize

NAMES = ("front", "back", "part_front", "part_back", "rgb_back", "rise")
WIDTHS = (1, 1, 3, 3, 3, 1)
"""Channels: depths of both surfaces (radii of the object's ball before and behind its middle), colours as codes of
single pixels, and the elevation of the camera (radians), of which the mean counts."""
OUTPUTS = sum(WIDTHS)
JUMP = 0.16
"""Radii between neighbours from which on a sheet is torn."""
RISES = (math.radians(-10), math.radians(35))
RADIUS = 1.0
SOLID = 250
"""Levels below which some channel of a pixel is where the object is."""


@dataclass(frozen=True, eq=False)
class ReliefMaps:
    """What is said of pictures.

    Attributes:
        front, back: depth of the near and of the far surface, radii about the middle, positive away from the camera.
        part_front, part_back, rgb_back: colours, 0 white, -2 black, as in the codes.
        rise: elevation of the camera, radians.
    """

    front: Float[torch.Tensor, "n 1 h w"]
    back: Float[torch.Tensor, "n 1 h w"]
    part_front: Float[torch.Tensor, "n 3 h w"]
    part_back: Float[torch.Tensor, "n 3 h w"]
    rgb_back: Float[torch.Tensor, "n 3 h w"]
    rise: Float[torch.Tensor, " n"]


class Relief(nn.Module):
    """One branch of the generator, made to look at one view; it sees a frame and the first frame.

    Args:
        config: sizes.
    """

    def __init__(self, config: PartsNetConfig = PartsNetConfig((32, 64, 128), 3)) -> None:
        super().__init__()
        self.sizes = config
        self.branch = Branch(config, 2 * CHANNELS, OUTPUTS * PATCH**2)

    def forward(self, image: Float[torch.Tensor, "n c h w"], first: Float[torch.Tensor, "n c h w"]) -> ReliefMaps:
        """Maps of the pictures whose codes are given."""
        hidden = torch.cat([image, first], dim=1)
        skips: list[torch.Tensor] = []
        counts = (len(image), 1, 1)
        for kind, step, width in zip(self.branch.kinds, self.branch.steps, self.branch.widths, strict=True):
            film = hidden.new_zeros(len(image), 2 * width)
            also = (skips.pop(),) if kind == "up" else ()
            hidden = step(hidden, *also, film, *((counts,) if kind == "attend" else ()))
            if kind == "down":
                skips.append(hidden)
        maps = functional.pixel_shuffle(self.branch.leave(hidden), PATCH)
        front, back, part_front, part_back, rgb_back, rise = maps.split(WIDTHS, dim=1)
        shown = (functional.pixel_shuffle(image, PATCH).amin(dim=1, keepdim=True) < -0.02).float()
        mean = (rise * shown).sum(dim=(1, 2, 3)) / shown.sum(dim=(1, 2, 3)).clamp(min=1)
        return ReliefMaps(front, front + functional.softplus(back - 1), part_front, part_back, rgb_back, mean)


@dataclass(frozen=True, eq=False)
class Solid:
    """Two sheets and the wall between them, in the axes of the object, the camera's azimuth being 0.

    Attributes:
        vertices: in radii about the middle.
        faces: of the sheets and the wall.
        colors, parts: of the vertices, as codes.
        rise: elevation of the camera, degrees.
    """

    vertices: Float32[np.ndarray, "n 3"]
    faces: Int32[np.ndarray, "f 3"]
    colors: Float32[np.ndarray, "n 3"]
    parts: Float32[np.ndarray, "n 3"]
    rise: float


def solid_of(
    picture: UInt8[np.ndarray, "h w 3"],
    inside: Bool[np.ndarray, "h w"],
    front: Float32[np.ndarray, "h w"],
    back: Float32[np.ndarray, "h w"],
    colors: Sequence[Float32[np.ndarray, "h w 3"]],
    rise: float,
) -> Solid | None:
    """The solid of one picture; None where nothing is inside.

    Args:
        picture: on white.
        inside: where the object is.
        front, back: depths, as in `ReliefMaps`.
        colors: of the parts before and behind, and of the back, as codes.
        rise: elevation of the camera, radians.
    """
    if inside.sum() < 4:
        return None
    before = (picture.astype(np.float32) / 255 - 1) * np.float32(CONTRAST)
    y, x = (axis.astype(np.float32) + 0.5 for axis in np.mgrid[: inside.shape[0], : inside.shape[1]])
    far = np.maximum(back, front + 0.01)
    maps = np.concatenate([np.stack([x, y, front, far], axis=-1), before, *colors], axis=-1, dtype=np.float32)
    there, maps = _with_rim(inside, maps)
    number = np.cumsum(there.ravel()).reshape(there.shape) - 1
    found = maps[there].astype(np.float64)
    camera = around(np.zeros(1, np.float32), math.degrees(rise), RADIUS, len(picture))
    away = float(np.linalg.norm(camera.centers[0]))
    sheets = [camera.unproject(found[None, :, :2], (away + found[:, side])[None])[0] for side in (2, 3)]
    return Solid(
        np.concatenate(sheets).astype(np.float32),
        _faces(there, number, maps[..., 2], len(found)),
        np.concatenate([found[:, 4:7], found[:, 13:16]]).astype(np.float32),
        np.concatenate([found[:, 7:10], found[:, 10:13]]).astype(np.float32),
        math.degrees(rise),
    )


def _with_rim(
    inside: Bool[np.ndarray, "h w"], maps: Float32[np.ndarray, "h w c"]
) -> tuple[Bool[np.ndarray, "h w"], Float32[np.ndarray, "h w c"]]:
    """Pixels and those around them, which take the means of their neighbours and lie on the border between.

    Sheets that end in the middle of pixels would lose legs of a pixel's width.
    """
    height, width = inside.shape
    wide = np.pad(np.where(inside[..., None], maps, 0), ((1, 1), (1, 1), (0, 0)))
    shown = np.pad(inside.astype(np.float32), 1)
    sums, count = np.zeros_like(maps), np.zeros_like(shown[1:-1, 1:-1])
    for dy in range(3):
        for dx in range(3):
            sums += wide[dy : dy + height, dx : dx + width]
            count += shown[dy : dy + height, dx : dx + width]
    rim = ~inside & (count > 0)
    means = sums / np.maximum(count, 1)[..., None]
    means[..., :2] = (means[..., :2] + maps[..., :2]) / 2
    return inside | rim, np.where(rim[..., None], means, maps)


def _faces(
    there: Bool[np.ndarray, "h w"], number: Int64[np.ndarray, "h w"], front: Float32[np.ndarray, "h w"], count: int
) -> Int32[np.ndarray, "f 3"]:
    """Two triangles for each four neighbours at about one depth, before and behind, and walls at their borders."""
    corners = [np.s_[:-1, :-1], np.s_[:-1, 1:], np.s_[1:, 1:], np.s_[1:, :-1]]
    whole = np.logical_and.reduce([there[c] for c in corners])
    depths = np.stack([front[c] for c in corners])
    whole &= np.ptp(depths, axis=0) < JUMP
    quads = np.stack([number[c][whole] for c in corners], axis=1)
    edges = np.concatenate([np.sort(quads[:, [i, (i + 1) % 4]], axis=1) for i in range(4)])
    kinds, uses = np.unique(edges, axis=0, return_counts=True)
    a, b = kinds[uses == 1].T
    walls = np.stack([a, b, b + count, a + count], axis=1)
    all_quads = np.concatenate([quads, quads[:, ::-1] + count, walls])
    return np.concatenate([all_quads[:, [0, 1, 2]], all_quads[:, [0, 2, 3]]]).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Drawn:
    """How a solid looks from around.

    Attributes:
        colors, parts: codes on white.
        depth: along the cameras' axes, radii of the ball that they hold, 0 where nothing is.
    """

    colors: Float32[np.ndarray, "v h w 3"]
    parts: Float32[np.ndarray, "v h w 3"]
    depth: Float32[np.ndarray, "v h w"]


def drawn_from(solid: Solid | None, azimuths: Float32[np.ndarray, " v"], size: int) -> Drawn:
    """How a solid looks from azimuths (degrees)."""
    colors = np.zeros((len(azimuths), size, size, 3), np.float32)
    parts, depth = np.zeros_like(colors), np.zeros(colors.shape[:3], np.float32)
    if solid is None or not len(solid.faces):
        return Drawn(colors, parts, depth)
    cameras = around(azimuths, solid.rise, RADIUS, size)
    for view in range(len(azimuths)):
        found = rasterize(solid.vertices, solid.faces, cameras[view : view + 1])
        seen = found.face_ids >= 0
        corners, shares = solid.faces[found.face_ids[seen]], found.barycentrics[seen]
        colors[view][seen] = np.einsum("nk,nkc->nc", shares, solid.colors[corners])
        parts[view][seen] = np.einsum("nk,nkc->nc", shares, solid.parts[corners])
        depth[view][seen] = found.depth[seen]
    return Drawn(colors, parts, depth)


@dataclass(frozen=True, eq=False)
class Guess:
    """A first guess of how an object looks from around.

    Attributes:
        codes: of colours, then of parts.
        depth: along the cameras' axes, radii of the ball that they hold, 0 where nothing is.
        rise: elevation of the cameras, degrees.
    """

    codes: Float[torch.Tensor, "c2 t v hh ww"]
    depth: Float32[np.ndarray, "v t h w"]
    rise: float


@torch.no_grad()
def guess_for(network: Relief, frames: UInt8[np.ndarray, "t h w 3"], azimuths: Float32[np.ndarray, " v"]) -> Guess:
    """A first guess of how an object looks from around, with its depth.

    Args:
        network: that guesses.
        frames: the input view, on white.
        azimuths: of the views against it, radians.
    """
    codes = to_codes(torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255)
    device = next(network.parameters()).device
    said = network(codes.to(device), codes[:1].expand_as(codes).to(device))
    front, back = (depth[:, 0].cpu().numpy() for depth in (said.front, said.back))
    colors = [c.permute(0, 2, 3, 1).cpu().numpy() for c in (said.part_front, said.part_back, said.rgb_back)]
    rise = float(said.rise.mean().clamp(*RISES))
    inside = frames.min(axis=-1) < SOLID
    degrees = np.degrees(azimuths).astype(np.float32)
    found = []
    for t, picture in enumerate(frames):
        solid = solid_of(picture, inside[t], front[t], back[t], [color[t] for color in colors], rise)
        found.append(drawn_from(solid, degrees, picture.shape[0]))
    both = np.stack([np.stack([each.colors, each.parts]) for each in found], axis=1)
    pictures = torch.from_numpy(both).permute(0, 1, 2, 5, 3, 4) / CONTRAST + 1
    made = to_codes(pictures).permute(0, 3, 1, 2, 4, 5).flatten(0, 1)
    return Guess(made, np.stack([each.depth for each in found], axis=1), math.degrees(rise))


def hints_for(
    network: Relief, frames: UInt8[np.ndarray, "t h w 3"], azimuths: Float32[np.ndarray, " v"]
) -> Float[torch.Tensor, "c2 t v hh ww"]:
    """`guess_for` without depth: codes of colours, then of parts."""
    return guess_for(network, frames, azimuths).codes


def load_relief(path: Path) -> Relief:
    """A trained network, of its own file or out of a whole generator's; sizes are taken from the shapes.

    Raises:
        ModelError: missing, damaged, or of another architecture.
    """
    whole = {name.removeprefix("relief."): tensor.float() for name, tensor in read_tensors(path).items()}
    tensors = {name: tensor for name, tensor in whole.items() if not name.startswith("views.")}
    network = Relief(sizes_of(tensors, "branch.", path))
    fit(network, tensors, source=str(path))
    return network.eval().requires_grad_(False)
