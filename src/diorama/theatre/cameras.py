"""How a clip is filmed: cameras that stand, pan, circle, travel or are held in a hand."""

from typing import Literal

import numpy as np
from jaxtyping import Float

from diorama.core.camera import Cameras
from diorama.theatre.easing import Curve, drift, ease

Kind = Literal["static", "pan", "orbit", "dolly", "handheld"]
KINDS: tuple[Kind, ...] = ("static", "pan", "orbit", "dolly", "handheld")
Track = Float[np.ndarray, "t 3"]


def random_track(
    rng: np.random.Generator, kind: Kind, target: Track, fps: float, *, distance: float | None = None
) -> tuple[Track, Track]:
    """Where a camera is and what it looks at, metres.

    Args:
        rng: the source of chance.
        kind: how it moves.
        target: what is filmed, at every frame.
        fps: frames a second.
        distance: metres from it; at random by default.
    """
    frames = len(target)
    time = np.arange(frames) / fps
    share = time / max(time[-1], 1e-6)
    far = float(rng.uniform(2.6, 5.0)) if distance is None else distance
    angle, height = float(rng.uniform(-0.7, 0.7)), float(rng.uniform(0.7, 2.0))
    followed = _smooth(target) if rng.random() < 0.6 else np.repeat(target.mean(axis=0)[None], frames, axis=0)
    middle = target.mean(axis=0)
    around, away, up = np.full(frames, angle), np.full(frames, far), np.full(frames, height)
    look = np.repeat(middle[None], frames, axis=0)
    if kind == "pan":
        look = followed + _sideways(angle) * (float(rng.uniform(-0.9, 0.9)) * (share - 0.5))[:, None]
    elif kind == "orbit":
        around = angle + float(rng.choice([-1, 1])) * float(rng.uniform(0.5, 1.4)) * (share - 0.5)
        up = height + float(rng.uniform(-0.4, 0.8)) * ease(share)
    elif kind == "dolly":
        away = far * (1 + float(rng.uniform(-0.38, 0.5)) * ease(share))
        look = followed
    elif kind == "handheld":
        look = followed + 0.06 * _drifts(rng, time, 1.3)
    place = middle + np.stack([away * np.sin(around), up - middle[1], away * np.cos(around)], axis=1)
    if kind == "dolly":
        place = place + (followed - middle) * [1, 0, 1]
    if kind == "handheld":
        place = place + 0.07 * _drifts(rng, time, 1.0)
    return place, look


def beside(cameras: Cameras, by: float) -> Cameras:
    """The same cameras `by` metres to the right: the other eye of a parallel stereo rig."""
    viewmats = cameras.viewmats.copy()
    viewmats[:, 0, 3] -= by
    return Cameras(viewmats, cameras.Ks, cameras.height, cameras.width)


def _sideways(angle: float) -> Float[np.ndarray, "3"]:
    return np.array([np.cos(angle), 0.0, -np.sin(angle)])


def _smooth(target: Track) -> Track:
    """A target followed softly: its mean over a third of the clip around each frame."""
    half = max(len(target) // 6, 1)
    padded = np.pad(target, ((half, half), (0, 0)), mode="edge")
    return np.stack([padded[i : i + 2 * half + 1].mean(axis=0) for i in range(len(target))])


def _drifts(rng: np.random.Generator, time: Curve, speed: float) -> Track:
    return np.stack([drift(time * speed * 2, rng.random(3).tolist()) for _ in range(3)], axis=1)
