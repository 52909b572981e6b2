"""Outfits: chance decides, sides differ, and what is worn follows the body."""

from dataclasses import replace

import numpy as np
import pytest

from diorama.core.figure import Motion
from diorama.figures.cast import Cast, load_cast
from diorama.figures.pose import animate
from diorama.theatre.dressing import dress
from diorama.theatre.paint import paint, texels_of
from diorama.theatre.wardrobe import Cloth, Outfit, random_outfit

SIZE = 96


@pytest.fixture(scope="module")
def cast() -> Cast:
    return load_cast()


def plain() -> Outfit:
    base = random_outfit(np.random.default_rng(0))
    return replace(
        base, top=Cloth((250, 0, 0), (0, 0, 0)), bottom=Cloth((0, 0, 250), (0, 0, 0)), accent=(0, 250, 0), sleeves=0.45,
        legs=1.0, skirt=False, loose=0.0, logo="disc", back=True, odd_sleeve="left", odd_leg="", hair_style="short",
    )  # fmt: skip


def test_the_seed_decides_and_outfits_differ() -> None:
    outfits = [random_outfit(np.random.default_rng(i)) for i in range(40)]
    assert outfits[3] == random_outfit(np.random.default_rng(3))
    assert len(set(outfits)) == 40
    for outfit in outfits:
        assert np.linalg.norm(np.array(outfit.top.color) - outfit.bottom.color) >= 60


def test_front_and_back_left_and_right_are_told_apart(cast: Cast) -> None:
    t, image = texels_of(cast, SIZE), paint(cast, plain(), SIZE)
    accent = (image == (0, 250, 0)).all(axis=-1)
    front, back = t.normals[..., 2] > 0.3, t.normals[..., 2] < -0.3
    chest = np.abs(t.places[..., 0]) < 0.1
    assert 0 < accent[front & chest].mean() < accent[back & chest].mean()
    arm = (t.limbs > 0.15) & (t.limbs < 0.4) & (t.places[..., 1] > 1)
    assert accent[arm & (t.places[..., 0] > 0)].mean() > 0.9
    assert accent[arm & (t.places[..., 0] < 0)].mean() < 0.1


def test_hands_and_face_stay_bare(cast: Cast) -> None:
    t, image = texels_of(cast, SIZE), paint(cast, plain(), SIZE)
    hand = t.used & (t.regions == cast.region_names.index("hand"))
    assert np.abs(image[hand].astype(int) - np.array(plain().skin)).max() < 30


@pytest.mark.parametrize("style", ["bald", "short", "full", "long", "cap"])
def test_every_shell_is_bound_and_off_the_body(cast: Cast, style: str) -> None:
    outfit = replace(plain(), hair_style=style, loose=0.02, skirt=True)
    dressed = dress(cast, cast.figure(cast.names[0]), outfit, size=SIZE)
    assert len(dressed.shells) == (2 if style == "bald" else 3)
    skeleton = dressed.body.skeleton
    rotations = np.zeros((1, len(skeleton), 4), np.float32)
    rotations[..., 0] = 1
    shift = np.array([[0, 1, 0]], np.float32)
    for figure in dressed.figures:
        assert np.allclose(figure.skin_weights.sum(axis=1), 1, atol=1e-3)
        moved = animate(figure, Motion(skeleton, rotations, shift, 24.0))[0]
        assert np.allclose(moved, figure.mesh.vertices + shift, atol=1e-4)
