"""AMASS and other SMPL sequences: axis-angle poses and a path in an NPZ file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Shaped

from diorama.core.figure import Motion, Skeleton
from diorama.core.rotations import from_axis_angle, multiply, normalize
from diorama.errors import MediaError, UsageError
from diorama.media.motion.npz import read_npz
from diorama.media.motion.smpl_joints import JOINT_COUNTS, PELVIS, smpl_names, smpl_skeleton

Arrays = Mapping[str, Shaped[np.ndarray, "..."]]

_FPS = ("mocap_framerate", "mocap_frame_rate", "fps")
_PATH = ("trans", "transl")
_ROOT = ("root_orient", "global_orient")
_TRUNK = ("pose_body", "body_pose")
_JAW = ("pose_jaw", "jaw_pose")
_EYES = ("pose_eye", "leye_pose", "reye_pose")  # both, left, right
_HANDS = ("pose_hand", "left_hand_pose", "right_hand_pose")
_KEYS = frozenset(("poses", *_FPS, *_PATH, *_ROOT, *_TRUNK, *_JAW, *_EYES, *_HANDS))
_RATE_LIMIT = 100_000
_LARGEST = 1e6
_GENDERS = ("female", "male", "neutral")


@dataclass(frozen=True, eq=False)
class AmassBody:
    """Whose motion it is.

    Attributes:
        betas: shape coefficients for `figures.smpl`; empty where the file has none.
        gender: "female", "male" or "neutral", which the file does not always know.
    """

    betas: Float32[np.ndarray, " s"]
    gender: str


def read_amass(
    path: Path, *, fps: float | int | None = None, up: Literal["z", "y"] = "z", skeleton: Skeleton | None = None
) -> Motion:
    """The motion of an AMASS or SMPL sequence, Y up.

    ``poses`` of 72, 156 or 165 numbers a frame (SMPL, SMPL-H, SMPL-X), or split as ``root_orient``, ``pose_body``,
    ``pose_hand``, ``pose_jaw``, ``pose_eye`` (also under the names of the model's arguments); what a split file leaves
    out stays at rest, and without jaw and eyes it is SMPL-H. Hand poses are whole rotations, no mean is added.

    Args:
        path: NPZ; only the arrays named above are read.
        fps: frames a second; None: as the file says.
        up: the file's vertical axis. AMASS is Z up: the world is turned by -90 degrees about X, which
            takes (x, y, z) to (x, z, -y).
        skeleton: of the body that it belongs to, in the body file's own coordinates (`figures.smpl`); None: a generic
            adult (`smpl_skeleton`), whose feet may then slide by centimetres.

    Raises:
        UsageError: `skeleton` has other joints than the sequence, or `fps` is no rate.
        MediaError: no poses, path or frame rate, or shapes that do not fit, or numbers that are not finite
            or beyond a million.
        DamagedMediaError, LimitError: as `read_npz`.
    """
    arrays = read_npz(path, _KEYS)
    poses = _poses(arrays, path)
    count = poses.shape[1]
    shift = _numbers(arrays, _first(arrays, _PATH, path), path, 3)
    if len(shift) != len(poses):
        raise MediaError(f"{len(poses)} poses, but a path of {len(shift)} frames", path, "save the sequence again")
    if skeleton is not None and skeleton.names != smpl_names(count):
        given = f"a sequence of {count} joints for a skeleton of {len(skeleton)}, or of other names"
        raise UsageError(given, path, "load the body of the same family, or leave it out")
    rotations, pelvis = from_axis_angle(poses), shift + (PELVIS if skeleton is None else skeleton.joints[0])
    if up == "z":
        rotations, pelvis = _y_up(rotations, pelvis)
    skeleton = skeleton or smpl_skeleton(count)
    root = (pelvis - skeleton.joints[0]).astype(np.float32)
    return Motion(skeleton, rotations.astype(np.float32), root, _rate(arrays, fps, path))


def read_amass_body(path: Path) -> AmassBody:
    """The body shape of a sequence; raises as `read_npz`, or MediaError for betas that are no row of numbers."""
    arrays = read_npz(path, ("betas", "gender"))
    betas = np.zeros(0, np.float32)
    if "betas" in arrays:
        given = arrays["betas"]
        betas = _numbers(arrays, "betas", path, given.shape[-1] if given.ndim else 0)[0].astype(np.float32)
    said = arrays["gender"].ravel()[:1].tolist() if "gender" in arrays else []
    word = said[0].decode("latin-1") if said and isinstance(said[0], bytes) else str(*said)
    return AmassBody(betas, word.lower() if word.lower() in _GENDERS else "neutral")


def _y_up(
    rotations: Float[np.ndarray, "t j 4"], places: Float[np.ndarray, "t 3"]
) -> tuple[Float[np.ndarray, "t j 4"], Float[np.ndarray, "t 3"]]:
    half = np.sqrt(0.5)
    turn = np.broadcast_to(np.array([half, -half, 0, 0]), rotations[:, :1].shape)
    root = normalize(multiply(turn, rotations[:, :1]))
    return np.concatenate([root, rotations[:, 1:]], axis=1), places[:, [0, 2, 1]] * np.array([1, 1, -1])


def _poses(arrays: Arrays, path: Path) -> Float[np.ndarray, "t j 3"]:
    if "poses" in arrays:
        given = arrays["poses"]
        width = given[0].size if given.ndim in (2, 3) and len(given) else 0
        if width not in [3 * count for count in JOINT_COUNTS]:
            sizes = "72 (SMPL), 156 (SMPL-H) or 165 (SMPL-X)"
            raise MediaError(f"poses of shape {given.shape}, expected frames of {sizes} numbers", path)
        joined = _numbers(arrays, "poses", path, width)
    else:
        joined = _joined(arrays, path)
    if not len(joined):
        raise MediaError("a sequence without frames", path)
    return joined.reshape(len(joined), -1, 3)


def _joined(arrays: Arrays, path: Path) -> Float[np.ndarray, "t n"]:
    """Split poses in the order of the joints; 0 where a part is not given."""
    root, trunk_key = _numbers(arrays, _first(arrays, _ROOT, path), path, 3), _first(arrays, _TRUNK, path)
    small = 23 in arrays[trunk_key].shape[1:] or 69 in arrays[trunk_key].shape[1:]
    parts = [root, _numbers(arrays, trunk_key, path, 69 if small else 63)]
    if not small:
        if any(key in arrays for key in (*_JAW, *_EYES)):
            jaw = next((key for key in _JAW if key in arrays), None)
            parts.append(np.zeros((len(root), 3)) if jaw is None else _numbers(arrays, jaw, path, 3))
            parts += _two(arrays, _EYES, len(root), 3, path)
        parts += _two(arrays, _HANDS, len(root), 45, path)
    for part in parts:
        if len(part) != len(root):
            raise MediaError(f"parts of the pose have {len(root)} and {len(part)} frames", path, "save it again")
    return np.concatenate(parts, axis=1)


def _two(
    arrays: Arrays, keys: tuple[str, str, str], frames: int, width: int, path: Path
) -> list[Float[np.ndarray, "t n"]]:
    """A left and a right part, which a file has as one array, as two, or not at all."""
    both, *sides = keys
    if both in arrays:
        return [_numbers(arrays, both, path, 2 * width)]
    return [_numbers(arrays, key, path, width) if key in arrays else np.zeros((frames, width)) for key in sides]


def _first(arrays: Arrays, keys: tuple[str, ...], path: Path) -> str:
    """The key that the file has."""
    for key in keys:
        if key in arrays:
            return key
    raise MediaError(f"no {' or '.join(keys)} in it", path, "expected an AMASS or SMPL sequence, saved as NPZ")


def _numbers(arrays: Arrays, key: str, path: Path, width: int) -> Float[np.ndarray, "t n"]:
    """Rows of `width` finite numbers; one row may come without its axis, joints and axes may be apart."""
    given = arrays[key]
    flat = given.reshape(len(given), -1) if given.ndim == 3 and given.size else np.atleast_2d(given)
    if flat.ndim != 2 or flat.shape[1] != width or given.dtype.kind not in "fiu":
        shape = f"{key} is {given.dtype} of shape {given.shape}"
        raise MediaError(f"{shape}, expected frames of {width} numbers", path, "save the sequence again")
    sound = (np.abs(flat) < _LARGEST).all(axis=1)  # which NaN is not
    if not sound.all():
        frame = int(np.flatnonzero(~sound)[0])
        raise MediaError(f"{key} is not finite, or absurdly large, at frame {frame}", path, "mend or cut the sequence")
    return flat.astype(np.float64)


def _rate(arrays: Arrays, fps: float | int | None, path: Path) -> float:
    if fps is None:
        key = next((key for key in _FPS if key in arrays), None)
        if key is None:
            raise MediaError(f"no frame rate ({', '.join(_FPS)}) in it", path, "pass fps=, AMASS has 60 to 250")
        if arrays[key].size != 1 or arrays[key].dtype.kind not in "fiu":
            raise MediaError(f"{key} is {arrays[key].dtype} of shape {arrays[key].shape}", path, "pass fps=")
        rate, error = float(arrays[key].item()), MediaError
    else:
        rate, error = float(fps), UsageError  # type: ignore[assignment]
    if not 0 < rate <= _RATE_LIMIT:
        raise error(f"{rate} frames a second", path, "pass fps= with a rate above 0")
    return rate
