"""Names of parts: people by their bones, animals by their legs, and nobody else."""

from dataclasses import replace

import numpy as np
import pytest

from diorama.core.figure import Figure
from diorama.core.mesh import Mesh
from diorama.figures.cast import load_cast
from diorama.figures.names import NEEDED, roles_of
from diorama.rigging._edits import Merge, Rename, Reroot
from diorama.rigging._humanoid import _foot
from diorama.rigging._limbs import Parts
from diorama.rigging.draft import Draft, draft_of
from diorama.rigging.edit import edited
from diorama.rigging.names import descriptive_names, humanoid_names, humanoid_roles, named
from diorama.theatre.menagerie import FAMILIES, random_creature

BONES = {"upper_arm": "Arm", "lower_arm": "ForeArm", "hand": "Hand", "shoulder": "Shoulder"}
BONES |= {"thigh": "UpLeg", "shin": "Leg", "foot": "Foot", "toes": "ToeBase"}
TRUE = {"hips": "Hips", "abdomen": "Spine", "chest": "Spine1", "neck": "Neck", "head": "Head"}
TRUE |= {f"{side}_{ours}": f"{side.title()}{theirs}" for side in ("left", "right") for ours, theirs in BONES.items()}
"""The cast's parts as Mixamo calls them."""


def _draft(figure: Figure, turn: float = 0.0, **options: int) -> Draft:
    """A figure's own parts, turned by degrees about the vertical."""
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    vertices = figure.mesh.vertices @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    labels = figure.joint_parts[figure.dense_weights.argmax(axis=1)].astype(np.int64)
    mesh = Mesh(vertices.astype(np.float32), figure.mesh.faces)
    return draft_of(mesh, labels, names=figure.parts, root=options.get("root", -1))


def _creature(family: str, seed: int) -> Figure:
    return random_creature(np.random.default_rng(1000 + seed), family).figure


@pytest.fixture(scope="module")
def person() -> Draft:
    return _draft(load_cast().figure("Hana"))


@pytest.mark.parametrize("number", [0, 9, 18, 27, 36, 45])
def test_people_get_the_names_of_their_bones_wherever_they_look(number: int) -> None:
    cast = load_cast()
    draft = _draft(cast.figure(cast.names[number]), 50.0 * number)
    assert humanoid_names(draft) == tuple(TRUE[name] for name in draft.names)


def test_other_conventions_and_other_roots_name_the_same_bones(person: Draft) -> None:
    names = humanoid_names(person, style="smpl")
    assert names is not None
    found = dict(zip(person.names, names, strict=True))
    assert [found[name] for name in ("hips", "abdomen", "chest", "head")] == ["pelvis", "spine1", "spine2", "head"]
    assert [found[f"left_{name}"] for name in ("upper_arm", "hand")] == ["left_shoulder", "left_wrist"]
    assert [found[f"right_{name}"] for name in ("shin", "foot", "toes")] == ["right_knee", "right_ankle", "right_foot"]
    assert humanoid_names(edited(person, [Reroot("left_hand")])) == humanoid_names(person)


def test_a_named_person_hangs_on_the_hips_and_can_be_moved_as_others_are(person: Draft) -> None:
    found = named(person)
    assert found.names[found.root] == "Hips"
    skeleton = found.rig().figure.skeleton
    assert set(NEEDED) <= set(roles_of(skeleton))
    roles = humanoid_roles(person)
    assert roles is not None
    assert roles["left_forearm"] == (person.names.index("left_lower_arm"),)


