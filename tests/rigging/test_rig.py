"""Labels on a surface, the tree of parts, joints and weights, against creatures whose rigs are known."""

import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest

from diorama.core.figure import Figure
from diorama.errors import UsageError
from diorama.figures.pose import animate, joint_positions
from diorama.rigging.lift import lifted, votes, without_islands
from diorama.rigging.skin import harmonic_weights, strongest
from diorama.rigging.surface import Surface
from diorama.rigging.tree import NEAR, _at_forks, contacts, part_tree
from diorama.theatre.menagerie import random_creature, random_motion
from diorama.theatre.menagerie.bones import Bone
from diorama.theatre.menagerie.solids import blended_surface, distance
from diorama.theatre.turntable import Turntable, film


@dataclass(frozen=True, eq=False)
class Known:
    """A creature in its first frame."""

    figure: Figure
    table: Turntable
    vertices: np.ndarray
    joints: np.ndarray
    surface: Surface
    truth: np.ndarray


@pytest.fixture(scope="module")
def known() -> Known:
    rng = np.random.default_rng(2)
    creature = random_creature(rng, "quadruped")
    figure, motion = creature.figure, random_motion(rng, creature, frames=1)
    places = animate(figure, motion)[0]
    low, high = places.min(axis=0), places.max(axis=0)
    scale = float((high - low).max())
    vertices = ((places - (low + high) / 2) / scale).astype(np.float32)
    joints = (joint_positions(motion)[0] - (low + high) / 2) / scale
    table = film(figure, motion, views=12, size=256)
    surface = Surface.of(vertices, figure.mesh.faces)
    truth = np.zeros(len(surface.points), np.int64)
    truth[surface.of_vertex] = figure.joint_parts[figure.dense_weights.argmax(axis=1)]
    return Known(figure, table, vertices, joints, surface, truth)


def _strip(columns: int) -> Surface:
    """A flat strip of squares along x."""
    x, y = np.meshgrid(np.arange(columns), np.arange(5), indexing="ij")
    vertices = np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3).astype(np.float32)
    a = (np.arange(columns - 1)[:, None] * 5 + np.arange(4)).ravel()
    faces = np.concatenate([np.stack([a, a + 5, a + 1], 1), np.stack([a + 1, a + 5, a + 6], 1)])
    return Surface.of(vertices, faces.astype(np.int32))


def test_pixels_tell_the_surface_its_parts(known: Known) -> None:
    table, count = known.table, len(known.figure.parts)
    said = votes(known.vertices, known.figure.mesh.faces, table.parts[:, 0].astype(np.int16), table.cameras, count)
    found = lifted(known.surface, said)
    with pytest.raises(UsageError, match="all parts"):
        votes(known.vertices, known.figure.mesh.faces, table.parts[:, 0].astype(np.int16), table.cameras, count - 1)
    ious = [((found == k) & (known.truth == k)).sum() / ((found == k) | (known.truth == k)).sum() for k in range(count)]
    assert np.mean(ious) > 0.9


def test_the_tree_and_its_joints_are_the_creatures_own(known: Known) -> None:
    tree = part_tree(known.surface, known.truth, len(known.figure.parts))
    above = known.figure.skeleton.parents
    parts = known.figure.joint_parts
    true = {frozenset((int(parts[j]), int(parts[p]))) for j, p in enumerate(above) if p >= 0 and parts[j] != parts[p]}
    found = {frozenset((k, int(p))) for k, p in enumerate(tree.parents) if p >= 0}
    assert found == true
    assert (tree.parents < 0).sum() == 1
    order = tree.outwards.tolist()
    assert all(order.index(int(p)) < order.index(k) for k, p in enumerate(tree.parents) if p >= 0)
    far = [
        np.linalg.norm(tree.joints[k if tree.parents[k] == parts[p] else parts[p]] - known.joints[j])
        for j, p in enumerate(above)
        if p >= 0 and (k := int(parts[j])) != parts[p]
    ]
    assert np.median(far) < 0.05


