"""The embedded codec: laws of its transform, what it keeps of pictures, and what it refuses."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from diorama.diffusion.codec_load import load_codec
from diorama.diffusion.codec_small import EMBEDDED, SmallCodec, SmallCodecConfig, open_small
from diorama.errors import ModelError, UsageError
from diorama.theatre.clip import Script, random_clip

THEATRE_DB, SYNTHETIC_DB, NOISY_DB = 27.2, 33.0, 26.8
"""What is asked of the pictures below; the card has the figures over held-out sets."""


def psnr(a, b):
    return -10 * float((a - b).square().mean().log10())


@pytest.fixture(scope="module")
def codec():
    return load_codec()


@pytest.fixture(scope="module")
def theatre():
    clip = random_clip(123_456, Script(frames=3, height=128, width=128))
    frames = np.stack([clip.frame(t).image for t in range(3)])
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(scope="module")
def synthetic():
    """A sky over waves, and a disc."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 128), torch.linspace(-1, 1, 128), indexing="ij")
    ground = torch.stack([0.5 + 0.3 * y, 0.6 - 0.2 * x, 0.4 + 0.2 * torch.sin(6 * x + 4 * y)])
    disc = torch.tensor([0.9, 0.5, 0.2])[:, None, None].expand_as(ground)
    return torch.where((x**2 + y**2 < 0.2)[None], disc, ground)[None]


def fresh(patches=None, **sizes):
    """An untrained codec: the transform of random smooth patches."""
    small = SmallCodec(SmallCodecConfig(**sizes)).eval().requires_grad_(False)
    if patches is None:
        generator = torch.Generator().manual_seed(1)
        low = torch.rand(400, 3, 3, 3, generator=generator)
        smooth = torch.nn.functional.interpolate(low, (8, 8), mode="bilinear")
        patches = torch.nn.functional.pixel_unshuffle(smooth, 8).flatten(1)
    small.set_basis(patches)
    return small


def test_embedded_sizes(codec):
    assert (codec.channels, codec.factor) == (16, 8)
    assert sum(p.numel() for p in codec.parameters()) <= 2_500_000
    assert EMBEDDED.stat().st_size <= 16_000_000
    assert all(tensor.dtype == torch.float16 for tensor in load_file(EMBEDDED).values())


def test_untrained_codec_is_an_orthogonal_projection():
    small = fresh()
    rows = small.analysis.weight[:, :, 0, 0].double()
    columns = small.synthesis.weight[:, :, 0, 0].double()
    assert torch.allclose(rows @ columns, torch.eye(16, dtype=torch.float64), atol=1e-4)
    assert torch.allclose(columns @ rows, (columns @ rows).T, atol=1e-5)
    frames = torch.rand(1, 3, 32, 40, generator=torch.Generator().manual_seed(0))
    once = small.to_frames(small.to_latents(frames))
    assert torch.allclose(small.to_frames(small.to_latents(once)), once, atol=1e-4)


def test_untrained_latents_of_their_own_patches_have_unit_variance():
    patches = torch.rand(3000, 192, generator=torch.Generator().manual_seed(2)) * torch.linspace(0.1, 1, 192)
    frames = torch.nn.functional.pixel_shuffle(patches[:, :, None, None], 8)
    latents = fresh(patches).to_latents(frames)[..., 0, 0]
    assert latents.mean(0).abs().max() < 1e-3
    assert torch.allclose(latents.var(0), torch.ones(16), atol=1e-3)


def test_keeps_theatre(codec, theatre):
    assert psnr(codec.decode(codec.encode(theatre)), theatre) > THEATRE_DB


def test_keeps_synthetic_pictures(codec, synthetic):
    assert psnr(codec.decode(codec.encode(synthetic)), synthetic) > SYNTHETIC_DB


def test_bears_small_noise(codec, theatre):
    latents = codec.encode(theatre)
    noise = 0.05 * torch.randn(latents.shape, generator=torch.Generator().manual_seed(3))
    assert psnr(codec.decode(latents + noise), theatre) > NOISY_DB


