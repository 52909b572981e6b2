"""Edits by hand: laws of what they keep, what they do, and what they refuse."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diorama.core.figure import Motion
from diorama.core.mesh import Mesh
from diorama.errors import LimitError, MediaError, UsageError
from diorama.figures.pose import animate
from diorama.rigging._edits import Edit, Merge, Move, Rename, Reparent, Reroot, Split
from diorama.rigging.draft import Draft, draft_of
from diorama.rigging.edit import MOST_EDITS, edited, read_edits
from diorama.rigging.tree import PartTree
from diorama.theatre.menagerie import random_creature


def _tube(length: int) -> Mesh:
    """A square tube along x from 0 to `length`, a ring each 0.25."""
    count = 4 * length + 1
    ring = np.array([[0, -0.5, -0.5], [0, 0.5, -0.5], [0, 0.5, 0.5], [0, -0.5, 0.5]])
    vertices = (ring[None] + np.arange(count)[:, None, None] * np.array([0.25, 0, 0])).reshape(-1, 3)
    a = (np.arange(count - 1)[:, None] * 4 + np.arange(4)).ravel()
    b = (np.arange(count - 1)[:, None] * 4 + (np.arange(4) + 1) % 4).ravel()
    faces = np.concatenate([np.stack([a, b, a + 4], 1), np.stack([b, b + 4, a + 4], 1)])
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32))


@pytest.fixture(scope="module")
def chain() -> Draft:
    """Five parts of a tube, a to e, 2 long each, with a as the root."""
    mesh = _tube(10)
    labels = np.minimum((mesh.vertices[:, 0] + 0.1) // 2, 4).astype(np.int64)
    return draft_of(mesh, labels, names=("a", "b", "c", "d", "e"), root=0)


@pytest.fixture(scope="module")
def beast() -> Draft:
    figure = random_creature(np.random.default_rng(2), "quadruped").figure
    labels = figure.joint_parts[figure.dense_weights.argmax(axis=1)].astype(np.int64)
    return draft_of(figure.mesh, labels, names=figure.parts, root=0)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[object], Path]:
    def write(value: object) -> Path:
        path = tmp_path / "edits.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path

    return write


def _above(draft: Draft) -> dict[str, str]:
    """Parent of each part by name, "" for the root."""
    parents = draft.tree.parents.tolist()
    return {name: draft.names[p] if p >= 0 else "" for name, p in zip(draft.names, parents, strict=True)}


def _joint(draft: Draft, name: str) -> np.ndarray:
    return draft.tree.joints[draft.names.index(name)]


def test_a_draft_has_the_tree_and_rig_that_its_labels_give(chain: Draft) -> None:
    assert _above(chain) == {"a": "", "b": "a", "c": "b", "d": "c", "e": "d"}
    assert np.allclose(_joint(chain, "c"), [3.875, 0, 0], atol=1e-2)
    rig = chain.rig(0.2)
    assert rig.figure.skeleton.names == chain.names
    assert np.array_equal(rig.labels, chain.labels)
    sparse = draft_of(chain.mesh, chain.labels * 3 + 1, root=4)
    assert sparse.names == ("part2", "part5", "part8", "part11", "part14")
    assert sparse.root == 1
    assert draft_of(chain.mesh, chain.labels).root == 2, "the middle of the tree"


def test_what_is_no_draft_is_refused(chain: Draft) -> None:
    with pytest.raises(UsageError, match="labels for"):
        draft_of(chain.mesh, chain.labels[1:])
    with pytest.raises(UsageError, match="no name for part 4"):
        draft_of(chain.mesh, chain.labels, names=("a", "b"))
    with pytest.raises(UsageError, match="part 7 has no surface"):
        draft_of(chain.mesh, chain.labels, root=7)
    with pytest.raises(UsageError, match="two parts are called 'a'"):
        replace(chain, names=("a", "b", "a", "d", "e"))
    with pytest.raises(UsageError, match="'e' has no vertices"):
        replace(chain, labels=np.minimum(chain.labels, 3))
    with pytest.raises(UsageError, match="beyond the 5 parts"):
        replace(chain, labels=chain.labels + 1)
    with pytest.raises(UsageError, match="not finite"):
        replace(chain, tree=PartTree(chain.tree.parents, chain.tree.joints * np.float32(np.nan)))
    for parents, what in (([1, 0, 1, 2, -1], "hangs on itself"), ([-1, -1, 1, 2, 3], "2 roots"), ([4] * 5, "0 roots")):
        with pytest.raises(UsageError, match=what):
            replace(chain, tree=PartTree(np.array(parents, np.int32), chain.tree.joints))


def test_a_new_name_is_all_that_a_rename_changes(chain: Draft) -> None:
    found = edited(chain, [Rename("c", "belly"), Rename("a", "a")])
    assert found.names == ("a", "b", "belly", "d", "e")
    assert found.tree is chain.tree
    with pytest.raises(UsageError, match=r"called 'b' already.*edit 2 \(rename\)"):
        edited(chain, [Rename("c", "belly"), Rename("belly", "b")])
    with pytest.raises(UsageError, match=r"no part called 'bely'.*near names: belly"):
        edited(chain, [Rename("c", "belly"), Rename("bely", "x")])


@pytest.mark.parametrize(
    ("names", "above"),
    [
        (("b", "c"), {"a": "", "m": "a", "d": "m", "e": "d"}),
        (("c", "b"), {"a": "", "m": "a", "d": "m", "e": "d"}),
        (("a", "b"), {"m": "", "c": "m", "d": "c", "e": "d"}),
        (("b", "c", "d"), {"a": "", "m": "a", "e": "m"}),
        (("e", "b"), {"a": "", "m": "a", "c": "m", "d": "c"}),  # c and d lie between: no cycle
        (("a", "b", "c", "d", "e"), {"m": ""}),
    ],
)
def test_merged_parts_hang_where_the_one_nearest_to_the_root_did(
    chain: Draft, names: tuple[str, ...], above: dict[str, str]
) -> None:
    found = edited(chain, [Merge(names, "m")])
    assert _above(found) == above
    assert np.array_equal(
        np.array(found.names)[found.labels] == "m", np.isin(np.array(chain.names)[chain.labels], names)
    )
    for name in above:
        if name != "m":
            assert np.array_equal(_joint(found, name), _joint(chain, name))
    if "a" not in names:
        assert np.array_equal(_joint(found, "m"), _joint(chain, "b"))
    else:
        assert _joint(found, "m")[0] == pytest.approx(len(names), abs=0.15), "the middle of the new root"


def test_merged_siblings_turn_where_both_touch_their_parent(beast: Draft) -> None:
    legs = ("hind_left_upper", "hind_right_upper")
    found = edited(beast, [Merge(legs, "hind_left_upper")])
    above = _above(found)
    assert above["hind_left_upper"] == "rump"
    assert above["hind_left_lower"] == above["hind_right_lower"] == "hind_left_upper"
    between = (_joint(beast, legs[0]) + _joint(beast, legs[1])) / 2
    size = float(np.ptp(beast.mesh.vertices, axis=0).max())
    assert np.linalg.norm(_joint(found, "hind_left_upper") - between) < 0.02 * size


def test_a_split_shares_out_vertices_children_and_joints(chain: Draft) -> None:
    found = edited(chain, [Merge(("b", "c"), "b"), Split("b", (3.6, 0.1, 0.2), ("low", "high"))])
    assert _above(found) == {"a": "", "low": "a", "d": "high", "e": "d", "high": "low"}
    assert found.names[-1] == "high"
    assert np.array_equal(_joint(found, "low"), _joint(chain, "b"))
    x = chain.mesh.vertices[:, 0]
    own = np.array(found.names)[found.labels]
    assert np.array_equal(own == "low", (x > 1.8) & (x < 3.55))
    assert np.array_equal(own == "high", (x > 3.55) & (x < 5.8))
    assert np.allclose(_joint(found, "high"), [3.6, 0, 0], atol=0.15)
    assert np.linalg.norm(_joint(found, "high")[1:]) < 0.1, "in the middle of the cut"


def test_a_normal_cuts_otherwise_and_may_point_either_way(chain: Draft) -> None:
    one, other = (edited(chain, [Split("a", (0.9, 0, 0), ("a", "new"), (n, 0.0, 0.0))]) for n in (1e-9, -1e200))
    assert np.array_equal(one.labels, other.labels)
    assert np.array_equal(one.tree.parents, other.tree.parents)
    assert _above(one)["b"] in ("a", "new")
    lengthwise = edited(chain, [Split("b", (0, 0.1, 0), ("b", "top"), (0.0, 1.0, 0.0))])
    y = chain.mesh.vertices[:, 1]
    assert np.array_equal(lengthwise.labels == 5, (chain.labels == 1) & (y > 0.1))
    with pytest.raises(UsageError, match=r"one half of 'b' without vertices.*\(split\)"):
        edited(chain, [Split("b", (0, 0, 0), ("b", "x"), (1.0, 0.0, 0.0))])
    with pytest.raises(UsageError, match="called 'c' already"):
        edited(chain, [Split("b", (3, 0, 0), ("b", "c"))])


def test_a_split_and_a_merge_of_the_halves_change_nothing(chain: Draft) -> None:
    found = edited(chain, [Split("c", (5, 0, 0), ("c1", "c2")), Merge(("c2", "c1"), "c")])
    assert found.names == chain.names
    assert np.array_equal(found.labels, chain.labels)
    assert np.array_equal(found.tree.parents, chain.tree.parents)
    assert np.array_equal(found.tree.joints, chain.tree.joints)


def test_a_joint_is_moved_alone_and_not_far_away(chain: Draft) -> None:
    found = edited(chain, [Move("c", (4.5, 0.25, 0))])
    assert _joint(found, "c").tolist() == [4.5, 0.25, 0]
    assert np.array_equal(np.delete(found.tree.joints, 2, 0), np.delete(chain.tree.joints, 2, 0))
    with pytest.raises(UsageError, match=r"far from the mesh.*metres"):
        edited(chain, [Move("c", (4500.0, 0, 0))])
    with pytest.raises(UsageError, match="not finite"):
        Move("c", (float("nan"), 0, 0))


def test_a_part_hangs_elsewhere_but_never_on_what_hangs_on_it(chain: Draft, beast: Draft) -> None:
    found = edited(chain, [Reparent("d", "b")])
    assert _above(found) == {"a": "", "b": "a", "c": "b", "d": "b", "e": "d"}
    assert np.allclose(_joint(found, "d"), [4.75, 0, 0], atol=0.6), "between the nearest places"
    back = edited(found, [Reparent("d", "c")])
    assert np.allclose(_joint(back, "d"), _joint(chain, "d"), atol=1e-6), "where they touch"
    for name, under, said in (
        ("b", "b", "itself"),
        ("b", "e", "'e', which hangs on it"),
        ("a", "b", "make 'b' the root"),
    ):
        with pytest.raises(UsageError, match=rf"{said}.*") as caught:
            edited(chain, [Reparent(name, under)])
        assert "a cycle" in str(caught.value)
    moved = edited(beast, [Move("head", (0.0, 0.5, 0.3)), Reparent("head", "neck")])
    assert np.allclose(_joint(moved, "head"), [0, 0.5, 0.3]), "it hung there already"


def test_a_new_root_turns_the_way_around_and_the_old_one_brings_it_back(chain: Draft, beast: Draft) -> None:
    found = edited(chain, [Reroot("c")])
    assert _above(found) == {"a": "b", "b": "c", "c": "", "d": "c", "e": "d"}
    assert np.array_equal(_joint(found, "a"), _joint(chain, "b"))
    assert np.array_equal(_joint(found, "b"), _joint(chain, "c"))
    assert np.array_equal(_joint(found, "e"), _joint(chain, "e"))
    assert _joint(found, "c")[0] == pytest.approx(4.875, abs=0.05)
    there = edited(beast, [Reroot("head"), Reroot(beast.names[beast.root])])
    assert np.array_equal(there.tree.parents, beast.tree.parents)
    assert np.allclose(there.tree.joints, beast.tree.joints, atol=1e-6)
    head = draft_of(beast.mesh, beast.labels, names=beast.names, root=beast.names.index("head"))
    turned = edited(beast, [Reroot("head")])
    assert np.array_equal(turned.tree.parents, head.tree.parents), "as if it had been the root from the start"
    assert np.allclose(turned.tree.joints, head.tree.joints, atol=1e-6)


def _random_edit(rng: np.random.Generator, draft: Draft, number: int) -> Edit:
    def some(count: int = 1) -> list[str]:
        return [str(name) for name in rng.choice(draft.names, count, replace=False)]

    (name,) = some()
    at = draft.mesh.vertices[rng.integers(len(draft.labels))].tolist()
    middle = draft.mesh.vertices[draft.labels == draft.names.index(name)].mean(axis=0).tolist()
    choices: list[Edit] = [
        Rename(name, f"new{number}"),
        Merge(tuple(some(int(rng.integers(2, min(4, len(draft) + 1)))) if len(draft) > 1 else ("x", "y")), name),
        Split(name, tuple(middle), (f"half{number}", f"rest{number}")),
        Move(name, tuple(at)),
        Reparent(name, some()[0]),
        Reroot(name),
    ]
    return choices[int(rng.integers(len(choices)))]


def test_whatever_is_done_a_rig_comes_of_it(beast: Draft) -> None:
    rng, draft, done, refused = np.random.default_rng(0), beast, set(), 0
    for number in range(60):
        edit = _random_edit(rng, draft, number)
        try:
            draft = edited(draft, [edit])  # a Draft checks that it is a tree of named parts with vertices
            done.add(type(edit))
        except UsageError:
            refused += 1
    assert len(done) == 6
    assert 0 < refused < 40
    rig = draft.rig()
    assert set(rig.figure.parts) == set(draft.names)
    still = np.zeros((1, len(draft), 4), np.float32)
    still[..., 0] = 1
    (rest,) = animate(rig.figure, Motion(rig.figure.skeleton, still, np.zeros((1, 3), np.float32), 1.0))
    assert np.abs(rest - draft.mesh.vertices).max() < 1e-5
    one = edited(draft, [Merge(draft.names, "all")]).rig()
    assert one.figure.parts == ("all",)


def test_a_file_of_every_edit_is_read(written: Callable[[object], Path]) -> None:
    edits = [
        {"rename": "part3", "to": "Kopf ü"},
        {"merge": ["tail2", "tail1"], "into": "tail1"},
        {"split": "leg", "at": [0, 1, 2.5], "names": ["leg", "shin"]},
        {"split": "leg", "at": [0, 1, 2.5], "normal": [0, 1, 0], "names": ["leg", "shin"]},
        {"move": "leg", "to": [0.1, 0, -1]},
        {"reparent": "hand", "under": "arm"},
        {"root": "hip"},
    ]
    assert read_edits(written({"version": 1, "edits": edits})) == (
        Rename("part3", "Kopf ü"),
        Merge(("tail2", "tail1"), "tail1"),
        Split("leg", (0.0, 1.0, 2.5), ("leg", "shin")),
        Split("leg", (0.0, 1.0, 2.5), ("leg", "shin"), (0.0, 1.0, 0.0)),
        Move("leg", (0.1, 0.0, -1.0)),
        Reparent("hand", "arm"),
        Reroot("hip"),
    )
    assert read_edits(written({"version": 1, "edits": []})) == ()


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (3, "3, expected an object"),
        ({}, "no known edit"),
        ({"delete": "a"}, "no known edit"),
        ({"rename": "a", "merge": ["a", "b"]}, "'rename' and 'merge' in one edit"),
        ({"rename": "a"}, "no 'to'"),
        ({"rename": "a", "to": "b", "x": 1}, "unknown key 'x'"),
        ({"rename": 1, "to": "b"}, "expected a name"),
        ({"rename": "a", "to": ""}, "the name ''"),
        ({"rename": "a", "to": "b\n"}, "the name"),
        ({"rename": "a", "to": "\ud800"}, "the name"),
        ({"rename": "a", "to": "b" * 101}, "1 to 100 printable"),
        ({"merge": ["a"], "into": "a"}, "two or more different"),
        ({"merge": ["a", "a"], "into": "a"}, "two or more different"),
        ({"merge": "ab", "into": "a"}, "expected names"),
        ({"split": "a", "at": [0, 0, 0]}, "no 'names'"),
        ({"split": "a", "at": [0, 0, 0], "names": ["a"]}, "1 names, expected 2"),
        ({"split": "a", "at": [0, 0, 0], "names": ["a", "a"]}, "both halves called 'a'"),
        ({"split": "a", "at": [0, 0, 0], "names": ["a", "b"], "normal": [0, 0, 0]}, "no length"),
        ({"split": "a", "at": [0, 0, 0], "names": ["a", "b"], "normal": None}, "expected three numbers"),
        ({"move": "a", "to": [0, 0]}, "expected three numbers"),
        ({"move": "a", "to": [0, 0, True]}, "True, expected a number"),
        ({"move": "a", "to": [0, 0, "1"]}, "expected a number"),
        ({"move": "a", "to": [0, 0, 10**400]}, "too large"),
        ({"reparent": "a", "under": None}, "expected a name"),
        ({"root": ["a"]}, "expected a name"),
    ],
)
def test_what_is_no_edit_is_named_with_its_place(edit: object, said: str, written: Callable[[object], Path]) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        read_edits(written({"version": 1, "edits": [{"root": "a"}, edit]}))
    assert "edits.json, edit 2" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("", MediaError, "empty"),
        ("{", MediaError, "no JSON"),
        ("\x00\x01", MediaError, "no JSON"),
        ("[" * 100_000, MediaError, "no JSON"),
        ('{"version": 1, "edits": [{"move": "a", "to": [0, 0, NaN]}]}', MediaError, "NaN is not a number"),
        ('{"version": 1, "edits": [{"move": "a", "to": [0, 0, 1e999]}]}', UsageError, "not finite"),
        ('{"version": 1, "edits": [], "edits": []}', MediaError, "occurs twice"),
        ("[]", UsageError, "no edits"),
        ('{"version": 1}', UsageError, "no edits"),
        ('{"version": 1, "edits": {}}', UsageError, "no edits"),
        ('{"version": 1, "edits": [], "more": 1}', UsageError, "no edits"),
        ('{"version": 2, "edits": []}', UsageError, "version 2"),
        ('{"version": true, "edits": []}', UsageError, "version True"),
        (" " * 1_000_001, LimitError, "more than 1 MB"),
        (json.dumps({"version": 1, "edits": [{"root": "a"}] * (MOST_EDITS + 1)}), LimitError, "1001 edits"),
    ],
)
def test_what_is_no_file_of_edits_is_refused(
    text: str, kind: type[Exception], said: str, written: Callable[[object], Path]
) -> None:
    with pytest.raises(kind, match=said):
        read_edits(written(text))


def test_a_file_that_is_missing_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no such file"):
        read_edits(tmp_path / "edits.json")
