"""Forward kinematics and linear blend skinning in torch: differentiable, and batched over time.

``global[j] = global[parent] @ local_rest[j] @ R[j]``, and a vertex moves by the weighted sum of
``global[j] @ inverse(rest[j])`` over its joints. The sum is one dense product of (vertices x joints) with
(joints x frames), which gathers by index cost twenty times as much for.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32

from diorama.core.figure import Figure, Motion, Skeleton

Tensor = torch.Tensor


@dataclass(frozen=True, eq=False)
class Bones:
    """A skeleton as tensors, ready for `global_transforms`.

    Attributes:
        levels: joints of equal depth in the tree, with their parents; the root alone comes first.
        local: each rest frame in its parent's.
        inverse_rest: model to joint, in the rest pose.
    """

    levels: tuple[tuple[Tensor, Tensor], ...]
    local: Float[Tensor, "j 4 4"]
    inverse_rest: Float[Tensor, "j 4 4"]

    @staticmethod
    def of(skeleton: Skeleton, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> "Bones":
        """The tensors of a skeleton."""
        depth = np.zeros(len(skeleton), int)
        for joint, parent in enumerate(skeleton.parents):
            depth[joint] = 0 if parent < 0 else depth[parent] + 1
        levels = []
        for level in range(depth.max() + 1):
            joints = np.flatnonzero(depth == level)
            pair = torch.from_numpy(joints), torch.from_numpy(skeleton.parents[joints].astype(np.int64))
            levels.append((pair[0].to(device), pair[1].to(device)))
        inverse = np.linalg.inv(skeleton.rest.astype(np.float64))
        return Bones(
            tuple(levels),
            torch.from_numpy(skeleton.local).to(device, dtype),
            torch.from_numpy(inverse).to(device, dtype),
        )


@dataclass(frozen=True, eq=False)
class Skin:
    """A figure as tensors, ready for `skin_vertices`.

    Attributes:
        bones: its skeleton.
        vertices: at rest, metres.
        weights: of every joint at every vertex.
    """

    bones: Bones
    vertices: Float[Tensor, "v 3"]
    weights: Float[Tensor, "v j"]

    @staticmethod
    def of(figure: Figure, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> "Skin":
        """The tensors of a figure."""
        vertices = torch.from_numpy(figure.mesh.vertices).to(device, dtype)
        weights = torch.from_numpy(figure.dense_weights).to(device, dtype)
        return Skin(Bones.of(figure.skeleton, device, dtype), vertices, weights)


def rotation_matrices(quats: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 3 3"]:
    """Matrices of quaternions (w, x, y, z) of any length above 0, so that a free quaternion can be learned."""
    w, x, y, z = torch.nn.functional.normalize(quats, dim=-1).unbind(-1)
    entries = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in entries], dim=-2)


def global_transforms(
    bones: Bones, rotations: Float[Tensor, "t j 4"], root: Float[Tensor, "t 3"]
) -> Float[Tensor, "t j 4 4"]:
    """Every joint's frame in the model, for poses as in `core.figure.Motion`.

    Args:
        bones: of one skeleton.
        rotations: quaternions (w, x, y, z); identity is the rest pose.
        root: shift of the root from its rest, metres.
    """
    turn = rotations.new_zeros((*rotations.shape[:2], 4, 4))
    turn[..., :3, :3] = rotation_matrices(rotations)
    turn[..., 3, 3] = 1
    posed = bones.local @ turn
    shift = torch.zeros_like(posed[:, :1])
    shift[:, 0, :3, 3] = root
    done: list[Tensor] = []
    places = torch.empty(rotations.shape[1], dtype=torch.long, device=rotations.device)
    count = 0
    for joints, parents in bones.levels:
        here = posed[:, joints]
        level = here + shift if not done else torch.cat(done, dim=1)[:, places[parents]] @ here
        places[joints] = torch.arange(count, count + len(joints), device=places.device)
        done.append(level)
        count += len(joints)
    return torch.cat(done, dim=1)[:, places]


def skin_vertices(skin: Skin, transforms: Float[Tensor, "t j 4 4"]) -> Float[Tensor, "t v 3"]:
    """The surface posed by `transforms` of the joints (`global_transforms`), metres."""
    frames = len(transforms)
    moves = (transforms @ skin.bones.inverse_rest)[:, :, :3].permute(1, 0, 2, 3)  # joints, frames, axes, columns
    blended = (skin.weights @ moves.reshape(len(skin.weights[0]), -1)).view(-1, frames, 3, 4)
    places = torch.nn.functional.pad(skin.vertices, (0, 1), value=1.0)
    return torch.einsum("vtac,vc->tva", blended, places)


def animate(figure: Figure, motion: Motion) -> Float32[np.ndarray, "t v 3"]:
    """The figure's surface at every frame of a motion of its own skeleton, metres."""
    skin = Skin.of(figure)
    transforms = global_transforms(skin.bones, torch.from_numpy(motion.rotations), torch.from_numpy(motion.root))
    return skin_vertices(skin, transforms).numpy()


def joint_positions(motion: Motion) -> Float32[np.ndarray, "t j 3"]:
    """Where the joints are at every frame, metres."""
    bones = Bones.of(motion.skeleton)
    transforms = global_transforms(bones, torch.from_numpy(motion.rotations), torch.from_numpy(motion.root))
    return transforms[..., :3, 3].numpy()
