"""Gaussians as the bytes that travel inside a page: a table that the graphics card reads as it is, nodes, and a note.

A row of the table has two texels of four 32-bit numbers, and three where it moves:

* place as three floats; red, green, blue and opacity as bytes
* rotation as four signed 16-bit shares (w, x, y, z); logarithms of the scales as three half floats
* four 16-bit numbers of nodes; their weights as bytes; time and width of presence as half floats, shares of the clip

Steps are far below what is seen: places are exact, scales within 0.2 percent, turns within a hundredth of a degree,
colours and weights in steps of 1/255.
"""

import json
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int64, UInt32

from diorama.core.camera import Cameras
from diorama.core.gaussians import Gaussians, MovingGaussians
from diorama.errors import UsageError
from diorama.media.splat import Scene4d, SplatSequence
from diorama.pipelines.scene_page_view import framing, screen, sway_of
from diorama.pipelines.web_page import MOST_INSIDE

STILL, MOVING = 2, 3
"""Texels of a row."""
LINKS = 4
"""Nodes that a Gaussian follows in the page: the strongest."""
MOST_NODES = 1 << 16
FPS = 12.0
"""Frames a second of sequences that do not say."""
_TEXEL = 16
_ALWAYS = 60_000.0
_SPAN = 1e-3


@dataclass(frozen=True, eq=False)
class PageScene:
    """What a page shows, in one shape for all kinds.

    Attributes:
        table: rows as told above.
        moving: the scene, where its Gaussians follow nodes.
        starts: the first row of each frame of a sequence, and the number of rows; (0, rows) for one frame.
        times: seconds: of the keys, or of the frames.
        view: the camera to begin with, one.
        depth: metres from it to what it looks at.
        base: metres between two eyes that see it in comfort, as a share of that.
        sway: least and most of x, then of y, in metres from its place, between which the scene is to be seen.
        fps: frames a second.
        fitted: whether the Gaussians were fitted to pictures as sharp as the first view.
        left_out: Gaussians beyond what a page can hold.
    """

    table: UInt32[np.ndarray, "g c"]
    moving: MovingGaussians | None
    starts: tuple[int, ...]
    times: tuple[float, ...]
    view: Cameras
    depth: float
    base: float
    sway: tuple[float, float, float, float]
    fps: float
    fitted: bool
    left_out: int


