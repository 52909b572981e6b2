"""Kinematic parts and clothing regions of the cast."""

import numpy as np
from jaxtyping import Float, Int, UInt8

from cast_source import Source

MIDDLE_PARTS = {"head": "head eye", "neck": "neck", "chest": "spine01 spine02", "abdomen": "spine03 spine04"}
SIDE_PARTS = {
    "shoulder": "clavicle shoulder01",
    "upper_arm": "upperarm",
    "lower_arm": "lowerarm",
    "hand": "wrist finger",
    "thigh": "upperleg",
    "shin": "lowerleg",
    "foot": "foot",
    "toes": "toes",
}
IRIS = 0.0065  # metres from the axis of the eye
REGIONS = (
    "face", "scalp", "ear", "eye", "iris", "socket", "mouth", "neck", "chest", "abdomen", "hips", "shoulder",
    "upper_arm", "lower_arm", "hand", "thigh", "shin", "foot",
)  # fmt: skip


def kinematic_parts(joints: list[str]) -> tuple[list[str], UInt8[np.ndarray, " j"]]:
    """Names of the 21 parts and the part of each joint."""
    rules = [(name, prefix, "") for name, prefixes in MIDDLE_PARTS.items() for prefix in prefixes.split()]
    for side, letter in (("left", "L"), ("right", "R")):
        rules += [(f"{side}_{n}", prefix, f".{letter}") for n, list_ in SIDE_PARTS.items() for prefix in list_.split()]
    names = ["hips", *dict.fromkeys(rule[0] for rule in rules)]
    of_joint = np.zeros(len(joints), np.uint8)  # the root and the lowest of the spine are the hips
    for part, prefix, letter in rules:
        for joint, name in enumerate(joints):
            if name.startswith(prefix) and name.endswith(letter):
                of_joint[joint] = names.index(part)
    return names, of_joint


def face_regions(
    source: Source, mean: Float[np.ndarray, "v 3"], face_parts: Int[np.ndarray, " f"], parts: list[str],
    landmarks: dict[str, tuple[np.ndarray, np.ndarray]],
) -> UInt8[np.ndarray, " f"]:  # fmt: skip
    """The region of each face: of the body by its part, of the head by Anny's classes and by where it lies."""
    regions = np.zeros(len(source.faces), np.uint8)
    for part, name in enumerate(parts):
        plain = name.removeprefix("left_").removeprefix("right_").replace("toes", "foot")
        regions[face_parts == part] = REGIONS.index("face" if plain == "head" else plain)
    centres = mean[source.faces].mean(axis=1)
    at = {name: (weights[:, None] * mean[rows]).sum(axis=0) for name, (rows, weights) in landmarks.items()}
    head = regions == REGIONS.index("face")
    regions[head & _hairy(centres, at)] = REGIONS.index("scalp")
    for side in ("left", "right"):
        ear = np.linalg.norm(centres - at[f"{side}_ear"], axis=1) < 0.045
        regions[head & ear & (np.abs(centres[:, 0]) > 0.071)] = REGIONS.index("ear")
    for label, region in (
        ("eye_cavity", "socket"),
        ("mouth_cavity", "mouth"),
        ("eye_front", "eye"),
        ("eye_back", "eye"),
    ):
        regions[np.char.startswith(source.labels, label)] = REGIONS.index(region)
    for letter in "LR":
        front = source.labels == f"eye_front.{letter}"
        ball = mean[source.touching(f"eye_front.{letter}") | source.touching(f"eye_back.{letter}")]
        middle = (ball.max(axis=0) + ball.min(axis=0)) / 2
        aside = np.linalg.norm(centres[:, :2] - middle[:2], axis=1)
        regions[front & (aside < IRIS) & (centres[:, 2] > middle[2])] = REGIONS.index("iris")
    return regions


def _hairy(centres: Float[np.ndarray, "f 3"], at: dict[str, np.ndarray]) -> np.ndarray:
    """Above a slanted plane from the hairline of the forehead to the nape."""
    eyes, top = (at["left_eye"] + at["right_eye"]) / 2, at["head_top"]
    height, front, back = top[1] - eyes[1], at["nose"][2], top[2] - 0.1
    share = (centres[:, 2] - back) / (front - back)
    return centres[:, 1] > eyes[1] + height * (-0.8 + 1.35 * share)
