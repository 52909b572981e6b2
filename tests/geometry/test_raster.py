"""The rasteriser: ids equal ray-cast ids, twins agree, nothing cracks, near planes cut, attributes have gradients."""

import numpy as np
import pytest
import torch

from diorama.core.camera import Cameras
from diorama.errors import UsageError
from diorama.geometry.raster import Fragments, interpolate, rasterize, rasterize_reference, rasterize_torch

QUAD = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def camera(size: int = 48, *, turn: float = 0.0, back: float = 4.0) -> Cameras:
    """Looks at the origin from `back` metres away, turned about Y."""
    c, s = np.cos(turn), np.sin(turn)
    viewmat = np.eye(4)
    viewmat[:3, :3] = [[c, 0, s], [0, -1, 0], [s, 0, -c]]
    viewmat[2, 3] = back
    focal = 1.3 * size
    return Cameras(viewmat[None], np.array([[[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]]]), size, size)


def soup(seed: int, count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Triangles here and there, some of them slivers."""
    rng = np.random.default_rng(seed)
    middles = rng.uniform(-1.2, 1.2, (count, 1, 3))
    vertices = (middles + rng.normal(size=(count, 3, 3)) * rng.choice([0.02, 0.4, 1.0], (count, 1, 1))).reshape(-1, 3)
    return vertices.astype(np.float32), np.arange(3 * count, dtype=np.int32).reshape(-1, 3)


def cast_rays(vertices: np.ndarray, faces: np.ndarray, view: Cameras) -> tuple[np.ndarray, np.ndarray]:
    """The nearest face along each pixel's ray by Moller and Trumbore's test, and how clearly each ray meets it."""
    local = vertices @ view.viewmats[0, :3, :3].T + view.viewmats[0, :3, 3]
    ys, xs = np.mgrid[: view.height, : view.width] + 0.5
    rays = np.stack([xs, ys, np.ones_like(xs)], -1) @ np.linalg.inv(view.Ks[0]).T
    best, ids = np.full(xs.shape, np.inf), np.full(xs.shape, -1)
    clear = np.full(xs.shape, np.inf)
    for number, (a, b, c) in enumerate(local[faces]):
        one, two = b - a, c - a
        p = np.cross(rays, two)
        det = p @ one
        with np.errstate(divide="ignore", invalid="ignore"):
            u = (p @ -a) / det
            q = np.cross(-a, one)
            v, z = (rays @ q) / det, (two @ q) / det
        slack = np.minimum(np.minimum(u, v), 1 - u - v)
        clear = np.minimum(clear, np.where(np.isfinite(slack), np.abs(slack), np.inf))
        hit = (slack >= 0) & (z > 0.01) & (z < best)
        best[hit], ids[hit] = z[hit], number
    return ids, clear


@pytest.mark.parametrize("seed", range(4))
def test_ids_equal_ray_cast_ids(seed: int) -> None:
    vertices, faces = soup(seed)
    found = rasterize(vertices, faces, camera())
    ids, clear = cast_rays(vertices, faces, camera())
    assert (found.face_ids == ids)[clear > 0.05].all()
    assert (found.face_ids == ids).mean() > 0.99


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("back", [4.0, 0.3])
def test_twins_agree(seed: int, back: float) -> None:
    vertices, faces = soup(seed)
    kernel = rasterize(vertices, faces, camera(back=back))
    for other in (
        rasterize_reference(vertices, faces, camera(back=back)),
        rasterize_torch(vertices, faces, camera(back=back), device="cpu"),
    ):
        assert (kernel.face_ids == other.face_ids).mean() >= 0.999
        same = kernel.face_ids == other.face_ids
        assert np.array_equal(kernel.depth[same], other.depth[same])


@pytest.mark.parametrize("seed", range(3))
def test_weights_and_depth_give_the_point_back(seed: int) -> None:
    vertices, faces = soup(seed)
    view = camera(turn=0.4)
    found = rasterize(vertices, faces, view)
    seen = found.face_ids >= 0
    assert np.allclose(found.barycentrics.sum(-1), seen, atol=1e-6)
    assert np.isinf(found.depth[~seen]).all()
    points = interpolate(found, faces, vertices)[seen]
    pixels, depth = view.project(points.astype(np.float64))
    ys, xs = np.nonzero(seen)
    assert np.abs(pixels[0] - np.stack([xs, ys], 1) - 0.5).max() < 0.01
    assert np.allclose(depth[0], found.depth[seen], rtol=1e-4)


def test_a_plane_has_its_depth_and_no_crack() -> None:
    vertices = np.array([[-9, -9, -1], [9, -9, -1], [9, 9, 1], [-9, 9, 1]], np.float32)
    rng = np.random.default_rng(0)
    for _ in range(20):  # the shared diagonal at any angle
        turn, angle = rng.uniform(-0.5, 0.5), rng.uniform(0, 2 * np.pi)
        c, s = np.cos(angle), np.sin(angle)
        turned = (vertices @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])).astype(np.float32)
        assert (rasterize(turned, QUAD, camera(turn=turn)).face_ids >= 0).all()
    found = rasterize(vertices, QUAD, camera(48))
    ys = np.mgrid[:48, :48][0] + 0.5
    slope = -(ys - 24) / (1.3 * 48)  # y over depth
    assert np.allclose(found.depth, (4 / (1 + slope / 9)), rtol=1e-4)


def test_equally_near_faces_go_to_the_first() -> None:
    vertices = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
    doubled = np.concatenate([QUAD, QUAD, QUAD[:, ::-1]])
    assert rasterize(vertices, doubled, camera()).face_ids.max() == 1


def test_mirrored_geometry_gives_the_mirrored_image() -> None:
    vertices, faces = soup(7)
    flipped = vertices * np.array([-1, 1, 1], np.float32)
    straight, mirrored = rasterize(vertices, faces, camera()), rasterize(flipped, faces, camera())
    assert (straight.face_ids == mirrored.face_ids[:, ::-1]).mean() > 0.998


def box(size: float) -> tuple[np.ndarray, np.ndarray]:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32) * size
    sides = [(0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5)]
    return corners, np.array([t for a, b, c, d in sides for t in ((a, b, c), (a, c, d))], np.int32)


def test_a_camera_inside_a_box_sees_it_everywhere() -> None:
    vertices, faces = box(1.0)
    for turn in np.linspace(0, 6, 9):
        found = rasterize(vertices, faces, camera(turn=float(turn), back=0.2))
        assert (found.face_ids >= 0).all()
        assert found.depth.max() < 4


def test_the_near_plane_cuts() -> None:
    vertices, faces = box(1.0)
    found = rasterize(vertices, faces, camera(back=1.5), near=1.0)
    assert found.depth[found.face_ids >= 0].min() >= 1.0 - 1e-5
    assert (rasterize(vertices, faces, camera(back=1.5)).depth < 0.6).any()


def test_faces_without_area_are_skipped() -> None:
    vertices = np.array([[-1, -1, 0], [1, 1, 0], [0, 0, 0], [1, -1, 0]], np.float32)
    faces = np.array([[0, 1, 2], [0, 0, 1], [2, 2, 2]], np.int32)
    assert (rasterize(vertices, faces, camera()).face_ids == -1).all()
    assert (rasterize(vertices, np.zeros((0, 3), np.int32), camera()).face_ids == -1).all()


def test_attributes_have_gradients() -> None:
    vertices, faces = soup(1, 12)
    found = rasterize(vertices, faces, camera(12))
    values = torch.randn(len(vertices), 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(lambda a: interpolate(found, faces, a), values.requires_grad_())
    flat = interpolate(found, faces, values.detach().numpy().astype(np.float32))
    assert np.allclose(flat, interpolate(found, faces, values).detach().numpy(), atol=1e-6)


def refused(says: str, **changes: object) -> None:
    vertices, faces = soup(0, 4)
    given: dict = {"vertices": vertices, "faces": faces, "camera": camera(), **changes}
    with pytest.raises(UsageError, match=says):
        rasterize(given.pop("vertices"), given.pop("faces"), given.pop("camera"), **given)


def test_misuse_is_refused() -> None:
    vertices, faces = soup(0, 4)
    bad = vertices.copy()
    bad[3] = np.nan
    refused("finite", vertices=bad)
    refused("beyond", faces=faces + 9)
    refused("near", near=0)
    two = Cameras(np.repeat(camera().viewmats, 2, 0), np.repeat(camera().Ks, 2, 0), 48, 48)
    refused("2 views", camera=two)
    assert isinstance(rasterize(vertices, faces, camera()), Fragments)
