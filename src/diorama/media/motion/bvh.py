"""BVH: a hierarchy of offsets and channels, then one row of numbers a frame.

After the format's description (Biovision; Meredith and Maddock, "Motion Capture File Formats Explained", 2001). What
programs disagree on is settled so: position channels replace the offset of their joint, as MotionBuilder and Blender
have it; End Sites are lengths for drawing, no joints: they help to guess the unit and are left out of the skeleton;
joints come in the order of the file, depth first. Axes are taken as Y up.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Float64

from diorama.core.figure import Motion, Skeleton
from diorama.core.rotations import from_euler, from_matrix, inverse, multiply, normalize, to_matrix
from diorama.errors import DamagedMediaError, MediaError, UsageError
from diorama.media.atomic import atomic_path
from diorama.media.motion._bvh_hierarchy import Joint, Lines, read_hierarchy

_log = logging.getLogger(__name__)

PERSON = 1.7
"""Metres that a skeleton is taken to span."""

UNITS = {"metres": 1.0, "the units of CMU's conversions": 0.0254 / 0.45, "centimetres": 0.01, "millimetres": 0.001}
_RATE_LIMIT = 100_000
_SNAP = 5e-4  # files round their frame time: 0.008333 is 120 frames a second
_STRAY = 0.01
_ORDER = "ZXY"


@dataclass(frozen=True, eq=False)
class _Clip:
    """A file as it stands: joints, numbers, seconds a frame, and its size in its own unit."""

    joints: tuple[Joint, ...]
    values: Float64[np.ndarray, "t n"]
    frame_time: float
    span: float


def read_bvh(path: Path, *, scale: float | int | None = None) -> Motion:
    """The skeleton and motion of a BVH file.

    Rest frames have no rotation; the root's rest position is its offset. Channels may come in any order; a joint with
    fewer than three rotations holds the others at 0. Positions of joints other than the root have no place in a
    `Motion`: they are left out, with a warning if they stray from the offset by more than 1 % of the skeleton.

    Args:
        path: the file.
        scale: metres per unit of the file. None guesses: the widest side of the box around the rest pose, End Sites
            included, should come nearest to 1.7 m (in ratio) among metres, the units of the CMU conversions
            (0.0254 / 0.45 m), centimetres and millimetres. Pass it for animals, children and hands.

    Raises:
        UsageError: a `scale` that is not above 0.
        MediaError: not BVH, or one with unknown channels, broken braces, several roots, repeated names, no frame time;
            the line is named.
        DamagedMediaError: another number of frames than it says, a row too short or too long, not a number.
        LimitError: too many joints, too deep, too large a file.
    """
    if scale is not None and not (np.isfinite(scale) and scale > 0):
        raise UsageError(f"a scale of {scale} metres per unit", "scale", "0.01 for centimetres")
    clip = _read(path)
    unit = scale if scale is not None else _guess_unit(clip, path)
    skeleton = _skeleton(clip.joints, unit, path)
    rotations = np.stack([_rotations(joint, clip.values) for joint in clip.joints], axis=1)
    places = [_places(joint, clip.values) for joint in clip.joints]
    _warn_of_strays(clip, places, path)
    with np.errstate(over="ignore"):
        root = (unit * (places[0] - clip.joints[0].offset)).astype(np.float32)
    if not np.isfinite(root).all():
        raise DamagedMediaError("a position of the root is too large", path, "check the scale")
    return Motion(skeleton, rotations.astype(np.float32), root, _rate(clip.frame_time))


def write_bvh(path: Path, motion: Motion) -> None:
    """Write a motion as BVH in centimetres, Y up, Euler angles in the order Z, X, Y.

    BVH has no rotations at rest: turned rest frames are carried over into the angles, so that every joint is where it
    was, and reading back gives a skeleton of the same joints without turned frames. Joints at the tips get an End Site
    as long as their own bone.

    Raises:
        UsageError: a joint's name that BVH cannot hold, or as `media.atomic.atomic_path`.
    """
    skeleton = motion.skeleton
    for name in skeleton.names:
        if name != name.strip() or not name.isprintable() or not name or set(name) & set("{}"):
            raise UsageError(f"a joint called {name!r}", "BVH", "rename it: no braces, line breaks or outer spaces")
    lines, order = _header(skeleton)
    frames = np.broadcast_to(from_matrix(skeleton.rest[:, :3, :3].astype(np.float64)), motion.rotations.shape)
    turns = multiply(multiply(frames, motion.rotations.astype(np.float64)), inverse(frames))
    degrees = _zxy_angles(to_matrix(normalize(turns[:, order]))).reshape(len(motion), -1)
    places = 100 * (motion.root.astype(np.float64) + skeleton.joints[0])
    rows = np.hstack([places, degrees])
    form = " ".join(["%.6f"] * rows.shape[1]) + "\n"
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.write("HIERARCHY\n" + "\n".join(lines) + "\nMOTION\n")
        file.write(f"Frames: {len(motion)}\nFrame Time: {1 / motion.fps:.9g}\n")
        file.writelines(form % tuple(row) for row in rows)


def _read(path: Path) -> _Clip:
    with Lines.open(path) as lines:
        joints, tips = read_hierarchy(lines)
        frames = lines.setting("Frames:")
        if not frames.isdecimal() or not int(frames[:20]) >= 1:
            raise MediaError(f"{frames[:40]!r} frames", lines.where, "expected a whole number above 0")
        time = lines.setting("Frame Time:")
        frame_time = lines.numbers([time])[0]
        if not 1 / _RATE_LIMIT <= frame_time < float("inf"):
            raise MediaError(f"a frame time of {time[:40]} seconds", lines.where, "expected a number above 0")
        values = _rows(lines, int(frames[:20]), sum(len(joint.channels) for joint in joints))
    joints = _rooted(joints)
    ends = np.stack([joint.origin for joint in joints] + tips)
    return _Clip(joints, values, frame_time, float(np.ptp(ends, axis=0).max()))


def _rooted(joints: tuple[Joint, ...]) -> tuple[Joint, ...]:
    """Joints with the column at which their channels start."""
    starts = np.cumsum([0, *(len(joint.channels) for joint in joints)])
    return tuple(replace(joint, first=int(start)) for joint, start in zip(joints, starts, strict=False))


def _rows(lines: Lines, frames: int, columns: int) -> Float64[np.ndarray, "t n"]:
    """The motion block; nothing is reserved that the rest of the file could not fill."""
    fit = lines.left() // max(2 * columns, 1) + 1  # a digit and a space each
    rows = np.zeros((min(frames, fit), columns))
    count = 0
    for line in lines:
        if not line or line.isspace():
            continue
        if count < len(rows):
            numbers = lines.numbers(line.split())
            if len(numbers) != columns:
                raise DamagedMediaError(f"{len(numbers)} numbers, the channels need {columns}", lines.where)
            rows[count] = numbers
        count += 1
    if count != frames:
        raise DamagedMediaError(
            f"it says {frames} frames, but {count} are there", lines.path, "correct the line Frames:"
        )
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        frame = int(np.flatnonzero(~finite)[0])
        raise DamagedMediaError(f"frame {frame} holds a number that is not finite", lines.path, "mend or cut the frame")
    return rows


def _guess_unit(clip: _Clip, path: Path) -> float:
    if not 0 < clip.span < float("inf"):
        raise MediaError("all its offsets are 0, so its unit cannot be guessed", path, "pass scale=")
    name = min(UNITS, key=lambda unit: abs(np.log(clip.span * UNITS[unit] / PERSON)))
    _log.info("%s spans %.4g, taken as %s", path, clip.span, name)
    return UNITS[name]


def _skeleton(joints: tuple[Joint, ...], unit: float, path: Path) -> Skeleton:
    rest = np.tile(np.eye(4, dtype=np.float32), (len(joints), 1, 1))
    with np.errstate(over="ignore"):
        rest[:, :3, 3] = unit * np.stack([joint.origin for joint in joints])
    if not np.isfinite(rest).all():
        raise MediaError("an offset is too large", path, "check the scale")
    parents = np.array([joint.parent for joint in joints], np.int32)
    return Skeleton(tuple(joint.name for joint in joints), parents, rest)


def _rotations(joint: Joint, values: Float64[np.ndarray, "t n"]) -> Float[np.ndarray, "t 4"]:
    order = "".join(channel[0] for channel in joint.channels if channel.endswith("rotation"))
    columns = [joint.first + i for i, channel in enumerate(joint.channels) if channel.endswith("rotation")]
    missing = "".join(axis for axis in "XYZ" if axis not in order)
    degrees = np.zeros((len(values), 3))
    degrees[:, : len(columns)] = np.fmod(values[:, columns], 360)
    return from_euler(order + missing, degrees)


def _places(joint: Joint, values: Float64[np.ndarray, "t n"]) -> Float64[np.ndarray, "t 3"]:
    """Where the joint is in its parent, in units of the file."""
    places = np.tile(joint.offset, (len(values), 1))
    for i, channel in enumerate(joint.channels):
        if channel.endswith("position"):
            places[:, "XYZ".index(channel[0])] = values[:, joint.first + i]
    return places


def _warn_of_strays(clip: _Clip, places: list[Float64[np.ndarray, "t 3"]], path: Path) -> None:
    pairs = list(zip(clip.joints, places, strict=True))[1:]
    stray = [joint.name for joint, place in pairs if np.abs(place - joint.offset).max() > _STRAY * clip.span]
    if stray:
        _log.warning("%s: positions of %d joints other than the root are left out (%s)", path, len(stray), stray[0])


def _rate(frame_time: float) -> float:
    rate = 1 / frame_time
    whole = round(rate)
    return float(whole) if whole and abs(rate - whole) < _SNAP * rate else rate


def _header(skeleton: Skeleton) -> tuple[list[str], list[int]]:
    """Lines of the hierarchy, and joints in its order: depth first, children as they come."""
    children: list[list[int]] = [[] for _ in skeleton.names]
    for joint, parent in enumerate(skeleton.parents.tolist()):
        if parent >= 0:
            children[parent].append(joint)
    lines: list[str] = []
    order: list[int] = []
    todo: list[tuple[int, int]] = [(0, 0)]
    while todo:
        joint, depth = todo.pop()
        pad = "\t" * depth
        if joint < 0:
            lines.append(pad + "}")
            continue
        order.append(joint)
        lines += [pad + line for line in _opening(skeleton, joint, bool(children[joint]))]
        todo.append((-1, depth))
        todo += [(child, depth + 1) for child in reversed(children[joint])]
    return lines, order


def _opening(skeleton: Skeleton, joint: int, inner: bool) -> list[str]:
    parent = int(skeleton.parents[joint])
    offset = skeleton.joints[joint] - (skeleton.joints[parent] if parent >= 0 else 0)
    axes = " ".join(f"{axis}rotation" for axis in _ORDER)
    channels = f"CHANNELS 3 {axes}" if parent >= 0 else f"CHANNELS 6 Xposition Yposition Zposition {axes}"
    lines = [
        f"{'JOINT' if parent >= 0 else 'ROOT'} {skeleton.names[joint]}",
        "{",
        f"\t{_offset(offset)}",
        f"\t{channels}",
    ]
    return (
        lines
        if inner
        else [*lines, "\tEnd Site", "\t{", f"\t\t{_offset(offset if parent >= 0 else 0 * offset)}", "\t}"]
    )


def _zxy_angles(m: Float64[np.ndarray, "t j 3 3"]) -> Float64[np.ndarray, "t j 3"]:
    """Degrees about Z, X and Y: Z is taken off first, the others are read from what is left, so poles do no harm."""
    z = np.arctan2(-m[..., 0, 1], m[..., 1, 1])
    cos, sin = np.cos(z)[..., None], np.sin(z)[..., None]
    first, second = cos * m[..., 0, :] + sin * m[..., 1, :], cos * m[..., 1, :] - sin * m[..., 0, :]
    x, y = np.arctan2(m[..., 2, 1], second[..., 1]), np.arctan2(first[..., 2], first[..., 0])
    return np.degrees(np.stack([z, x, y], axis=-1))


def _offset(offset: Float32[np.ndarray, "3"]) -> str:
    return "OFFSET " + " ".join(f"{100 * value:.6f}" for value in offset.tolist())