@pytest.mark.parametrize(
    ("merges", "said"),
    [
        ([("hips", "abdomen", "chest")], {"hips": "Hips", "neck": "Neck"}),
        ([("hips", "abdomen", "chest", "neck", "head")], {"hips": "Hips", "left_hand": "LeftHand"}),
        ([("neck", "head")], {"neck": "Head"}),
        ([(f"{s}_lower_arm", f"{s}_hand") for s in ("left", "right")], {"left_lower_arm": "LeftForeArm"}),
        ([(f"{s}_upper_arm", f"{s}_lower_arm") for s in ("left", "right")], {"left_hand": "LeftHand"}),
        ([(f"{s}_shin", f"{s}_foot", f"{s}_toes") for s in ("left", "right")], {"right_shin": "RightLeg"}),
        (
            [(f"{s}_thigh", f"{s}_shin", f"{s}_foot", f"{s}_toes") for s in ("left", "right")],
            {"right_thigh": "RightUpLeg"},
        ),
    ],
)
def test_parts_of_several_bones_are_called_by_the_first(
    person: Draft, merges: list[tuple[str, ...]], said: dict[str, str]
) -> None:
    draft = edited(person, [Merge(names, names[0]) for names in merges])
    found = humanoid_names(draft)
    assert found is not None
    assert {name: found[draft.names.index(name)] for name in said} == said
    assert len(set(found)) == len(found)


def test_a_foot_is_found_where_the_lowest_part_is_a_side_branch(person: Draft) -> None:
    parts = Parts(person)
    leg = parts.limb(person.names.index("left_thigh"), person.names.index("hips"))
    branched = replace(leg, chain=leg.chain[:2], others=leg.chain[2:] + leg.others)
    assert np.allclose(_foot(parts, branched), _foot(parts, leg), atol=1e-3)
    assert np.abs(_foot(parts, leg)).max() > 0.01


def test_what_has_no_counterpart_keeps_its_name_unless_it_is_taken() -> None:
    tailed = next(f for f in (_creature("biped", seed) for seed in range(20)) if "tail1" in f.parts)
    draft = _draft(tailed)
    names = humanoid_names(draft)
    assert names is not None
    assert names[draft.names.index("tail1")] == "tail1"
    renamed = edited(draft, [Rename("tail1", "Head")])
    again = humanoid_names(renamed)
    assert again is not None
    assert again[draft.names.index("head")] == "Head"
    assert again[draft.names.index("tail1")] == f"part{draft.names.index('tail1') + 1}"
    assert len(set(again)) == len(again)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "biped"])
def test_nobody_else_is_taken_for_a_person(family: str) -> None:
    for seed in range(2):
        draft = _draft(_creature(family, seed), 70.0 * seed)
        walks = "left_thigh" in draft.names  # a robot on two legs
        assert (humanoid_names(draft) is not None) == walks
        if not walks:
            assert named(draft).names == descriptive_names(draft)


def test_a_fallen_person_and_half_a_one_are_not_surely_people(person: Draft) -> None:
    x, y, z = person.mesh.vertices.T
    fallen = replace(person.mesh, vertices=np.stack([x, z, -y], axis=1))
    assert humanoid_names(draft_of(fallen, person.labels, names=person.names)) is None
    one_armed = edited(
        person, [Merge(("chest", *(n for n in person.names if n.startswith("left_") and "arm" in n)), "chest")]
    )
    assert humanoid_names(one_armed) is None


@pytest.mark.parametrize("turn", [0.0, 200.0])
def test_legs_of_animals_are_named_by_side_and_end(turn: float) -> None:
    draft = _draft(_creature("quadruped", 3), turn)
    found = dict(zip(draft.names, descriptive_names(draft), strict=True))
    for end, ours in (("front", "fore"), ("hind", "hind")):
        for side in ("left", "right"):
            for number, piece in enumerate(("upper", "lower", "paw"), 1):
                assert found[f"{ours}_{side}_{piece}"] == f"leg.{end}.{side}.{number}"
    assert found["head"] == "head"
    assert found["tail1"] == "tail1"
    assert (found["chest"], found["rump"]) == ("body.front", "body.hind")
    bug = _draft(_creature("insect", 1))
    said = dict(zip(bug.names, descriptive_names(bug), strict=True))
    assert said["right_shin2"] == "leg.middle.right.2"
    assert said["thorax"] == "body"


@pytest.mark.parametrize("family", ["hand", "plant", "fish_or_snake", "furniture"])
def test_what_is_not_sure_keeps_its_name(family: str) -> None:
    draft = _draft(_creature(family, 1))
    assert descriptive_names(draft) == draft.names
