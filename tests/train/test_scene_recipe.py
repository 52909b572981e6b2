"""The recipe of scene-s: lessons are functions of seed and number, holes alone count, and what comes out is loaded."""

from pathlib import Path

import numpy as np
import pytest
import torch

from diorama.diffusion.codec_load import load_codec
from diorama.diffusion.levels import NOISE
from diorama.diffusion.prior_scene import ScenePrior
from diorama.train.config import TrainConfig
from diorama.train.draws import Draws
from diorama.train.loop import train
from diorama.train.recipes import _holes, scene
from diorama.train.recipes._holes import holes, read_holes
from diorama.train.recipes.scene import SceneRecipe, cut, make


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SIZE", 64), ("FRAMES", 3), ("VIEWS", 3), ("RATES", (6.0,))):
        monkeypatch.setattr(_holes, name, value)
    for name, value in (("POOL", 2), ("SIDE", 8), ("MEASURED", 1), ("VIEWS", 3)):
        monkeypatch.setattr(scene, name, value)


@pytest.fixture
def recipe(small: None, tmp_path: Path) -> SceneRecipe:
    return make(TrainConfig(steps=2, batch=2, out=str(tmp_path / "run")))


def test_a_lesson_knows_what_it_guesses(small: None) -> None:
    seen, again = holes(3), holes(3)
    assert np.array_equal(seen.guess, again.guess)
    assert not seen.unknown[0].any()
    shares = seen.unknown.mean(axis=(1, 2, 3))
    assert 0 < shares[1] <= shares[2] < 0.5
    assert np.array_equal(seen.guess[~seen.unknown], seen.image[~seen.unknown])
    error = np.abs(seen.guess.astype(int) - seen.image)[seen.unknown].mean()
    assert 0 < error < 90
    assert not np.array_equal(holes(4).guess, seen.guess)


def test_pieces_hold_holes_and_batches_follow_from_their_numbers(recipe: SceneRecipe) -> None:
    whole, first, second = recipe.batch(range(2)), recipe.batch([0]), recipe.batch([1])
    for name, value in whole.items():
        assert value.shape[1:] == (first[name].shape[1:])
        assert torch.equal(value[:1], first[name]) or torch.equal(value[1:], second[name])
    assert bool((whole["unknown"].flatten(1).amax(dim=1) > 0).all())
    matrix = read_holes(recipe._lessons.ready(0, recipe._codec))
    row = cut(matrix, np.random.default_rng(0), rows=True)
    assert row["guess"].shape == (16, 3, 8, 8)


def test_an_untrained_network_says_the_guess_and_the_truth_has_no_loss(recipe: SceneRecipe) -> None:
    networks, batch = recipe.networks(), recipe.batch(range(2))
    found = recipe.loss(networks, batch, Draws(0, range(2)))
    assert float(found.total) > 0
    share = float(found.terms["of_guess_at_noise"])
    assert share == pytest.approx(1, abs=1e-4) or share == 0  # no sample at noise
    true = recipe.loss(networks, {**batch, "image": batch["guess"]}, Draws(0, range(2)))
    assert float(true.total) == pytest.approx(0, abs=1e-6)


def test_a_run_ends_with_a_prior_that_loads(recipe: SceneRecipe, tmp_path: Path) -> None:
    train(recipe, recipe.config)
    prior = ScenePrior.load(tmp_path / "run" / "result" / "scene-s.safetensors")
    guess, unknown = torch.zeros(1, 16, 3, 8, 8), torch.ones(1, 1, 3, 8, 8)
    assert prior.denoiser(guess, unknown)(torch.zeros_like(guess), NOISE).shape == guess.shape
    assert prior.ladder(3)[0].level == NOISE


def test_what_ships_is_nearer_to_the_truth_than_the_guess() -> None:
    prior, codec, gains = ScenePrior.load(), load_codec(), []
    for seed in (70_001, 70_002):
        matrix = _holes.encoded(holes(seed), codec)
        guess, image = (matrix[name][3:].float().transpose(1, 2) for name in ("guess", "image"))
        unknown = matrix["unknown"][3:].float()[:, None] / 255
        with torch.no_grad():
            made = prior.denoiser(guess, unknown)(torch.zeros_like(guess), NOISE)
        weights = (unknown > 0) * codec.energy[:, None, None, None]
        gains.append(float(((guess - image) ** 2 * weights).sum() / ((made - image) ** 2 * weights).sum()))
    assert np.mean(gains) > 1.05
