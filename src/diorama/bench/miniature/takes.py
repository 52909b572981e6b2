"""Clips of the theatre as all variants learn from them, at 128 pixels, kept on disk.

The first frame is the reference of variants without canonical pictures, as in the field's protocol; the others are to
be made. A file is a function of (codec, `Shot`, seed), which its name says by a hash.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped, UInt8

from diorama.bench._decomposition_truth import HeldOut, held_out_clips
from diorama.bench.miniature.drawn import (
    Frames,
    Masks,
    body_pictures,
    canonical_drawings,
    drawn_points,
    ends_of,
    points_of,
    zoomed,
)
from diorama.bench.miniature.files import read_json, write_json
from diorama.diffusion.backbone import CODE_SCALE
from diorama.diffusion.codec import Codec
from diorama.diffusion.pictures import code_map, coverage, stacked, to_frames
from diorama.errors import ModelError, UsageError
from diorama.figures.appearance import body_colors
from diorama.theatre.clip import Clip, Script, random_clip
from diorama.theatre.lesson import canonical_of
from diorama.theatre.render import FrameView
from diorama.train.draws import seed_of
from diorama.train.recipes._takes import kept_file
from diorama.train.recipes.backbone import encoder_fingerprint
from diorama.train.split import theatre_seed

VERSION = 1
"""Raised when the same seed gives other takes."""
POSES = 4
"""Moments of a clip in which the person is shown alone, for pairs."""
GREY = 127
"""What a person is covered with where the scene behind is not known."""
RIM = 0.06
"""Share of a person's box by which what covers it is wider on each side."""
Arrays = Mapping[str, Shaped[torch.Tensor, "..."]]


@dataclass(frozen=True)
class Shot:
    """What takes are like.

    Attributes:
        frames: of a clip, the reference included.
        fps: frames a second.
        size: pixels a side.
    """

    frames: int = 17
    fps: float = 12.0
    size: int = 128


HELD = Shot(9, 6.0)
"""Held-out clips: a reference and eight frames over a second and a half."""


@dataclass(frozen=True)
class Takes:
    """Where takes lie.

    Attributes:
        folder: of the files.
        codec: makes the latents.
        seed: of the sets.
        shot: of those that are trained on.
        held: of those that are not.
    """

    folder: Path
    codec: Codec
    seed: int = 0
    shot: Shot = Shot()
    held: Shot = HELD

    def lesson(self, number: int) -> Arrays:
        """A take to be trained on."""
        seed = seed_of("miniature", theatre_seed(self.seed, "train"), number)
        shot = self.shot
        script = Script(shot.frames, shot.fps, shot.size, shot.size, actors=(1, 1), occluders=0.35, objects=0.3)
        return kept_file(self._path(shot, seed, "lesson"), lambda: taken(random_clip(seed, script), self.codec))

    def held_out(self, count: int) -> list[HeldOut]:
        """Clips whose actor, motion and scene no lesson has; chosen once, which takes two seconds each."""
        held, path = self.held, self.folder / f"held-out-{count}-{self._digest(self.held, self.seed, 'held-out')}.json"
        if (found := _listed(path)) is not None:
            return found
        clips = held_out_clips(count, frames=held.frames, size=held.size, fps=held.fps, seed=self.seed)
        write_json(path, [asdict(clip) for clip in clips])
        return clips

    def exam(self, held: HeldOut) -> Arrays:
        """The take of a held-out clip with what it is measured against."""
        path = self._path(self.held, held.seed, f"exam {held.script}")
        return kept_file(path, lambda: taken(held.clip(), self.codec, truth=True))

    def _path(self, shot: Shot, seed: int, what: str) -> Path:
        digest = self._digest(shot, seed, what)
        return self.folder / digest[:2] / f"{digest}.safetensors"

    def _digest(self, shot: Shot, seed: int, what: str) -> str:
        name = repr((VERSION, self._encoder, shot, seed, what))
        return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()

    @cached_property
    def _encoder(self) -> str:
        return encoder_fingerprint(self.codec)


def _listed(path: Path) -> list[HeldOut] | None:
    """Clips from a file; None without one, or where it is damaged."""
    try:
        return [
            HeldOut(int(row["seed"]), Script(**_tupled(row["script"])), tuple(map(str, row["tags"])))
            for row in read_json(path)
        ]
    except (ModelError, ValueError, TypeError, KeyError, UsageError):
        return None


