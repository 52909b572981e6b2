"""Motions made fit for use: other rates, smoothing, mirroring, and feet that stand still while they stand."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int

from diorama.core.figure import Motion
from diorama.core.rotations import between, multiply, normalize, slerp, steady, to_matrix
from diorama.errors import UsageError
from diorama.figures.frames import changes_of, places_of, with_changes
from diorama.figures.names import SIDES, roles_of, twins_of
from diorama.figures.retarget import Roles, ground_of

STILL_SPEED = 0.25
"""Metres a second below which an ankle may stand."""
STILL_HEIGHT = 0.07
"""Metres above where it is at rest up to which it may."""
EASE_FRAMES = 4
"""Over which a foot is led to and from the place where it stands."""
_STRAIGHT = 0.02
"""Metres that the knee of a straight leg lies beside the line from hip to ankle."""
STILL_SECONDS = 0.1
"""Stances and gaps between stances that are no longer are taken for noise."""


def resampled(motion: Motion, fps: float) -> Motion:
    """The motion at another rate from its first frame on, between its frames along the shortest arcs."""
    if not (np.isfinite(fps) and fps > 0):
        raise UsageError(f"{fps} frames a second", "fps", "give a rate above 0")
    frames = int((len(motion) - 1) * fps / motion.fps + 1e-6) + 1
    place = np.minimum(np.arange(frames) * motion.fps / fps, len(motion) - 1)
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
    flat = steady(motion.rotations).reshape(len(motion), -1)
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

    Numbers that are not finite leave the last one standing.

    Raises:
        UsageError: a rate or a cutoff that is not above 0, a negative beta.
    """
    if not (np.isfinite([fps, min_cutoff, beta]).all() and fps > 0 and min_cutoff > 0 and beta >= 0):
        given = f"{fps} frames a second, a cutoff of {min_cutoff} Hz, beta {beta}"
        raise UsageError(given, "one_euro", "give a rate and a cutoff above 0, and beta from 0")
    found, speed = values.astype(np.float64).copy(), np.zeros(values.shape[1])
    for t in range(1, len(values)):
        first = ~np.isfinite(found[t - 1])
        step = np.where(np.isfinite(values[t]) & ~first, values[t] - found[t - 1], 0)
        speed += (step * fps - speed) / (1 + fps / (2 * np.pi))
        cutoff = min_cutoff + beta * np.abs(speed)
        found[t] = np.where(first, values[t], found[t - 1] + step / (1 + fps / (2 * np.pi * cutoff)))
    return found.astype(values.dtype)


def one_euro_motion(motion: Motion, *, min_cutoff: float = 1.5, beta: float = 0.6) -> Motion:
    """The motion as `one_euro` would give it live."""
    flat = steady(motion.rotations).reshape(len(motion), -1)
    turns = one_euro(flat, motion.fps, min_cutoff=min_cutoff, beta=beta).reshape(motion.rotations.shape)
    root = one_euro(motion.root, motion.fps, min_cutoff=min_cutoff, beta=beta)
    return replace(motion, rotations=normalize(turns), root=root)


def mirrored(motion: Motion, roles: Roles | None = None) -> Motion:
    """The motion as a mirror shows it: left and right swapped about x = 0."""
    known = roles_of(motion.skeleton) if roles is None else roles
    partner = twins_of(motion.skeleton)
    for role, joints in known.items():
        side, _, rest = role.partition("_")
        other = f"{SIDES[1 - SIDES.index(side)]}_{rest}" if side in SIDES else role
        for joint, twin in zip(joints, known.get(other, joints), strict=False):
            partner[joint] = twin
    changes = changes_of(motion)[:, partner] * np.array([1, 1, -1, -1])
    return with_changes(motion.skeleton, changes, motion.root * np.array([-1, 1, 1], np.float32), motion.fps)


def foot_contacts(motion: Motion, roles: Roles | None = None) -> Bool[np.ndarray, "t 2"]:
    """Whether the left and the right foot stand: slow, and low over y = 0, for more than `STILL_SECONDS`.

    Raises:
        UsageError: a skeleton without feet.
    """
    known = _with_feet(motion, roles)
    places = places_of(motion.skeleton, changes_of(motion), motion.root)
    found = np.zeros((len(motion), 2), bool)
    for i, side in enumerate(SIDES):
        ankle = known[f"{side}_foot"][0]
        track = places[:, ankle]
        speed = np.linalg.norm(np.gradient(track, axis=0), axis=1) * motion.fps if len(track) > 1 else np.zeros(1)
        low = track[:, 1] < motion.skeleton.joints[ankle, 1] - ground_of(motion.skeleton) + STILL_HEIGHT
        found[:, i] = _lasting((speed < STILL_SPEED) & low, round(STILL_SECONDS * motion.fps))
    return found


