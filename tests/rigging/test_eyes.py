"""Cameras of fewer pixels see what they saw, and worlds of any size look alike."""

import numpy as np
import pytest

from diorama.core.camera import Cameras
from diorama.core.mesh import Mesh
from diorama.geometry.orbit import around
from diorama.geometry.raster import rasterize
from diorama.rigging.eyes import thinned
from diorama.rigging.hull import Silhouettes, visual_hull
from diorama.rigging.lift import sightings, votes

TURNS = np.arange(6, dtype=np.float32) * 60


def _box() -> Mesh:
    """A box of 0.6 x 0.8 x 0.4 around the origin."""
    corners = np.array([[x, y, z] for x in (-0.3, 0.3) for y in (-0.4, 0.4) for z in (-0.2, 0.2)], np.float32)
    faces = [[0, 1, 3], [0, 3, 2], [4, 7, 5], [4, 6, 7], [0, 5, 1], [0, 4, 5], [2, 3, 7], [2, 7, 6], [0, 2, 6]]
    return Mesh(corners, np.array([*faces, [0, 6, 4], [1, 5, 7], [1, 7, 3]], np.int32))


def _seen(cameras: Cameras, scale: float) -> np.ndarray:
    box = _box()
    vertices = (scale * box.vertices).astype(np.float32)
    every = range(len(cameras))
    return np.stack([rasterize(vertices, box.faces, cameras[v : v + 1], near=1e-3 * scale).face_ids for v in every])


@pytest.mark.parametrize(("size", "every"), [(96, 1), (96, 4), (99, 4), (64, 5)])
def test_pixels_that_are_kept_show_what_they_showed(size: int, every: int) -> None:
    cameras = around(TURNS, 20.0, 0.6, size)
    whole = _seen(cameras, 1.0)
    small, fewer = thinned(whole, cameras, every)
    assert small.shape[1:] == (fewer.height, fewer.width) == (-(-size // every),) * 2
    assert np.array_equal(small, _seen(fewer, 1.0))


@pytest.mark.parametrize("scale", [1e-5, 1e5])
def test_size_is_of_no_matter(scale: float) -> None:
    box, hulls, said = _box(), list[Mesh](), list[np.ndarray]()
    for size in (1.0, scale):
        cameras = around(TURNS, 20.0, 0.6 * size, 64)
        parts = _seen(cameras, size).astype(np.int16)
        said.append(votes((size * box.vertices).astype(np.float32), box.faces, parts, cameras, 12))
        reach = np.full(3, 0.8 * size, np.float32)
        hulls.append(visual_hull(Silhouettes(parts >= 0, cameras), -reach, reach, cells=24))
    assert said[0].sum() > 100
    assert np.allclose(said[0], said[1], rtol=1e-2, atol=1e-2)
    assert len(hulls[0].vertices) == len(hulls[1].vertices)
    assert np.allclose(hulls[0].vertices, hulls[1].vertices / scale, atol=1e-4)


def test_a_vertex_that_strays_far_blanks_nothing() -> None:
    box = _box()
    vertices = np.concatenate([np.repeat(box.vertices, 20, axis=0), [[0, 0, 2e4]]]).astype(np.float32)
    faces = np.concatenate([20 * box.faces, [[160, 0, 1]]]).astype(np.int32)
    (rows, _), _, _ = sightings(vertices, faces, around(TURNS[:1], 0.0, 0.6, 64))
    assert len(rows) > 500
