"""Releases into our layout: found by content, named as the networks are, and the same bytes every time."""

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from diorama import catalog
from diorama.diffusion.checkpoint import read_tensors
from diorama.diffusion.manifest import MANIFEST, file_hash, read_manifest
from diorama.diffusion.release import open_release
from diorama.diffusion.store import convert, inspect, read_model, save_tensors
from diorama.errors import ModelError, UsageError

diffusers = pytest.importorskip("diffusers")
DATE = "2026-11-21"


@lru_cache
def made_pose(width: int) -> dict[str, torch.Tensor]:
    from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding

    torch.manual_seed(0)
    net = ControlNetConditioningEmbedding(width, 3, (4, 8))
    return {name: torch.randn_like(tensor) for name, tensor in net.state_dict().items()}


def pose(width: int = 8) -> dict[str, torch.Tensor]:
    return dict(made_pose(width))


@lru_cache
def unet(channels: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(channels)
    blocks = {"down_block_types": ("CrossAttnDownBlock2D",), "up_block_types": ("CrossAttnUpBlock2D",)}
    net = diffusers.UNet2DConditionModel(
        in_channels=channels, block_out_channels=(32,), layers_per_block=1, cross_attention_dim=8, **blocks
    )
    state: dict[str, torch.Tensor] = net.state_dict()
    return state


@lru_cache
def motion() -> dict[str, torch.Tensor]:
    """One of AnimateDiff's layout for `unet`."""
    net = diffusers.MotionAdapter(
        block_out_channels=(32,), motion_layers_per_block=1, motion_max_seq_length=32, use_motion_mid_block=True
    )
    names = ((".norm1.", ".norms.0."), (".norm2.", ".norms.1."), (".norm3.", ".ff_norm."))
    found = {}
    for name, tensor in net.state_dict().items():
        for ours, theirs in (*names, (".attn1.", ".attention_blocks.0."), (".attn2.", ".attention_blocks.1.")):
            name = name.replace(ours, theirs)
        head, number, rest = name.partition(".motion_modules.0.") if ".0." in name else (name, "", "")
        head, number, rest = (head, number, rest) if rest else name.partition(".motion_modules.1.")
        name = f"{head}{number}temporal_transformer.{rest}"
        for attention in (0, 1) if name.endswith(".pe") else (None,):
            at = name.replace(".pos_embed.pe", f".attention_blocks.{attention}.pos_encoder.pe")
            found[at] = tensor
    return found


def release(folder: Path, *, channels: int = 8) -> Path:
    """A folder as MIMO (8 channels) or Moore (4) published theirs, under other file names."""
    folder.mkdir()
    reference = {name: tensor for name, tensor in unet(4).items() if not name.startswith(("conv_out", "conv_norm_out"))}
    files = {"one.pth": unet(channels), "two.pth": motion(), "three.pth": reference, "four.pth": pose(32)}
    for name, tensors in files.items():
        torch.save(tensors, folder / name)
    return folder


@pytest.mark.parametrize(("channels", "kind"), [(8, "mimo"), (4, "moore")])
def test_a_release_is_found_by_content_and_converted_whole(channels: int, kind: str, tmp_path: Path) -> None:
    source = release(tmp_path / "source", channels=channels)
    base = tmp_path / "source" / "stable-diffusion-v1-5" / "unet"
    base.mkdir(parents=True)
    save_file(unet(4), base / "diffusion_pytorch_model.safetensors")
    torch.save(unet(4), base / "diffusion_pytorch_model.bin")  # the same again, as the hub has them
    manifest = convert(source, tmp_path / "out", date=DATE, licence="MIT", precision="fp32")
    assert manifest.kind == kind
    assert manifest == read_manifest(tmp_path / "out")
    assert set(manifest.pieces) == {"denoiser", "reference", "pose_encoder"}
    assert manifest.sources == {
        f"{name}.pth": file_hash(source / f"{name}.pth") for name in ("one", "two", "three", "four")
    }
    denoiser = manifest.pieces["denoiser"]
    net = diffusers.UNetMotionModel(**denoiser.config)
    net.load_state_dict(load_file(tmp_path / "out" / "denoiser.safetensors"), strict=True)
    assert denoiser.config["in_channels"] == channels
    assert [finding.named for finding in inspect(tmp_path / "out")] == [True] * 3
    assert [finding.named for finding in inspect(source)] == [True] * 3
    again_kind, pieces = read_model(tmp_path / "out")
    found = {piece.name: piece for piece in pieces}
    assert again_kind == kind
    assert torch.equal(found["denoiser"].tensors["conv_in.weight"], unet(channels)["conv_in.weight"])


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    torch.save(pose(), source / "a.pth")
    torch.save(dict(reversed(pose().items())), source / "b.pth")
    made = [convert(source / name, tmp_path / f"out-{name}", date=DATE) for name in ("a.pth", "b.pth", "a.pth")]
    hashes = {file_hash(tmp_path / f"out-{name}" / "pose_encoder.safetensors") for name in ("a.pth", "b.pth")}
    assert hashes == {made[0].pieces["pose_encoder"].sha256}
    assert made[0] == made[2]
    assert made[0].licence.startswith("unknown")
    assert not list(tmp_path.rglob(".*")), "no rests"
    again = convert(tmp_path / "out-a.pth", tmp_path / "wide", date=DATE, precision="fp32")
    assert again.pieces["pose_encoder"].dtype == "fp32"


def test_numbers_that_the_dtype_cannot_hold_are_an_error_and_leave_nothing(tmp_path: Path) -> None:
    tensors = {"a": torch.tensor([1.0, 1e6]), "b": torch.arange(3)}
    with pytest.raises(ModelError, match="1 tensors hold values beyond fp16: a"):
        save_tensors(tmp_path / "a.safetensors", tensors, precision="fp16")
    assert not list(tmp_path.iterdir())
    tied = {**tensors, "c": tensors["a"]}
    save_tensors(tmp_path / "a.safetensors", tied, precision="fp32")
    assert all(torch.equal(tied[name], found) for name, found in load_file(tmp_path / "a.safetensors").items())


def test_a_folder_of_diffusers_keeps_its_words(tmp_path: Path) -> None:
    source = tmp_path / "source"
    config = {"block_out_channels": [8], "norm_num_groups": 4, "sample_size": 8}
    with torch.device("cpu"):
        vae = diffusers.AutoencoderKL(block_out_channels=(8,), norm_num_groups=4)
    for name in ("vae", "tokenizer", "unet"):
        (source / name).mkdir(parents=True)
    save_file(vae.state_dict(), source / "vae" / "diffusion_pytorch_model.safetensors")
    (source / "vae" / "config.json").write_text(json.dumps(config))
    (source / "tokenizer" / "merges.txt").write_text("a b")
    (source / "tokenizer" / "run.py").write_text("1/0")
    save_file(unet(4), source / "unet" / "diffusion_pytorch_model.safetensors")
    save_file({"x": torch.zeros(1)}, source / "v1-5-pruned.safetensors")  # unknown ones are left out of a folder
    manifest = convert(source, tmp_path / "out", date=DATE)
    assert manifest.kind == "sd15"
    assert set(manifest.pieces) == {"unet", "vae"}
    assert manifest.pieces["vae"].config == config
    assert list(manifest.files) == ["tokenizer/merges.txt"]
    assert {finding.piece: finding.named for finding in inspect(tmp_path / "out")} == {"unet": True, "vae": True}
    (tmp_path / "out" / "tokenizer" / "merges.txt").write_text("a c")
    with pytest.raises(ModelError, match="the manifest says"):
        inspect(tmp_path / "out")


def test_incomplete_ambiguous_and_unknown_releases(tmp_path: Path) -> None:
    source = release(tmp_path / "source")
    torch.save(pose(32), source / "five.pth")
    with pytest.raises(ModelError, match=r"2 files could be the pose_encoder: .*five\.pth"):
        open_release(source)
    (source / "five.pth").unlink()
    (source / "two.pth").unlink()
    with pytest.raises(ModelError, match=r"lacks motion; found: .*denoiser \(one\.pth\)"):
        open_release(source)
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match="not known here: x"):
        open_release(tmp_path / "x.safetensors")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="no known weights"):
        open_release(tmp_path / "empty")
    with pytest.raises(UsageError, match="that of the source"):
        convert(source, source, date=DATE)