def _tupled(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


@torch.no_grad()
def taken(clip: Clip, codec: Codec, *, truth: bool = False) -> Arrays:
    """A clip as stored: latents "c t h w" (half), coverage "1 t h w" and maps "4 t hh ww" (bytes, 255 for 1).

    | name | of the frames |
    |---|---|
    | image, scene, occluder, preview | as `Given` has them |
    | boxed, boxed_preview | the frames with a grey box in place of the person; with the preview in it |
    | first_preview | the preview in the colours of the first frame |
    | occluder_alpha, preview_alpha, person | coverage |
    | codes, skeleton, maps | the motion: vertex codes, drawing, normals (x, y) and depth |
    | canonical, canonical_codes, canonical_skeleton, canonical_maps | the A-pose from the front and the back |
    | first, first_codes | the person as the first frame shows it, cut out, filling the picture |
    | pose, pose_codes | the person alone on white in some moments |

    With truth also pixels "t h w": true_image, true_preview, true_inside, true_pose, true_pose_inside; and boxes
    "t 4 4" of hands and feet: ends, pose_ends.
    """
    number = clip.of_role("actor")[0]
    frames = [clip.frame(t) for t in range(len(clip))]
    body = np.stack([f.layers[number].alpha for f in frames])
    inside = np.stack([f.owner == number for f in frames])
    moments = [round(t) for t in np.linspace(0, len(clip) - 1, min(POSES, len(clip)))]
    close = zoomed(clip, body, moments)
    alone = [close.frame(t) for t in moments]
    occluder = np.stack([~np.isin(f.owner, [*clip.of_role("scene"), number, -1]) for f in frames])
    pixels, maps = _pictures(clip, frames, inside, occluder, first=_cut_out(alone[0], number))
    pixels["pose"], maps["pose_codes"], pose_inside = _alone(alone, number)
    points = points_of(clip)
    maps["skeleton"] = drawn_points(points, clip.views[0].height)
    masks = {"person": body, "occluder_alpha": occluder, "preview_alpha": np.asarray(maps["codes"].any(axis=-1))}
    stored: dict[str, torch.Tensor] = {}
    stored |= {name: codec.encode(to_frames(value)).half().transpose(0, 1) for name, value in pixels.items()}
    stored |= {name: coverage(value, codec.factor)[None] for name, value in masks.items()}
    stored |= {name: code_map(value, codec.factor // CODE_SCALE).transpose(0, 1) for name, value in maps.items()}
    if truth:
        shown = {name: pixels[name] for name in ("image", "preview", "pose")}
        told = {**shown, "inside": inside, "pose_inside": pose_inside}
        stored |= {f"true_{name}": torch.from_numpy(value) for name, value in told.items()}
        stored["ends"] = torch.from_numpy(ends_of(points, inside))
        stored["pose_ends"] = torch.from_numpy(ends_of(points_of(close)[moments], pose_inside))
    return stored


def _pictures(
    clip: Clip,
    frames: list[FrameView],
    inside: Masks,
    occluder: Masks,
    *,
    first: tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]],
) -> tuple[dict[str, Frames], dict[str, Frames]]:
    """Pictures to be encoded and maps of motions, by name; `first`: a picture of the person and its codes."""
    number, actor = clip.of_role("actor")[0], clip.actors[0]
    image, scene = np.stack([f.image for f in frames]), np.stack([f.background for f in frames])
    canonical, canonical_codes, colors = canonical_of(actor.dressed, image.shape[1])
    guessed = body_colors(first[0][None], first[1][None], actor.dressed.body.mesh)
    preview, first_preview, shapes = body_pictures(clip, [colors, guessed])
    codes = np.stack([_codes(f, number) for f in frames])
    shown = np.asarray(codes.any(axis=-1))
    before, composite = stacked(scene, image, occluder, preview, shown)
    boxed = boxed_over(image, inside)
    drawn, canonical_shapes = canonical_drawings(actor, image.shape[1])
    pixels = {
        "image": image,
        "scene": scene,
        "occluder": before,
        "preview": composite,
        "boxed": boxed,
        "boxed_preview": np.where(shown[..., None], preview, boxed),
        "first_preview": stacked(scene, image, occluder, first_preview, shown)[1],
        "canonical": canonical,
        "first": first[0][None],
    }
    maps = {"codes": codes, "maps": shapes, "canonical_codes": canonical_codes, "first_codes": first[1][None]}
    return pixels, {**maps, "canonical_skeleton": drawn, "canonical_maps": canonical_shapes}


def boxed_over(image: Frames, inside: Masks) -> Frames:
    """Frames whose person is covered by a grey box: a scene that was not taken apart."""
    out = image.copy()
    for frame, mask in zip(out, inside, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows):
            rim = 1 + round(RIM * float(max(np.ptp(rows), np.ptp(columns))))
            frame[max(rows[0] - rim, 0) : rows[-1] + rim + 1, max(columns[0] - rim, 0) : columns[-1] + rim + 1] = GREY
    return out


def _cut_out(frame: FrameView, number: int) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]]:
    """What a frame shows of an actor, on white, and the codes there."""
    seen = frame.owner[..., None] == number
    return np.where(seen, frame.image, 255).astype(np.uint8), np.where(seen, _codes(frame, number), 0).astype(np.uint8)


def _alone(frames: list[FrameView], number: int) -> tuple[Frames, Frames, Masks]:
    """An actor with nothing before it on white, its codes, and where it is."""
    views = [frame.layers[number] for frame in frames]
    inside = np.stack([view.alpha for view in views])
    shown = np.where(inside[..., None], np.stack([view.image for view in views]), 255).astype(np.uint8)
    return shown, np.stack([_codes(frame, number) for frame in frames]), inside


def _codes(frame: FrameView, number: int) -> UInt8[np.ndarray, "h w 3"]:
    codes = frame.layers[number].codes
    assert codes is not None  # actors have a body
    return codes
