"""SMPL, SMPL-H and SMPL-X from the user's own files, posed by our own code after the papers' equations.

The files are the user's: they are given out by the Max Planck Institute after registration, for non-commercial use, and
nothing of them comes with Diorama. Neither does the `smplx` package, which is under the same licence.

Equations of Loper et al., "SMPL: A Skinned Multi-Person Linear Model" (2015), sections 3.2 to 3.4: shape moves the
template by ``B_S = S beta`` (eq. 8), joints are ``J = regressor (T + B_S)`` (eq. 10), a pose adds
``B_P = sum_n (R_n - I) P_n`` over the joints but the root (eq. 9), and linear blend skinning (eq. 2, 3) moves the
result.
Coordinates are the file's: metres, Y up, looking along +Z, the origin near the chest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32

from diorama.core.figure import Figure, Motion, Skeleton
from diorama.core.mesh import Mesh
from diorama.errors import ModelError, UsageError
from diorama.figures.pose import Bones, global_transforms, rotation_matrices
from diorama.media.motion.npz import read_npz
from diorama.media.motion.pickles import SparseMatrix, load_arrays_pickle
from diorama.media.motion.smpl_joints import JOINT_COUNTS, smpl_names

Tensor = torch.Tensor

_KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f", "kintree_table")
_UNIT = 1e-2
_LARGEST = 1e6
_FAINT = 1e-5  # weights below come from rounding, and would only widen the table


@dataclass(frozen=True, eq=False)
class SmplBody:
    """A body model as its file has it.

    Attributes:
        names: of the joints, root first (`media.motion.smpl_names`).
        parents: of the joints, -1 for the root.
        template: the average body in the T-pose, metres.
        shape_dirs: how a unit of each shape coefficient moves each vertex, metres.
        pose_dirs: how each entry of the joints' rotation matrices, less the identity, moves each vertex, metres;
            entries by joint from the second on, then by row.
        joint_regressor: joints as sums of vertices.
        weights: of the joints at each vertex, rows summing to 1.
        faces: triangles.
    """

    names: tuple[str, ...]
    parents: Int32[np.ndarray, " j"]
    template: Float32[np.ndarray, "v 3"]
    shape_dirs: Float32[np.ndarray, "v 3 s"]
    pose_dirs: Float32[np.ndarray, "v 3 p"]
    joint_regressor: Float32[np.ndarray, "j v"]
    weights: Float32[np.ndarray, "v j"]
    faces: Int32[np.ndarray, "f 3"]

    @property
    def joints(self) -> Float32[np.ndarray, "j 3"]:
        """Where the joints of the template are, metres."""
        return self.joint_regressor @ self.template


def load_smpl(path: Path, *, betas: Sequence[float | int] | Float[np.ndarray, " n"] | None = None) -> Figure:
    """A figure of a body file: skin weights, one part a joint, rest frames without rotation.

    `figures.pose.animate` skins it without the pose's own shape; `pose_smpl` adds that.

    Args:
        path: as in `read_smpl`.
        betas: as in `shaped`; None: the average body.

    Raises:
        As `read_smpl` and `shaped`.
    """
    body = read_smpl(path)
    return figure_of(body if betas is None else shaped(body, betas))


def read_smpl(path: Path) -> SmplBody:
    """The body model in an NPZ file, or in a pickle that holds nothing but arrays.

    Raises:
        MediaError: no such file, or an NPZ of objects.
        DamagedMediaError: an NPZ that is cut or broken.
        LimitError: sizes beyond reason.
        ModelError: a pickle that asks for code; arrays missing, of shapes that do not fit, or not finite; a tree with a
            cycle; skin weights that are negative or do not sum to 1 (within 1 %, which is made good).
    """
    arrays = read_npz(path, _KEYS) if path.suffix.lower() == ".npz" else load_arrays_pickle(path)
    missing = [key for key in _KEYS if key not in arrays]
    if missing:
        raise ModelError(
            f"no {', '.join(missing)} in it", path, "expected an SMPL, SMPL-H or SMPL-X body, .npz or .pkl"
        )
    parents = _parents(arrays, path)
    joints = len(parents)
    template = _floats(arrays, "v_template", (None, 3), path)
    vertices = len(template)
    return SmplBody(
        smpl_names(joints),
        parents,
        template,
        _floats(arrays, "shapedirs", (vertices, 3, None), path),
        _floats(arrays, "posedirs", (vertices, 3, 9 * (joints - 1)), path),
        _floats(arrays, "J_regressor", (joints, vertices), path),
        _weights(_floats(arrays, "weights", (vertices, joints), path), path),
        _faces(arrays, vertices, path),
    )


def shaped(body: SmplBody, betas: Sequence[float | int] | Float[np.ndarray, " n"]) -> SmplBody:
    """The body of shape coefficients `betas` (about -3 to 3; those left out are 0) as a new template.

    Raises:
        UsageError: more than the body has, or not finite.
    """
    given = np.asarray(betas, np.float32)
    _check_betas(given.size, body)
    if given.ndim != 1 or not np.isfinite(given).all():
        raise UsageError(f"betas {given[:8]}", "betas", "give one row of finite numbers")
    return replace(body, template=body.template + body.shape_dirs[..., : len(given)] @ given)


def figure_of(body: SmplBody) -> Figure:
    """The template as a figure; each vertex keeps all the influences it has above 1e-5."""
    rest = np.tile(np.eye(4, dtype=np.float32), (len(body.names), 1, 1))
    rest[:, :3, 3] = body.joints
    width = max(int((body.weights > _FAINT).sum(axis=1).max()), 1)
    joints = np.argsort(-body.weights, axis=1, kind="stable")[:, :width]
    weights = np.take_along_axis(body.weights, joints, axis=1)
    weights = np.where(weights > _FAINT, weights, 0)
    return Figure(
        Skeleton(body.names, body.parents, rest),
        Mesh(body.template, body.faces),
        np.where(weights > 0, joints, 0).astype(np.int32),
        weights / weights.sum(axis=1, keepdims=True),
        body.names,
        np.arange(len(body.names), dtype=np.int32),
    )


def pose_offsets(body: SmplBody, rotations: Float[Tensor, "t j 4"]) -> Float[Tensor, "t v 3"]:
    """How a pose moves the vertices before skinning (eq. 9), metres; differentiable in `rotations`.

    Args:
        body: of `rotations`' joints.
        rotations: quaternions (w, x, y, z) of the joints in their rest frames; the root's does not count.
    """
    matrices = rotation_matrices(rotations[:, 1:])
    features = (matrices - torch.eye(3, dtype=rotations.dtype, device=rotations.device)).flatten(1)
    directions = _like(body.pose_dirs, rotations)
    return (features @ directions.flatten(0, 1).T).unflatten(1, directions.shape[:2])


def smpl_vertices(
    body: SmplBody,
    rotations: Float[Tensor, "t j 4"],
    root: Float[Tensor, "t 3"],
    betas: Float[Tensor, " n"] | None = None,
) -> Float[Tensor, "t v 3"]:
    """The posed surface, metres, in the device and precision of `rotations`; differentiable in all three.

    Args:
        body: the model.
        rotations: as in `pose_offsets`.
        root: shift of the root joint from its rest, metres; SMPL's "translation".
        betas: shape coefficients on top of the template.

    Raises:
        UsageError: more `betas` than the body has.
    """
    template = _like(body.template, rotations)
    if betas is not None:
        _check_betas(betas.numel(), body)
        template = template + _like(body.shape_dirs, rotations)[..., : len(betas)] @ betas
    joints = _like(body.joint_regressor, rotations) @ template
    transforms = global_transforms(_bones(body, joints), rotations, root)
    turns = transforms[..., :3, :3]
    shifts = transforms[..., :3, 3] - (turns @ joints[..., None])[..., 0]
    moves = torch.cat([turns, shifts[..., None]], dim=-1)  # joint at rest to joint posed
    columns = moves.permute(1, 0, 2, 3).flatten(1)  # as one dense product, as in `pose.skin_vertices`
    blended = (_like(body.weights, rotations) @ columns).unflatten(1, (len(rotations), 3, 4))
    surface = (template + pose_offsets(body, rotations)).transpose(0, 1)
    x, y, z = surface[..., None, :].unbind(
        -1
    )  # a sum of columns takes a tenth of what a product of small matrices does
    one, two, three, shift = blended.unbind(-1)
    return (one * x + two * y + three * z + shift).transpose(0, 1)


def pose_smpl(body: SmplBody, motion: Motion) -> Float[Tensor, "t v 3"]:
    """The surface at every frame of a motion, pose shapes included, metres; `smpl_vertices` takes tensors to learn.

    Raises:
        UsageError: the motion is of other joints.
    """
    if motion.skeleton.names != body.names:
        given = f"a motion of {len(motion.skeleton)} joints for a body of {len(body.names)}, or of other names"
        raise UsageError(given, "motion", "retarget it, or read it for this body")
    return smpl_vertices(body, torch.from_numpy(motion.rotations), torch.from_numpy(motion.root))


def _bones(body: SmplBody, joints: Float[Tensor, "j 3"]) -> Bones:
    """The tree with rest frames at `joints`, which may carry gradients."""
    parents = torch.from_numpy(body.parents.astype(np.int64)).to(joints.device)
    depth = np.zeros(len(body.parents), int)
    for joint, parent in enumerate(body.parents):
        depth[joint] = 0 if parent < 0 else depth[parent] + 1
    levels = [torch.from_numpy(np.flatnonzero(depth == level)).to(joints.device) for level in range(depth.max() + 1)]
    start = torch.where(parents[:, None] < 0, torch.zeros_like(joints), joints[parents.clamp(min=0)])
    return Bones(tuple((level, parents[level]) for level in levels), _shifts(joints - start), _shifts(-joints))


def _shifts(vectors: Float[Tensor, "j 3"]) -> Float[Tensor, "j 4 4"]:
    """Transforms that only move."""
    eye = torch.eye(4, dtype=vectors.dtype, device=vectors.device).expand(len(vectors), 4, 4)
    return torch.cat([eye[..., :3], torch.nn.functional.pad(vectors, (0, 1), value=1.0)[..., None]], dim=-1)


def _like(array: Float32[np.ndarray, "..."], tensor: Tensor) -> Tensor:
    return torch.from_numpy(array).to(tensor.device, tensor.dtype)


def _check_betas(count: int, body: SmplBody) -> None:
    if count > body.shape_dirs.shape[2]:
        raise UsageError(f"{count} betas, the body has {body.shape_dirs.shape[2]}", "betas", "give fewer")


def _array(arrays: Mapping[str, Any], key: str, path: Path) -> Any:
    value = arrays[key]
    if isinstance(value, SparseMatrix):
        value = value.dense(f"{path}: {key}")
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise ModelError(
            f"{key} is {kind}, expected an array of numbers", path, "use the body file as it was given out"
        )
    return value


def _floats(arrays: Mapping[str, Any], key: str, shape: tuple[int | None, ...], path: Path) -> Any:
    """A finite array whose sides are those of `shape` where it says so."""
    value = _array(arrays, key, path)
    fits = value.ndim == len(shape) and all(
        side in (None, given) for side, given in zip(shape, value.shape, strict=True)
    )
    if not fits or not value.size:
        said = ", ".join("any" if side is None else str(side) for side in shape)
        raise ModelError(f"{key} has shape {value.shape}, expected ({said})", path, "use one file for all arrays")
    if not (np.abs(value) < _LARGEST).all():  # which NaN is not
        raise ModelError(f"{key} holds NaN, infinite or absurdly large values", path, "download the file again")
    return np.array(value, np.float32, order="C")


def _whole(arrays: Mapping[str, Any], key: str, path: Path) -> Any:
    value = _array(arrays, key, path)
    if value.ndim != 2 or value.dtype.kind not in "iu":
        raise ModelError(f"{key} is {value.dtype} of shape {value.shape}, expected rows of whole numbers", path)
    return value.astype(np.int64)


def _parents(arrays: Mapping[str, Any], path: Path) -> Int32[np.ndarray, " j"]:
    """Parents by index, from rows of parents' and of joints' numbers; the root's parent is any number out of range."""
    table = _whole(arrays, "kintree_table", path)
    if len(table) != 2 or table.shape[1] not in JOINT_COUNTS:
        counts = "24 (SMPL), 52 (SMPL-H) or 55 (SMPL-X)"
        raise ModelError(f"kintree_table has shape {table.shape}, expected 2 rows of {counts}", path)
    places = {int(joint): i for i, joint in enumerate(table[1])}
    parents = np.array([places.get(int(joint), -1) for joint in table[0]], np.int32)
    if len(places) != len(parents) or parents[0] != -1 or (parents[1:] < 0).any():
        raise ModelError("kintree_table does not name one root and a parent for each other joint", path)
    if (parents >= np.arange(len(parents))).any():
        joint = int(np.flatnonzero(parents >= np.arange(len(parents)))[0])
        raise ModelError(f"kintree_table has a cycle, or a child before its parent, at joint {joint}", path)
    return parents


def _weights(weights: Float32[np.ndarray, "v j"], path: Path) -> Float32[np.ndarray, "v j"]:
    total = weights.sum(axis=1, keepdims=True)
    off = np.abs(total - 1)[:, 0]
    if weights.min() < -_FAINT or off.max() > _UNIT:
        worst = int(off.argmax())
        low = f"weights sum to {float(total[worst, 0]):.4g} at vertex {worst}, the least is {weights.min():.3g}"
        raise ModelError(low, path, "expected weights of 0 or more that sum to 1")
    positive = weights.clip(min=0)
    return positive / positive.sum(axis=1, keepdims=True)


def _faces(arrays: Mapping[str, Any], count: int, path: Path) -> Int32[np.ndarray, "f 3"]:
    faces = _whole(arrays, "f", path)
    if faces.shape[1] != 3 or not len(faces):
        raise ModelError(f"f has shape {faces.shape}, expected triangles", path)
    if not ((faces >= 0) & (faces < count)).all():
        raise ModelError(f"a face names a vertex beyond the {count} there are", path, "use one file for all arrays")
    return faces.astype(np.int32)
