"""Light, colour, sharpness, grain and shadow: what is known comes back, what is matched is bounded and seeded."""

from dataclasses import replace

import numpy as np
import pytest

from diorama.core.camera import Cameras
from diorama.errors import UsageError
from diorama.figures.cast import load_cast
from diorama.figures.harmonics import EVEN, Lighting, fit_light, shading_of, sphere
from diorama.figures.shade import (
    MOST_GAIN,
    Look,
    balance,
    blur_of,
    exposure_from_actor,
    light_of_actor,
    light_of_scene,
    look_of,
    matched,
    noise_of,
)
from diorama.figures.shadow import Ground, contact_shadow, shadowed
from diorama.figures.show import Shown, show_one
from diorama.figures.sight import Sight
from diorama.figures.texels import texels_of
from diorama.figures.texture import Character

RNG = np.random.default_rng
LIGHT = Lighting(np.linspace(0.1, -0.08, 27).reshape(9, 3).astype(np.float32) + EVEN.factors)


def test_known_light_comes_back_in_spite_of_shine_and_shadow() -> None:
    normals = sphere(2000)
    albedo = RNG(0).uniform(40, 200, (2000, 3)).astype(np.float32)
    colors = albedo * LIGHT.at(normals)
    found = fit_light(normals, colors, albedo)
    np.testing.assert_allclose(found.factors, LIGHT.factors, atol=0.01)
    colors[RNG(1).random(2000) < 0.1] *= 0.3
    found = fit_light(normals, colors, albedo)
    assert np.abs(found.at(normals) - LIGHT.at(normals)).max() < 0.06


def test_turned_light_is_the_same_light() -> None:
    turn = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    normals = sphere(300)
    turned = LIGHT.turned(turn).at((normals @ turn.T).astype(np.float32))
    np.testing.assert_allclose(turned, LIGHT.at(normals), atol=1e-4)
    np.testing.assert_allclose(EVEN.at(normals), 1)


def test_shading_is_told_from_the_colours_of_parts() -> None:
    normals = sphere(6000)
    normals = normals[normals[:, 2] > 0.1]
    parts = RNG(0).integers(0, 6, len(normals)).astype(np.int32)
    light = Lighting((np.array([1, 0.1, 0.3, 0.2, 0, 0, 0, 0, 0])[:, None] * np.ones(3)).astype(np.float32))
    colors = np.array([30, 60, 90, 120, 150, 180], np.float32)[parts][:, None] * light.at(normals)
    found = shading_of(normals, colors.astype(np.float32), parts, np.ones(len(normals), np.float32))
    true = light.at(normals)[:, 0] / light.at(normals)[:, 0].mean()
    assert np.abs(found.at(normals)[:, 0] - true).mean() < 0.03


def body() -> tuple[Character, Cameras]:
    figure = load_cast().figure(load_cast().names[1])
    texels = texels_of(figure.mesh, 0.02)
    colors = RNG(0).uniform(60, 150, (len(texels), 3)).astype(np.float32)
    viewmat = np.diag([1.0, -1, -1, 1])
    viewmat[:3, 3] = [0, 0.85, 4]
    K = np.array([[380.0, 0, 100], [0, 380, 110], [0, 0, 1]])
    ones = np.ones(len(texels), np.float32)
    still = np.zeros(len(figure.mesh.vertices), np.float32)
    return Character(figure, still, texels, 0 * colors + 110, ones), Cameras(viewmat[None], K[None], 220, 200)


def test_light_of_an_actor_is_that_in_which_it_was_drawn() -> None:
    actor, camera = body()
    vertices = actor.figure.mesh.vertices
    shown = show_one(actor, vertices, camera, light=LIGHT)
    found = light_of_actor(actor, Sight(shown.image, shown.alpha == 1, vertices, camera))
    front = sphere(400)
    front = front[front[:, 2] > 0.4]
    assert np.abs(found.at(front) - LIGHT.at(front)).mean() < 0.025


def test_exposure_goes_from_actor_to_character() -> None:
    actor, _ = body()
    dim = replace(actor, colors=actor.colors * np.float32(0.7))
    assert exposure_from_actor(actor, actor) == pytest.approx([1, 1, 1])
    assert (exposure_from_actor(actor, dim) < 0.85).all()
    assert (exposure_from_actor(actor, replace(actor, colors=actor.colors * 0)) == np.float32(1 / MOST_GAIN)).all()
    with pytest.raises(UsageError, match="nothing of the person"):
        exposure_from_actor(actor, replace(actor, known=actor.known * 0))


def test_a_scene_that_is_bright_on_one_side_lights_from_there() -> None:
    picture = np.zeros((60, 100, 3), np.uint8)
    picture[:, 70:] = 250
    camera = Cameras(np.eye(4)[None], np.array([[[60.0, 0, 50], [0, 60, 30], [0, 0, 1]]]), 60, 100)
    light = light_of_scene(picture, camera)
    right, left = light.at(np.array([[1, 0, 0], [-1, 0, 0]], np.float32)).mean(axis=1)
    assert right > left + 0.3
    assert light.at(sphere(500)).mean() == pytest.approx(1, abs=0.05)
    even = light_of_scene(np.full_like(picture, 90), camera)
    np.testing.assert_allclose(even.at(sphere(50)), 1, atol=0.02)


