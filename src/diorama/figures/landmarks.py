"""Which point of a body each landmark of a detector is.

Every set of points is named in the words of `Cast.landmark_names` (COCO-WholeBody's, and corners of eyes and mouth). On
the cast a landmark is a blend of vertices, so points on the skin of face, feet and hands are where annotators click.
SMPL bodies have joints for the limbs and knuckles; of the skin, nose, ears, toes and heels are found
from the shape of the resting body, so that any mesh of the family will do. What a body has no place for is not fitted.

The 33 points of BlazePose name knuckles: "pinky" and "index" are their first ones, "thumb" its second; "foot index" is
the big toe.
"""

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from diorama.figures.cast import Cast
from diorama.figures.names import SIDES
from diorama.figures.smpl import SmplBody

_FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
_PAIRS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_FINGERS = ("thumb", "index", "middle", "ring", "little")


def _both(*names: str) -> tuple[str, ...]:
    return tuple(f"{side}_{name}" for name in names for side in SIDES)


def _hand(side: str) -> tuple[str, ...]:
    return (f"{side}_hand_root", *(f"{side}_{finger}{k}" for finger in _FINGERS for k in (1, 2, 3, 4)))


_COCO = (*_FACE, *_both(*_PAIRS))
_FEET = tuple(f"{side}_{name}" for side in SIDES for name in ("big_toe", "small_toe", "heel"))
_EYES = tuple(f"{side}_eye{end}" for side in SIDES for end in ("_inner", "", "_outer"))

POINT_NAMES = {
    "coco17": _COCO,
    "coco133": (*_COCO, *_FEET, *(f"face_{k}" for k in range(68)), *_hand("left"), *_hand("right")),
    "mediapipe33": (
        *("nose", *_EYES, "left_ear", "right_ear", "mouth_left", "mouth_right"),
        *_both("shoulder", "elbow", "wrist", "little1", "index1", "thumb2", "hip", "knee", "ankle", "heel", "big_toe"),
    ),
}
"""Names of the points of each table, in order."""


@dataclass(frozen=True, eq=False)
class Place:
    """Where a landmark sits on a body: at a joint, or at a weighted mean of vertices.

    Attributes:
        joint: its number; -1 for a blend of vertices.
        vertices: numbers.
        weights: summing to 1.
    """

    joint: int
    vertices: Int64[np.ndarray, " n"]
    weights: Float32[np.ndarray, " n"]


def cast_places(cast: Cast) -> dict[str, Place]:
    """The landmarks of the cast."""
    rows = zip(cast.landmark_names, cast.landmark_vertices, cast.landmark_weights, strict=True)
    return {name: Place(-1, vertices.astype(np.int64), weights) for name, vertices, weights in rows}


def smpl_places(body: SmplBody) -> dict[str, Place]:
    """The landmarks of a body of the SMPL family."""
    names = {name: number for number, name in enumerate(body.names)}
    words = {f"{side}_{pair}": f"{side}_{pair}" for side in SIDES for pair in _PAIRS}
    words |= {f"{side}_hand_root": f"{side}_wrist" for side in SIDES}
    words |= {f"{side}_eye": f"{side}_eye" for side in SIDES}  # only SMPL-X has them
    if "left_index1" in names:
        words |= {name: re.sub("little", "pinky", name) for side in SIDES for name in _hand(side)[1:]}
    else:
        words |= {f"{side}_index1": f"{side}_hand" for side in SIDES}
    found = {name: _at_joint(names[word]) for name, word in words.items() if word in names}
    return found | {name: _at_vertex(vertex) for name, vertex in _skin(body, names).items()}


def _skin(body: SmplBody, names: dict[str, int]) -> dict[str, int]:
    """Vertices of the resting body by what they are: the foremost of the head is the tip of the nose, and so on."""
    found: dict[str, int] = {}
    x, y, z = body.template.T
    head = np.flatnonzero(body.weights[:, names["head"]] > 0.5)
    if len(head):
        middle = body.joints[names["head"], 0]
        found["nose"] = int(head[(z[head] - np.abs(x[head] - middle)).argmax()])
        found |= {f"{s}_ear": int(head[(sign * x[head]).argmax()]) for s, sign in zip(SIDES, (1, -1), strict=True)}
    for side, sign in zip(SIDES, (1, -1), strict=True):
        foot = np.flatnonzero(body.weights[:, [names[f"{side}_ankle"], names[f"{side}_foot"]]].sum(axis=1) > 0.8)
        if len(foot):
            found[f"{side}_big_toe"] = int(foot[(z[foot] - 0.3 * sign * x[foot]).argmax()])
            found[f"{side}_small_toe"] = int(foot[(z[foot] + 1.5 * sign * x[foot]).argmax()])
            found[f"{side}_heel"] = int(foot[(-z[foot] - 0.3 * y[foot]).argmax()])
    return found


def _at_joint(joint: int) -> Place:
    return Place(joint, np.zeros(0, np.int64), np.zeros(0, np.float32))


def _at_vertex(vertex: int) -> Place:
    return Place(-1, np.array([vertex], np.int64), np.ones(1, np.float32))
