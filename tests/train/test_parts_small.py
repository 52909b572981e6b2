"""The recipe of parts-s: both stages run, hand on their weights, and count what they should."""

from pathlib import Path

import numpy as np
import pytest
import torch

from diorama.core.progress import Silent
from diorama.diffusion.parts_generate import load_parts
from diorama.diffusion.parts_net import PartsNet, PartsNetConfig, to_pictures
from diorama.theatre.shards import Sample
from diorama.train.config import TrainConfig
from diorama.train.draws import Draws
from diorama.train.options import start
from diorama.train.recipes import parts_small
from diorama.train.recipes._objects import Object, Round, chosen
from diorama.train.recipes.parts_small import SmallPartsRecipe, tensors_of


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network and rounds that take no time."""
    monkeypatch.setattr(parts_small, "PartsNetConfig", lambda fused: PartsNetConfig((16, 16, 32), 1, fused))
    monkeypatch.setattr(parts_small, "SIZE", 32)
    monkeypatch.setattr(parts_small, "STILL", Round(1, 2, 32, input_too=True))
    monkeypatch.setattr(parts_small, "MOVING", Round(2, 2, 32, input_too=True))
    monkeypatch.setattr(parts_small, "MEASURED", 1)
    monkeypatch.setattr(SmallPartsRecipe, "preview", lambda self, networks: None)


def test_the_second_stage_goes_on_from_the_first_and_what_it_writes_loads(tmp_path: Path) -> None:
    options = {"steps": 2, "batch": 2, "lr": 1e-2, "warmup": 0, "save_every": 0.0, "preview_every": 0.0}
    start("parts-stage1", {**options, "out": str(tmp_path / "one")}, Silent())
    first = load_parts(tmp_path / "one" / "result" / "parts-s.safetensors")
    assert not first.has_parts
    report = start(
        "parts", {**options, "out": str(tmp_path / "two"), "init": str(tmp_path / "one" / "result")}, Silent()
    )
    assert np.isfinite(report.measures["from_noise"])
    assert load_parts(tmp_path / "two" / "result" / "parts-s.safetensors").has_parts


def test_without_the_contrastive_loss_it_is_the_plain_loss_of_two_branches() -> None:
    config = TrainConfig(steps=1, batch=2)
    plain, both = SmallPartsRecipe(config, contrast=0.0), SmallPartsRecipe(config)
    torch.manual_seed(0)
    networks = both.networks()
    torch.nn.init.normal_(networks["parts-s"].part.out.weight, std=0.1)  # type: ignore[union-attr, arg-type]
    batch = both.batch([0, 1])
    without, with_it = (each.loss(networks, batch, Draws(0, [0, 1])) for each in (plain, both))
    shares = (without.terms["rgb"] + parts_small.PARTS_COUNT * without.terms["part"]) / (1 + parts_small.PARTS_COUNT)
    assert torch.allclose(without.total, shares)
    assert torch.allclose(with_it.total, shares + both.contrast * with_it.terms["contrast"])
    assert "contrast" not in without.terms


def test_branches_that_do_not_talk_have_no_exchange() -> None:
    network = parts_small.without_fusion(TrainConfig(steps=1)).networks()["parts-s"]
    assert isinstance(network, PartsNet)
    assert network.fusions is None


def test_the_input_view_comes_first_and_is_the_one_that_is_given() -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "image": rng.integers(0, 256, (4, 1, 32, 32, 3)).astype(np.uint8),
        "parts": rng.integers(-1, 3, (4, 1, 32, 32)).astype(np.int8),
        "azimuths": np.arange(4, dtype=np.float32) * 90,
        "part_centers": rng.random((3, 3)).astype(np.float32),
        "box": np.array([[-0.5, -0.5, -0.5], [0.5, 0.5, 0.5]], np.float32),
    }
    seen = chosen(Sample(arrays, {}), Round(1, 3, 32, input_too=True), rng)
    assert isinstance(seen, Object)
    assert seen.azimuths[0] == 0
    assert np.array_equal(seen.image[0], seen.given)
    tensors = tensors_of(seen)
    back = to_pictures(tensors["image"])
    assert np.abs(back[0].permute(1, 2, 0).numpy() * 255 - seen.given[0]).max() < 1
