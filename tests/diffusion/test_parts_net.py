"""The small generator of parts: its two branches, its views, and sampling with it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from diorama.diffusion.parts_generate import (
    SIZE,
    PartsSampleConfig,
    codes_of,
    generate_parts,
    load_parts,
    parts_of_views,
    views_of,
)
from diorama.diffusion.parts_net import CHANNELS, PartsGiven, PartsNet, PartsNetConfig, to_codes, to_pictures
from diorama.errors import ModelError, UsageError
from diorama.train.export import write_weights

SMALL = PartsNetConfig((16, 16, 32), depth=2)


@pytest.fixture(scope="module")
def network() -> PartsNet:
    """Random, and with nothing silent."""
    torch.manual_seed(0)
    made = PartsNet(SMALL)
    for parameter in made.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return made.eval().requires_grad_(False)


def _asked(views: int = 3, frames: int = 2) -> tuple[torch.Tensor, torch.Tensor, PartsGiven]:
    torch.manual_seed(1)
    x = torch.randn(1, 2 * CHANNELS, frames, views, 8, 8)
    azimuth = torch.arange(views)[None] * (2 * torch.pi / views)
    return x, torch.zeros(1), PartsGiven(torch.randn(1, frames, CHANNELS, 8, 8), azimuth)


def test_codes_lose_nothing_and_white_is_zero() -> None:
    pictures = torch.rand(2, 3, 32, 48)
    assert torch.allclose(to_pictures(to_codes(pictures)), pictures, atol=1e-6)
    assert not to_codes(torch.ones(1, 3, 16, 16)).any()
    with pytest.raises(UsageError, match="multiples of 16"):
        to_codes(torch.zeros(1, 3, 20, 16))


def test_what_ships_has_at_most_five_million_parameters() -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in PartsNet().parameters()) <= 5_000_000


def test_a_network_whose_exchange_is_silent_speaks_as_its_branches_alone() -> None:
    torch.manual_seed(2)
    made = PartsNet(SMALL)
    torch.nn.init.normal_(made.rgb.out.weight, std=0.1)
    assert not made.has_parts
    made.begin_parts()
    x, level, given = _asked()
    both, _ = made(x, level, given)
    alone, _ = made(x[:, :CHANNELS], level, given)
    assert torch.allclose(both[:, :CHANNELS], alone, atol=1e-6)
    parts, _ = made(x[:, CHANNELS:], level, given)  # the branch of parts is a copy
    assert torch.allclose(both[:, CHANNELS:], parts, atol=1e-6)
    assert made.has_parts


def test_each_branch_hears_the_other_and_every_view_the_others(network: PartsNet) -> None:
    x, level, given = _asked()
    base, _ = network(x, level, given)
    for half, other in ((slice(0, CHANNELS), slice(CHANNELS, None)), (slice(CHANNELS, None), slice(0, CHANNELS))):
        moved = x.clone()
        moved[:, half] += 1
        assert (network(moved, level, given)[0][:, other] - base[:, other]).abs().max() > 1e-4
    moved = x.clone()
    moved[:, :, 0, 1] += 1
    change = (network(moved, level, given)[0] - base).abs().amax(dim=(0, 1, 4, 5))
    assert (change[0] > 1e-5).all()  # all views of the frame
    assert change[1].max() > 1e-6  # and other frames


def test_views_in_another_order_come_out_in_that_order(network: PartsNet) -> None:
    x, level, given = _asked(views=4)
    order = torch.tensor([2, 0, 3, 1])
    turned = PartsGiven(given.image, given.azimuth[:, order])
    assert torch.allclose(
        network(x[:, :, :, order], level, turned)[0], network(x, level, given)[0][:, :, :, order], atol=1e-4
    )


def test_sampling_keeps_the_input_view_and_carried_frames(network: PartsNet) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3)).astype(np.uint8)
    how = PartsSampleConfig(steps=2, views=3)
    made = generate_parts(network, frames, config=how)
    assert made.images.shape == made.colored.shape == (3, 3, SIZE, SIZE, 3)
    assert np.abs(made.images[0].astype(int) - frames).max() <= 1
    assert np.array_equal(made.colored, generate_parts(network, frames, config=how).colored)
    other = generate_parts(network, frames, config=PartsSampleConfig(steps=2, views=3, seed=1))
    assert not np.array_equal(made.colored, other.colored)
    codes = codes_of(frames)
    first = views_of(network, codes[:, :2], config=how)
    later = views_of(network, codes[:, 1:], config=how, carried=first[:, :, -1:])
    assert torch.equal(later[:, :, 0], first[:, :, -1])


def test_parts_of_known_views_have_the_views_shape(network: PartsNet) -> None:
    images = np.full((3, SIZE, SIZE, 3), 200, np.uint8)
    assert parts_of_views(network, images, config=PartsSampleConfig(steps=1)).shape == images.shape


def test_weights_go_through_a_file_and_bad_ones_are_refused(tmp_path: Path, network: PartsNet) -> None:
    write_weights(network, tmp_path / "parts-s.safetensors")
    again = load_parts(tmp_path / "parts-s.safetensors")
    assert again.sizes == SMALL
    x, level, given = _asked()
    assert torch.allclose(again(x, level, given)[0], network(x, level, given)[0], atol=0.05)
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="no generator of parts"):
        load_parts(tmp_path / "other.safetensors")
    with pytest.raises(ModelError):
        load_parts(tmp_path / "missing.safetensors")


@pytest.mark.parametrize(
    "bad",
    [{"steps": 0}, {"views": 1}, {"seed": -1}, {"guidance": (1.0, float("nan"))}],
)
def test_settings_out_of_range_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        PartsSampleConfig(**bad)  # type: ignore[arg-type]


def test_pictures_of_another_size_are_refused(network: PartsNet) -> None:
    with pytest.raises(UsageError, match="128"):
        generate_parts(network, np.zeros((1, 64, 64, 3), np.uint8))
