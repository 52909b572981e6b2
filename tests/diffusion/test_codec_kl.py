"""The autoencoders of diffusers as codecs: what they compute, and folders that are refused."""

import json
import shutil

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from safetensors.torch import load_file, save_file

from diorama.diffusion.codec_kl import DiffusersCodec
from diorama.diffusion.codec_load import load_codec
from diorama.diffusion.coding import Coding, encode_video, seam_error
from diorama.errors import ModelError, UsageError

WEIGHTS = "diffusion_pytorch_model.safetensors"


def network(kind="kl"):
    torch.manual_seed(0)
    if kind == "tiny":
        blocks = {"num_encoder_blocks": (1, 1, 1), "num_decoder_blocks": (1, 1, 1)}
        widths = {"encoder_block_out_channels": (8, 8, 8), "decoder_block_out_channels": (8, 8, 8)}
        return AutoencoderTiny(latent_channels=4, **blocks, **widths).eval()
    ends = {"down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3}
    return AutoencoderKL(
        block_out_channels=(8, 8, 8),
        norm_num_groups=4,
        layers_per_block=1,
        scaling_factor=0.5,
        shift_factor=0.1,
        **ends,
    ).eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in ("kl", "tiny")}
    for kind, folder in folders.items():
        network(kind).save_pretrained(folder)
    return folders


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved["kl"], tmp_path / "vae")


@pytest.fixture(scope="module")
def frames():
    return torch.rand(3, 3, 16, 24, generator=torch.Generator().manual_seed(0))


def test_equals_diffusers(saved, frames):
    codec, vae = load_codec(saved["kl"]), network()
    assert (codec.channels, codec.factor) == (4, 4)
    with torch.no_grad():
        z = vae.encode(2 * frames - 1).latent_dist.mean
        assert torch.allclose(codec.encode(frames), (z - 0.1) * 0.5, atol=1e-6)
        expected = vae.decode(z).sample / 2 + 0.5
        assert torch.allclose(codec.decode((z - 0.1) * 0.5), expected.clamp(0, 1), atol=1e-5)


def test_equals_the_tiny_one(saved, frames):
    codec, tiny = load_codec(saved["tiny"]), network("tiny")
    assert (codec.channels, codec.factor) == (4, 4)
    with torch.no_grad():
        z = tiny.encode(2 * frames - 1).latents
        assert torch.allclose(codec.encode(frames), z, atol=1e-6)
        assert torch.allclose(codec.decode(z), (tiny.decode(z).sample / 2 + 0.5).clamp(0, 1), atol=1e-6)


def test_no_chance(saved, frames):
    codec = load_codec(saved["kl"])
    assert torch.equal(codec.encode(frames), codec.encode(frames))


def test_slices_and_tiles(saved, frames):
    codec = load_codec(saved["kl"])
    one, many = encode_video(codec, frames, Coding(batch=1)), encode_video(codec, frames, Coding(batch=3))
    assert torch.allclose(one, many, atol=1e-5)
    latents = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert seam_error(codec, latents, Coding(tile=32, overlap=8)).largest > 1e-3  # statistics of norms differ by tile


def test_a_folder_of_a_pipeline(saved, frames, tmp_path):
    shutil.copytree(saved["kl"], tmp_path / "vae")
    assert torch.equal(load_codec(tmp_path).encode(frames), load_codec(saved["kl"]).encode(frames))


def test_old_names_of_the_attention(folder, saved, frames):
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = {}
    for name, tensor in load_file(folder / WEIGHTS).items():
        for new, before in old.items():
            if f".{new}." in name:
                name, tensor = name.replace(new, before), tensor[..., None, None] if tensor.ndim == 2 else tensor
        renamed[name] = tensor
    save_file(renamed, folder / WEIGHTS)
    assert torch.equal(load_codec(folder).encode(frames), load_codec(saved["kl"]).encode(frames))


def _config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"_class_name": "UNet2DModel"}, "class 'UNet2DModel'"),
        ({"_class_name": ["x"]}, "class"),
        ({"latent_channels": 8}, "another shape"),
        ({"block_out_channels": [8, 8, 10**9]}, "sensible"),
        ({"block_out_channels": "8"}, "does not work|sensible|number"),
        ({"layers_per_block": 10**6}, "sensible"),
        ({"norm_num_groups": 3}, "does not work"),
        ({"scaling_factor": 0}, "above 0"),
        ({"in_channels": 4}, "RGB"),
        ({"down_block_types": ["os.system"] * 3}, "does not work"),
    ],
)
def test_refuses_configurations(folder, changes, said):
    _config(folder, **changes)
    with pytest.raises(ModelError, match=said):
        load_codec(folder)


@pytest.mark.parametrize("text", ["", "[1]", "{" * 5000, '{"a": NaN', "\udcff"])
def test_refuses_what_is_no_configuration(folder, text):
    (folder / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError):
        load_codec(folder)


def test_refuses_weights(folder):
    tensors = load_file(folder / WEIGHTS)
    name = next(iter(tensors))
    save_file({**tensors, name: torch.full_like(tensors[name], torch.nan)}, folder / WEIGHTS)
    with pytest.raises(ModelError, match="NaN"):
        load_codec(folder)
    save_file({key: value for key, value in tensors.items() if key != name}, folder / WEIGHTS)
    with pytest.raises(ModelError, match="missing"):
        load_codec(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(ModelError, match="no weights"):
        load_codec(folder)


def test_refuses_frames(saved):
    codec = load_codec(saved["kl"])
    with pytest.raises(UsageError, match="multiples of 4"):
        codec.encode(torch.zeros(1, 3, 10, 16))
    with pytest.raises(UsageError, match="b x 4"):
        codec.decode(torch.zeros(1, 16, 2, 2))
    assert isinstance(codec, DiffusersCodec)