def test_gains_lead_from_photo_to_scene_and_are_bounded() -> None:
    photo = RNG(0).integers(80, 160, (40, 40, 3)).astype(np.uint8)
    whole = np.ones((40, 40), bool)
    brighter = balance(photo, (photo * 1.4).astype(np.uint8), whole, whole)
    assert (brighter > 1.15).all()
    assert np.ptp(brighter) < 0.02
    red, _, blue = balance(photo, (photo * np.array([1.2, 1.0, 0.8])).astype(np.uint8), whole, whole)
    assert 1.15 > red > blue > 0.85
    assert balance(photo, photo, whole, whole) == pytest.approx([1, 1, 1])
    assert balance(photo, photo * 0, whole, whole).min() >= 1 / MOST_GAIN
    with pytest.raises(UsageError, match="beside the people"):
        balance(photo, photo, ~whole, whole)


@pytest.mark.parametrize("sigma", [2.0, 8.0])
def test_noise_is_measured(sigma: float) -> None:
    rng = RNG(0)
    ys, xs = np.mgrid[:160, :200]
    flat = (100 + 0.3 * xs + 20 * (ys > 80))[..., None]
    image = flat + sigma * (0.8 * rng.standard_normal((160, 200, 1)) + 0.6 * rng.standard_normal((160, 200, 3)))
    assert noise_of(np.clip(image, 0, 255).astype(np.uint8)) == pytest.approx(sigma, rel=0.15)
    assert noise_of(np.full((160, 200, 3), 90, np.uint8)) < 1e-3


def edge(sigma: float) -> np.ndarray:
    ys, xs = np.mgrid[:80, :90] + 0.5
    way = (xs - 45 + 0.2 * (ys - 40)) / 1.02
    step = 60 + 130 / (1 + np.exp(-1.702 * way / sigma))
    return np.repeat(np.rint(step)[..., None], 3, axis=-1).astype(np.uint8)


def test_sharpness_is_measured() -> None:
    assert blur_of(edge(1.0)) < blur_of(edge(2.0)) < blur_of(edge(3.0))
    assert blur_of(edge(2.0)) == pytest.approx(2, abs=0.5)
    assert blur_of(np.full((80, 90, 3), 90, np.uint8)) == 0


def test_a_character_takes_the_look_of_the_scene() -> None:
    alpha = np.zeros((90, 90), np.float32)
    alpha[20:70, 20:70] = 1
    shown = Shown((np.full((90, 90, 3), 120) * (alpha[..., None] > 0)).astype(np.uint8), alpha, np.ones_like(alpha))
    grainy = matched(shown, Look(0, 6), RNG(0))
    inner = np.zeros((90, 90), bool)
    inner[22:68, 22:68] = True
    assert noise_of(grainy.image, inner) == pytest.approx(6, rel=0.2)
    assert (grainy.image == matched(shown, Look(0, 6), RNG(0)).image).all()
    assert not grainy.image[alpha == 0].any()
    soft = matched(shown, Look(2, 0), RNG(0))
    assert soft.alpha[45, 19] == pytest.approx(0.4, abs=0.1)
    assert np.abs(soft.image[soft.alpha > 0.02].astype(int) - 120).max() <= 2  # no dark rim
    same = matched(shown, look_of(shown.image), RNG(0), own=look_of(shown.image))
    assert (same.image == shown.image).all()
    with pytest.raises(UsageError, match="blur"):
        Look(-1, 0)


def test_a_shadow_lies_under_who_stands_and_nowhere_else() -> None:
    actor, camera = body()
    vertices, ground = actor.figure.mesh.vertices, Ground(np.array([0.0, 1, 0]), 0)
    tilt = np.array([[1, 0, 0], [0, np.cos(0.3), -np.sin(0.3)], [0, np.sin(0.3), np.cos(0.3)]])
    viewmat = np.eye(4)
    viewmat[:3, :3] = tilt.T @ np.diag([1.0, -1, -1])
    viewmat[:3, 3] = [0, 0.5, 5]
    above = Cameras(viewmat[None], camera.Ks, 220, 200)
    left = contact_shadow(vertices, ground, above)
    assert left.min() < 0.6
    assert left.max() == 1
    feet = vertices[vertices[:, 1] < 0.02].astype(float)
    (pixels,), _ = above.project(feet * [1, 0, 1])
    x, y = np.floor(pixels).astype(int).T
    assert left[y, x].mean() < 0.7
    assert (left[:60] == 1).all()
    jumped = contact_shadow(vertices + np.array([0, 0.5, 0], np.float32), ground, above)
    assert left.min() < jumped.min() < 1
    assert (contact_shadow(vertices + np.array([0, 3, 0], np.float32), ground, above) == 1).all()
    picture = RNG(0).integers(0, 255, (220, 200, 3)).astype(np.uint8)
    dark = shadowed(picture, left)
    assert (dark[left == 1] == picture[left == 1]).all()
    assert (dark <= picture).all()


def test_refusals() -> None:
    ones = np.ones((4, 3), np.float32)
    with pytest.raises(UsageError, match="samples of light"):
        fit_light(ones, ones, ones)
    with pytest.raises(UsageError, match="not finite"):
        fit_light(sphere(20), np.full((20, 3), np.nan, np.float32), sphere(20))
    with pytest.raises(UsageError, match="not finite"):
        Lighting(np.full((9, 3), np.inf, np.float32))
    with pytest.raises(UsageError, match="length 1"):
        Ground(np.array([0.0, 2, 0]), 0)
