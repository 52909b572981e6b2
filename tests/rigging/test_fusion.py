"""Depth maps fused into hulls: hollows are found, liars are not believed, and nothing else is accepted."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from diorama.errors import UsageError
from diorama.geometry.orbit import around
from diorama.geometry.raster import rasterize
from diorama.rigging.hull import Silhouettes, visual_hull

LOW, HIGH = np.full(3, -0.6, np.float32), np.full(3, 0.6, np.float32)
SIZE, CELLS = 128, 48
OUTER, INNER, FLOOR = 0.45, 0.35, -0.15
"""Metres of a pot that lies on its side: its radii, and where its floor is; it reaches from -0.3 to 0.3 along Z."""
PROFILE = np.array([[0, -0.3], [OUTER, -0.3], [OUTER, 0.3], [INNER, 0.3], [INNER, FLOOR], [0, FLOOR]])


def _pot() -> tuple[np.ndarray, np.ndarray]:
    """A pot that opens towards +Z, as a surface of revolution."""
    turn = np.arange(48) * (2 * np.pi / 48)
    rings = [np.stack([r * np.sin(turn), r * np.cos(turn), np.full(48, z)], axis=1) for r, z in PROFILE]
    start, after = np.arange(48), (np.arange(48) + 1) % 48
    faces = []
    for ring in range(len(PROFILE) - 1):
        a, b = 48 * ring, 48 * (ring + 1)
        faces += [np.stack([a + start, a + after, b + start], 1), np.stack([a + after, b + after, b + start], 1)]
    return np.concatenate(rings).astype(np.float32), np.concatenate(faces).astype(np.int32)


@cache
def _seen() -> tuple[Silhouettes, np.ndarray]:
    """The pot from eight sides, with the depth of each view."""
    cameras = around(np.arange(8, dtype=np.float32) * 45, 10.0, 0.65, SIZE)
    drawn = [rasterize(*_pot(), cameras[v : v + 1]) for v in range(8)]
    depth = np.stack([np.where(each.face_ids >= 0, each.depth, 0) for each in drawn]).astype(np.float32)
    return Silhouettes(depth > 0, cameras), depth


def _distance(points: np.ndarray) -> np.ndarray:
    """Metres to the surface of the pot."""
    away, z = np.hypot(points[:, 0], points[:, 1]), points[:, 2]
    found = np.full(len(points), np.inf)
    for a, b in pairwise(PROFILE):
        flat = np.stack([away, z], axis=1) - a
        along = np.clip(flat @ (b - a) / ((b - a) @ (b - a)), 0, 1)
        found = np.minimum(found, np.linalg.norm(flat - along[:, None] * (b - a), axis=1))
    return found


def _error(depth: np.ndarray | None) -> float:
    silhouettes, _ = _seen()
    mesh = visual_hull(silhouettes, LOW, HIGH, cells=CELLS, depth=depth)
    return float(_distance(mesh.vertices.astype(np.float64)).mean())


def test_depth_finds_the_hollow_that_silhouettes_miss() -> None:
    _, depth = _seen()
    hull, found = _error(None), _error(depth)
    assert hull > 0.02, "the hull is filled"
    assert found < hull / 4
    assert found < 0.006, "metres; a cell is 0.02"


def test_unknown_depth_changes_nothing_and_half_of_it_is_of_use() -> None:
    silhouettes, depth = _seen()
    hull = visual_hull(silhouettes, LOW, HIGH, cells=CELLS)
    for unknown in (0, np.nan):
        same = visual_hull(silhouettes, LOW, HIGH, cells=CELLS, depth=np.full_like(depth, unknown))
        assert np.array_equal(same.vertices, hull.vertices)
        assert np.array_equal(same.faces, hull.faces)
    half = depth.copy()
    half[1::2] = np.nan
    assert _error(half) < _error(None) / 2


def _spoilt(way: str, view: int = 2) -> np.ndarray:
    depth = _seen()[1].copy()
    seen = depth[view] > 0
    noise = np.random.default_rng(0).normal(0, 0.2, depth[view].shape)
    lies = {
        "far": depth[view] + 0.2,
        "near": depth[view] - 0.2,
        "noise": depth[view] + noise,
        "flat": np.full_like(depth[view], depth[view].max()),
        "beyond": np.full_like(depth[view], 1e6),
    }
    depth[view] = np.where(seen, lies[way], 0)
    return depth


@pytest.mark.parametrize("way", ["far", "near", "noise", "flat", "beyond"])
def test_one_view_that_lies_does_no_harm(way: str) -> None:
    assert _error(_spoilt(way)) < _error(_seen()[1]) + 0.001


def test_views_that_all_lie_are_not_believed() -> None:
    silhouettes, depth = _seen()
    for wrong in (np.where(depth > 0, depth + 1.0, 0), np.where(depth > 0, np.roll(depth, 3, axis=0) * 2, 0)):
        same = visual_hull(silhouettes, LOW, HIGH, cells=CELLS, depth=wrong.astype(np.float32))
        assert np.array_equal(same.vertices, visual_hull(silhouettes, LOW, HIGH, cells=CELLS).vertices)


def test_large_depth_maps_are_thinned_out_and_say_the_same() -> None:
    silhouettes, depth = _seen()
    large = Silhouettes(silhouettes.inside.repeat(6, 1).repeat(6, 2), silhouettes.cameras.scaled(6 * SIZE, 6 * SIZE))
    mesh = visual_hull(large, LOW, HIGH, cells=32, depth=depth.repeat(6, 1).repeat(6, 2))
    assert _distance(mesh.vertices.astype(np.float64)).mean() < 0.012


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda depth: depth[:3], "3, 128, 128"),
        (lambda depth: depth[:, ::2], "8, 64, 128"),
        (lambda depth: -depth, "negative or infinite"),
        (lambda depth: np.where(depth > 0, depth, np.inf).astype(np.float32), "view 0"),
    ],
)
def test_depth_that_is_none_is_refused(change: object, said: str) -> None:
    silhouettes, depth = _seen()
    with pytest.raises(UsageError, match=said):
        visual_hull(silhouettes, LOW, HIGH, cells=24, depth=change(depth))  # type: ignore[operator]
