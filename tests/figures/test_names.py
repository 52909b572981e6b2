"""Names of joints in the conventions of others."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from diorama.core.figure import Skeleton
from diorama.errors import UsageError
from diorama.figures.cast import load_cast
from diorama.figures.names import ANNY, COCO_WHOLEBODY, LANDMARKS_33, NEEDED, SMPL, roles_of, twins_of
from diorama.media.motion import smpl_skeleton

BIPED = {
    "hips": "Pelvis",
    "spine": "Spine",
    "chest": "Spine1",
    "upperchest": "Spine2",
    "neck": "Neck",
    "head": "Head",
} | {
    "shoulder": "Clavicle",
    "upper_arm": "UpperArm",
    "forearm": "Forearm",
    "hand": "Hand",
    "thigh": "Thigh",
    "shin": "Calf",
    "foot": "Foot",
    "toes": "Toe0",
}


def body(pattern: str, words: dict[str, str]) -> Skeleton:
    """The 22 joints of a body; "{s}" of the pattern is the side, as a letter, "{n}" the name."""
    skeleton = smpl_skeleton(24)
    role_of = {SMPL[role][0]: role for role in SMPL} | {"spine2": "chest", "spine3": "upperchest"}
    role_of |= {f"{side}_hand": f"{side}_fist" for side in ("left", "right")}  # the ends of SMPL's hands
    names = []
    for name in skeleton.names:
        side, _, part = role_of.get(name, name).partition("_")
        if side in ("left", "right"):
            names.append(pattern.format(s=side[0], S=side[0].upper(), n=words.get(part, part)))
        else:
            names.append(words.get(side, side))
    return replace(skeleton, names=tuple(names))


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("Bip01 {S} {n}", BIPED),
        ("{n}.{S}", {"toes": "toe"}),
        ("{n}_{s}", {"shin": "calf", "forearm": "lowerarm", "hips": "pelvis", "toes": "ball"}),
        ("{S}_{n}", {}),
        ("Armature|{s}_{n}", {}),
    ],
    ids=["biped", "rigify", "unreal", "prefixed", "namespaced"],
)
def test_common_names(pattern: str, words: dict[str, str]) -> None:
    skeleton = body(pattern, words)
    roles = roles_of(skeleton)
    places = smpl_skeleton(24)
    for role in NEEDED:
        assert roles[role][0] == places.index(SMPL[role][0]), role
    assert len(roles["spine"]) == 3
    assert {f"{side}_{limb}" for side in ("left", "right") for limb in ("shoulder", "hand", "foot", "toes")} <= set(
        roles
    )


@pytest.mark.parametrize("change", [str.upper, lambda name: f"scene:man:{name}", lambda name: f"Armature|{name}"])
def test_case_and_prefixes_do_not_matter(change: Callable[[str], str]) -> None:
    skeleton = smpl_skeleton(52)
    other = replace(skeleton, names=tuple(change(name) for name in skeleton.names))
    assert roles_of(other) == roles_of(skeleton)


def test_names_that_say_nothing_are_refused() -> None:
    skeleton = smpl_skeleton(24)
    with pytest.raises(UsageError, match="hips"):
        roles_of(replace(skeleton, names=tuple(f"bone{i}" for i in range(24))))
    limbless = replace(skeleton, names=tuple(name.replace("knee", "bend") for name in skeleton.names))
    with pytest.raises(UsageError, match="left_shin, right_shin"):
        roles_of(limbless)
    assert "hips" in roles_of(replace(skeleton, names=tuple(f"x{name}" for name in skeleton.names)), table_with("x"))


def table_with(prefix: str) -> dict[str, tuple[str, ...]]:
    return {role: tuple(prefix + name for name in chain) for role, chain in SMPL.items()}


def test_every_joint_has_its_twin() -> None:
    cast = load_cast()
    skeleton = cast.figure(cast.names[0]).skeleton
    twins = twins_of(skeleton)
    assert np.array_equal(twins[twins], np.arange(len(skeleton)))
    assert np.abs(skeleton.joints[twins] * [-1, 1, 1] - skeleton.joints).max() < 1e-3
    assert skeleton.names[twins[skeleton.index("lowerarm02.L")]] == "lowerarm02.R"
    assert set(roles_of(skeleton)) == set(ANNY)


def test_points_of_sets_are_apart() -> None:
    for table, count in ((COCO_WHOLEBODY, 133), (LANDMARKS_33, 33)):
        numbers = [number for chain in table.values() for number in chain]
        assert len(set(numbers)) == len(numbers)
        assert 0 <= min(numbers) <= max(numbers) < count
