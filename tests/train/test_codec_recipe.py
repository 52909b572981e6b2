"""Training of the codec: its data, its loss, and a short run."""

import pickle

import numpy as np
import pytest
import torch

from diorama.diffusion.codec_small import SmallCodecConfig, open_small
from diorama.errors import MediaError
from diorama.train.codec_data import patches_of, read_pictures, shrunk, write_pictures
from diorama.train.codec_recipe import CodecRecipe, psnr
from diorama.train.config import TrainConfig
from diorama.train.draws import Draws
from diorama.train.loop import train

SIZES = SmallCodecConfig(encoder_width=16, encoder_blocks=1, decoder_width=16, decoder_blocks=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Smooth pictures under the names of real ones."""
    path = tmp_path_factory.mktemp("pictures")
    low = torch.rand(7, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(low, (144, 144), mode="bicubic").clamp(0, 1)
    frames = (255 * smooth).byte().permute(0, 2, 3, 1).numpy()
    np.save(path / "theatre-00000.npy", frames[:4])
    np.save(path / "held-00000.npy", frames[4:6])
    np.save(path / "photo-coffee-100.npy", frames[6])
    return path


@pytest.fixture(autouse=True)
def _few_patches(monkeypatch):
    monkeypatch.setattr("diorama.train.codec_recipe.FITTED", 8)


def recipe(folder, **options):
    return CodecRecipe(TrainConfig(**{"steps": 3, "data": str(folder), **options}), sizes=SIZES)


def test_patches_are_in_the_order_of_torch():
    picture = np.arange(3 * 16 * 24, dtype=np.float32).reshape(3, 16, 24)
    expected = torch.nn.functional.pixel_unshuffle(torch.from_numpy(picture)[None], 8)[0]
    assert np.array_equal(patches_of([picture], 8), expected.flatten(1).T.numpy())


def test_shrinking_keeps_the_mean():
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    assert abs(float(shrunk(picture, 17, 23).mean()) - float(picture.mean())) < 0.6
    assert np.array_equal(shrunk(picture, 40, 60), picture)
    assert np.array_equal(shrunk(picture, 20, 30)[3, 4], np.rint(picture[6:8, 8:10].mean((0, 1))))


def test_batches_are_a_function_of_their_numbers(folder):
    one, other = recipe(folder), pickle.loads(pickle.dumps(recipe(folder)))
    batch = one.batch([3, 4])["frames"]
    assert batch.shape == (2, 3, 128, 128)
    assert 0 <= batch.min() <= batch.max() <= 1
    assert torch.equal(batch[1:], other.batch([4])["frames"])


def test_loss_is_a_mean_over_samples(folder):
    made = recipe(folder)
    networks = made.networks()
    batch = made.batch([0, 1])
    whole = made.loss(networks, batch, Draws(0, [0, 1])).total
    parts = [made.loss(networks, {"frames": batch["frames"][i : i + 1]}, Draws(0, [i])).total for i in range(2)]
    assert torch.allclose(whole, torch.stack(parts).mean(), atol=1e-5)


def test_a_short_run(folder, tmp_path):
    made = recipe(folder, batch=2, lr=1e-3, out=str(tmp_path / "run"), device="cpu")
    config = TrainConfig(steps=3, batch=2, lr=1e-3, data=str(folder), out=str(tmp_path / "run"), device="cpu")
    report = train(made, config)
    assert report.measures["held_psnr"] > report.measures["held_psnr_noise_0.1"] > 15
    codec = open_small(report.result / "codec-s.safetensors")
    assert codec.sizes == SIZES
    frames = made._held()
    assert abs(psnr(codec.decode(codec.encode(frames)), frames) - report.measures["held_psnr"]) < 0.1


def test_decoder_alone_keeps_the_latents(folder, tmp_path):
    config = TrainConfig(steps=2, batch=2, lr=1e-3, data=str(folder), out=str(tmp_path / "run"), device="cpu")
    first = train(CodecRecipe(config, sizes=SIZES), config).result / "codec-s.safetensors"
    again = TrainConfig(steps=2, batch=2, lr=1e-3, data=str(folder), out=str(tmp_path / "more"), device="cpu")
    second = train(CodecRecipe(again, start=first), again).result / "codec-s.safetensors"
    before, after = open_small(first), open_small(second)
    frames = recipe(folder).batch([9])["frames"]
    assert torch.equal(before.encode(frames), after.encode(frames))
    assert not torch.equal(before.decode(before.encode(frames)), after.decode(after.encode(frames)))


def test_refuses_folders(tmp_path):
    with pytest.raises(MediaError, match="write_pictures"):
        read_pictures(tmp_path, 128)
    np.save(tmp_path / "theatre-0.npy", np.zeros((2, 144, 144, 3), np.float32))
    with pytest.raises(MediaError, match="float32"):
        read_pictures(tmp_path, 128)
    (tmp_path / "theatre-0.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(MediaError, match="no array"):
        read_pictures(tmp_path, 128)


def test_pictures_are_drawn_once(tmp_path, monkeypatch):
    monkeypatch.setattr("diorama.train.codec_data.SIZE", 32)
    monkeypatch.setattr(
        "diorama.train.codec_data.photographs", lambda: [("coffee-100", np.zeros((40, 40, 3), np.uint8))]
    )
    write_pictures(tmp_path, clips=1, held_clips=1)
    made = read_pictures(tmp_path, 32)
    assert made.theatre[0].shape == (6, 32, 32, 3)  # four frames, an actor alone, an actor on white
    assert made.held.shape == (2, 32, 32, 3)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*-00000.npy")}
    write_pictures(tmp_path, clips=1, held_clips=1)
    assert before == {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*-00000.npy")}
