"""Texels of faces in one picture: every texel is found where the coordinates of its face say."""

import numpy as np
import pytest

from diorama.core.mesh import Mesh
from diorama.errors import UsageError
from diorama.figures.atlas import atlas
from diorama.figures.texels import texels_of


def _mesh() -> Mesh:
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(30, 3)).astype(np.float32)
    faces = np.stack([rng.permutation(30)[:3] for _ in range(21)]).astype(np.int32)
    return Mesh(vertices, faces)


def test_every_texel_lies_where_its_barycentrics_point() -> None:
    mesh = _mesh()
    texels = texels_of(mesh, 0.3)
    colors = np.random.default_rng(1).integers(0, 256, (len(texels), 3)).astype(np.float32)
    picture, uvs, uv_faces = atlas(texels, colors)
    corners = uvs[uv_faces[texels.faces]]
    place = (corners * texels.weights[..., None]).sum(axis=1) * len(picture) - 0.5
    column, row = np.rint(place).astype(int).T
    assert np.abs(place - np.rint(place)).max() < 1e-3
    assert np.array_equal(picture[row, column], colors.astype(np.uint8))
    assert uvs.min() >= 0
    assert uvs.max() <= 1


def test_a_smooth_colour_stays_smooth_up_to_the_slanted_edge() -> None:
    # bilinear reading just within a face must not take in the other face of its rectangle
    mesh = _mesh()
    texels = texels_of(mesh, 0.3)
    colors = np.repeat((texels.faces % 2 * 200.0)[:, None], 3, axis=1).astype(np.float32)
    picture, uvs, uv_faces = atlas(texels, colors)
    shares = np.random.default_rng(2).dirichlet([1, 1, 1], size=(len(uv_faces), 40))
    shares[:, :10, 0] = 0  # on the slanted edge itself
    shares /= shares.sum(axis=-1, keepdims=True)
    place = np.einsum("fki,fic->fkc", shares, uvs[uv_faces]) * len(picture) - 0.5
    low = np.floor(place + 1e-4).astype(int)
    part = np.clip(place - low, 0, 1)
    found = 0.0
    for dx in (0, 1):
        for dy in (0, 1):
            weight = np.abs(1 - dx - part[..., 0]) * np.abs(1 - dy - part[..., 1])
            found = found + weight * picture[low[..., 1] + dy, low[..., 0] + dx, 0]
    wanted = (np.arange(len(uv_faces)) % 2 * 200.0)[:, None]
    assert np.abs(found - wanted).max() < 1


def test_another_number_of_colours_is_refused() -> None:
    texels = texels_of(_mesh(), 0.3)
    with pytest.raises(UsageError, match="one each"):
        atlas(texels, np.zeros((3, 3), np.float32))
