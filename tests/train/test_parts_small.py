"""The recipe of parts-s: both stages run, hand on their weights, and count what they should."""

from pathlib import Path

import numpy as np
import pytest
import torch

from diorama.core.progress import Silent
from diorama.diffusion.parts_generate import PartsGenerator, load_parts
from diorama.diffusion.parts_net import PartsNet, PartsNetConfig, to_pictures
from diorama.diffusion.parts_relief import Relief, load_relief
from diorama.errors import UsageError
from diorama.theatre.shards import Sample
from diorama.train.config import TrainConfig
from diorama.train.draws import Draws
from diorama.train.export import write_weights
from diorama.train.options import start
from diorama.train.recipes import parts_relief, parts_small
from diorama.train.recipes._objects import Object, Round, chosen
from diorama.train.recipes.parts_relief import ReliefRecipe
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


@pytest.fixture
def relief(tmp_path: Path) -> str:
    """A folder with what is begun with."""
    write_weights(Relief(PartsNetConfig((16, 16, 32), 1)), tmp_path / "relief.safetensors")
    return str(tmp_path)


def test_the_second_stage_goes_on_from_the_first_and_what_it_writes_loads(tmp_path: Path, relief: str) -> None:
    options = {"steps": 2, "batch": 2, "lr": 1e-2, "warmup": 0, "save_every": 0.0, "preview_every": 0.0}
    start("parts-stage1", {**options, "out": str(tmp_path / "one"), "init": relief}, Silent())
    first = load_parts(tmp_path / "one" / "result" / "parts-s.safetensors")
    assert first.views is not None
    assert not first.views.has_parts
    report = start(
        "parts", {**options, "out": str(tmp_path / "two"), "init": str(tmp_path / "one" / "result")}, Silent()
    )
    assert np.isfinite(report.measures["first_step"])
    second = load_parts(tmp_path / "two/result/parts-s.safetensors").views
    assert second is not None
    assert second.has_parts


def test_without_the_contrastive_loss_it_is_the_plain_loss_of_two_branches(relief: str) -> None:
    config = TrainConfig(steps=1, batch=2, init=relief)
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


def test_weights_that_would_not_be_used_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").write_bytes(b"of another name")
    for given in ("mine.safetensors", "missing", "."):
        with pytest.raises(UsageError, match="nothing to begin with in"):
            SmallPartsRecipe(TrainConfig(steps=1, init=str(tmp_path / given))).networks()


def test_nothing_to_begin_with_is_said() -> None:
    with pytest.raises(UsageError, match="parts-relief"):
        SmallPartsRecipe(TrainConfig(steps=1)).batch([0])


def test_front_and_back_are_learned_from_the_theatre(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_relief, "SIZE", 32)
    monkeypatch.setattr(parts_relief, "MEASURED", 1)
    monkeypatch.setattr(parts_relief, "Relief", lambda: Relief(PartsNetConfig((16, 16, 32), 1)))
    options = {"steps": 1, "batch": 1, "save_every": 0.0, "preview_every": 0.0, "out": str(tmp_path / "run")}
    report = start("parts-relief", options, Silent())
    assert set(report.measures) == {"depth", "part", "rgb", "rise", "depth_steps", "part_steps"}
    assert load_relief(tmp_path / "run/result/relief.safetensors").sizes.depth == 1
    write_weights(PartsGenerator(None, Relief(PartsNetConfig((16, 16, 32), 1))), tmp_path / "whole.safetensors")
    later = ReliefRecipe(TrainConfig(steps=1, init=str(tmp_path / "whole.safetensors"))).networks()["relief"]
    assert isinstance(later, Relief)
    assert later.sizes.depth == 1
    sample = ReliefRecipe(TrainConfig(steps=1)).sample(0, "train")
    inside = sample["inside"] > 0
    assert (sample["back"] >= sample["front"] - 0.02)[inside].all()
    assert (sample["part_front"].amin(dim=1, keepdim=True) < 0)[inside].all()
    assert not sample["part_front"][~inside.expand(-1, 3, -1, -1)].any()


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
