"""SMPL sequences of tools that read bodies off videos (4D-Humans with PHALP, WHAM, GVHMR), saved as plain NPZ.

Their own results are pickles, which are never opened here; saved with ``numpy.savez`` under the tools' own names, those
of nested ones joined by "/", "." or "_" (``smpl_params_incam/body_pose``), they are read:

=========  =====================================================  =======================================
tool       seen by the camera                                     in the world, Y up
=========  =====================================================  =======================================
4D-Humans  global_orient, body_pose (matrices), camera            none
WHAM       pose, trans                                            pose_world, trans_world
GVHMR      smpl_params_incam: global_orient, body_pose, transl    smpl_params_global: the same; K_fullimg
=========  =====================================================  =======================================

Poses are rotation vectors or 3x3 matrices. Cameras look along z with y down; what they saw is turned by half a turn
about x, so that it stands upright before the camera of `figures.observation.guessed_camera`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Shaped

from diorama.core.figure import Motion, Skeleton
from diorama.core.rotations import from_axis_angle, from_matrix, multiply, normalize
from diorama.errors import LimitError, MediaError, UsageError
from diorama.media.motion.npz import read_npz
from diorama.media.motion.smpl_joints import PELVIS, smpl_names, smpl_skeleton

Arrays = Mapping[str, Shaped[np.ndarray, "..."]]
View = Literal["camera", "world"]

_FRAMES = 1_000_000
_LARGEST = 1e6
_OFF = 1e-2  # of a matrix from a rotation: networks and half precision round
_WHOLE = {"camera": ("pose", "poses"), "world": ("pose_world",)}
_GROUPS = {"camera": ("smpl_params_incam_", ""), "world": ("smpl_params_global_",)}
_PATHS = {
    "camera": ("smpl_params_incam_transl", "transl", "trans", "pred_cam_t_full", "cam_t", "camera"),
    "world": ("smpl_params_global_transl", "trans_world"),
}
_SHAPES = ("smpl_params_incam_betas", "smpl_params_global_betas", "betas")
_FOCAL = ("K_fullimg", "K")


@dataclass(frozen=True, eq=False)
class HmrSequence:
    """A person read off a video.

    Attributes:
        motion: of SMPL's 24 joints, or of SMPL-H's 52 with hands at rest.
        betas: shape coefficients, the median over time; empty where the file has none.
        Ks: intrinsics, pixels, where the file has them.
    """

    motion: Motion
    betas: Float32[np.ndarray, " s"]
    Ks: Float[np.ndarray, "t 3 3"] | None


def read_hmr(path: Path, *, fps: float | int, view: View = "camera", skeleton: Skeleton | None = None) -> HmrSequence:
    """The motion of one person.

    Args:
        path: NPZ; only the arrays named above are read.
        fps: frames a second of the video, which these tools do not save.
        view: as the camera saw it, or in the tool's world.
        skeleton: of the body that it belongs to (`figures.smpl`); None: a generic adult (`smpl_skeleton`).

    Raises:
        UsageError: `fps` is no rate, or `skeleton` has other joints.
        MediaError: no pose or path in that view, shapes that do not fit, numbers that are not finite or beyond a
            million, matrices that are no rotations.
        DamagedMediaError, LimitError: as `read_npz`, or more than a million frames.
    """
    if not (np.isfinite(fps) and fps > 0):
        raise UsageError(f"{fps} frames a second", path, "pass fps= with a rate above 0")
    arrays = {_plain(name): array for name, array in read_npz(path, _wanted()).items()}
    turns = _turns(arrays, view, path)
    key = _first(arrays, _PATHS[view], path, f"path in the {view}'s axes")
    shift = _rows(arrays, key, path)
    if shift.shape != (len(turns), 3):
        raise MediaError(f"{key} has shape {arrays[key].shape} for {len(turns)} poses", path, "save one person")
    count = turns.shape[1]
    if skeleton is not None and skeleton.names != smpl_names(count):
        given = f"a sequence of {count} joints for a skeleton of {len(skeleton)}, or of other names"
        raise UsageError(given, path, "load the body of the same family, or leave it out")
    pelvis = shift + (PELVIS if skeleton is None else skeleton.joints[0])
    if view == "camera":
        half_turn = np.broadcast_to(np.array([0.0, 1, 0, 0]), turns[:, :1].shape)
        turns = np.concatenate([normalize(multiply(half_turn, turns[:, :1])), turns[:, 1:]], axis=1)
        pelvis = pelvis * np.array([1, -1, -1])
    body = smpl_skeleton(count) if skeleton is None else skeleton
    motion = Motion(body, turns.astype(np.float32), (pelvis - body.joints[0]).astype(np.float32), float(fps))
    return HmrSequence(motion, _betas(arrays, path), _intrinsics(arrays, len(turns), path))


def _plain(name: str) -> str:
    return name.replace("/", "_").replace(".", "_")


def _wanted() -> set[str]:
    """All names in all spellings."""
    parts = {
        f"{group}{part}" for groups in _GROUPS.values() for group in groups for part in ("global_orient", "body_pose")
    }
    names = parts | {name for table in (*_WHOLE.values(), *_PATHS.values(), _SHAPES, _FOCAL) for name in table}
    found = set(names)
    for prefix in ("smpl_params_incam", "smpl_params_global"):
        nested = {name.removeprefix(f"{prefix}_") for name in names if name.startswith(prefix)}
        found |= {f"{prefix}{mark}{name}" for name in nested for mark in "/."}
    return found


def _first(arrays: Arrays, names: tuple[str, ...], path: Path, what: str) -> str:
    for name in names:
        if name in arrays:
            return name
    raise MediaError(f"no {what} in it ({', '.join(names)})", path, "save the tool's result under its own names")


def _turns(arrays: Arrays, view: View, path: Path) -> Float[np.ndarray, "t j 4"]:
    """Quaternions of 24 or 52 joints."""
    whole = next((name for name in _WHOLE[view] if name in arrays), None)
    if whole is not None:
        turns = _rotations(arrays, whole, path)
    else:
        group = next((g for g in _GROUPS[view] if f"{g}body_pose" in arrays and f"{g}global_orient" in arrays), None)
        if group is None:
            names = *_WHOLE[view], *(f"{g}body_pose" for g in _GROUPS[view])
            raise MediaError(f"no poses in the {view}'s axes ({', '.join(names)})", path, "or ask for the other view")
        parts = [_rotations(arrays, f"{group}{name}", path) for name in ("global_orient", "body_pose")]
        if len(parts[0]) != len(parts[1]) or parts[0].shape[1] != 1:
            shapes = f"{arrays[f'{group}global_orient'].shape} and {arrays[f'{group}body_pose'].shape}"
            raise MediaError(f"global_orient and body_pose of shapes {shapes}", path, "save one person")
        turns = np.concatenate(parts, axis=1)
    if turns.shape[1] not in (22, 24):
        raise MediaError(f"poses of {turns.shape[1]} joints, expected 24 (SMPL) or 22 (SMPL-X's body)", path)
    if turns.shape[1] == 22:
        rest = np.tile([1.0, 0, 0, 0], (len(turns), 30, 1))
        turns = np.concatenate([turns, rest], axis=1)
    return turns


def _rotations(arrays: Arrays, name: str, path: Path) -> Float[np.ndarray, "t n 4"]:
    """Quaternions of rotation vectors or matrices."""
    flat = _rows(arrays, name, path)
    matrices = arrays[name].shape[-2:] == (3, 3)
    if not flat.size or flat.shape[1] % (9 if matrices else 3):
        raise MediaError(f"{name} has shape {arrays[name].shape}, expected rotation vectors or matrices", path)
    if not matrices:
        return from_axis_angle(flat.reshape(len(flat), -1, 3))
    turns = flat.reshape(len(flat), -1, 3, 3)
    off = np.abs(turns @ turns.swapaxes(-1, -2) - np.eye(3)).max(axis=(1, 2, 3))
    if off.max() > _OFF or (np.linalg.det(turns) < 0).any():
        raise MediaError(f"{name} holds a matrix that is no rotation, frame {int(off.argmax())}", path, "save it again")
    return from_matrix(turns)


def _rows(arrays: Arrays, name: str, path: Path) -> Float[np.ndarray, "t n"]:
    """Finite numbers, a row a frame."""
    given = arrays[name]
    if given.dtype.kind not in "fiu" or given.ndim < 2:
        raise MediaError(f"{name} is {given.dtype} of shape {given.shape}, expected a row a frame", path)
    if not 0 < len(given) <= _FRAMES:
        error = LimitError if len(given) else MediaError
        raise error(f"{name} has {len(given)} frames, expected 1 to {_FRAMES}", path)
    flat = given.reshape(len(given), -1)
    sound = (np.abs(flat) < _LARGEST).all(axis=1)  # which NaN is not
    if not sound.all():
        frame = int(np.flatnonzero(~sound)[0])
        raise MediaError(f"{name} is not finite, or absurdly large, at frame {frame}", path, "mend or cut the sequence")
    return flat.astype(np.float64)


def _betas(arrays: Arrays, path: Path) -> Float32[np.ndarray, " s"]:
    name = next((name for name in _SHAPES if name in arrays), None)
    if name is None:
        return np.zeros(0, np.float32)
    rows = _rows({name: np.atleast_2d(arrays[name])}, name, path)
    return np.median(rows, axis=0).astype(np.float32)


def _intrinsics(arrays: Arrays, frames: int, path: Path) -> Float[np.ndarray, "t 3 3"] | None:
    name = next((name for name in _FOCAL if name in arrays), None)
    if name is None:
        return None
    given = arrays[name] if arrays[name].ndim == 3 else arrays[name][None]
    if given.shape[1:] != (3, 3) or len(given) not in (1, frames):
        raise MediaError(f"{name} has shape {arrays[name].shape}, expected ({frames}, 3, 3)", path)
    return np.broadcast_to(_rows({name: given}, name, path).reshape(-1, 3, 3), (frames, 3, 3)).copy()