def test_latents_have_about_unit_variance(codec, theatre):
    latents = codec.encode(theatre)
    assert 0.3 < float(latents.square().mean()) < 3
    assert codec.energy.shape == (16,)
    assert abs(float(codec.energy.mean()) - 1) < 1e-4


def test_a_patch_changes_only_its_own_latent(codec, theatre):
    frames = theatre[:1]
    changed = frames.clone()
    changed[..., 40:48, 64:72] = 1 - changed[..., 40:48, 64:72]
    difference = (codec.encode(frames) - codec.encode(changed)).abs().amax(dim=(0, 1))
    assert difference[5, 8] > 0.1
    difference[5, 8] = 0
    assert difference.max() < 1e-5


def test_batch_equals_singles(codec, theatre):
    latents = codec.encode(theatre)
    singles = torch.cat([codec.encode(frame[None]) for frame in theatre])
    assert torch.equal(latents, singles)
    frames = torch.cat([codec.decode(latent[None]) for latent in latents])
    assert torch.allclose(codec.decode(latents), frames, atol=1e-5)


def test_decoded_frames_stay_in_range(codec):
    frames = codec.decode(20 * torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(4)))
    assert frames.min() >= 0
    assert frames.max() <= 1


def test_standardise_keeps_pictures_inside(theatre):
    small = fresh()
    before = small.to_frames(small.to_latents(theatre))
    small.standardise(theatre)
    latents = small.to_latents(theatre)
    assert torch.allclose(latents.var(dim=(0, 2, 3), correction=0), torch.ones(16), atol=1e-3)
    assert torch.allclose(small.to_frames(latents), before, atol=1e-4)


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (torch.zeros(3, 16, 16), "b x 3 x h x w"),
        (torch.zeros(1, 4, 16, 16), "b x 3 x h x w"),
        (torch.zeros(1, 3, 16, 20), "multiples of 8"),
        (torch.zeros(0, 3, 16, 16), "multiples of 8"),
        (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), "floats"),
        (torch.full((1, 3, 16, 16), 255.0), "to 255"),
        (torch.full((1, 3, 16, 16), torch.nan), "nan"),
        (torch.zeros(1, 3, 16, 16, device="meta"), "meta"),
    ],
)
def test_refuses_frames(codec, frames, said):
    with pytest.raises((UsageError, TypeError), match=r"(?s)" + said + "|jaxtyp|Type-check"):
        codec.encode(frames)


@pytest.mark.parametrize(
    "latents", [torch.zeros(1, 4, 2, 2), torch.zeros(1, 16, 0, 2), torch.zeros(1, 16, 2, 2, device="meta")]
)
def test_refuses_latents(codec, latents):
    with pytest.raises(UsageError):
        codec.decode(latents)


def test_unknown_names(tmp_path):
    with pytest.raises(ModelError, match="known: codec-s"):
        load_codec("codec-x")
    with pytest.raises(ModelError, match=r"config\.json"):
        load_codec(tmp_path)
    with pytest.raises(ModelError, match="no such file"):
        load_codec(tmp_path / "none.safetensors")


def _without(tensors, name):
    return {key: value for key, value in tensors.items() if key != name}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: _without(t, "mean"), "missing"),
        (lambda t: _without(t, "analysis.weight"), "no codec of ours"),
        (lambda t: {**t, "extra": torch.zeros(1)}, "unexpected"),
        (lambda t: {**t, "std": torch.zeros(16)}, "above 0"),
        (lambda t: {**t, "mean": torch.full((16,), torch.nan)}, "NaN"),
        (lambda t: {**t, "decoder.0.weight": torch.zeros(1, 1)}, "shape"),
        (lambda t: {**t, "decoder.0.weight": torch.zeros(9999, 1)}, "2048"),
    ],
)
def test_refuses_damaged_weights(tmp_path, spoil, said):
    path = tmp_path / "codec.safetensors"
    save_file(spoil(load_file(EMBEDDED)), path)
    with pytest.raises(ModelError, match=said):
        open_small(path)
