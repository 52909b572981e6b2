"""The rasteriser as an operation of torch: one view, forward and backward, by the kernels on the processor."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int32

from diorama.core.parallel import bands
from diorama.geometry._splat_kernels import HIGH, OPAQUE, WIDE, by_depth, draw_tiles, to_tiles, undraw_tiles
from diorama.geometry._splat_project import COLUMNS, Z, project, project_back

_LEAST = 2048
"""Gaussians that are worth a thread."""
_LEAST_TILES = 16

Tensor = torch.Tensor
Floats = Float32[np.ndarray, "..."]


@dataclass(frozen=True, eq=False)
class View:
    """A camera as the kernels take it.

    Attributes:
        viewmat: world to camera, metres.
        lens: focal lengths x and y, principal point x and y, width, height; pixels.
        background: behind everything.
        near: metres before the camera where drawing begins.
    """

    viewmat: Float64[np.ndarray, "3 4"]
    lens: Float64[np.ndarray, "6"]
    background: Float32[np.ndarray, "3"]
    near: float

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return int(self.lens[5]), int(self.lens[4])


@dataclass(frozen=True, eq=False)
class Drawing:
    """A picture, and what the way back needs of how it was drawn.

    Attributes:
        color, alpha, depth: composed; depth is the sum of weight times z.
        radii: of each Gaussian on the screen, pixels.
        order, drawn, reach, slots, starts, entries: as in `to_tiles`.
    """

    color: Float32[np.ndarray, "h w 3"]
    alpha: Float32[np.ndarray, "h w"]
    depth: Float32[np.ndarray, "h w"]
    radii: Float32[np.ndarray, " n"]
    order: Int32[np.ndarray, " m"]
    drawn: Float32[np.ndarray, "m c"]
    reach: Int32[np.ndarray, "m 4"]
    slots: np.ndarray
    starts: np.ndarray
    entries: Int32[np.ndarray, " e"]


Arrays = tuple[Floats, Floats, Floats, Floats]
"""Means, quats, scales, and opacity beside colour "n 4"."""


def draw(arrays: Arrays, view: View) -> Drawing:
    """Draw a view."""
    means, quats, scales, looks = arrays
    count, (height, width) = len(means), view.size
    screen, boxes = np.zeros((count, COLUMNS), np.float32), np.empty((count, 4), np.int32)
    radii, opacities = np.empty(count, np.float32), np.ascontiguousarray(looks[:, 0])

    def place(first: int, last: int) -> None:
        project(first, last, means, quats, scales, opacities, view.viewmat, view.lens, view.near, screen, boxes, radii)

    bands(count, place, least=_LEAST)
    order = by_depth(boxes, np.ascontiguousarray(screen[:, Z]).view(np.uint32))
    tiles_x, tiles_y = -(-width // WIDE), -(-height // HIGH)
    drawn, reach, slots, starts, entries = to_tiles(order, boxes, screen, looks, tiles_x, tiles_y)
    color = np.empty((height, width, 3), np.float32)
    alpha, depth = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    tiles = tiles_x * tiles_y
    step = _spread(tiles)

    def compose(first: int, last: int) -> None:
        draw_tiles(first, last, step, drawn, reach, starts, entries, view.background, color, alpha, depth)

    bands(tiles, compose, least=_LEAST_TILES)
    return Drawing(color, alpha, depth, radii, order, drawn, reach, slots, starts, entries)


def undraw(
    arrays: Arrays, view: View, drawing: Drawing, to_pixels: tuple[Floats, Floats, Floats]
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Gradients of means, quats, scales, looks and places on the screen, from those of colour, alpha and depth."""
    means, quats, scales, looks = arrays
    d = drawing
    pairs = np.zeros((int(d.slots[-1]), COLUMNS), np.float32)
    tiles = len(d.starts) - 1
    step = _spread(tiles)

    def decompose(first: int, last: int) -> None:
        undraw_tiles(
            first, last, step, d.drawn, d.reach, d.slots, d.starts, d.entries, d.color, d.alpha, d.depth, *to_pixels,
            pairs,
        )  # fmt: skip

    bands(tiles, decompose, least=_LEAST_TILES)
    found = tuple(np.zeros_like(array) for array in (*arrays, means[:, :2]))

    def gather(first: int, last: int) -> None:
        project_back(first, last, d.order, d.slots, means, quats, scales, view.viewmat, view.lens, pairs, *found)

    bands(len(d.order), gather, least=_LEAST)
    found[3][looks[:, 0] > OPAQUE, 0] = 0
    return found  # type: ignore[return-value]


def _spread(tiles: int) -> int:
    """A step through all tiles that scatters any run of them over the picture, so that threads share its work."""
    step = max(int(tiles * 0.382), 1)
    while np.gcd(step, tiles) != 1:
        step += 1
    return step


class Splat(torch.autograd.Function):
    """`draw` with gradients; `pull` "n 2" receives those of the places on the screen."""

    @staticmethod
    def forward(
        ctx: Any, means: Tensor, quats: Tensor, scales: Tensor, looks: Tensor, view: View, pull: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Colour, alpha, depth and radii."""
        arrays = tuple(np.ascontiguousarray(t.detach().numpy()) for t in (means, quats, scales, looks))
        drawing = draw(arrays, view)  # type: ignore[arg-type]
        ctx.arrays, ctx.view, ctx.drawing, ctx.pull = arrays, view, drawing, pull
        out = tuple(torch.from_numpy(a) for a in (drawing.color, drawing.alpha, drawing.depth, drawing.radii))
        ctx.mark_non_differentiable(out[3])
        return out  # type: ignore[return-value]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Of the tensors that `forward` takes."""
        pixels = tuple(np.ascontiguousarray(grad.numpy()) for grad in grads[:3])
        *found, on_screen = undraw(ctx.arrays, ctx.view, ctx.drawing, pixels)  # type: ignore[arg-type]
        ctx.pull += torch.from_numpy(on_screen)
        return (*(torch.from_numpy(array) for array in found), None, None)
