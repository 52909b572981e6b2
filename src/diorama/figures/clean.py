"""Motions made fit for use: other rates, smoothing, mirroring, and feet that stand still while they stand."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from diorama.core.figure import Motion
from diorama.core.rotations import between, multiply, normalize, slerp
from diorama.errors import UsageError
from diorama.figures.frames import changes_of, places_of, with_changes
from diorama.figures.names import SIDES, roles_of
from diorama.figures.retarget import Roles

STILL_SPEED = 0.25
"""Metres a second below which an ankle may stand."""
STILL_HEIGHT = 0.07
"""Metres above where it is at rest up to which it may."""
EASE_FRAMES = 4
"""Over which a foot is led to and from the place where it stands."""


def resampled(motion: Motion, fps: float) -> Motion:
    """The motion at another rate, between its frames along the shortest arcs; first and last frame are kept."""
    if not (np.isfinite(fps) and fps > 0):
        raise UsageError(f"{fps} frames a second", "fps", "give a rate above 0")
    frames = max(round((len(motion) - 1) * fps / motion.fps) + 1, 1)
    place = np.linspace(0, len(motion) - 1, frames)
    before = np.minimum(place.astype(int), max(len(motion) - 2, 0))
    after = np.minimum(before + 1, len(motion) - 1)
    share = place - before
    turns = slerp(motion.rotations[before], motion.rotations[after], np.repeat(share[:, None], len(motion.skeleton), 1))
    root = (1 - share[:, None]) * motion.root[before] + share[:, None] * motion.root[after]
    return Motion(motion.skeleton, turns, root.astype(np.float32), float(fps))


def smoothed(motion: Motion, *, window: int = 9, order: int = 3) -> Motion:
    """The motion smoothed by local polynomials (Savitzky and Golay 1964); no lag, peaks are kept.

    Args:
        motion: any.
        window: frames of a polynomial, odd.
        order: of the polynomials, below `window`.

    Raises:
        UsageError: an even window, or one too short for the order.
    """
    if window % 2 == 0 or not 0 <= order < window:
        raise UsageError(
            f"a window of {window} frames, order {order}", "smoothed", "give an odd window above the order"
        )
    flat = _steady(motion.rotations).reshape(len(motion), -1)
    values = _savitzky_golay(np.concatenate([flat, motion.root], axis=1).astype(np.float64), window, order)
    turns = values[:, :-3].reshape(motion.rotations.shape)
    return replace(motion, rotations=normalize(turns).astype(np.float32), root=values[:, -3:].astype(np.float32))


def one_euro(
    values: Float[np.ndarray, "t n"], fps: float, *, min_cutoff: float = 1.0, beta: float = 0.05
) -> Float[np.ndarray, "t n"]:
    """Smooth a stream by its past alone: less the faster it moves (Casiez et al., CHI 2012).

    Args:
        values: one row a frame.
        fps: frames a second.
        min_cutoff: Hz, at rest.
        beta: how much of the speed is added to the cutoff.
    """

    found, speed = values.astype(np.float64).copy(), np.zeros(values.shape[1])
    for t in range(1, len(values)):
        step = values[t] - found[t - 1]
        speed += (step * fps - speed) / (1 + fps / (2 * np.pi))
        cutoff = min_cutoff + beta * np.abs(speed)
        found[t] = found[t - 1] + step / (1 + fps / (2 * np.pi * cutoff))
    return found.astype(values.dtype)


def one_euro_motion(motion: Motion, *, min_cutoff: float = 1.5, beta: float = 0.6) -> Motion:
    """The motion as `one_euro` would give it live."""
    flat = _steady(motion.rotations).reshape(len(motion), -1)
    turns = one_euro(flat, motion.fps, min_cutoff=min_cutoff, beta=beta).reshape(motion.rotations.shape)
    root = one_euro(motion.root, motion.fps, min_cutoff=min_cutoff, beta=beta)
    return replace(motion, rotations=normalize(turns), root=root)


def mirrored(motion: Motion, roles: Roles | None = None) -> Motion:
    """The motion as a mirror shows it: left and right swapped about x = 0."""
    known = roles_of(motion.skeleton) if roles is None else roles
    partner = np.arange(len(motion.skeleton))
    for role, joints in known.items():
        side, _, rest = role.partition("_")
        other = f"{SIDES[1 - SIDES.index(side)]}_{rest}" if side in SIDES else role
        for joint, twin in zip(joints, known.get(other, joints), strict=False):
            partner[joint] = twin
    changes = changes_of(motion)[:, partner] * np.array([1, 1, -1, -1])
    return with_changes(motion.skeleton, changes, motion.root * np.array([-1, 1, 1], np.float32), motion.fps)


def foot_contacts(motion: Motion, roles: Roles | None = None) -> Bool[np.ndarray, "t 2"]:
    """Whether the left and the right foot stand: slow, and low."""
    known = roles_of(motion.skeleton) if roles is None else roles
    places = places_of(motion.skeleton, changes_of(motion), motion.root)
    found = np.zeros((len(motion), 2), bool)
    for i, side in enumerate(SIDES):
        ankle = known[f"{side}_foot"][0]
        track = places[:, ankle]
        speed = np.linalg.norm(np.gradient(track, axis=0), axis=1) * motion.fps if len(track) > 1 else np.zeros(1)
        low = track[:, 1] < motion.skeleton.joints[ankle, 1] + STILL_HEIGHT
        found[:, i] = (speed < STILL_SPEED) & low
    return found


def planted(motion: Motion, *, contacts: Bool[np.ndarray, "t 2"] | None = None, roles: Roles | None = None) -> Motion:
    """Foot-contact clean-up: a foot that stands is held where it stands, by bending hip and knee.

    Args:
        motion: with names that `names.roles_of` knows.
        contacts: when the feet stand; `foot_contacts` by default.
        roles: from `names.roles_of` by default.
    """
    known = roles_of(motion.skeleton) if roles is None else roles
    standing = foot_contacts(motion, known) if contacts is None else contacts
    changes = changes_of(motion)
    places = places_of(motion.skeleton, changes, motion.root)
    for i, side in enumerate(SIDES):
        hip, knee, ankle = (known[f"{side}_{limb}"][0] for limb in ("thigh", "shin", "foot"))
        _bend(changes, places, (hip, knee, ankle), _held(places[:, ankle], standing[:, i]))
    return with_changes(motion.skeleton, changes, motion.root, motion.fps)


def _held(track: Float[np.ndarray, "t 3"], standing: Bool[np.ndarray, " t"]) -> Float[np.ndarray, "t 3"]:
    """A path that rests at its mean while it stands, and is led there and away over a few frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], standing, [False]]).astype(int)))
    found = track.copy()
    for start, end in edges.reshape(-1, 2):
        middle = track[start:end].mean(axis=0)
        found[start:end] = middle
        for k in range(1, EASE_FRAMES):
            share = 0.5 + 0.5 * np.cos(np.pi * k / EASE_FRAMES)
            for frame, edge in ((start - k, start), (end - 1 + k, end - 1)):
                if 0 <= frame < len(track) and not standing[frame]:
                    found[frame] += share * (middle - track[edge])
    return found


