"""The small generator of parts: its two branches, its views, and sampling with it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from diorama.diffusion.parts_generate import (
    SIZE,
    PartsGenerator,
    PartsSampleConfig,
    as_pictures,
    generate_parts,
    load_parts,
    parts_of_views,
    views_of,
)
from diorama.diffusion.parts_net import CHANNELS, PartsGiven, PartsNet, PartsNetConfig, to_codes, to_pictures
from diorama.diffusion.parts_relief import Relief, drawn_from, hints_for, solid_of
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


@pytest.fixture(scope="module")
def generator(network: PartsNet) -> PartsGenerator:
    torch.manual_seed(3)
    relief = Relief(SMALL)
    torch.nn.init.normal_(relief.branch.out.weight, std=0.02)
    return PartsGenerator(network, relief).eval().requires_grad_(False)


def _asked(views: int = 3, frames: int = 2) -> tuple[torch.Tensor, torch.Tensor, PartsGiven]:
    torch.manual_seed(1)
    x = torch.randn(1, 2 * CHANNELS, frames, views, 8, 8)
    azimuth = torch.arange(views)[None] * (2 * torch.pi / views)
    hint = torch.randn(1, 2 * CHANNELS, frames, views, 8, 8)
    return x, torch.zeros(1), PartsGiven(torch.randn(1, frames, CHANNELS, 8, 8), azimuth, hint)


def test_codes_lose_nothing_and_white_is_zero() -> None:
    pictures = torch.rand(2, 3, 32, 48)
    assert torch.allclose(to_pictures(to_codes(pictures)), pictures, atol=1e-6)
    assert not to_codes(torch.ones(1, 3, 16, 16)).any()
    with pytest.raises(UsageError, match="multiples of 16"):
        to_codes(torch.zeros(1, 3, 20, 16))


def test_what_ships_has_at_most_five_million_parameters() -> None:
    with torch.device("meta"):
        made = PartsGenerator(PartsNet(), Relief())
    assert sum(parameter.numel() for parameter in made.parameters()) <= 5_000_000


def test_an_untrained_network_says_the_first_guess() -> None:
    x, level, given = _asked()
    said, _ = PartsNet(SMALL)(x, level, given)
    assert torch.allclose(said, given.hint)


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
    later = PartsGiven(given.image, given.azimuth, given.hint[:, CHANNELS:])
    parts, _ = made(x[:, CHANNELS:], level, later)  # the branch of parts is a copy
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
    turned = PartsGiven(given.image, given.azimuth[:, order], given.hint[:, :, :, order])
    assert torch.allclose(
        network(x[:, :, :, order], level, turned)[0], network(x, level, given)[0][:, :, :, order], atol=1e-4
    )


def test_sampling_keeps_the_input_view_and_carried_frames(generator: PartsGenerator) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3)).astype(np.uint8)
    how = PartsSampleConfig(steps=2, views=3)
    made = generate_parts(generator, frames, config=how)
    assert made.images.shape == made.colored.shape == (3, 3, SIZE, SIZE, 3)
    assert np.abs(made.images[0].astype(int) - frames).max() <= 1
    assert np.array_equal(made.colored, generate_parts(generator, frames, config=how).colored)
    other = generate_parts(generator, frames, config=PartsSampleConfig(steps=2, views=3, seed=1))
    assert not np.array_equal(made.colored, other.colored)
    first = views_of(generator, frames[:2], config=how)
    later = views_of(generator, frames[1:], config=how, carried=first[:, :, -1:])
    assert torch.equal(later[:, :, 0], first[:, :, -1])


class _Believing(PartsNet):
    """Says what it sees, noise and all."""

    def forward(
        self, x: torch.Tensor, ratio: torch.Tensor, given: PartsGiven
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return x * torch.sqrt(1 + torch.exp(8 * ratio)), []


@pytest.mark.parametrize("start", [0.1, 0.8])
def test_sampling_begins_with_the_first_guess_under_noise(generator: PartsGenerator, start: float) -> None:
    picture = np.full((1, SIZE, SIZE, 3), 255, np.uint8)
    picture[:, 40:90, 50:80] = (90, 160, 60)
    asked = PartsGenerator(_Believing(SMALL), generator.relief)
    guess = views_of(PartsGenerator(None, generator.relief), picture, config=PartsSampleConfig(views=3))
    made = views_of(asked, picture, config=PartsSampleConfig(steps=3, views=3, start=start))
    assert torch.equal(made[:, :CHANNELS, :, 0], guess[:, :CHANNELS, :, 0]), "the input view is known"
    assert float((made - guess)[:, :, :, 1:].std()) == pytest.approx(start, rel=0.02)


def test_parts_of_known_views_have_the_views_shape(generator: PartsGenerator) -> None:
    images = np.full((3, SIZE, SIZE, 3), 200, np.uint8)
    assert parts_of_views(generator, images, config=PartsSampleConfig(steps=1)).shape == images.shape


def test_weights_go_through_a_file_and_bad_ones_are_refused(tmp_path: Path, generator: PartsGenerator) -> None:
    write_weights(generator, tmp_path / "parts-s.safetensors")
    again = load_parts(tmp_path / "parts-s.safetensors")
    assert again.views is not None
    assert generator.views is not None
    assert again.views.sizes == SMALL
    assert (again.relief.sizes.widths, again.relief.sizes.depth) == (SMALL.widths, SMALL.depth)
    x, level, given = _asked()
    assert torch.allclose(again.views(x, level, given)[0], generator.views(x, level, given)[0], atol=0.05)
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="no generator of parts"):
        load_parts(tmp_path / "other.safetensors")
    with pytest.raises(ModelError):
        load_parts(tmp_path / "missing.safetensors")


def test_without_a_network_of_views_the_first_guess_is_what_is_made(tmp_path: Path, generator: PartsGenerator) -> None:
    write_weights(PartsGenerator(None, generator.relief), tmp_path / "relief-alone.safetensors")
    alone = load_parts(tmp_path / "relief-alone.safetensors")
    assert alone.views is None
    picture, *_ = _ball()
    made = generate_parts(alone, picture[None], config=PartsSampleConfig(views=3))
    guess = hints_for(alone.relief, picture[None], made.azimuths)
    assert np.array_equal(made.images[0, 0], picture)
    assert np.array_equal(made.colored, as_pictures(guess[None]).colored)
    assert made.depth is not None
    assert made.depth.shape == made.colored.shape[:4]
    assert (made.depth[made.colored.min(axis=-1) < 255] > 0).all()


def test_what_the_network_makes_stands_on_clean_paper(generator: PartsGenerator) -> None:
    picture, *_ = _ball()
    config = PartsSampleConfig(views=3)
    guess = generate_parts(PartsGenerator(None, generator.relief), picture[None], config=config)
    made = generate_parts(generator, picture[None], config=config)
    assert np.array_equal(made.images[0, 0], picture)
    assert made.elevation == guess.elevation
    darkest = np.minimum(made.images.min(axis=-1), made.colored.min(axis=-1))
    paper = darkest == 255
    assert 0.1 < paper[1:].mean() < 0.99
    assert darkest[1:][~paper[1:]].max() < 200, "a border is there or not"
    assert made.depth is not None
    assert not made.depth[1:][paper[1:]].any()
    assert np.isin(made.depth, [0, *np.unique(guess.depth)]).all()


def _ball() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A ball of a radius of a half, red before and blue behind, as the camera of azimuth 0 sees it."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2
    away = np.hypot(x, y) / (0.82 * SIZE / 2) * 1.0
    inside = away < 0.5
    deep = np.sqrt(np.maximum(0.25 - away**2, 0)).astype(np.float32)
    picture = np.full((SIZE, SIZE, 3), 255, np.uint8)
    picture[inside] = (255, 0, 0)
    return picture, inside, -deep, deep


def test_a_solid_of_front_and_back_looks_right_from_all_around() -> None:
    picture, inside, front, back = _ball()
    flat = np.zeros((SIZE, SIZE, 3), np.float32)
    red, blue = flat - np.array([0, 2, 2], np.float32), flat - np.array([2, 2, 0], np.float32)
    solid = solid_of(picture, inside, front, back, (red, blue, blue), 0.0)
    seen = drawn_from(solid, np.array([0, 90, 180], np.float32), SIZE)
    colors, parts = seen.colors, seen.parts
    for view in range(3):
        shown = (parts[view] < -0.1).any(axis=-1)
        assert (shown & inside).sum() / (shown | inside).sum() > 0.88
    middle = SIZE // 2
    assert np.allclose(colors[0, middle, middle], [0, -2, -2], atol=0.01)
    assert np.allclose(colors[2, middle, middle], [-2, -2, 0], atol=0.01)
    # from the right (azimuth 90) the front is at the left
    assert np.allclose(parts[1, middle, middle - 20], [0, -2, -2], atol=0.01)
    assert np.allclose(parts[1, middle, middle + 20], [-2, -2, 0], atol=0.01)
    depth = drawn_from(solid, np.array([0, 90, 180], np.float32), SIZE).depth
    away = 1 / (0.82 * np.sin(np.radians(33.8 / 2)))  # of a camera that holds the ball of radius 1
    assert np.allclose(depth[[0, 2], middle, middle], away - 0.5, atol=0.01)
    assert np.array_equal(depth > 0, (parts != 0).any(axis=-1))


def test_nothing_to_see_gives_no_guess(generator: PartsGenerator) -> None:
    white = np.full((1, SIZE, SIZE, 3), 255, np.uint8)
    assert not hints_for(generator.relief, white, np.zeros(3, np.float32)).any()


@pytest.mark.parametrize(
    "bad",
    [{"steps": 0}, {"views": 1}, {"seed": -1}, {"guidance": (1.0, float("nan"))}, {"start": 0.01}, {"start": 100.0}],
)
def test_settings_out_of_range_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        PartsSampleConfig(**bad)  # type: ignore[arg-type]


def test_pictures_of_another_size_are_refused(generator: PartsGenerator) -> None:
    with pytest.raises(UsageError, match="128"):
        generate_parts(generator, np.zeros((1, 64, 64, 3), np.uint8))