def test_a_wrong_release_leaves_no_manifest(tmp_path: Path) -> None:
    tensors = pose()
    del tensors["blocks.1.bias"]
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match=r"1 missing: blocks\.1\.bias"):
        convert(tmp_path / "a.safetensors", tmp_path / "out", date=DATE)
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_what_is_damaged_after_the_conversion_is_found(tmp_path: Path) -> None:
    save_file(pose(), tmp_path / "a.safetensors")
    out = tmp_path / "out"
    convert(tmp_path / "a.safetensors", out, date=DATE)
    path, good, text = out / "pose_encoder.safetensors", (out / "pose_encoder.safetensors").read_bytes(), ""
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(ModelError, match="the manifest says"):
        inspect(out)
    path.unlink()
    with pytest.raises(ModelError, match="missing"):
        inspect(out)
    path.write_bytes(good)
    text = (out / MANIFEST).read_text()
    held: dict[str, Any] = json.loads(text)
    piece = held["pieces"]["pose_encoder"]
    for change in (
        {"format": "other"},
        {"pieces": {"../a": piece}},
        {"pieces": {"pose_encoder": {**piece, "sha256": "0"}}},
        {"pieces": {"pose_encoder": {**piece, "tensors": -1}}},
        {"pieces": {"pose_encoder": {**piece, "family": "x"}}},
        {"pieces": {"pose_encoder": {**piece, "config": []}}},
        {"pieces": []},
        {"files": {"../../etc/passwd": "0" * 64}},
        {"more": 1},
        {"sources": {"a": 5}},
    ):
        (out / MANIFEST).write_text(json.dumps({**held, **change}))
        with pytest.raises(ModelError, match="manifest is damaged"):
            read_manifest(out)
    for broken in ("[]", "{", "[" * 100_000):
        (out / MANIFEST).write_text(broken)
        with pytest.raises(ModelError, match="JSON"):
            read_manifest(out)


