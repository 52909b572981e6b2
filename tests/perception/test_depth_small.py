"""depth-s: its numpy twin equals the trained network, its weights are checked, and near things come out near."""

import subprocess
import sys
from importlib.resources import files

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from diorama.errors import ModelError
from diorama.perception import depth_small
from diorama.perception.depth_small import checked, input_size, learned_inverse_depth, run, shapes, weights
from diorama.perception.fuse import blend
from diorama.theatre.clip import Script, random_clip
from diorama.train.recipes.depth_loss import rank_correlation
from diorama.train.recipes.depth_net import DepthNet


def file_bytes() -> bytes:
    return (files("diorama.perception") / "data" / "depth-s.safetensors").read_bytes()


def test_the_file_is_small_and_so_is_the_network() -> None:
    assert len(file_bytes()) <= 2_200_000
    assert sum(int(np.prod(shape)) for shape in shapes().values()) <= 1_000_000
    assert {name: tuple(value.shape) for name, value in DepthNet().state_dict().items()} == shapes()


@pytest.mark.parametrize("size", [(112, 192), (48, 48), (192, 112)])
def test_numpy_equals_torch(size: tuple[int, int]) -> None:
    network = DepthNet().eval()
    network.load_state_dict({name: value.float() for name, value in load(file_bytes()).items()})
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = network(image)[0].numpy()
    found = run(weights(), image[0].permute(1, 2, 0).contiguous().numpy())
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-4


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 450, 48), (961, 864, 96), (60, 8, 128), (60, 5000, 300)])
def test_products_in_pieces_are_products(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(shape[:2], np.float32), rng.standard_normal(shape[1:], np.float32)
    assert np.allclose(depth_small.product(x, w), x @ w, atol=1e-3)


@pytest.mark.parametrize("size", [(216, 384), (384, 216), (1, 1), (16, 16), (40, 384), (2, 300)])
def test_any_size_gives_maps_in_range(size: tuple[int, int]) -> None:
    image = np.random.default_rng(3).integers(0, 256, (*size, 3)).astype(np.uint8)
    near = learned_inverse_depth(image)
    height, width = input_size(*size)
    assert height % 16 == width % 16 == 0
    assert near.shape == (height // 2, width // 2)
    assert np.isfinite(near).all()
    assert near.min() >= 0
    assert near.max() <= 1.7
    assert np.array_equal(near, learned_inverse_depth(image))


def test_input_keeps_aspect_and_area() -> None:
    for height, width in ((216, 384), (288, 384), (384, 384), (384, 216)):
        high, wide = input_size(height, width)
        assert abs(high / wide / (height / width) - 1) < 0.08
        assert 0.85 < high * wide / depth_small.AREA < 1.15


def test_scenes_of_the_theatre_that_were_never_trained_on() -> None:
    scores = []
    for seed in range(6):
        frame = random_clip(4_000_000 + seed, Script(1, 1.0, 144, 256)).frame(0)
        truth = np.where(np.isfinite(frame.depth), 1 / frame.depth, 0)
        near = learned_inverse_depth(frame.image)
        rows = (np.arange(near.shape[0]) * 144 // near.shape[0])[:, None]
        columns = (np.arange(near.shape[1]) * 256 // near.shape[1])[None]
        scores.append(rank_correlation(near, truth[rows, columns]))
    assert np.mean(scores) > 0.8


def test_the_network_counts_as_far_as_it_is_decided() -> None:
    seen = np.tile(np.linspace(0.1, 0.7, 90, dtype=np.float32)[:, None], (1, 160))
    assert np.allclose(blend(seen, np.full((48, 80), 0.3, np.float32)), seen, atol=1e-5)
    decided = np.zeros((48, 80), np.float32)
    decided[24:] = 0.8
    alone = blend(seen, decided)
    assert alone[:40].max() < 0.01
    assert abs(alone[60:].mean() - 0.8) < 0.01
    doubtful = np.full((48, 80), 0.25, np.float32)
    doubtful[20:40, 30:50] = 0.36
    raised = blend(seen, doubtful) - seen
    assert raised[45:65, 70:90].min() > 0
    sky = blend(np.zeros_like(seen), doubtful)
    assert sky.max() == 0


def test_running_it_loads_no_torch() -> None:
    code = (
        "import sys, numpy as np; from diorama.perception.depth_small import learned_inverse_depth as f\n"
        "f(np.zeros((64, 64, 3), np.uint8)); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


def test_damaged_and_foreign_weights_are_refused() -> None:
    whole = load(file_bytes())
    name = "block1.first.weight"
    broken = {
        "no weights": file_bytes()[:1000],
        "is missing": save({key: value for key, value in whole.items() if key != name}),
        "is not of this network": save({**whole, "other": torch.zeros(2)}),
        "of shape": save({**whole, name: whole[name][:1].clone()}),
        "of shape .* and type int8": save({**whole, name: torch.zeros(whole[name].shape, dtype=torch.int8)}),
        "not finite": save({**whole, name: torch.full_like(whole[name], torch.nan)}),
        "at most": bytes(depth_small.MOST_BYTES + 1),
    }
    for message, data in broken.items():
        with pytest.raises(ModelError, match=message):
            checked(data, "here")
    other_types = [save({**whole, name: whole[name].to(kind)}) for kind in (torch.float8_e4m3fn, torch.bfloat16)]
    for data in (b"", b"\xff" * 64, b"PK\x03\x04", *other_types):
        with pytest.raises(ModelError):
            checked(data, "here")
