"""How creatures move: hinges that swing in the rhythm of the family, or visit far poses."""

import numpy as np
from jaxtyping import Float

from diorama.core.figure import Motion, Skeleton
from diorama.core.rotations import from_axis_angle, multiply, normalize
from diorama.theatre.easing import keys
from diorama.theatre.menagerie.bones import Bone, Hinge

MOST_DEGREES = 35.0
"""By which a hinge turns from frame to frame in a rhythm."""
POSES = 3
"""Far poses in an extreme motion."""


def moved(
    rng: np.random.Generator, skeleton: Skeleton, bones: tuple[Bone, ...], frames: int, fps: float, *, extreme: bool
) -> Motion:
    """A motion in which every hinge stays within its limits.

    Args:
        rng: the source of chance.
        skeleton: of the bones.
        bones: with their hinges.
        frames: of the clip.
        fps: frames a second.
        extreme: rare far poses near the limits instead of a rhythm.
    """
    time = np.arange(frames) / fps
    phase, size = float(rng.random()), float(rng.uniform(0.55, 0.95))
    fastest = max((hinge.high - hinge.low) / 2 * hinge.harmonic for bone in bones for hinge in bone.hinges)
    rate = min(float(rng.uniform(0.35, 0.9)), MOST_DEGREES * fps / (2 * np.pi * max(fastest, 1.0)))
    turns = np.zeros((frames, len(bones), 4))
    turns[..., 0] = 1
    for number, bone in enumerate(bones):
        for hinge in bone.hinges:
            far = rng.random(POSES)
            angle = (
                _poses(hinge, time, far) if extreme else _rhythm(hinge, time, rate, phase, size * rng.uniform(0.7, 1))
            )
            vectors = np.radians(angle)[:, None] * np.array(hinge.axis)
            turns[:, number] = multiply(turns[:, number], from_axis_angle(vectors))
    return Motion(skeleton, normalize(turns).astype(np.float32), np.zeros((frames, 3), np.float32), fps)


def _rhythm(hinge: Hinge, time: Float[np.ndarray, " t"], rate: float, phase: float, size: float) -> np.ndarray:
    """A swing about the middle of the limits, drawn towards rest."""
    middle, half = (hinge.low + hinge.high) / 2, (hinge.high - hinge.low) / 2
    if not hinge.harmonic:
        return np.zeros_like(time)
    swing = np.sin(2 * np.pi * (hinge.harmonic * rate * time + phase + hinge.phase))
    return size * (middle + half * swing)


def _poses(hinge: Hinge, time: Float[np.ndarray, " t"], far: Float[np.ndarray, " n"]) -> np.ndarray:
    """Rest, then poses near a limit one after the other."""
    ends = [hinge.low if share < 0.5 else hinge.high for share in far]
    values = [end * (0.75 + 0.5 * abs(share - 0.5)) for end, share in zip(ends, far, strict=True)]
    last = max(float(time[-1]), 1e-6)
    times = np.linspace(0, last, POSES + 1).tolist()
    return keys(time, (0.0, 0.0), *((t, float(v)) for t, v in zip(times[1:], values, strict=True)))
