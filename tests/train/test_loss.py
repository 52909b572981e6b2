"""The diffusion loss against closed forms."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diorama.errors import UsageError
from diorama.train.loss import (
    details_of,
    kept,
    level_weights,
    noised,
    offset_noise,
    region_weights,
    sample_means,
    target_of,
)

ANGLES = st.lists(st.floats(0.0, math.pi / 2), min_size=1, max_size=4)


def level(angles: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    values = torch.tensor(angles, dtype=torch.float64)
    return values.cos(), values.sin()


@settings(max_examples=30, deadline=None)
@given(ANGLES)
def test_x0_and_noise_come_back_from_x_and_any_target(angles: list[float]) -> None:
    alpha, sigma = level(angles)
    g = torch.Generator().manual_seed(1)
    x0, noise = torch.randn(2, len(angles), 3, 2, 2, generator=g, dtype=torch.float64)
    x = noised(x0, noise, alpha, sigma)
    v = target_of("v", x0, noise, alpha=alpha, sigma=sigma)
    a, s = alpha[:, None, None, None], sigma[:, None, None, None]
    torch.testing.assert_close(a * x - s * v, x0)
    torch.testing.assert_close(s * x + a * v, noise)
    assert target_of("eps", x0, noise, alpha=alpha, sigma=sigma) is noise
    assert target_of("x0", x0, noise, alpha=alpha, sigma=sigma) is x0


def test_an_unknown_target_is_refused() -> None:
    x = torch.zeros(1, 2)
    with pytest.raises(UsageError, match="eps, v, x0"):
        target_of.__wrapped__("flow", x, x, alpha=x[:, 0], sigma=x[:, 0])  # type: ignore[attr-defined]


@settings(max_examples=30, deadline=None)
@given(st.floats(0.02, 1.55), st.floats(0.5, 20.0))
def test_min_snr_weights_are_those_of_the_papers(angle: float, gamma: float) -> None:
    alpha, sigma = level([angle])
    snr = float(alpha**2 / sigma**2)

    def weight(kind: Any, weighting: Any = "min-snr") -> float:
        return float(level_weights(kind, weighting, gamma, alpha=alpha, sigma=sigma))

    assert weight("eps") == pytest.approx(min(snr, gamma) / snr)
    assert weight("v") == pytest.approx(min(snr, gamma) / (snr + 1))
    assert weight("x0") == pytest.approx(min(snr, gamma))
    assert weight("v", "moore") == pytest.approx(min(snr + 1, gamma) / (snr + 1))
    assert weight("eps", "moore") == pytest.approx(min(snr, gamma) / snr)
    assert weight("v", "none") == 1


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 1.5))
def test_one_error_counts_the_same_whatever_is_predicted(angle: float) -> None:
    """x0 off by e is noise off by alpha e / sigma and v off by e / sigma: min-SNR weights undo just that."""
    alpha, sigma = level([angle])
    w = {k: float(level_weights(k, "min-snr", 5.0, alpha=alpha, sigma=sigma)) for k in ("eps", "v", "x0")}
    a, s = float(alpha), float(sigma)
    assert w["eps"] * (a / s) ** 2 == pytest.approx(w["x0"])
    assert w["v"] / s**2 == pytest.approx(w["x0"])


def test_weights_are_finite_where_there_is_no_signal_or_no_noise() -> None:
    alpha, sigma = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])
    assert level_weights("eps", "min-snr", 5.0, alpha=alpha, sigma=sigma).tolist() == [1, 0]
    assert level_weights("v", "min-snr", 5.0, alpha=alpha, sigma=sigma).tolist() == [0, 0]
    assert level_weights("v", "moore", 5.0, alpha=alpha, sigma=sigma).tolist() == [1, 0]
    assert level_weights("x0", "min-snr", 5.0, alpha=alpha, sigma=sigma).tolist() == [0, 5]


def test_offset_noise_shifts_whole_channels() -> None:
    noise, offset = torch.zeros(2, 3, 4, 5, 5), torch.arange(6.0).reshape(2, 3)
    shifted = offset_noise(noise, offset, 0.1)
    torch.testing.assert_close(shifted[1, 2], torch.full((4, 5, 5), 0.5))
    assert torch.equal(offset_noise(noise, offset, 0.0), noise)


def test_each_sample_is_normalised_by_its_own_region() -> None:
    error = torch.zeros(2, 1, 4, 4)
    error[:, :, :1] = 1.0  # wrong in the first row
    mask = torch.zeros(2, 1, 4, 4)
    mask[0, :, :1] = 1.0  # the person of the first sample is there; the second has none
    means = sample_means(error, region_weights(mask, 3.0))
    torch.testing.assert_close(means, torch.tensor([4 * 3 / (4 * 3 + 12), 0.25]))
    torch.testing.assert_close(sample_means(error), torch.tensor([0.25, 0.25]))
    assert sample_means(error, torch.zeros(2, 1, 1, 1)).tolist() == [0, 0]


def test_dropped_conditions_are_replaced_sample_by_sample() -> None:
    value = torch.ones(3, 2, 2)
    keep = torch.tensor([True, False, True])
    assert kept(value, keep).sum((1, 2)).tolist() == [4, 0, 4]
    assert kept(value, keep, otherwise=-1.0)[1].eq(-1).all()
    assert kept(value.long(), keep).dtype == torch.int64


def test_heads_and_hands_are_told_by_their_codes() -> None:
    codes = torch.zeros(1, 4, 1, 8, 12)
    codes[:, 3] = 1
    codes[:, 0] = 0.5
    codes[:, 1, :, 1, 2] = 0.95  # a head
    codes[:, 0, :, 6, 11] = 0.97  # a hand
    codes[:, 0, :, 6, 5], codes[:, 3, :, 6, 5] = 0.02, 0.0  # nothing is seen there
    assert details_of(codes)[0, 0, 0].tolist() == [[1, 0, 0], [0, 0, 1]]
