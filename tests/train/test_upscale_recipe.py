"""The recipe of upscale-s: ways lead to the same surface, samples come from their numbers, the result is loaded."""

from pathlib import Path

import numpy as np
import pytest
import torch

from diorama.diffusion.upscaler import open_upscaler
from diorama.errors import MediaError, UsageError
from diorama.train.config import TrainConfig
from diorama.train.draws import Draws
from diorama.train.loop import train
from diorama.train.recipes import upscale, upscale_clips
from diorama.train.recipes.upscale import UpscaleRecipe, make
from diorama.train.recipes.upscale_clips import FRAMES, PAIRS, Takes, moved, open_stock, takes, write_clips
from diorama.train.recipes.upscale_spoil import lesson, looks, shrunk
from diorama.train.registry import config_for

SIDE = 64


@pytest.fixture(scope="module", autouse=True)
def small() -> None:
    """Clips and crops that take no time."""
    patch = pytest.MonkeyPatch()
    patch.setattr(upscale_clips, "SIZE", SIDE)
    patch.setattr(upscale, "CROP", 32)
    patch.setattr(upscale, "HELD_OUT", 1)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def folder(small: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips."""
    target = tmp_path_factory.mktemp("upscale") / "clips"
    write_clips(target, 3, 2)
    return target


@pytest.fixture
def recipe(folder: Path) -> UpscaleRecipe:
    return make(TrainConfig(steps=2, batch=2, data=str(folder)))


def carried(taken: Takes, pair: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A picture, its neighbour brought to its pixels, and where that is known."""
    images = torch.from_numpy(taken.images).permute(0, 3, 1, 2).float()
    way = torch.from_numpy(taken.maps[pair]).permute(2, 0, 1)[None]
    here, there = PAIRS[pair]
    look = looks(torch.nan_to_num(way))
    warped = torch.nn.functional.grid_sample(images[there][None], look, padding_mode="border", align_corners=False)
    return images[here], warped[0], torch.isfinite(way[0]).all(0)


def test_ways_lead_to_the_same_surface() -> None:
    photo = np.random.default_rng(0).integers(0, 255, (12, 16, 3)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    clips = [takes(5, 96), moved(np.random.default_rng(1), 96, photo)]
    for taken in clips:
        assert taken.images.shape == (len(FRAMES), 96, 96, 3)
        for pair, (here, there) in enumerate(PAIRS):
            own, warped, known = carried(taken, pair)
            apart = (own - warped).abs()[:, known].mean()
            without = np.abs(taken.images[here].astype(int) - taken.images[there]).mean()
            assert known.float().mean() > 0.4
            assert apart < max(0.5 * without, 1.0)


def test_left_and_right_lead_to_each_other() -> None:
    taken = takes(5, 48, [(0, 0), (1, 0)], [(0, 1), (1, 0)])
    assert np.nanmax(taken.maps[0, ..., 0]) <= 0 <= np.nanmin(taken.maps[1, ..., 0])
    assert np.nanmedian(taken.maps[0, ..., 0]) == pytest.approx(-np.nanmedian(taken.maps[1, ..., 0]), abs=1)


def test_lessons_keep_their_ways_whatever_is_flipped() -> None:
    photo = np.random.default_rng(0).integers(0, 255, (12, 16, 3)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    taken = moved(np.random.default_rng(2), 64, photo)
    for seed in range(8):
        made = lesson(taken, np.random.default_rng(seed))
        assert made.low.shape == (5, 3, 32, 32)
        for pair, (here, there) in enumerate(PAIRS):
            warped = torch.nn.functional.grid_sample(made.high[there][None], made.look[pair][None], align_corners=False)
            mask = torch.nn.functional.interpolate(made.mask[pair][None], (64, 64))[0]
            apart = ((made.high[here] - warped[0]).abs() * mask).mean()
            assert apart < 0.6 * ((made.high[here] - made.high[there]).abs() * mask).mean() + 0.01


def test_shrunk_without_chance_is_the_mean_of_four_pixels() -> None:
    high = (torch.rand(2, 3, 8, 10) * 255).round() / 255
    assert torch.allclose(shrunk(high, None), torch.nn.functional.avg_pool2d(high, 2), atol=0.5 / 255 + 1e-6)


def test_a_batch_is_a_function_of_its_numbers(recipe: UpscaleRecipe) -> None:
    whole, first, second = recipe.batch(range(4, 8)), recipe.batch([4, 5]), recipe.batch([6, 7])
    for name, value in whole.items():
        assert torch.isfinite(value).all()
        assert torch.equal(value, torch.cat([first[name], second[name]]))


def test_the_loss_is_a_mean_over_samples(recipe: UpscaleRecipe) -> None:
    networks, numbers = recipe.networks(), range(4)
    torch.nn.init.normal_(networks["upscale-s"].leave.weight, std=0.02)
    batch = recipe.batch(numbers)
    whole = recipe.loss(networks, batch, Draws(0, numbers)).total.detach()
    halves = []
    for part in (numbers[:2], numbers[2:]):
        half = {name: value[part.start : part.stop] for name, value in batch.items()}
        halves.append(recipe.loss(networks, half, Draws(0, part)).total.detach())
    assert torch.allclose(whole, (halves[0] + halves[1]) / 2, rtol=1e-4)


def test_two_steps_give_weights_that_are_loaded(folder: Path, tmp_path: Path) -> None:
    config = config_for("upscale-s", {"steps": 2, "batch": 2, "data": str(folder), "out": str(tmp_path / "run")})
    monkey = pytest.MonkeyPatch()
    monkey.setattr(UpscaleRecipe, "preview", lambda self, networks: None)
    try:
        report = train(make(config), config)
    finally:
        monkey.undo()
    assert set(report.measures) == {"bicubic", "alone", "psnr"}
    assert open_upscaler(report.result / "upscale-s.safetensors")(torch.rand(1, 3, 5, 7)).shape == (1, 3, 10, 14)


def test_what_is_no_folder_of_clips_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        open_stock(str(tmp_path / "none"), 0)
    with pytest.raises(UsageError, match="0 clips"):
        write_clips(tmp_path / "empty", 0, 0)
    with pytest.raises(UsageError):
        write_clips(folder, 0, 1)
    np.save(tmp_path / "images.npy", np.zeros((2, 5, 4, 4, 3), np.uint8))
    np.save(tmp_path / "maps.npy", np.zeros((2, 5, 4, 4, 2), np.float16))
    with pytest.raises(MediaError, match="of shapes"):
        open_stock(str(tmp_path), 0)
    (tmp_path / "maps.npy").write_bytes(b"no array")
    with pytest.raises(MediaError, match="cannot be read"):
        open_stock(str(tmp_path), 1)