def planted(motion: Motion, *, contacts: Bool[np.ndarray, "t 2"] | None = None, roles: Roles | None = None) -> Motion:
    """Foot-contact clean-up: a foot that stands is held where it stands, by bending hip and knee.

    Standing, ankles and toes are also kept as high over y = 0 as they are at rest; feet in the air are left alone.
    Hips stay where they are: a foot that they carry out of its reach leaves its place.

    Args:
        motion: with names that `names.roles_of` knows.
        contacts: when the feet stand; `foot_contacts` by default.
        roles: from `names.roles_of` by default.

    Raises:
        UsageError: a skeleton without feet, contacts of another number of frames.
    """
    known = _with_feet(motion, roles)
    if contacts is not None and len(contacts) != len(motion):
        raise UsageError(f"contacts of {len(contacts)} frames for a motion of {len(motion)}", "planted")
    standing = foot_contacts(motion, known) if contacts is None else contacts
    changes = changes_of(motion)
    places = places_of(motion.skeleton, changes, motion.root)
    for i, side in enumerate(SIDES):
        hip, knee, ankle = (known[f"{side}_{limb}"][0] for limb in ("thigh", "shin", "foot"))
        low = _least_height(motion, places, ankle, known.get(f"{side}_toes", ()))
        _bend(changes, places, (hip, knee, ankle), _held(places[:, ankle], standing[:, i], low))
    return with_changes(motion.skeleton, changes, motion.root, motion.fps)


def _with_feet(motion: Motion, roles: Roles | None) -> Roles:
    known = roles_of(motion.skeleton) if roles is None else roles
    missing = [f"{side}_foot" for side in SIDES if f"{side}_foot" not in known]
    if missing:
        raise UsageError(f"no joint for {', '.join(missing)}", "skeleton", "give a table of names")
    return known


def _runs(mask: Bool[np.ndarray, " t"]) -> Int[np.ndarray, "r 2"]:
    """Where `mask` holds, as first frames and ends."""
    return np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int))).reshape(-1, 2)


def _lasting(mask: Bool[np.ndarray, " t"], most: int) -> Bool[np.ndarray, " t"]:
    """The mask without gaps inside, then without runs inside, of up to `most` frames."""
    found = mask.copy()
    for value in (True, False):
        for start, end in _runs(found != value):
            if end - start <= most and start > 0 and end < len(found):
                found[start:end] = value
    return found


def _least_height(
    motion: Motion, places: Float[np.ndarray, "t j 3"], ankle: int, toes: tuple[int, ...]
) -> Float[np.ndarray, " t"]:
    """How high the ankle has to be for ankle and toes to clear the ground as at rest, the foot turned as it is."""
    rest = motion.skeleton.joints[:, 1] - ground_of(motion.skeleton)
    return np.max([rest[joint] - (places[:, joint, 1] - places[:, ankle, 1]) for joint in (ankle, *toes)], axis=0)


def _held(
    track: Float[np.ndarray, "t 3"], standing: Bool[np.ndarray, " t"], low: Float[np.ndarray, " t"]
) -> Float[np.ndarray, "t 3"]:
    """A path that rests at its mean while it stands, not below `low`, and is led there and away over a few frames."""
    found = track.copy()
    for start, end in _runs(standing):
        middle = track[start:end].mean(axis=0)
        middle[1] = max(middle[1], low[start:end].max())
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
    """Two-bone inverse kinematics by the law of cosines, the knee staying in its plane; the foot keeps its turn.

    A straight leg has no plane: its knee goes forwards. Legs whose ankles are where they should be stay as they are.
    """
    hip, knee, ankle = (places[:, joint] for joint in joints)
    upper, lower = (float(np.linalg.norm(b[0] - a[0])) for a, b in ((hip, knee), (knee, ankle)))
    reach = wanted - hip
    off = np.linalg.norm(wanted - ankle, axis=1, keepdims=True)
    longest = np.maximum(0.9995 * (upper + lower), np.linalg.norm(ankle - hip, axis=1, keepdims=True))
    length = np.clip(np.linalg.norm(reach, axis=1, keepdims=True), abs(upper - lower) + 1e-4, longest)
    along = reach / np.maximum(np.linalg.norm(reach, axis=1, keepdims=True), 1e-9)
    aimed = _rotated(between(ankle - hip, reach), knee - hip)
    side = aimed - (aimed * along).sum(axis=1, keepdims=True) * along
    ahead = _rotated(changes[:, joints[0]], np.broadcast_to(np.array([0.0, 0, 1]), reach.shape))
    ahead = ahead - (ahead * along).sum(axis=1, keepdims=True) * along
    straight = np.exp(-(((side**2).sum(axis=1, keepdims=True)) / _STRAIGHT**2)) * np.minimum(off / _STRAIGHT, 1)
    side = side + 2 * _STRAIGHT * straight * ahead
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    cosine = np.clip((upper**2 + length**2 - lower**2) / (2 * upper * length), -1, 1)
    new_knee = hip + upper * (cosine * along + np.sqrt(1 - cosine**2) * side)
    new_ankle = hip + length * along
    before = changes[:, joints[1]]
    moved = off > 1e-9
    thigh = multiply(between(knee - hip, new_knee - hip), changes[:, joints[0]])
    shin = multiply(between(ankle - knee, new_ankle - new_knee), before)
    changes[:, joints[0]] = np.where(moved, thigh, changes[:, joints[0]])
    changes[:, joints[1]] = np.where(moved, shin, before)


def _rotated(quats: Float[np.ndarray, "t 4"], vectors: Float[np.ndarray, "t 3"]) -> Float[np.ndarray, "t 3"]:
    return np.einsum("tij,tj->ti", to_matrix(quats), vectors)


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
