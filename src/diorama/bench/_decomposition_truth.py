"""Held-out clips of the theatre for taking apart, and what is true of them: layers, scene, joints, landmarks.

Every clip shows one actor of its own shape and clothes, in a motion, a place and under a camera of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from diorama.errors import UsageError
from diorama.figures.cast import load_cast
from diorama.figures.landmarks import POINT_NAMES
from diorama.theatre.cameras import KINDS
from diorama.theatre.clip import Clip, Script, random_clip
from diorama.theatre.moves import EXTREME
from diorama.theatre.render import SKY, FrameView
from diorama.theatre.truth import OUTSIDE, joints_of, tags_of
from diorama.train.draws import seed_of
from diorama.train.split import theatre_seed

TITLES = MappingProxyType(
    {
        "extreme_motion": "extreme 3D motion",
        "self_occlusion": "self-occlusion",
        "object_occlusion": "person-object occlusion",
        "large_camera_motion": "large camera motion",
    }
)
"""The four kinds of clips that MIMO tests with (section 4), by the theatre's tags."""
CASTING: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "extreme_motion": {"moves": EXTREME, "occluders": 0.2},
        "self_occlusion": {"occluders": 0.0, "objects": 0.2},
        "object_occlusion": {"occluders": 1.0},
        "large_camera_motion": {"cameras": tuple(kind for kind in KINDS if kind != "static"), "occluders": 0.2},
    }
)
"""Options of the script that make a tag likely; whether it holds is decided by the truth."""
SHOWN, INSIDE, TALL = 0.6, 0.8, 0.3
"""An actor must show this share of itself and have this share of its joints in the picture, on average, and be this
tall, in picture heights: there is nothing to be taken apart in a clip of somebody behind a bush."""
DRAWN = 64
"""Pixels a side of the sketch by which clips are chosen; sizes do not change what a seed shows."""
TRIES = 400
RIM = 0.03
"""Part of the actor's height around it in which occluders count."""
SHADOW = 6
"""Levels of 255 by which a shadow darkens the scene."""


@dataclass(frozen=True)
class HeldOut:
    """A clip by what it is made from.

    Attributes:
        seed: of the clip.
        script: of the clip.
        tags: of the theatre, those in `TITLES`.
    """

    seed: int
    script: Script
    tags: tuple[str, ...]

    def clip(self) -> Clip:
        """The clip itself."""
        return random_clip(self.seed, self.script)


@dataclass(frozen=True, eq=False)
class Truth:
    """What is true of a clip of one actor.

    Attributes:
        image: the frames.
        background: the bare scene.
        person: where the actor is seen.
        whole: where it would be seen with nothing before it.
        around: `whole` and a rim, where occluders count.
        before: what is nearer than the actor there.
        below: where the actor is seen before something that is no part of the scene.
        bare: where nothing but the scene is behind the actor, and no shadow falls on it.
        joints: in the axes of each frame's camera (x right, y down, z away), metres.
        names: of the joints.
    """

    image: UInt8[np.ndarray, "t h w 3"]
    background: UInt8[np.ndarray, "t h w 3"]
    person: Bool[np.ndarray, "t h w"]
    whole: Bool[np.ndarray, "t h w"]
    around: Bool[np.ndarray, "t h w"]
    before: Bool[np.ndarray, "t h w"]
    below: Bool[np.ndarray, "t h w"]
    bare: Bool[np.ndarray, "t h w"]
    joints: Float32[np.ndarray, "t j 3"]
    names: tuple[str, ...]


def held_out_clips(
    count: int, *, frames: int = 24, size: int = 512, fps: float | int = 12.0, seed: int = 0
) -> list[HeldOut]:
    """Clips that no training run meets; each tag of `TITLES` in turn is true of one, others may be true of it too.

    Args:
        count: how many; about four seconds each.
        frames, fps: of each clip.
        size: pixels a side; the pose network sees the theatre's people from 256 on, surest at 512.
        seed: of the set.

    Raises:
        UsageError: fewer than one clip, a script that cannot be, or no clip of a tag in many tries.
    """
    if count < 1:
        raise UsageError(f"{count} clips", "held_out_clips", "give 1 or more")
    whole = Script(frames, float(fps), size, size, actors=(1, 1))
    tags = list(TITLES)
    return [_held_out(whole, tags[n % len(tags)], (theatre_seed(seed, "held-out"), n)) for n in range(count)]


def _held_out(whole: Script, wanted: str, place: tuple[int, int]) -> HeldOut:
    script = replace(whole, **CASTING[wanted])
    sketch = replace(script, height=DRAWN, width=DRAWN)
    for attempt in range(TRIES):
        seed = seed_of("decompose", *place, attempt)
        tags = _tags(random_clip(seed, sketch))
        if wanted in tags:
            return HeldOut(seed, script, tags)
    raise UsageError(f"no clip in {TRIES} that shows {TITLES[wanted]}", "held_out_clips", "give longer clips")