def _bend(
    changes: Float[np.ndarray, "t j 4"],
    places: Float[np.ndarray, "t j 3"],
    joints: tuple[int, int, int],
    wanted: Float[np.ndarray, "t 3"],
) -> None:
    """Two-bone inverse kinematics by the law of cosines, the knee staying in its plane; the foot keeps its turn."""
    hip, knee, ankle = (places[:, joint] for joint in joints)
    upper, lower = (float(np.linalg.norm(b[0] - a[0])) for a, b in ((hip, knee), (knee, ankle)))
    reach = wanted - hip
    length = np.clip(np.linalg.norm(reach, axis=1, keepdims=True), abs(upper - lower) + 1e-4, 0.9995 * (upper + lower))
    along = reach / np.maximum(np.linalg.norm(reach, axis=1, keepdims=True), 1e-9)
    aimed = _rotated(between(ankle - hip, reach), knee - hip)
    side = aimed - (aimed * along).sum(axis=1, keepdims=True) * along
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    cosine = np.clip((upper**2 + length**2 - lower**2) / (2 * upper * length), -1, 1)
    new_knee = hip + upper * (cosine * along + np.sqrt(1 - cosine**2) * side)
    new_ankle = hip + length * along
    before = changes[:, joints[1]].copy()
    changes[:, joints[0]] = multiply(between(knee - hip, new_knee - hip), changes[:, joints[0]])
    changes[:, joints[1]] = multiply(between(ankle - knee, new_ankle - new_knee), before)


def _rotated(quats: Float[np.ndarray, "t 4"], vectors: Float[np.ndarray, "t 3"]) -> Float[np.ndarray, "t 3"]:
    w, v = quats[:, :1], quats[:, 1:]
    across = 2 * np.cross(v, vectors)
    return vectors + w * across + np.cross(v, across)


def _steady(quats: Float[np.ndarray, "t j 4"]) -> Float[np.ndarray, "t j 4"]:
    """The same rotations with signs that do not flip from frame to frame."""
    flips = np.where((quats[1:] * quats[:-1]).sum(axis=-1) < 0, -1, 1)
    signs = np.concatenate([np.ones((1, quats.shape[1]), int), np.cumprod(flips, axis=0)])
    return quats * signs[..., None].astype(quats.dtype)


def _savitzky_golay(values: Float[np.ndarray, "t n"], window: int, order: int) -> Float[np.ndarray, "t n"]:
    """Local least squares; at the ends the polynomial of the first or last whole window."""
    window = min(window, len(values) - 1 + len(values) % 2)
    order = min(order, window - 1)
    half = window // 2
    powers = np.vander(np.arange(-half, half + 1), order + 1, increasing=True).astype(np.float64)
    fit = powers @ np.linalg.pinv(powers)  # window x window: values at each place of a window
    found = values.copy()
    if len(values) >= window:
        rows = np.lib.stride_tricks.sliding_window_view(values, window, axis=0)
        found[half : len(values) - half] = rows @ fit[half]
        found[:half] = fit[:half] @ values[:window]
        found[len(values) - half :] = fit[half + 1 :] @ values[-window:]
    return found
