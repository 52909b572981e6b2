"""What is true of a clip beyond its pictures: joints and whether they are seen, and tags that tables are split by."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from diorama.theatre.clip import Clip
from diorama.theatre.moves import EXTREME
from diorama.theatre.render import FrameView

OUTSIDE, BEHIND, TURNED_AWAY, SEEN = 0, 1, 2, 3
"""Of a joint: not in the picture, behind another layer, behind its own body, or seen."""
REACH = 0.16
"""Metres that a joint lies below the skin at most."""

TAGS = ("extreme_motion", "self_occlusion", "object_occlusion", "person_occlusion", "large_camera_motion")
FAST = 5.0
"""Metres a second against the hips from which a motion is extreme."""
HIDDEN_SELF, HIDDEN_OTHER = 0.4, 0.1
"""Shares of the joints of a body behind itself, and of an actor's pixels behind others, in a quarter of the frames."""
CAMERA_SHARE = 0.012
"""Median movement of the background from frame to frame, picture widths."""


@dataclass(frozen=True, eq=False)
class JointTruth:
    """The joints of the actors in one view.

    Attributes:
        world: metres.
        pixels: in the picture; not a number behind the camera.
        depth: metres along z.
        visibility: `OUTSIDE`, `BEHIND`, `TURNED_AWAY` or `SEEN`.
    """

    world: Float32[np.ndarray, "a t j 3"]
    pixels: Float32[np.ndarray, "a t j 2"]
    depth: Float32[np.ndarray, "a t j"]
    visibility: UInt8[np.ndarray, "a t j"]


def joints_of(clip: Clip, frames: Sequence[FrameView], view: int = 0) -> JointTruth:
    """The joints of every actor in every frame of a view, `frames`."""
    world = np.stack([actor.joints() for actor in clip.actors])
    pixels, depth = np.empty((*world.shape[:3], 2), np.float32), np.empty(world.shape[:3], np.float32)
    visibility = np.empty(world.shape[:3], np.uint8)
    numbers = clip.of_role("actor")
    for t, frame in enumerate(frames):
        camera = clip.views[view][t : t + 1]
        for a, number in enumerate(numbers):
            places, z = camera.project(world[a, t].astype(np.float64))
            pixels[a, t] = np.where(z[0, :, None] > 0, places[0], np.nan)
            depth[a, t] = z[0]
            visibility[a, t] = _seen(frame, number, pixels[a, t], depth[a, t])
    return JointTruth(world, pixels, depth, visibility)


def _seen(
    frame: FrameView, layer: int, pixels: Float32[np.ndarray, "j 2"], depth: Float32[np.ndarray, " j"]
) -> UInt8[np.ndarray, " j"]:
    height, width = frame.depth.shape
    known = np.isfinite(pixels).all(axis=1)
    x, y = np.where(known, np.floor(pixels.T), -1).astype(int)
    inside = known & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y = x.clip(0, width - 1), y.clip(0, height - 1)
    covered = (frame.owner[y, x] != layer) & (frame.depth[y, x] < depth)
    own = frame.layers[layer].depth[y, x] < depth - REACH
    found = np.where(covered, BEHIND, np.where(own, TURNED_AWAY, SEEN))
    return np.where(inside, found, OUTSIDE).astype(np.uint8)


def tags_of(clip: Clip, frames: Sequence[FrameView], joints: JointTruth) -> tuple[str, ...]:
    """The tags of a clip in one view, in the order of `TAGS`."""
    true = (
        _extreme(clip, joints),
        _often(((joints.visibility == TURNED_AWAY).sum(axis=2) / joints.visibility.shape[2]) > HIDDEN_SELF),
        _often(_hidden_by(clip, frames, ("object", "occluder")) > HIDDEN_OTHER),
        _often(_hidden_by(clip, frames, ("actor",)) > HIDDEN_OTHER),
        _camera_motion(clip, frames) > CAMERA_SHARE,
    )
    return tuple(tag for tag, holds in zip(TAGS, true, strict=True) if holds)


def _often(holds: np.ndarray) -> bool:
    """Whether it holds for somebody in a quarter of the frames."""
    return bool((holds.mean(axis=1) >= 0.25).any())


def _extreme(clip: Clip, joints: JointTruth) -> bool:
    if any(set(moves) & set(EXTREME) for moves in clip.moves):
        return True
    local = joints.world - joints.world[:, :, :1]
    return bool(len(clip) > 1 and np.linalg.norm(np.diff(local, axis=1), axis=-1).max() * clip.fps > FAST)


def _hidden_by(clip: Clip, frames: Sequence[FrameView], roles: tuple[str, ...]) -> np.ndarray:
    """The share of each actor's pixels that layers of some roles hide, "a t"."""
    others = {role: clip.of_role(role) for role in roles}
    found = np.zeros((len(clip.actors), len(frames)))
    for a, number in enumerate(clip.of_role("actor")):
        hiding = [i for role in roles for i in others[role] if i != number]
        for t, frame in enumerate(frames):
            alpha = frame.layers[number].alpha
            found[a, t] = np.isin(frame.owner[alpha], hiding).mean() if alpha.any() else 0.0
    return found


def _camera_motion(clip: Clip, frames: Sequence[FrameView]) -> float:
    flows = [np.linalg.norm(frame.layers[0].flow[frame.layers[0].alpha], axis=-1) for frame in frames]
    medians = [float(np.nanmedian(flow)) for flow in flows[:-1] if np.isfinite(flow).any()]
    return float(np.mean(medians)) / clip.views[0].width if medians else 0.0
