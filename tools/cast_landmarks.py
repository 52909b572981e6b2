"""Landmarks of the cast as blends of a few vertices, fitted to posed bodies."""

from collections.abc import Sequence

import anny
import numpy as np
import roma
import torch
from jaxtyping import Float, Int
from scipy.optimize import nnls
from scipy.spatial import cKDTree

from cast_face import POINTS, face_points, face_twin, openings
from cast_source import Landmark, Source

NEAR = 16  # vertices a landmark
FINGERS = ("thumb", "index", "middle", "ring", "little")
HAND = ("hand_root", *(f"{finger}{i}" for finger in FINGERS for i in (1, 2, 3, 4)))
HAND_JOINTS = ("wrist.L", *(f"finger{f}-{min(i, 3)}.L" for f in range(1, 6) for i in (1, 2, 3, 4)))
FEET = ("big_toe", "small_toe", "heel")


def pose_randomly(
    bodies: tuple[np.ndarray, np.ndarray], parents: Sequence[int], dense: Float[np.ndarray, "v j"],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Each body with every joint turned by some 20 degrees about a random axis: vertices and joints."""
    vertices, joints = bodies[0].copy(), bodies[1].copy()
    for body in range(len(vertices)):
        rest, moved = joints[body].copy(), np.tile(np.eye(4), (len(parents), 1, 1))
        for joint, parent in enumerate(parents):
            turn = np.eye(4)
            turn[:3, :3] = roma.rotvec_to_rotmat(torch.tensor(rng.normal(0, 0.3, 3))).numpy()
            turn[:3, 3] = rest[joint] - turn[:3, :3] @ rest[joint]
            moved[joint] = turn if parent < 0 else moved[parent] @ turn
        blend = np.einsum("vj,jab->vab", dense, moved)
        vertices[body] = np.einsum("vab,vb->va", blend[:, :3, :3], vertices[body]) + blend[:, :3, 3]
        joints[body] = np.einsum("jab,jb->ja", moved[:, :3, :3], rest) + moved[:, :3, 3]
    return vertices, joints


def fitted_landmark(
    vertices: Float[np.ndarray, "n v 3"], target: Float[np.ndarray, "n 3"], candidates: Int[np.ndarray, " c"]
) -> Landmark:
    """At most `NEAR` vertices whose blend (weights >= 0, sum 1) follows the target over all bodies and poses."""
    for _ in range(2):
        around = (vertices[:, candidates] - target[:, None]).transpose(0, 2, 1).reshape(-1, len(candidates))
        weights, _ = nnls(np.concatenate([around, np.ones((1, len(candidates)))]), np.append(np.zeros(len(around)), 1))
        best = np.argsort(-weights, kind="stable")[:NEAR]
        best = best[weights[best] > 0]
        candidates = candidates[best]
    return candidates, weights[best] / weights[best].sum()


def landmarks(
    source: Source,
    mean: tuple[np.ndarray, np.ndarray],
    posed: tuple[np.ndarray, np.ndarray],
    weightiest: Int[np.ndarray, " v"],
) -> dict[str, Landmark]:
    """Vertices and weights of each landmark, the 133 of COCO-WholeBody first and in its order: COCO's 17, feet, face,
    hands; then corners of eyes and mouth, chin and crown. Those of the right side mirror those of the left.

    `weightiest` is the joint that moves each vertex most.
    """
    found = body_landmarks(source, mean[0], posed[0]) | hand_landmarks(source, mean, posed, weightiest)
    single = openings(source, mean[0])
    single |= face_points(source, mean[0], single)
    found |= {name: (np.array([vertex]), np.ones(1)) for name, vertex in single.items()}
    twin = mirrored(mean[0])
    for name, (vertices, weights) in [*found.items()]:
        if (other := _twin_name(name)) not in found:
            found[other] = twin[vertices], weights
    body = [name for name in anny.KeypointsRegressor.coco(source.model).labels if not name.endswith(FEET)]
    sides = ("left", "right")
    first = [*body, *(f"{side}_{name}" for side in sides for name in FEET), *(f"face_{i}" for i in range(POINTS))]
    first += [f"{side}_{name}" for side in sides for name in HAND]
    return {name: found[name] for name in [*first, *(name for name in found if name not in first)]}


def _twin_name(name: str) -> str:
    if name.startswith("face_"):
        return f"face_{face_twin(int(name.removeprefix('face_')))}"
    return name.replace("left", "right")


def mirrored(mean: Float[np.ndarray, "v 3"]) -> Int[np.ndarray, " v"]:
    """The vertex on the other side of the body for each vertex.

    Raises:
        ValueError: the mesh is not symmetric to a millimetre.
    """
    distance, twin = cKDTree(mean).query(mean * [-1, 1, 1])
    if distance.max() > 1e-3:
        raise ValueError(f"the mean body is {distance.max() * 1000:.1f} mm from symmetric")
    return twin


def body_landmarks(
    source: Source, mean: Float[np.ndarray, "v 3"], vertices: Float[np.ndarray, "n v 3"]
) -> dict[str, Landmark]:
    """Those of Anny's regressor, which blends up to thousands of vertices, from a few; nose and left side."""
    regressor = anny.KeypointsRegressor.coco(source.model)
    dense = regressor.regression_weights.numpy()[:, source.vertices_kept]
    found = {}
    for name, row in zip(regressor.labels, dense, strict=True):
        if not name.startswith("right_"):
            share = row / row.sum()
            near = np.linalg.norm(mean - share @ mean, axis=1).argsort(kind="stable")[:120]
            candidates = np.union1d(near, np.argsort(-share, kind="stable")[:120])
            found[name] = fitted_landmark(vertices, np.einsum("v,nvc->nc", share, vertices), candidates)
    return found


def hand_landmarks(
    source: Source,
    mean: tuple[np.ndarray, np.ndarray],
    posed: tuple[np.ndarray, np.ndarray],
    weightiest: Int[np.ndarray, " v"],
) -> dict[str, Landmark]:
    """Wrist, finger joints and finger tips of the left hand; a tip is where its last joint's vertices end."""
    found = {}
    for name, joint in zip(HAND, HAND_JOINTS, strict=True):
        index = source.rig.names.index(joint)
        if name.endswith("4"):
            outwards = mean[1][index] - mean[1][index - 1]
            tip = np.flatnonzero(weightiest == index)
            ends = tip[np.argsort(-(mean[0][tip] @ outwards), kind="stable")[:4]]
            found[f"left_{name}"] = ends, np.full(4, 0.25)
        else:
            near = np.linalg.norm(mean[0] - mean[1][index], axis=1).argsort(kind="stable")[:100]
            found[f"left_{name}"] = fitted_landmark(posed[0], posed[1][:, index], near)
    return found