def _tags(clip: Clip) -> tuple[str, ...]:
    """The tags of a clip; none where it shows too little of its actor."""
    frames = [clip.frame(t) for t in range(len(clip))]
    joints = joints_of(clip, frames)
    number = clip.of_role("actor")[0]
    whole = np.stack([frame.layers[number].alpha for frame in frames])
    seen = np.stack([frame.owner == number for frame in frames])
    shown = (seen.sum(axis=(1, 2)) / np.maximum(whole.sum(axis=(1, 2)), 1)).mean()
    tall = whole.any(axis=2).sum(axis=1).mean() / whole.shape[1]
    wide = whole.any(axis=1).sum(axis=1).mean() / whole.shape[2]
    inside = (joints.visibility[0] != OUTSIDE).mean()
    if shown < SHOWN or inside < INSIDE or max(tall, wide) < TALL:
        return ()
    return tuple(tag for tag in tags_of(clip, frames, joints) if tag in TITLES)


def truth_of(clip: Clip) -> Truth:
    """What is true of a clip; 12 bytes a pixel."""
    actor = clip.of_role("actor")[0]
    rows = [_frame_truth(clip.frame(t), actor, clip.of_role("scene")) for t in range(len(clip))]
    image, background, person, whole, around, before, below, bare = (np.stack(row) for row in zip(*rows, strict=True))
    joints = in_camera(clip, clip.actors[0].joints())
    names = clip.actors[0].motion.skeleton.names
    return Truth(image, background, person, whole, around, before, below, bare, joints, names)


def _frame_truth(frame: FrameView, actor: int, scenes: list[int]) -> tuple[np.ndarray, ...]:
    whole, person = frame.layers[actor].alpha, frame.owner == actor
    rest = [view.alpha for number, view in enumerate(frame.layers) if number != actor and number not in scenes]
    others = np.logical_or.reduce([np.zeros_like(whole), *rest])
    around, distance = _around(whole, frame.layers[actor].depth)
    strange = ~np.isin(frame.owner, [actor, SKY, *scenes])
    dark = np.abs(frame.layers[scenes[0]].image.astype(np.int16) - frame.background).max(axis=-1) > SHADOW
    shadowed = dark & frame.layers[scenes[0]].alpha
    before = strange & around & (frame.depth < distance)
    return frame.image, frame.background, person, whole, around, before, person & others, ~others & ~shadowed


def _around(
    whole: Bool[np.ndarray, "h w"], depth: Float32[np.ndarray, "h w"]
) -> tuple[Bool[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
    """An actor and its rim, and the actor's depth at the nearest of its pixels."""
    if not whole.any():
        return whole, depth
    far, labels = cv2.distanceTransformWithLabels((~whole).view(np.uint8), cv2.DIST_L2, 5, labelType=1)
    known = np.full(int(labels.max()) + 1, np.inf, np.float32)
    known[labels[whole]] = depth[whole]
    rows, columns = np.flatnonzero(whole.any(axis=1)), np.flatnonzero(whole.any(axis=0))
    side = max(np.ptp(rows), np.ptp(columns)) + 1
    return np.asarray(far <= max(2.0, RIM * float(side))), known[labels]


def in_camera(clip: Clip, places: Float32[np.ndarray, "t n 3"]) -> Float32[np.ndarray, "t n 3"]:
    """Places on the stage in the axes of each frame's camera, metres."""
    viewmats = clip.views[0].viewmats
    turned = np.einsum("tij,tnj->tni", viewmats[:, :3, :3], places)
    return (turned + viewmats[:, None, :3, 3]).astype(np.float32)


def landmarks_of(clip: Clip) -> tuple[Float32[np.ndarray, "t 33 2"], Float32[np.ndarray, "t 33 3"]]:
    """The actor's 33 landmarks, seen or not: in the picture, pixels; in the camera's axes, metres."""
    layer, cast = clip.layers[clip.of_role("actor")[0]], load_cast()
    assert layer.body is not None  # actors have a body
    rows = [cast.landmark_names.index(name) for name in POINT_NAMES["mediapipe33"]]
    surface = np.stack([layer.body.at(t) for t in range(len(clip))])
    local = in_camera(clip, np.ascontiguousarray(cast.landmarks(surface)[:, rows]))
    pixels = np.einsum("tij,tnj->tni", clip.views[0].Ks, local / local[..., 2:])[..., :2]
    return pixels.astype(np.float32), local
