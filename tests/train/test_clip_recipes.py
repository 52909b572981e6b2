"""Training on pieces of clips: what is learned from what, LoRA, measures on held-out pieces, both kinds of networks."""

import copy
import dataclasses
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from diorama.cli import main
from diorama.core.progress import Silent
from diorama.diffusion.generate import load_backbone
from diorama.diffusion.lora import merge, read_lora
from diorama.errors import DamagedMediaError, ModelError, UsageError
from diorama.figures.canonical import canonical_view
from diorama.figures.cast import load_cast
from diorama.theatre.shards import Sample, ShardPlan, write_shards
from diorama.train.clip_lessons import ClipPieces, read_piece
from diorama.train.draws import Draws
from diorama.train.low_rank import add_low_rank, take_low_rank
from diorama.train.options import start
from diorama.train.recipes import clips
from diorama.train.recipes._people import PeopleRecipe
from diorama.train.recipes.backbone import Piece
from diorama.train.recipes.clip_cut import cut_of, starts_published
from diorama.train.recipes.clips import ClipsRecipe, PersonRecipe, Shown, pool_of, psnr
from diorama.train.registry import config_for, recipe_of

LEARNED = 2


def piece(number: int, size: int, frames: int) -> Sample:
    """Noise around a body of the cast; the last is held out."""
    rng = np.random.default_rng(number)
    pictures = {n: rng.integers(0, 255, (frames, size, size, 3), np.uint8) for n in ("image", "scene", "preview")}
    box = np.zeros((frames, size, size), bool)
    box[:, size // 4 : -size // 4, size // 3 : -size // 3] = True
    canonical = rng.integers(1, 255, (2, size, size // 4, 3), np.uint8)
    body = np.repeat(load_cast().template[None].astype(np.float32), frames, axis=0)
    camera = canonical_view(body[0], size, "front")
    arrays = {
        **pictures,
        "codes": pictures["preview"] * box[..., None],
        "person": box,
        "occluder": np.zeros_like(box),
        "canonical": canonical,
        "canonical_codes": canonical,
        "body": body,
        "viewmats": np.repeat(camera.viewmats.astype(np.float32), frames, axis=0),
        "Ks": np.repeat(camera.Ks.astype(np.float32), frames, axis=0),
    }
    return Sample(arrays, {"identity": f"{number} {size}", "held_out": number >= LEARNED})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pieces for the embedded generator."""
    folder = tmp_path_factory.mktemp("pieces")
    write_shards(ShardPlan(folder, "clip", LEARNED + 1), lambda n: piece(n, 256, 16), recipe={})
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pieces for tiny networks of the SD-1.5 kind."""
    folder = tmp_path_factory.mktemp("tiny")
    write_shards(ShardPlan(folder, "clip", LEARNED + 1), lambda n: piece(n, 64, 3), recipe={})
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where lessons lie: the recipes share them."""
    return tmp_path_factory.mktemp("run")


def recipe(name: str, data: Path, made: Path, **options: Any) -> Any:
    given = {"steps": 1, "batch": 2, "data": str(data), "out": str(made), "theatre": 0.0, "device": "cpu"}
    config = config_for(name, given | options)
    kind = {"animate": ClipsRecipe, "person": PersonRecipe}[name]
    return kind(config, Piece(frames=2, side=8, pool=1))


def test_samples_are_of_clips_that_are_not_held_out(data: Path, made: Path) -> None:
    one = recipe("animate", data, made)
    first, again = one.batch([0, 1]), one.batch([0, 1])
    assert first["image"].shape == (2, 16, 2, 8, 8)
    assert all(torch.equal(first[name], again[name]) for name in first)
    one.batch(range(2, 8))
    lessons = {path.name for path in made.rglob("*.safetensors")}
    held = [one._clips.path(each).name for each in one._pieces.of("held-out")]
    assert len(lessons) == LEARNED
    assert not lessons & set(held)


def test_a_person_is_told_by_frames_and_by_canonical_pictures(data: Path, made: Path) -> None:
    one = recipe("person", data, made)
    batch = one.batch(range(8))
    assert batch["reference"].shape == (8, 16, 2, 32, 32)
    assert batch["reference_codes"].shape == (8, 4, 2, 128, 128)
    drawn = [bool(codes[3, :, :10].any()) for codes in batch["reference_codes"]]  # up there frames show nobody
    assert any(drawn)
    assert not all(drawn)


def test_the_theatre_is_mixed_in_at_its_share(data: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, asked = recipe("animate", data, made, theatre=0.3), []
    monkeypatch.setattr(clips, "cut_piece", lambda path, *_: asked.append(str(path)) or {})
    monkeypatch.setattr(clips.Lessons, "ready", lambda self, number, codec: Path("theatre"))
    for number in range(400):
        one._piece(number)
    assert asked.count("theatre") / len(asked) == pytest.approx(0.3, abs=0.06)
    assert pool_of(5000, 2 / 7) == 2000


def test_a_lora_learns_alone_and_comes_out_as_a_file(data: Path, made: Path, tmp_path: Path) -> None:
    one = recipe("animate", data, made, lora=2)
    networks = one.networks()
    network, plain = networks["backbone-s"], load_backbone()
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert trained
    assert all(".parametrizations.weight.0." in name for name in trained)
    batch = one.batch([0, 1])
    sober = dataclasses.replace(one, config=dataclasses.replace(one.config, drop=()))
    loss = sober.loss(networks, batch, Draws(0, [0, 1])).total
    assert torch.equal(loss, sober.loss({"backbone-s": plain}, batch, Draws(0, [0, 1])).total)  # nothing yet
    loss.backward()
    with torch.no_grad():
        for name, p in network.named_parameters():
            if name.endswith(".up"):
                assert p.grad is not None, name
                assert p.grad.any(), name
                nn.init.normal_(p, std=0.1)
    learned = sober.loss(networks, batch, Draws(0, [0, 1])).total
    one.export(networks, tmp_path)
    whole = load_backbone(tmp_path / "backbone-s.safetensors")
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    merge(plain.unet, read_lora(load_file(tmp_path / "lora.safetensors")).modules)
    merged = plain.state_dict()
    for name, value in whole.state_dict().items():
        assert torch.allclose(value, merged[name], atol=2e-3, rtol=2e-3), name
    changed = {name for name, value in merged.items() if not torch.equal(value, before[name])}
    assert len(changed) == len(trained) / 2
    again = sober.loss({"backbone-s": whole}, batch, Draws(0, [0, 1])).total
    assert float(again.detach()) == pytest.approx(float(learned.detach()), rel=1e-2)


def test_low_rank_adds_and_is_taken_out() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.to_q, self.other = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.to_q(x)

    network = nn.Sequential(Attention())
    x, plain = torch.randn(2, 4), copy.deepcopy(network)
    assert add_low_rank(network, 2) == 1
    assert torch.equal(network(x), plain(x))
    nn.init.ones_(network[0].to_q.parametrizations.weight[0].up)
    said = network(x)
    pairs = take_low_rank(network)
    assert list(pairs) == ["0.to_q"]
    assert torch.allclose(network(x), said)
    merge(plain, pairs)
    assert torch.allclose(plain(x), said)
    with pytest.raises(UsageError, match="no attention"):
        add_low_rank(nn.Linear(2, 2), 1)


def test_measures_and_preview_compare_with_the_start(data: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "SHOWN_STEPS", 1)
    monkeypatch.setattr(clips, "SHOWN_FRAMES", 1)
    monkeypatch.setattr(clips, "MEASURED", 2)
    one = recipe("person", data, made)
    with torch.no_grad():
        networks = one.networks()
        found = one.measure(networks)
        sheet = one.preview(networks)
    assert found["loss"] == pytest.approx(found["loss_before"], rel=1e-5)
    assert found["person_psnr"] == found["person_psnr_before"]
    assert np.isfinite(list(found.values())).all()
    assert sheet.shape == (4 * 258 - 2, 2 * 258 - 2, 3)


def test_psnr_is_of_the_person_alone() -> None:
    image = np.zeros((1, 8, 8, 3), np.uint8)
    seen = np.zeros((1, 8, 8), bool)
    seen[:, :4] = True
    made = np.where(seen[..., None], 25, np.full_like(image, 255)).astype(np.uint8)
    assert psnr([(made, Shown({}, image, seen))]) == pytest.approx(20 * np.log10(255 / 25))
    assert np.isnan(psnr([(made, Shown({}, image, ~seen & seen))]))


@pytest.mark.parametrize("name", ["animate", "person"])
def test_published_networks_learn_from_clips(
    name: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PeopleRecipe, "preview", lambda *_: None)
    options = {"steps": 1, "batch": 1, "size": "tiny", "device": "cpu", "precision": "fp32", "checkpointing": False}
    given = options | {"data": str(tiny), "out": str(tmp_path / name), "theatre": 0.0, "lora": 2}
    report = start(name, given, Silent())
    written = {path.name for path in report.result.iterdir()}
    assert {"denoiser.safetensors", "denoiser.lora.safetensors", "pose_encoder.safetensors"} <= written
    assert np.isfinite(report.measures["loss"])
    names = set(load_file(report.result / "denoiser.safetensors"))
    assert names
    assert not any("parametrizations" in each for each in names)
    assert report.config.lr == 1e-5


def test_a_run_needs_pieces_of_its_size(data: Path, tiny: Path, made: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no clips to learn from"):
        recipe_of("animate", config_for("animate", {"steps": 1}))
    with pytest.raises(UsageError, match="has no option 'lora'"):
        config_for("backbone-s", {"steps": 1, "lora": 4})
    other = tmp_path / "other"
    write_shards(ShardPlan(other, "x", 1), lambda n: Sample({"image": np.zeros(1)}, {}), recipe={})
    with pytest.raises(UsageError, match="no pieces of clips"):
        ClipPieces.open(str(other))
    with pytest.raises(DamagedMediaError, match="expected 16 frames of 256x256"):
        read_piece(ClipPieces.open(str(tiny)).all[0], ("image",), 256, 16)
    with pytest.raises(ModelError, match="no such folder"):
        cut_of(config_for("animate", {"steps": 1, "init": str(tmp_path / "missing")}))
    assert not starts_published(config_for("animate", {"steps": 1}))
    assert asdict(cut_of(config_for("person", {"steps": 1, "size": "tiny"})))["bodies"]


def test_the_command_says_what_is_wrong_before_it_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for given, says in (
        ([str(tmp_path / "missing"), "--steps", "1"], "no such folder"),
        ([str(tmp_path)], "no budget"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["train", "animate", "--data", *given])
        assert stop.value.code == 2
        assert says in capsys.readouterr().err
