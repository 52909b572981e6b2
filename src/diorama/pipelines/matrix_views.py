"""A clip seen from a row or a ring of parallel cameras: the pictures, and what of them the clip does not show."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8, UInt16

from diorama.errors import UsageError
from diorama.geometry.multiplane import multiplane_shift
from diorama.geometry.warp import TEAR, Eye, eye_warp
from diorama.perception.agree import borrow_agreed
from diorama.perception.extend import edge_fill
from diorama.perception.flow import dense_flow
from diorama.perception.neighbours import Neighbour, compose_flow
from diorama.pipelines.matrix_config import Layout, Warp

FARTHEST = 0.1
"""Inverse depth of the farthest point where planes of depth are cut (s2vg.md 1.1)."""
APART = (4, -4, 8, -8, 12, -12)
"""Frames of a window that background is borrowed from, counted from the one at hand; two must agree, so windows of 8
frames and fewer borrow nothing."""
RING = 0.075 / 0.08, 0.5
"""The circle: across, in the parallax of the row, and how high for its width (s2vg.md 1.2)."""
LEAST_FLOW = 16
PLANES = 4
"""Of depth, within which cracks are closed (s2vg.md 1.3)."""
Frames = UInt8[np.ndarray, "t h w 3"] | UInt16[np.ndarray, "t h w 3"]
Maps = Float32[np.ndarray, "t h w"]
Flow = Float32[np.ndarray, "sh sw 2"]


@dataclass(frozen=True, eq=False)
class Motions:
    """How the frames of a shot lead to each other.

    Attributes:
        ahead: from each frame but the last to the next one.
        back: from each of those next ones to the one before.
    """

    ahead: tuple[Flow, ...] = ()
    back: tuple[Flow, ...] = ()

    def near(self, t: int) -> list[tuple[int, Flow]]:
        """The frames that frame `t` may borrow from, counted from it, and the motion that leads there."""
        if not self.ahead:
            return []
        return [(by, self._over(t, by)) for by in APART if 0 <= t + by <= len(self.ahead)]

    def _over(self, start: int, by: int) -> Flow:
        forward = self.ahead[start : start + by] if by > 0 else ()
        first, *others = forward or [self.back[t - 1] for t in range(start, start + by, -1)]
        total = first
        for step in others:
            total = compose_flow(total, step)
        return total


@dataclass(frozen=True, eq=False)
class Views:
    """A matrix of pictures.

    Attributes:
        shares: where each camera stands, in units of the whole parallax: to the right, and down.
        pictures: holes filled by the background beside them.
        known: what the clip shows.
        shown: what the frame itself shows of that; the rest is borrowed.
        source: the view that is the clip itself; None in a ring.
    """

    shares: Float[np.ndarray, "v 2"]
    pictures: UInt8[np.ndarray, "v t h w 3"] | UInt16[np.ndarray, "v t h w 3"]
    known: Bool[np.ndarray, "v t h w"]
    shown: Bool[np.ndarray, "v t h w"]
    source: int | None


def camera_shares(layout: Layout, num_views: int) -> tuple[Float[np.ndarray, "v 2"], int | None]:
    """Where the cameras of a layout stand, in units of the parallax between the eyes, and which one is the source.

    Raises:
        UsageError: fewer than 2 views (3 around the middle), or an unknown layout.
    """
    if num_views < 2:
        raise UsageError(f"{num_views} views", "--views", "give 2 or more: one of them is the clip itself")
    places = np.zeros((num_views, 2))
    if layout in ("right", "left"):
        places[:, 0] = np.linspace(0, 1 if layout == "right" else -1, num_views)
        return places, 0
    if layout == "middle":
        if num_views < 3:
            fix = "give 3 or more: the middle one is the clip itself"
            raise UsageError(f"{num_views} views around the middle", "--views", fix)
        places[:, 0] = np.linspace(-0.5, 0.5, num_views)
        places[num_views // 2, 0] = 0
        return places, num_views // 2
    if layout != "circle":
        raise UsageError(f"no layout is called {layout!r}", "layout", "known: right, left, middle, circle")
    angles = np.linspace(0, 2 * np.pi, num_views, endpoint=False)
    return np.stack([np.cos(angles), RING[1] * np.sin(angles)], axis=1) * RING[0] / 2, None


def warp_views(
    frames: Frames,
    disparity: Maps,
    inverse_depth: Maps,
    shares: Float[np.ndarray, "v 2"],
    *,
    warp: Warp = "subpixel",
    motions: Motions | None = None,
) -> Views:
    """The matrix of a clip.

    Args:
        frames: of one shot.
        disparity: parallax between the outermost cameras, pixels, positive in front of the screen.
        inverse_depth: 0 to 1, by which planes are cut ("multiplane", "points").
        shares: as `camera_shares` gives them.
        warp: "subpixel" for cameras in a row; "multiplane" as published, "points" without its clean-up.
        motions: of the clip, by `motions_of`; background that other frames show then counts as known (cameras in a
            row).

    Raises:
        UsageError: disparity that is not finite; see the warps.
    """
    sources = [i for i, (x, y) in enumerate(shares) if x == 0 and y == 0]
    columns = []
    for x, y in shares.tolist():
        times = range(len(frames))
        seen = [warp_frame(frames, t, disparity, inverse_depth, (x, y), warp=warp, motions=motions) for t in times]
        columns.append([np.stack(each) for each in zip(*seen, strict=True)])
    pictures, known, shown = (np.stack(each) for each in zip(*columns, strict=True))
    return Views(np.asarray(shares, float), pictures, known, shown, sources[0] if sources else None)


def warp_frame(
    frames: Frames,
    t: int,
    disparity: Maps,
    inverse_depth: Maps,
    share: tuple[float | int, float | int],
    *,
    warp: Warp = "subpixel",
    motions: Motions | None = None,
) -> tuple[np.ndarray, Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Frame `t` from one camera, what of it is known, and what of that it shows itself; see `warp_views`."""
    x, y = share
    eye: Eye = "right" if x >= 0 else "left"
    if warp == "subpixel" and y == 0:
        picture, known = eye_warp(frames[t], disparity[t], eye=eye, share=abs(x), tear=TEAR)
    else:
        depth = 1 / (inverse_depth[t].astype(np.float64) + FARTHEST)
        planes = PLANES if warp != "points" else 0
        picture, known = multiplane_shift(frames[t], disparity[t], depth, share=share, num_planes=planes)
    shown = known
    if motions is not None and x != 0 and y == 0:
        near = [Neighbour(frames[t + by], disparity[t + by], flow) for by, flow in motions.near(t)]
        picture, known = borrow_agreed(picture, known, disparity[t], neighbours=near, eye=eye, share=min(abs(x), 1.0))
    return edge_fill(picture, known, eye=eye), known, shown


def motions_of(frames: UInt8[np.ndarray, "t h w 3"]) -> Motions:
    """How the frames of a shot lead to each other; nothing where they are too few or too small to tell."""
    count = len(frames)
    if count < 2 or min(frames.shape[1:3]) < LEAST_FLOW:
        return Motions()
    ahead = (dense_flow(frames[t], frames[t + 1]) for t in range(count - 1))
    back = (dense_flow(frames[t + 1], frames[t]) for t in range(count - 1))
    return Motions(tuple(ahead), tuple(back))