def test_a_root_may_be_chosen() -> None:
    surface = _strip(31)
    labels = (surface.points[:, 0] // 11).astype(np.int64)
    assert part_tree(surface, labels, 3).parents.tolist() == [1, -1, 1]
    tree = part_tree(surface, labels, 3, root=0)
    assert tree.parents.tolist() == [-1, 0, 1]
    assert np.allclose(tree.joints[1:, 0], [10.5, 21.5])
    with pytest.raises(UsageError, match="part 3 has no surface"):
        part_tree(surface, labels, 4)


def test_solids_that_only_lie_near_are_joined_at_the_shortest_way() -> None:
    one, other = _strip(5), _strip(5)
    points = np.concatenate([one.points, other.points + np.array([6, 0, 0])]).astype(np.float32)
    faces = np.concatenate([one.faces, other.faces + len(one.points)]).astype(np.int32)
    surface = Surface.of(points, faces)
    labels = (surface.points[:, 0] > 5).astype(np.int64)
    touch = contacts(surface, labels, 2)
    assert touch.length[0, 1] > 0
    assert touch.middle[0, 1, 0] == pytest.approx(5.0)
    tree = part_tree(surface, labels, 2, root=0)
    assert tree.parents.tolist() == [-1, 0]
    assert tree.joints[1, 0] == pytest.approx(5.0)


def _moved(surface: Surface, x: float, z: float, scale: float = 1.0) -> Surface:
    return Surface(surface.points * scale + [x, 0, z], surface.faces, surface.of_vertex)


def _together(*surfaces: Surface) -> Surface:
    starts = np.cumsum([0, *(len(surface.points) for surface in surfaces)])
    faces = [surface.faces + start for surface, start in zip(surfaces, starts, strict=False)]
    return Surface.of(
        np.concatenate([surface.points for surface in surfaces]).astype(np.float32),
        np.concatenate(faces).astype(np.int32),
    )


def test_places_touch_the_nearest_of_each_part_of_other_solids() -> None:
    """As pair by pair; some solids have several parts, so that the nearest place of a part may be of one's own."""
    surface = _together(*(_moved(_strip(12), 1.5 * i, 0.08 * i) for i in range(5)))
    labels = (surface.points[:, 0] // 3).astype(np.int64) % 4
    shells = surface.pieces(np.zeros_like(labels))
    assert shells.max() == 4
    away = np.linalg.norm(surface.points[:, None] - surface.points[None], axis=2)
    away[(shells[:, None] == shells) | (away > NEAR * surface.size)] = np.inf
    expected = np.zeros((4, 4))
    left, right = labels[surface.edges].T
    np.add.at(expected, (left, right), surface.lengths * (left != right))
    np.add.at(expected, (right, left), surface.lengths * (left != right))
    for place, part in enumerate(labels):
        for other in set(labels[np.isfinite(away[place])]) - {part}:
            expected[[part, other], [other, part]] += np.median(surface.lengths) / 2
    assert expected.max() > 0
    assert np.allclose(contacts(surface, labels, 4).length, expected)


def test_a_piece_that_strays_far_costs_no_memory_and_is_no_measure() -> None:
    whole = _together(_strip(300), _moved(_strip(300), 0, 0.5))
    surface = _together(whole, _moved(_strip(2), 1e5, 0))
    labels = (surface.points[:, 0] > 150).astype(np.int64) + 2 * (surface.points[:, 2] > 0.2)
    surface.pieces(labels)
    tracemalloc.start()
    touch = contacts(surface, labels, 4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6, "bytes; all pairs of these 3000 places take a hundred times as much"
    assert touch.length[0, 2] > 100
    assert touch.length[0, 3] < 0.05 * touch.length[0, 2], "where they meet, not all over"


def test_joints_of_a_tiny_mesh_are_where_those_of_a_large_one_are() -> None:
    places = []
    for scale in (1.0, 1e-6):
        surface = _together(_moved(_strip(5), 0, 0, scale), _moved(_strip(5), 6 * scale, 0, scale))
        touch = contacts(surface, (surface.points[:, 0] > 5 * scale).astype(np.int64), 2)
        places.append(touch.middle[0, 1] / scale)
    assert np.allclose(places[0], places[1], rtol=1e-3)


def test_islands_go_to_whom_they_border_on() -> None:
    surface = _strip(61)
    labels = (surface.points[:, 0] // 31).astype(np.int64)
    spoilt = labels.copy()
    spoilt[(np.abs(surface.points[:, :2] - [4, 2]) <= 1).all(axis=1)] = 1
    assert np.array_equal(without_islands(surface, spoilt), labels)


def test_weights_are_a_partition_of_unity_and_as_soft_as_wanted() -> None:
    surface = _strip(41)
    labels = (surface.points[:, 0] // 14).astype(np.int64)
    shares = []
    for softness in (0.1, 0.35, 0.8):
        weights = harmonic_weights(surface, labels, 3, softness=softness)
        assert weights.min() >= 0
        assert np.abs(weights.sum(axis=1) - 1).max() < 1e-6
        middle = weights[np.isclose(surface.points[:, 1], 2)]
        assert np.all(np.diff(middle[:, 0]) <= 1e-9), "monotone along the strip"
        shares.append((weights.max(axis=1) < 0.999).mean())
    assert 0 < shares[0] < 0.2 < shares[1] < 0.5 < shares[2] < 0.9


def test_rigid_parts_and_four_joints_at_most(known: Known) -> None:
    count = len(known.figure.parts)
    rigid = harmonic_weights(known.surface, known.truth, count, softness=0)
    assert np.array_equal(rigid.argmax(axis=1), known.truth)
    assert set(np.unique(rigid)) == {0.0, 1.0}
    weights = harmonic_weights(known.surface, known.truth, count)
    assert np.abs(weights.sum(axis=1) - 1).max() < 1e-6
    joints, kept, lost = strongest(weights)
    assert joints.shape == kept.shape == (len(known.truth), 4)
    assert np.abs(kept.sum(axis=1) - 1).max() < 1e-6
    assert (joints[kept == 0] == 0).all()
    assert 0 <= lost < 0.1
    with pytest.raises(UsageError, match="softness"):
        harmonic_weights(known.surface, known.truth, count, softness=2)


Rod = tuple[tuple[float, float, float], tuple[float, float, float], float]


def _rods(*rods: Rod) -> tuple[Surface, np.ndarray]:
    """Round rods (from, to, radius) grown together, and the rod that each place is nearest to."""
    bones = tuple(Bone(f"rod{i}", -1, start, end, (radius, radius)) for i, (start, end, radius) in enumerate(rods))
    surface = Surface.of(*blended_surface(bones, 60, 0.01))
    return surface, np.argmin([distance(bone, surface.points) for bone in bones], axis=0)


POT: Rod = ((0, 0, 0), (0, 0.2, 0), 0.14)
LOW: Rod = ((0, 0.2, 0), (0, 0.6, 0), 0.036)
HIGH: Rod = ((0, 0.6, 0), (0.02, 1, 0), 0.034)
BRANCHES: tuple[Rod, Rod] = ((0, 0.6, 0), (0.3, 0.8, 0), 0.03), ((0, 0.6, 0), (-0.2, 0.75, 0.2), 0.03)


def test_branches_at_a_fork_hang_on_the_stem_that_comes_from_the_root() -> None:
    surface, labels = _rods(POT, LOW, HIGH, *BRANCHES)
    assert part_tree(surface, labels, 5).parents.tolist() == [-1, 0, 1, 1, 1]
    # from the other end, what goes on beyond the fork hangs on the upper stem in the same way
    assert part_tree(surface, labels, 5, root=2).parents.tolist() == [1, 2, -1, 2, 2]


def test_a_short_link_of_a_chain_is_no_fork() -> None:
    surface, labels = _rods(
        ((0, 0, 0), (0, 0.5, 0), 0.1), ((0, 0.5, 0), (0, 0.66, 0), 0.09), ((0, 0.66, 0), (0, 1, 0), 0.1)
    )
    assert part_tree(surface, labels, 3, root=0).parents.tolist() == [-1, 0, 1]
    touch = contacts(surface, labels, 3)
    touch.length[0, 2] = touch.length[2, 0] = touch.length[0, 1]  # even where its ends touch over its edge
    assert _at_forks(np.array([-1, 0, 1], np.int32), touch, surface.means(labels, 3)).tolist() == [-1, 0, 1]


def test_the_root_is_the_middle_of_the_bulk_not_of_the_surface() -> None:
    leaves = [((0, 1, 0), (float(np.cos(t)), 1.2, float(np.sin(t))), 0.06) for t in np.arange(4) * np.pi / 2]
    surface, labels = _rods(((0, 0.1, 0), (0, 0.2, 0), 0.3), ((0, 0.4, 0), (0, 1, 0), 0.06), *leaves)
    assert np.bincount(labels, surface.areas)[2:].sum() > np.bincount(labels, surface.areas)[0]
    assert part_tree(surface, labels, 6).parents.tolist() == [-1, 0, 1, 1, 1, 1]


def test_means_are_weighted_by_area() -> None:
    surface = _strip(31)
    found = surface.means((surface.points[:, 0] > 10.5).astype(np.int64), 2)
    assert found[:, 1] == pytest.approx([2, 2], abs=0.05)
    assert found[:, 0] == pytest.approx([5.25, 20.25], abs=0.3)
