"""Motion maps: each is a function of the visible surface alone."""

import numpy as np
import torch

from diorama.core.camera import Cameras
from diorama.core.mesh import Mesh
from diorama.figures import codes
from diorama.geometry.raster import Fragments, rasterize

SIZE = 40
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
SIDES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
CUBE = Mesh(CORNERS, np.array([t for a, b, c, d in SIDES for t in ((a, b, c), (a, c, d))], np.int32))
PARTS = np.arange(12, dtype=np.int32) // 2


def camera() -> Cameras:
    """From +Z, four metres away."""
    viewmat = np.diag([1.0, -1, -1, 1])
    viewmat[2, 3] = 4
    K = np.array([[50.0, 0, SIZE / 2], [0, 50, SIZE / 2], [0, 0, 1]])
    return Cameras(viewmat[None], K[None], SIZE, SIZE)


def fragments() -> Fragments:
    return rasterize(CUBE.vertices, CUBE.faces, camera())


def test_codes_are_interpolated_and_learn() -> None:
    module = codes.VertexCodes(8, 4, generator=torch.Generator().manual_seed(0))
    image = module(fragments(), CUBE.faces)
    assert image.shape == (4, SIZE, SIZE)
    assert not image[:, 0, 0].any()
    image.sum().backward()
    gradient = module.codes.grad
    assert gradient is not None
    front = CORNERS[:, 2] > 0
    assert (gradient[torch.from_numpy(front)] != 0).all()
    assert not gradient[torch.from_numpy(~front)].any()


def test_positions_are_colours_and_mirror() -> None:
    colors = codes.position_colors(CUBE)
    assert colors[0].tolist() == [0, 0, 0]
    assert colors[7].tolist() == [255, 255, 255]
    flipped = codes.mirrored_colors(CUBE, colors)
    picture = codes.color_map(fragments(), CUBE.faces, colors)
    mirrored = codes.color_map(fragments(), CUBE.faces, flipped)
    assert np.abs(picture[:, ::-1].astype(int) - mirrored).max() <= 1


def test_normals_face_the_viewer_and_depth_is_near() -> None:
    flat = Mesh(CORNERS[CUBE.faces.ravel()], np.arange(36, dtype=np.int32).reshape(-1, 3))  # every face its own corners
    found = rasterize(flat.vertices, flat.faces, camera())
    normals = codes.normal_map(found, flat.vertices, flat.faces, camera())
    assert np.abs(normals[SIZE // 2, SIZE // 2].astype(int) - [128, 128, 255]).max() <= 1
    assert not normals[0, 0].any()
    depth = codes.depth_map(found)
    assert depth[SIZE // 2, SIZE // 2] >= 1
    assert depth[0, 0] == 0
    assert not codes.depth_map(rasterize(flat.vertices, flat.faces[:0], camera())).any()


def test_parts_and_their_colours() -> None:
    parts = codes.part_map(fragments(), PARTS)
    assert set(np.unique(parts)) == {-1, 5}
    palette = np.arange(18, dtype=np.uint8).reshape(6, 3)
    assert codes.semantic_map(fragments(), PARTS, palette)[SIZE // 2, SIZE // 2].tolist() == [15, 16, 17]
