"""Actors: the people of a scene, each with its way through the clip, a body in its shape, and how that body moves."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64

from diorama.core.camera import Cameras
from diorama.core.figure import Figure, Motion
from diorama.core.person import Track
from diorama.errors import UsageError

MOST_LETTERS = 200
"""Characters of a name."""


@dataclass(frozen=True, eq=False)
class Actor:
    """One person of a scene, as it was seen and as a body that moves.

    Attributes:
        name: tells this person from the others of the scene, such as ``person-1``.
        number: of the person in the clip, from 1.
        layer: name of the layer that holds its colours.
        occluder: name of the layer of what stands before it; None where nothing does.
        track: where it was seen; may have gaps.
        figure: the naked body in its shape, metres.
        motion: of the figure's skeleton, in the world of `cameras`, one pose a frame of `frames`; led over gaps.
        cameras: one a frame.
        frames: numbers of the scene's frames that motion and cameras cover, rising by one.
        error: mean distance of the seen landmarks from the body's, pixels; NaN where none was seen.
        guessed: frames that showed too little, and were led over.
        standing: whether the left and the right foot stand.
        shape: coefficients of the figure's shape; none where it has none.

    Raises:
        UsageError: a name that is empty or no plain text, a layer before itself, arrays of unequal length, frames that
            do not rise by one or leave out frames of the track, a motion of another skeleton, errors below 0 or
            infinite, or a shape that is not finite.
    """

    name: str
    number: int
    layer: str
    occluder: str | None
    track: Track
    figure: Figure
    motion: Motion
    cameras: Cameras
    frames: Int64[np.ndarray, " t"]
    error: Float32[np.ndarray, " t"]
    guessed: Bool[np.ndarray, " t"]
    standing: Bool[np.ndarray, "t 2"]
    shape: Float32[np.ndarray, " k"]

    def __post_init__(self) -> None:
        for part in ("name", "layer", *(() if self.occluder is None else ("occluder",))):
            _check_text(getattr(self, part), part)
        where = f"Actor {self.name!r}"
        if self.number < 1:
            raise UsageError(f"number {self.number}, expected 1 or more", where)
        if self.occluder == self.layer:
            raise UsageError(f"its layer {self.layer!r} is before itself", where, "give another occluder, or None")
        _check_lengths(self, where)
        _check_frames(self.frames, self.track.frames, where)
        _check_skeletons(self.figure, self.motion, where)
        if np.isinf(self.error).any() or (self.error < 0).any():
            raise UsageError("an error below 0 or infinite", where, "errors are pixels, NaN where nothing was seen")
        if self.shape.ndim != 1 or not np.isfinite(self.shape).all():
            raise UsageError("a shape that is no list of finite numbers", where)

    def __len__(self) -> int:
        return len(self.frames)


def _check_text(text: str, part: str) -> None:
    """A text that a file can hold: not empty or overlong, without NUL and without halves of characters."""
    if not 0 < len(text) <= MOST_LETTERS:
        raise UsageError(f"{len(text)} characters, expected 1 to {MOST_LETTERS}", f"Actor, {part}")
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise UsageError("a text with NUL or broken characters", f"Actor, {part}", "give plain text")


def _check_lengths(actor: Actor, where: str) -> None:
    lengths = {part: len(getattr(actor, part)) for part in ("frames", "motion", "cameras", "error", "guessed")}
    if len(set(lengths.values())) > 1 or actor.standing.shape != (len(actor.frames), 2):
        counts = ", ".join(f"{length} {part}" for part, length in lengths.items())
        given = f"{counts}, standing {actor.standing.shape}"
        raise UsageError(given, where, "give one of each a frame, and two feet that stand or not")


def _check_frames(frames: Int64[np.ndarray, " t"], seen: Int64[np.ndarray, " s"], where: str) -> None:
    # A difference may wrap around, so that the least is asked for, not the first.
    if frames.min() < 0 or (np.diff(frames) != 1).any():
        raise UsageError("frame numbers do not rise by one from 0 on", where, "lead the motion over gaps of the track")
    if seen.min() < frames[0] or seen.max() > frames[-1]:
        there = f"frames {frames[0]}..{frames[-1]}, the track {seen.min()}..{seen.max()}"
        raise UsageError(f"{there}: seen without a pose", where, "cover all of the track")


def _check_skeletons(figure: Figure, motion: Motion, where: str) -> None:
    own, moved = figure.skeleton, motion.skeleton
    if own is moved:
        return
    same = own.names == moved.names and np.array_equal(own.parents, moved.parents)
    if not (same and np.array_equal(own.rest, moved.rest)):
        raise UsageError("a motion of another skeleton than the figure's", where, "retarget the motion first")
