"""What a figure adds to a glTF document: nodes for its joints, weights of its vertices, animations."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float32, Float64, Int32

from diorama.core.figure import Figure, Motion, Skeleton
from diorama.core.rotations import from_matrix, multiply, steady, to_matrix
from diorama.errors import UsageError
from diorama.media.mesh._glb_bytes import Buffer, Json, added

JOINTS = 4
"""Joints that move a vertex in the file; those of least weight are left out."""
ROWS = 16384
"""Vertices whose joints are sorted at a time."""
STILL = 1e-6
"""A joint whose quaternions differ by less over a motion gets no channel."""


def common_skeleton(figures: Sequence[Figure], motions: Mapping[str, Motion], where: str) -> Skeleton:
    """The one skeleton of figures and motions.

    Raises:
        UsageError: no figure, or different skeletons.
    """
    if not figures:
        raise UsageError("no figure", where, "give at least one")
    skeleton = figures[0].skeleton
    others = [figure.skeleton for figure in figures[1:]] + [motion.skeleton for motion in motions.values()]
    for other in others:
        if not other.equals(skeleton):
            raise UsageError("figures and motions of different skeletons", where, "retarget the motion first")
    return skeleton


def add_joints(document: Json, skeleton: Skeleton) -> list[int]:
    """Add a node for each joint; their numbers, in the skeleton's order."""
    local = skeleton.local
    turns = xyzw(from_matrix(local[:, :3, :3].astype(np.float64)))
    first = len(document.get("nodes", []))
    for joint, name in enumerate(skeleton.names):
        node: Json = {"name": name, "translation": local[joint, :3, 3].tolist()}
        if abs(turns[joint, 3]) < 1:
            node["rotation"] = turns[joint].tolist()
        children = (first + np.flatnonzero(skeleton.parents == joint)).tolist()
        if children:
            node["children"] = children
        added(document, "nodes", node)
    return list(range(first, first + len(skeleton)))


def joint_frames(skeleton: Skeleton) -> Float64[np.ndarray, "j 4 4"]:
    """Where the nodes of `add_joints` are at rest, joint to scene: the skeleton's rest, rounded as the file has it."""
    local = skeleton.local.astype(np.float64)
    turns = xyzw(from_matrix(local[:, :3, :3])).astype(np.float64)[:, [3, 0, 1, 2]]
    local[:, :3, :3] = to_matrix(turns / np.linalg.norm(turns, axis=1, keepdims=True))
    for joint, parent in enumerate(skeleton.parents):
        if parent >= 0:
            local[joint] = local[parent] @ local[joint]
    return local


def strongest_joints(
    bound: Int32[np.ndarray, "v n"], shares: Float32[np.ndarray, "v n"], count: int
) -> tuple[Int32[np.ndarray, "v 4"], Float32[np.ndarray, "v 4"]]:
    """The four of `count` joints with most weight at each vertex; weights sum to 1, joints without weight are 0."""
    many = min(JOINTS, count)
    joints, weights = np.zeros((len(bound), JOINTS), np.int32), np.zeros((len(bound), JOINTS), np.float32)
    for start in range(0, len(bound), ROWS):
        rows = slice(start, start + ROWS)
        dense = np.zeros((len(bound[rows]), count), np.float32)
        np.add.at(dense, (np.arange(len(dense))[:, None], bound[rows]), shares[rows])
        order = np.argsort(-dense, axis=1, kind="stable")[:, :many].astype(np.int32)
        chosen = np.take_along_axis(dense, order, axis=1)
        chosen[chosen < 1e-6] = 0
        chosen /= chosen.sum(axis=1, keepdims=True)
        chosen[:, 0] = 1 - chosen[:, 1:].sum(axis=1)
        joints[rows, :many], weights[rows, :many] = np.where(chosen > 0, order, 0), chosen
    return joints, weights


def joint_numbers(joints: Int32[np.ndarray, "v 4"], count: int) -> np.ndarray:
    """Numbers of `count` joints in the smallest type that the format has for them."""
    return joints.astype(np.uint8 if count <= 256 else np.uint16)


class Channels:
    """An animation to be: channels on one clock.

    Args:
        document: that gets it.
        buffer: of the document.
        motion: whose frames are those of the clock.
        name: of the animation.

    Raises:
        UsageError: too long for glTF's clock.
    """

    def __init__(self, document: Json, buffer: Buffer, motion: Motion, name: str) -> None:
        times = (np.arange(len(motion)) / motion.fps).astype(np.float32)
        if not (np.diff(times) > 0).all():
            raise UsageError(f"{len(motion)} frames at {motion.fps} a second", name, "glTF's clock is too coarse")
        self._document, self._buffer, self._name = document, buffer, name
        self._clock = buffer.accessor(times, bounds=True)
        self._samplers: list[Json] = []
        self._channels: list[Json] = []

    def add(self, node: int, path: str, values: Float32[np.ndarray, "t c"]) -> None:
        """What a node does."""
        sampler = {"input": self._clock, "output": self._buffer.accessor(values), "interpolation": "LINEAR"}
        self._samplers.append(sampler)
        self._channels.append({"sampler": len(self._samplers) - 1, "target": {"node": node, "path": path}})

    def close(self) -> None:
        """Add the animation to the document."""
        entry = {"name": self._name, "samplers": self._samplers, "channels": self._channels}
        added(self._document, "animations", entry)


def add_animation(document: Json, buffer: Buffer, motion: Motion, name: str, nodes: Sequence[int]) -> None:
    """Add a motion of joints that have those nodes.

    Raises:
        UsageError: too long for glTF's clock.
    """
    skeleton, channels = motion.skeleton, Channels(document, buffer, motion, name)
    rest = from_matrix(skeleton.local[:, :3, :3].astype(np.float64))
    for joint in range(len(skeleton)):
        turned = motion.rotations[:, joint].astype(np.float64)
        if np.abs(turned - [1, 0, 0, 0]).max() > STILL:
            channels.add(nodes[joint], "rotation", xyzw(steady(multiply(rest[joint][None], turned))))
    channels.add(nodes[0], "translation", skeleton.local[0, :3, 3] + motion.root)
    channels.close()


def free_name(document: Json, kind: str, title: str) -> str:
    """A name that no entry of a list of the document has yet: the title, with a number where it is taken."""
    taken = {str(entry.get("name")) for entry in document.get(kind, [])}
    found, number = title, 2
    while found in taken:
        found, number = f"{title}_{number}", number + 1
    return found


def xyzw(quats: np.ndarray) -> Float32[np.ndarray, "n 4"]:
    """In glTF's order, of unit length in single precision."""
    ordered = quats[..., [1, 2, 3, 0]]
    return (ordered / np.linalg.norm(ordered, axis=-1, keepdims=True)).astype(np.float32)
