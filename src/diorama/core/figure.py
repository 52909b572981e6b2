"""Figures and their motion as values: a skeleton, a mesh bound to it, and rotations over time.

Axes are those of glTF: right-handed, Y up, metres, a figure looks along +Z and its left hand is at +X. Quaternions
are (w, x, y, z). A pose of identity rotations is the rest pose: with R the rotation of a pose,
``global[j] = global[parent] @ inverse(rest[parent]) @ rest[j] @ R[j]``.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int32

from diorama.core.mesh import Mesh
from diorama.errors import UsageError

_UNIT = 1e-3


@dataclass(frozen=True, eq=False)
class Skeleton:
    """Joints in a tree.

    Attributes:
        names: unique, one a joint.
        parents: the parent's index, -1 for the one root; a parent comes before its children.
        rest: each joint's frame in the rest pose, joint to model; rotation and translation in metres.

    Raises:
        UsageError: no root or several, a cycle or a child before its parent, repeated names, a rest that is no rigid
            transform.
    """

    names: tuple[str, ...]
    parents: Int32[np.ndarray, " j"]
    rest: Float32[np.ndarray, "j 4 4"]

    def __post_init__(self) -> None:
        count = len(self.names)
        if len(self.parents) != count or len(self.rest) != count:
            shapes = f"{count} names, {len(self.parents)} parents, {len(self.rest)} rest frames"
            raise UsageError(shapes, "Skeleton", "give one of each a joint")
        if len(set(self.names)) != count:
            twice = next(name for i, name in enumerate(self.names) if name in self.names[:i])
            raise UsageError(f"two joints are called {twice!r}", "Skeleton", "rename one")
        roots = np.flatnonzero(self.parents < 0)
        if len(roots) != 1:
            raise UsageError(f"{len(roots)} roots, expected one", "Skeleton", "join the trees under one root")
        late = np.flatnonzero(self.parents >= np.arange(count))
        if len(late):
            raise UsageError(
                f"joint {self.names[late[0]]!r} comes before its parent, or is its own ancestor",
                "Skeleton",
                "sort joints from the root outwards",
            )
        for name, frame in zip(self.names, self.rest, strict=True):
            _check_rigid(frame, f"joint {name!r}")

    def __len__(self) -> int:
        return len(self.names)

    def equals(self, other: "Skeleton") -> bool:
        """Whether the other has the same joints in the same rest pose, but for rounding: files are read twice."""
        same = self.names == other.names and np.array_equal(self.parents, other.parents)
        return same and np.allclose(self.rest, other.rest, rtol=1e-5, atol=1e-6)

    def index(self, name: str) -> int:
        """The joint called `name`.

        Raises:
            UsageError: there is none.
        """
        if name not in self.names:
            known = ", ".join(self.names[:8]) + (", ..." if len(self.names) > 8 else "")
            raise UsageError(f"no joint called {name!r}", "Skeleton", f"it has {known}")
        return self.names.index(name)

    @property
    def joints(self) -> Float32[np.ndarray, "j 3"]:
        """Where the joints are in the rest pose, metres."""
        return self.rest[:, :3, 3]

    @property
    def local(self) -> Float32[np.ndarray, "j 4 4"]:
        """Each joint's rest frame in its parent's."""
        parent = np.where(self.parents[:, None, None] < 0, np.eye(4), self.rest[self.parents])
        return (np.linalg.inv(parent) @ self.rest).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Figure:
    """A mesh bound to a skeleton.

    Attributes:
        skeleton: its joints.
        mesh: its surface in the rest pose.
        skin_joints: the joints that move each vertex, most weighty first; 0 where the weight is 0.
        skin_weights: their weights, each row summing to 1.
        parts: names of the kinematic parts.
        joint_parts: the part each joint belongs to.

    Raises:
        UsageError: shapes that do not fit, an index out of range, weights that are negative or do not sum to 1.
    """

    skeleton: Skeleton
    mesh: Mesh
    skin_joints: Int32[np.ndarray, "v n"]
    skin_weights: Float32[np.ndarray, "v n"]
    parts: tuple[str, ...]
    joint_parts: Int32[np.ndarray, " j"]

    def __post_init__(self) -> None:
        vertices, joints = len(self.mesh.vertices), len(self.skeleton)
        if self.skin_joints.shape != self.skin_weights.shape or len(self.skin_joints) != vertices:
            shapes = f"skin joints {self.skin_joints.shape}, weights {self.skin_weights.shape}, {vertices} vertices"
            raise UsageError(shapes, "Figure")
        if not ((self.skin_joints >= 0) & (self.skin_joints < joints)).all():
            raise UsageError(f"a skin joint beyond the {joints} joints", "Figure")
        if not (self.skin_weights >= 0).all():
            raise UsageError("a skin weight is negative or not a number", "Figure")
        off = np.abs(self.skin_weights.sum(axis=1) - 1)
        if off.max() > _UNIT:
            worst = int(off.argmax())
            total = float(self.skin_weights[worst].sum())
            raise UsageError(f"weights sum to {total:.4g}, expected 1", f"vertex {worst}", "normalise the weights")
        known = (self.joint_parts >= 0) & (self.joint_parts < len(self.parts))
        if len(self.joint_parts) != joints or not known.all():
            given = f"{len(self.joint_parts)} joint parts for {joints} joints and {len(self.parts)} parts"
            raise UsageError(given, "Figure", "name a part for each joint")

    @property
    def dense_weights(self) -> Float32[np.ndarray, "v j"]:
        """The weight of every joint at every vertex."""
        dense = np.zeros((len(self.mesh.vertices), len(self.skeleton)), np.float32)
        rows = np.arange(len(dense))[:, None]
        np.add.at(dense, (rows, self.skin_joints), self.skin_weights)
        return dense

    @property
    def face_parts(self) -> Int32[np.ndarray, " f"]:
        """The part of each face: the one with most weight over its three vertices (SP4D spec 4.1)."""
        by_part = np.zeros((len(self.mesh.vertices), len(self.parts)), np.float32)
        rows = np.arange(len(by_part))[:, None]
        np.add.at(by_part, (rows, self.joint_parts[self.skin_joints]), self.skin_weights)
        return by_part[self.mesh.faces].sum(axis=1).argmax(axis=1).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Motion:
    """Poses of a skeleton over time.

    Attributes:
        skeleton: the joints that move, in the rest pose that the rotations start from.
        rotations: unit quaternions (w, x, y, z) of each joint in its own rest frame.
        root: where the root joint is, minus where it is at rest; metres.
        fps: frames a second.

    Raises:
        UsageError: no frames, shapes that do not fit, numbers that are not finite, quaternions of no length, or no fps.
    """

    skeleton: Skeleton
    rotations: Float32[np.ndarray, "t j 4"]
    root: Float32[np.ndarray, "t 3"]
    fps: float

    def __post_init__(self) -> None:
        if self.rotations.shape[1] != len(self.skeleton) or len(self.root) != len(self.rotations):
            shapes = f"rotations {self.rotations.shape}, root {self.root.shape}, {len(self.skeleton)} joints"
            raise UsageError(shapes, "Motion")
        if not len(self.root):
            raise UsageError("no frames", "Motion")
        if not (np.isfinite(self.rotations).all() and np.isfinite(self.root).all()):
            raise UsageError("a rotation or position is not finite", "Motion")
        if not np.allclose(np.linalg.norm(self.rotations, axis=-1), 1, atol=_UNIT):
            raise UsageError("a quaternion is not of unit length", "Motion", "normalise the rotations")
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise UsageError(f"{self.fps} frames a second", "Motion", "give a rate above 0")

    def __len__(self) -> int:
        return len(self.root)

    def __getitem__(self, frames: slice) -> "Motion":
        return replace(self, rotations=self.rotations[frames], root=self.root[frames])

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self) / self.fps


def _check_rigid(frame: Float32[np.ndarray, "4 4"], where: str) -> None:
    if not np.isfinite(frame).all():
        raise UsageError("its rest frame is not finite", where)
    turn = frame[:3, :3].astype(np.float64)
    if np.abs(turn @ turn.T - np.eye(3)).max() > _UNIT or np.linalg.det(turn) < 0:
        raise UsageError("its rest frame is not a rotation and a shift", where, "take scale and shear out of the rig")
