"""Stages, their shapes and textures, and the cameras before them."""

import numpy as np
import pytest

from diorama.core.mesh import Mesh
from diorama.errors import UsageError
from diorama.geometry.orbit import look_at
from diorama.theatre import shapes, textures
from diorama.theatre.cameras import KINDS, beside, random_track
from diorama.theatre.furniture import furniture, outdoors
from diorama.theatre.props import HELD, OCCLUDERS
from diorama.theatre.sky import sky_picture
from diorama.theatre.stage import FREE, random_stage

GREY = np.full((8, 8, 3), 128, np.uint8)


def volume(mesh: Mesh) -> float:
    """Enclosed by faces that look outwards."""
    a, b, c = mesh.vertices[mesh.faces].astype(np.float64).transpose(1, 0, 2)
    return float((np.cross(a, b) * c).sum() / 6)


def test_solids_look_outwards_and_have_their_size() -> None:
    assert volume(shapes.box((1, 2, 3), (1, 2, 0.5), GREY, 1.0)) == pytest.approx(1.0, rel=1e-4)
    assert volume(shapes.box((0, 0, 0), (1, 2, 0.5), GREY, 1.0, inside=True)) == pytest.approx(-1.0, rel=1e-4)
    assert volume(shapes.ball((0, 1, 0), 1.0, GREY, around=40)) == pytest.approx(4.19, rel=0.03)
    pole = shapes.lathe((0, 0, 0), ((0.0, 0.0), (0.2, 0.0), (0.2, 1.0), (0.0, 1.0)), GREY, around=40)
    assert volume(pole) == pytest.approx(np.pi * 0.04, rel=0.02)
    rng = np.random.default_rng(0)
    assert volume(shapes.blob(rng, (0, 0, 0), (1, 1, 1), GREY)) > 2


def test_turning_and_moving() -> None:
    panel = shapes.panel((0, 1, 2), (1.0, 0.5), GREY, heading=np.pi / 2)
    assert np.ptp(panel.vertices, axis=0) == pytest.approx([0, 0.5, 1.0], abs=1e-6)
    assert panel.vertices.mean(axis=0) == pytest.approx([0, 1, 2], abs=1e-6)


@pytest.mark.parametrize("material", ["plaster", "wood", "carpet", "foliage", "grass", "gravel", "brick"])
def test_textures_repeat_without_a_seam(material: str) -> None:
    picture = getattr(textures, material)(np.random.default_rng(3), np.array([150.0, 120, 90])).astype(float)
    for axis in (0, 1):
        inside = np.abs(np.diff(picture, axis=axis)).mean()
        across = np.abs(np.take(picture, 0, axis) - np.take(picture, -1, axis)).mean()
        assert across < 3 * inside + 8


def test_every_prop_stands_on_or_above_the_ground() -> None:
    for seed in range(24):
        rng = np.random.default_rng(seed)
        meshes = furniture(rng, (1.0, 0.0, -2.0)) + outdoors(rng, (1.0, 0.0, -2.0))
        meshes += OCCLUDERS[seed % len(OCCLUDERS)](rng)
        assert min(mesh.vertices[:, 1].min() for mesh in meshes) > -0.6  # bushes and rocks are sunk in
        held = np.concatenate([mesh.vertices for mesh in HELD[seed % len(HELD)](rng)])
        assert np.abs(held).max() < 1.4


@pytest.mark.parametrize("kind", ["room", "open"])
def test_stages_are_free_in_the_middle(kind: str) -> None:
    for seed in range(6):
        stage, again = (random_stage(np.random.default_rng(seed), kind) for _ in range(2))
        assert stage.kind == kind
        assert stage.free(np.array([0.0, 1.2, FREE / 2]))
        assert not stage.free(np.array([0.0, 1.2, 500.0]))
        for low, high in stage.solids:
            nearest = np.maximum(np.maximum(low, -np.array(high)), 0)[[0, 2]]
            assert np.linalg.norm(nearest) >= FREE
            if kind == "room":
                assert (np.array(low) > np.array(stage.bounds[0]) - 0.01)[[0, 2]].all()
            assert not stage.free((np.array(low) + np.array(high)) / 2)
        assert all(np.array_equal(a.vertices, b.vertices) for a, b in zip(stage.meshes, again.meshes, strict=True))
        assert np.array_equal(stage.sky, again.sky)


@pytest.mark.parametrize("kind", KINDS)
def test_cameras_move_as_they_are_called(kind: str) -> None:
    target = np.stack([np.linspace(-1, 1, 24), np.full(24, 0.9), np.zeros(24)], axis=1)
    place, look = random_track(np.random.default_rng(4), kind, target, 12.0, distance=4.0)
    cameras = look_at(place, look, height=32, width=48, focal=50.0)
    pixels, depth = cameras[:1].project(look[:1])
    assert pixels[0, 0] == pytest.approx([24, 16], abs=1e-4)
    assert depth[0, 0] > 1
    still = np.ptp(place, axis=0).max() < 1e-9
    assert still == (kind in ("static", "pan"))
    assert np.linalg.norm(np.diff(place, axis=0), axis=1).max(initial=0) < 0.5
    up = cameras.viewmats[:, 1, 1]
    assert (up < -0.5).all()  # upright: the picture's y points down


def test_the_right_eye_is_to_the_right() -> None:
    place, look = np.array([[0.0, 1, 4]]), np.array([[0.0, 1, 0]])
    left = look_at(place, look, height=32, width=32, focal=40.0)
    right = beside(left, 0.065)
    assert right.centers[0] == pytest.approx([0.065, 1, 4])
    (a, _), (b, _) = left.project(np.zeros((1, 3))), right.project(np.zeros((1, 3)))
    assert a[0, 0, 0] - b[0, 0, 0] == pytest.approx(40 * 0.065 / 4)


def test_the_sky_is_above() -> None:
    sky = np.zeros((64, 128, 3), np.uint8)
    sky[:32] = 200
    camera = look_at(np.array([[0.0, 1, 4]]), np.array([[0.0, 1, 0]]), height=32, width=32, focal=20.0)
    picture = sky_picture(sky, camera)
    assert (picture[:12] == 200).all()
    assert (picture[20:] == 0).all()


def test_bad_cameras() -> None:
    here = np.zeros((1, 3))
    with pytest.raises(UsageError, match="where it should look"):
        look_at(here, here, height=8, width=8, focal=8.0)
    with pytest.raises(UsageError, match="straight up"):
        look_at(here, np.array([[0.0, 1, 0]]), height=8, width=8, focal=8.0)
