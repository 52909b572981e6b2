"""Outlines: distances against brute force, and vertices that lie on the edge."""

import numpy as np

from diorama.core.camera import Cameras
from diorama.figures.cast import load_cast
from diorama.figures.contour import contour_vertices, distances, signed_distances
from diorama.geometry.raster import rasterize


def test_distances_are_exact() -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((3, 17, 23)) < np.array([0.02, 0.3, 0.9])[:, None, None]
    rows, columns = np.mgrid[:17, :23]
    for mask, found in zip(masks, distances(masks), strict=True):
        ys, xs = np.nonzero(mask)
        brute = np.sqrt(((rows[..., None] - ys) ** 2 + (columns[..., None] - xs) ** 2).min(axis=-1))
        assert np.allclose(found, brute, atol=1e-5)
    assert np.isinf(distances(np.zeros((1, 4, 5), bool))).all()
    assert np.isnan(signed_distances(np.ones((1, 4, 5), bool))).all()


def test_signed_distances_change_sign_at_the_edge() -> None:
    mask = np.zeros((1, 9, 12), bool)
    mask[:, :, 4:] = True
    assert np.allclose(signed_distances(mask)[0, 3], np.arange(12) * -1.0 + 3.5)


def test_contour_vertices_lie_on_the_outline() -> None:
    mesh = load_cast().figure("Ulla").mesh
    viewmat = np.diag([1.0, -1.0, -1.0, 1.0])
    viewmat[:3, 3] = (0, 0.8, 4.0)
    K = np.array([[150.0, 0, 64], [0, 150.0, 64], [0, 0, 1]])
    camera = Cameras(viewmat[None], K[None], 128, 128)
    ring = contour_vertices(mesh.vertices, mesh.faces, camera, 40)
    assert len(ring) == len(set(ring.tolist())) == 40
    far = signed_distances((rasterize(mesh.vertices, mesh.faces, camera).face_ids >= 0)[None])[0]
    pixels = camera.project(mesh.vertices[ring].astype(np.float64))[0][0]
    x, y = np.floor(pixels.T).astype(int)
    assert np.abs(far[y, x]).max() < 4
    away = viewmat.copy()
    away[2, 3] = -4.0
    assert len(contour_vertices(mesh.vertices, mesh.faces, Cameras(away[None], K[None], 128, 128), 40)) == 0