def test_files_of_the_catalogue_are_known_by_their_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(pose(), tmp_path / "a.safetensors")
    entry = replace(catalog.GENERATORS[0], licence="W3C", files=("a.safetensors",))
    entry = replace(entry, sha256={"a.safetensors": file_hash(tmp_path / "a.safetensors")})
    monkeypatch.setattr(catalog, "ALL", (entry,))
    assert convert(tmp_path / "a.safetensors", tmp_path / "out", date=DATE).licence == "W3C"
    files = inspect(tmp_path / "a.safetensors")[0].files
    assert files == {"a.safetensors": (entry.sha256["a.safetensors"], "mimo")}


def test_a_lora_is_kept_in_one_layout(tmp_path: Path) -> None:
    made = {"lora_unet_mid.lora_down.weight": torch.ones(2, 3), "lora_unet_mid.lora_up.weight": torch.ones(4, 2)}
    save_file(made, tmp_path / "a.safetensors")
    assert convert(tmp_path / "a.safetensors", tmp_path / "out", date=DATE).kind == "lora"
    assert set(read_tensors(tmp_path / "out" / "lora.safetensors")) == {
        f"unet.mid.{part}" for part in ("lora_down.weight", "lora_up.weight", "alpha")
    }
    assert [finding.named for finding in inspect(tmp_path / "out")] == [False]
