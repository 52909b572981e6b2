"""The recipe of backbone-s: lessons on disk, pieces of them, and a loss that reaches every part of the network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from diorama.diffusion.codec_load import load_codec
from diorama.diffusion.pictures import code_map, coverage
from diorama.train.config import TrainConfig
from diorama.train.draws import Draws
from diorama.train.lessons import Lessons, read_lesson
from diorama.train.recipes.backbone import BackboneRecipe, Piece, dropped, encoder_fingerprint, holes

DROP = ("scene=0.3", "preview=0.5", "codes=0.3", "reference=0.3", "all=0.2")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> BackboneRecipe:
    folder = tmp_path_factory.mktemp("lessons")
    config = TrainConfig(steps=2, batch=2, data=str(folder), drop=DROP, person_weight=4.0, device="cpu")
    return BackboneRecipe(config, Piece(frames=2, side=8, pool=2))


def test_batches_are_a_function_of_the_numbers(recipe: BackboneRecipe) -> None:
    one, two = recipe.batch([0, 1]), recipe.batch([0, 1])
    assert one["image"].shape == (2, 16, 2, 8, 8)
    assert one["codes"].shape == (2, 4, 2, 32, 32)
    assert one["reference"].shape == (2, 16, 2, 32, 20)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["image"], recipe.batch([2, 3])["image"])  # the next epoch: other pieces
    assert len(list(Path(recipe.config.data).rglob("*.safetensors"))) == 2


def test_the_loss_reaches_every_part(recipe: BackboneRecipe) -> None:
    networks = recipe.networks()
    network = networks["backbone-s"]
    torch.manual_seed(0)
    for parameter in network.parameters():  # zeros at the end of branches would hide what stands before
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    batch = recipe.batch([0, 1])
    keep_all = replace(recipe, config=replace(recipe.config, drop=()))
    loss = keep_all.loss(networks, batch, Draws(0, [0, 1]))
    loss.total.backward()
    assert loss.total.isfinite()
    idle = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()}
    assert idle <= {"nothing"}, sorted(idle)[:5]
    again = keep_all.loss(networks, batch, Draws(0, [0, 1]))
    assert torch.equal(loss.total, again.total)


def test_a_damaged_lesson_is_made_again(tmp_path: Path) -> None:
    codec = load_codec()
    lessons = Lessons(tmp_path, encoder_fingerprint(codec), seed=1, frames=2, size=64)
    path = lessons.ready(0, codec)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert lessons.ready(0, codec) == path
    assert path.read_bytes() == whole
    piece = read_lesson(path, slice(0, 2), slice(2, 6), slice(1, 5))
    assert piece["image"].shape == (16, 2, 4, 4)
    assert piece["codes"].shape == (4, 2, 16, 16)
    other = replace(lessons, codec="another")
    assert other.path(0) != path


def test_another_decoder_keeps_the_latents() -> None:
    codec, same = load_codec(), load_codec()
    assert isinstance(same, torch.nn.Module)
    with torch.no_grad():
        same.decoder[0].weight.mul_(2)
    assert encoder_fingerprint(codec) == encoder_fingerprint(same)
    with torch.no_grad():
        same.analysis.weight.mul_(2)
    assert encoder_fingerprint(codec) != encoder_fingerprint(same)


def test_dropping_all_drops_each() -> None:
    config = TrainConfig(steps=1, drop=("all=0.5", "preview=0.5"))
    kept = dropped(config, Draws(0, range(400)))
    assert torch.equal(kept.scene, kept.codes)
    assert not (kept.preview & ~kept.scene).any()
    assert abs(float(kept.scene.float().mean()) - 0.5) < 0.1
    assert abs(float(kept.preview.float().mean()) - 0.25) < 0.1


def test_holes_are_boxes_in_a_third_of_the_samples() -> None:
    known = holes({"person": torch.zeros(300, 1, 2, 16, 16)}, Draws(0, range(300)))
    broken = (known < 1).flatten(1).any(dim=1).float().mean()
    assert 0.15 < float(broken) < 0.4  # a small box may fall between positions
    assert torch.equal(known[:, :, 0], known[:, :, 1])


def test_coverage_and_codes_are_means_of_what_is_covered() -> None:
    mask = np.zeros((1, 16, 16), bool)
    mask[:, :8, :4] = True
    assert coverage(mask, 8).tolist() == [[[128, 0], [0, 0]]]
    codes = np.zeros((1, 4, 4, 3), np.uint8)
    codes[0, 0, 0] = (200, 100, 50)
    assert code_map(codes, 2)[0, :, 0, 0].tolist() == [200, 100, 50, 64]


def test_a_file_that_is_no_lesson_is_made_again(tmp_path: Path) -> None:
    codec = load_codec()
    lessons = Lessons(tmp_path, encoder_fingerprint(codec), seed=1, frames=2, size=64)
    path = lessons.path(0)
    path.parent.mkdir(parents=True)
    save_file({"image": torch.zeros(2, 16, 8, 8)}, path)
    assert "codes" in load_file(lessons.ready(0, codec))
