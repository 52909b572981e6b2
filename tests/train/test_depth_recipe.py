"""The recipe of depth-s: samples are functions of their numbers, truth has no loss, and what comes out is loaded."""

from pathlib import Path

import numpy as np
import pytest
import torch

from diorama.errors import MediaError, UsageError
from diorama.perception.depth_small import checked, shapes
from diorama.train.config import TrainConfig
from diorama.train.draws import Draws
from diorama.train.loop import train
from diorama.train.recipes import depth_stills
from diorama.train.recipes.depth import DepthRecipe, make
from diorama.train.recipes.depth_loss import depth_loss, rank_correlation, roots
from diorama.train.recipes.depth_spoil import _compressed, spoil
from diorama.train.recipes.depth_stills import open_stills, still, write_stills


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four stills."""
    target = tmp_path_factory.mktemp("depth") / "stills"
    write_stills(target, 3, 4)
    return target


@pytest.fixture
def recipe(folder: Path) -> DepthRecipe:
    return make(TrainConfig(steps=2, batch=4, data=str(folder)))


def test_stills_are_functions_of_seed_and_number(folder: Path) -> None:
    ready = open_stills(str(folder), 0)
    seen = [ready.still(number) for number in range(4)]
    direct = [still(3, number) for number in range(4)]
    for made in direct:
        assert any(np.array_equal(made.image, other.image) for other in seen)
        assert np.isfinite(made.inverse).all()
        assert made.inverse.min() >= 0
        assert made.inverse.max() > 0
    assert not np.array_equal(direct[0].image, still(4, 0).image)
    again = [ready.still(number).image for number in range(4, 8)]
    assert sorted(image.tobytes() for image in again) == sorted(s.image.tobytes() for s in seen)


def test_a_batch_is_a_function_of_its_numbers(recipe: DepthRecipe) -> None:
    whole, first, second = recipe.batch(range(4, 8)), recipe.batch([4, 5]), recipe.batch([6, 7])
    for name, value in whole.items():
        assert torch.equal(value, torch.cat([first[name], second[name]]))
    assert whole["image"].min() >= 0
    assert whole["image"].max() <= 1
    assert whole["root"].max() <= 1.3001
    assert whole["image"].shape[2] == 2 * whole["root"].shape[1]


def test_the_loss_is_a_mean_over_samples_and_none_for_truth(recipe: DepthRecipe) -> None:
    networks, numbers = recipe.networks(), range(4)
    batch = recipe.batch(numbers)
    whole = recipe.loss(networks, batch, Draws(0, numbers)).total.detach()
    halves = []
    for part in (numbers[:2], numbers[2:]):
        half = {name: value[part.start : part.stop] for name, value in batch.items()}
        halves.append(recipe.loss(networks, half, Draws(0, part)).total.detach())
    assert torch.allclose(whole, (halves[0] + halves[1]) / 2, rtol=1e-5)
    truth, known = batch["root"], batch["known"]
    pairs = Draws(0, numbers).integers(truth[0].numel(), 2, 100)
    terms = depth_loss(truth, truth, known, pairs).terms
    assert max(float(terms[name]) for name in ("plain", "aligned", "edges")) == 0
    assert float(terms["order"]) < 0.5
    shifted = depth_loss(truth + 2, truth, known, pairs).terms
    assert float(shifted["aligned"]) < 1e-5
    assert float(depth_loss(-truth, truth, known, pairs).terms["order"]) > 2


def test_roots_are_relative_to_what_is_near() -> None:
    inverse = torch.linspace(0, 4, 400).reshape(20, 20)
    known = torch.ones(20, 20)
    assert torch.allclose(roots(inverse, known), roots(10 * inverse, known), atol=1e-5)
    assert float(roots(inverse, known)[0, 0]) == 0
    assert torch.isfinite(roots(inverse, 0 * known)).all()


def test_rank_correlation_knows_only_order() -> None:
    values = np.random.default_rng(0).random((9, 9))
    assert rank_correlation(values, values**3) == pytest.approx(1)
    assert rank_correlation(-values, values) == pytest.approx(-1)
    assert rank_correlation(np.ones((9, 9)), values) == 0


def test_compression_without_rounding_changes_nothing() -> None:
    image = torch.rand(3, 21, 35)
    assert torch.allclose(_compressed(image, 1e-6), image, atol=1e-4)
    assert float((_compressed(image, 2.0) - image).abs().mean()) > 0.02


def test_spoiled_pictures_keep_their_truth() -> None:
    x = torch.linspace(0.1, 1, 64).expand(48, 64)
    for seed in range(12):
        made = spoil(torch.rand(3, 48, 64), x, np.random.default_rng(seed), height=32, width=48)
        assert made.image.shape == (3, 32, 48)
        steps = made.inverse[:, 1:] - made.inverse[:, :-1]
        assert (steps >= 0).all() or (steps <= 0).all()  # cropped, perhaps mirrored, never mixed


def test_what_is_no_folder_of_stills_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UsageError):
        open_stills(str(tmp_path / "none"), 0)
    with pytest.raises(UsageError, match="0 stills"):
        write_stills(tmp_path / "empty", 0, 0)
    with pytest.raises(UsageError):
        write_stills(folder, 0, 1)
    np.save(tmp_path / depth_stills.IMAGES, np.zeros((2, 4, 4, 3), np.uint8))
    np.save(tmp_path / depth_stills.INVERSE, np.zeros((2, 4, 4), np.float16))
    with pytest.raises(MediaError, match="of shapes"):
        open_stills(str(tmp_path), 0)
    (tmp_path / depth_stills.INVERSE).write_bytes(b"no array")
    with pytest.raises(MediaError, match="cannot be read"):
        open_stills(str(tmp_path), 1)


def test_two_steps_give_weights_that_perception_loads(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diorama.train.recipes.depth.HELD_OUT", 2)
    config = TrainConfig(steps=2, batch=4, data=str(folder), out=str(tmp_path / "run"), device="cpu")
    report = train(make(config), config)
    assert set(report.measures) == {"spearman"}
    found = checked((report.result / "depth-s.safetensors").read_bytes(), "result")
    assert set(found) == set(shapes())
    assert (tmp_path / "run" / "previews").is_dir()
