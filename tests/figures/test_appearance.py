"""The volume of what a person looks like: what pictures say comes back, the rest is continued, gradients flow."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diorama.errors import UsageError
from diorama.figures.appearance import appearance_at, appearance_volume

SIDES = (8, 16, 8)


def places(*, count: int = 200, seed: int = 0) -> torch.Tensor:
    """Codes on the cells of `SIDES`, each at most once, "1 3 n"."""
    g = torch.Generator().manual_seed(seed)
    cell = torch.randperm(SIDES[0] * SIDES[1] * SIDES[2], generator=g)[:count]
    at = torch.stack([cell % 8 / 7, cell // 8 % 16 / 15, cell // 128 / 7])
    return at[None]


def test_what_a_picture_shows_comes_back() -> None:
    codes, colors = places(), torch.rand(1, 3, 200)
    volume = appearance_volume(colors, codes, torch.ones(1, 1, 200), sides=SIDES)
    assert volume.shape == (1, 3, *SIDES)
    torch.testing.assert_close(appearance_at(volume, codes), colors, rtol=1e-4, atol=1e-5)


def test_pixels_of_one_place_are_averaged_by_weight_and_others_ignored() -> None:
    codes = torch.tensor([[[0.5, 0.5, 0.5, 0.0], [0.5, 0.5, 0.5, 0.0], [0.5, 0.5, 0.5, 0.0]]])
    colors, weight = torch.tensor([[[1.0, 4.0, 100.0, 7.0]]]), torch.tensor([[[1.0, 2.0, 0.0, 1.0]]])
    volume = appearance_volume(colors, codes, weight, sides=SIDES)
    assert float(appearance_at(volume, codes[:, :, 3:]).squeeze()) == pytest.approx(7, abs=1e-3)
    nearest = volume[0, 0, round(0.5 * 7), round(0.5 * 15), round(0.5 * 7)]
    assert float(nearest) == pytest.approx(3, abs=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 60))
def test_unseen_places_take_what_is_near_and_stay_within_what_was_seen(seed: int, count: int) -> None:
    codes, colors = places(count=count, seed=seed), torch.rand(1, 2, count)
    volume = appearance_volume(colors, codes, torch.ones(1, 1, count), sides=SIDES)
    low, high = colors.amin(dim=2), colors.amax(dim=2)
    assert bool((volume.flatten(2) >= low[..., None] - 1e-5).all())
    assert bool((volume.flatten(2) <= high[..., None] + 1e-5).all())


def test_two_halves_keep_their_colours() -> None:
    codes = places(count=400)
    left = (codes[:, :1] < 0.5).float()
    volume = appearance_volume(left, codes, torch.ones(1, 1, 400), sides=SIDES)[0, 0]
    assert float(volume[..., :3].mean()) > 0.95
    assert float(volume[..., 5:].mean()) < 0.05


def test_nobody_seen_is_black_and_nothing_is_not_a_number() -> None:
    volume = appearance_volume(torch.rand(2, 3, 5, 5), torch.rand(2, 3, 5, 5), torch.zeros(2, 1, 5, 5), sides=SIDES)
    assert not volume.any()


def test_videos_do_not_mix_and_gradients_flow() -> None:
    codes = places().repeat(2, 1, 1)
    colors = torch.rand(2, 3, 200, requires_grad=True)
    volume = appearance_volume(colors, codes, torch.ones(2, 1, 200), sides=SIDES)
    alone = appearance_volume(colors[:1], codes[:1], torch.ones(1, 1, 200), sides=SIDES)
    torch.testing.assert_close(volume[:1], alone)
    appearance_at(volume, codes)[0].sum().backward()
    assert colors.grad is not None
    assert colors.grad[0].any()
    assert not colors.grad[1].any()


def test_sides_must_halve() -> None:
    with pytest.raises(UsageError, match="powers of two"):
        appearance_volume(torch.rand(1, 3, 4), torch.rand(1, 3, 4), torch.ones(1, 1, 4), sides=(6, 8, 8))