def page_scene(scene: Gaussians | MovingGaussians | SplatSequence | Scene4d) -> PageScene:
    """Any kind of scene, made ready for a page; too many Gaussians are thinned out, the least seen first.

    Raises:
        UsageError: no Gaussians, more than `MOST_NODES` nodes, or nodes that take more than half of a page.
    """
    cameras = scene.cameras if isinstance(scene, Scene4d) else None
    fps = (scene.fps if isinstance(scene, Scene4d) else None) or FPS
    moving = scene.moving if isinstance(scene, Scene4d) else scene if isinstance(scene, MovingGaussians) else None
    frames = scene.frames if isinstance(scene, SplatSequence) else (scene,) if isinstance(scene, Gaussians) else ()
    parts = [moving.rest] if moving is not None else list(frames)
    total = sum(len(part) for part in parts)
    if not total:
        raise UsageError("no Gaussians", "scene_page", "give a scene with at least one")
    if moving is not None and len(moving.nodes) > MOST_NODES:
        raise UsageError(f"{len(moving.nodes)} nodes, the limit is {MOST_NODES}", "scene_page", "fit fewer nodes")
    if moving is not None:
        moving = _followed(moving)
        if _node_bytes(moving) > MOST_INSIDE // 2:
            what = f"{len(moving.nodes)} nodes with {len(moving.times)} keys, which fill more than half of a page"
            raise UsageError(what, "scene_page", "fit fewer nodes or keys")
    texels = STILL if moving is None else MOVING
    share = min(1.0, (MOST_INSIDE - _node_bytes(moving)) / (total * texels * _TEXEL))
    chosen = [_most_seen(part, max(1, int(share * len(part)))) for part in parts]
    if moving is not None:
        (rows,) = chosen
        there = None if moving.presence is None else moving.presence[rows]
        thinned = replace(
            moving, rest=moving.rest[rows], links=moving.links[rows], weights=moving.weights[rows], presence=there
        )
        moving = _followed(thinned)
        table, shown = np.concatenate([_still(moving.rest), _links(moving)], axis=1), moving.at(_middle(moving))
        times = tuple(float(time) for time in moving.times)
    else:
        kept = [part[rows] for part, rows in zip(parts, chosen, strict=True)]
        middle = min((i for i, part in enumerate(kept) if len(part)), key=lambda i: abs(i - len(kept) // 2))
        table, shown = np.concatenate([_still(part) for part in kept]), kept[middle]
        given = scene.times if isinstance(scene, SplatSequence) else None
        times = given or tuple(number / fps for number in range(len(kept)))
    starts = np.cumsum([0, *(len(rows) for rows in chosen)]).tolist()
    view = cameras[:1] if cameras is not None else framing(shown)
    depth, base = screen(shown, view)
    sway, fitted, left_out = sway_of(cameras, depth), cameras is not None, total - len(table)
    return PageScene(table, moving, tuple(starts), times, view, depth, base, sway, fps, fitted, left_out)


def page_bytes(scene: PageScene) -> bytes:
    """The note's length in four bytes, the note as JSON in whole texels, the table, and nodes, shifts and turns."""
    view, moving = scene.view, scene.moving
    note = {
        "texels": scene.table.shape[1] // 4,
        "count": len(scene.table),
        "starts": scene.starts,
        "times": scene.times,
        "nodes": 0 if moving is None else len(moving.nodes),
        "viewmat": view.viewmats[0].reshape(-1).tolist(),
        "K": [float(view.Ks[0, i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2))],
        "size": [view.width, view.height],
        "depth": scene.depth,
        "base": scene.base,
        "sway": scene.sway,
        "fps": scene.fps,
        "fitted": scene.fitted,
        "leftOut": scene.left_out,
    }
    text = json.dumps(note, allow_nan=False).encode()
    text += b" " * (-(len(text) + 4) % _TEXEL)
    arrays = [] if moving is None else [moving.nodes, moving.shifts, moving.turns]
    rest = b"".join(array.astype("<f4").tobytes() for array in arrays)
    return len(text).to_bytes(4, "little") + text + scene.table.astype("<u4").tobytes() + rest


def _node_bytes(moving: MovingGaussians | None) -> int:
    return 0 if moving is None else moving.nodes.nbytes + moving.shifts.nbytes + moving.turns.nbytes


def _followed(moving: MovingGaussians) -> MovingGaussians:
    """The same without the nodes that nothing follows."""
    there = np.zeros(len(moving.nodes), bool)
    there[moving.links] = True
    if there.all():
        return moving
    links = (np.cumsum(there, dtype=np.int32) - 1)[moving.links].astype(np.int32)
    shifts, turns = moving.shifts[:, there], moving.turns[:, there]
    return replace(moving, nodes=moving.nodes[there], shifts=shifts, turns=turns, links=links)


def _middle(moving: MovingGaussians) -> float:
    return float(moving.times[0] + moving.times[-1]) / 2


def _most_seen(gaussians: Gaussians, count: int) -> Int64[np.ndarray, " n"]:
    """The rows of the largest and least transparent, in their order."""
    if count >= len(gaussians):
        return np.arange(len(gaussians))
    extent = np.sort(gaussians.scales.astype(np.float64), axis=1)
    weight = gaussians.opacities * extent[:, 1] * extent[:, 2]
    return np.sort(np.argpartition(-weight, count)[:count])


def _still(gaussians: Gaussians) -> UInt32[np.ndarray, "g 8"]:
    table = np.empty((len(gaussians), 4 * STILL), np.uint32)
    shares = np.concatenate([gaussians.colors, gaussians.opacities[:, None]], axis=1)
    table[:, :3] = np.ascontiguousarray(gaussians.means).view(np.uint32)
    table[:, 3] = np.rint(shares * 255).astype("u1").view("<u4")[:, 0]
    table[:, 4:6] = np.rint(gaussians.quats.clip(-1, 1) * 32767).astype("<i2").view("<u4")
    sizes = np.zeros((len(gaussians), 4), "<f2")
    sizes[:, :3] = np.log(gaussians.scales.astype(np.float64))
    table[:, 6:8] = sizes.view("<u4")
    return table


def _links(moving: MovingGaussians) -> UInt32[np.ndarray, "g 4"]:
    count, width = moving.links.shape
    strongest = np.argsort(-moving.weights, axis=1, kind="stable")[:, :LINKS]
    links, weights = np.zeros((count, LINKS), "<u2"), np.zeros((count, LINKS), np.float64)
    links[:, :width] = np.take_along_axis(moving.links, strongest, axis=1)
    weights[:, :width] = np.take_along_axis(moving.weights, strongest, axis=1)
    weights /= weights.sum(axis=1, keepdims=True)
    table = np.empty((count, 4), np.uint32)
    table[:, :2] = links.view("<u4")
    table[:, 2] = np.rint(weights * 255).astype("u1").view("<u4")[:, 0]
    there = np.full((count, 2), (0, _ALWAYS))
    if moving.presence is not None:
        there[:] = (moving.presence - [moving.times[0], 0]) / max(moving.seconds, _SPAN)
    table[:, 3] = there.clip(-_ALWAYS, _ALWAYS).astype("<f2").view("<u4")[:, 0]
    return table
