"""Laws of noise levels: tables as in diffusers, facts of the specs, and times that lead back to themselves."""

import math
from typing import Any

import numpy as np
import pytest
from diffusers import DDIMScheduler, DDPMScheduler

from diorama.diffusion.levels import CLEAN, NOISE, Level, Schedule, karras, levels, of_ratio, schedule, timesteps
from diorama.errors import UsageError

_NAMES = {"linear": "linear", "scaled_linear": "scaled_linear", "cosine": "squaredcos_cap_v2"}


@pytest.mark.parametrize("name", _NAMES)
def test_tables_are_those_of_diffusers(name: Any) -> None:
    theirs = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule=_NAMES[name]).alphas_cumprod.numpy()
    np.testing.assert_allclose(schedule(name).alphas_cumprod, theirs, rtol=1e-4)  # theirs multiplies 1,000 float32


def test_a_zero_terminal_snr_is_that_of_diffusers_and_of_the_mimo_release() -> None:
    ours = schedule(zero_terminal_snr=True)
    theirs = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", rescale_betas_zero_snr=True
    ).alphas_cumprod.numpy()
    np.testing.assert_allclose(ours.alphas_cumprod, theirs, rtol=1e-3, atol=1e-8)
    bars = ours.alphas_cumprod  # mimo.md 1.9
    assert bars[999] == 0
    assert ours.at(999) == NOISE
    assert bars[998] == pytest.approx(1.97e-7, rel=3e-3)
    assert bars[499] == pytest.approx(0.242, abs=5e-4)


def test_linear_and_scaled_linear_differ_as_the_spec_says() -> None:
    linear = schedule("linear", zero_terminal_snr=True).alphas_cumprod
    scaled = schedule("scaled_linear", zero_terminal_snr=True).alphas_cumprod
    assert [linear[399], scaled[399], linear[599], scaled[599]] == pytest.approx([0.271, 0.394, 0.064, 0.128], abs=6e-4)


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_timesteps_are_those_of_diffusers(spacing: Any) -> None:
    scheduler = DDIMScheduler(timestep_spacing=spacing, steps_offset=1)
    for steps in (1, 2, 4, 10, 12, 20, 25, 28, 50, 77, 100, 250, 500):
        scheduler.set_timesteps(steps)
        ours = timesteps(1000, steps, spacing)
        assert np.round(ours).tolist() == scheduler.timesteps.tolist()[:steps]


def test_the_released_schedules_visit_what_their_specs_say() -> None:
    assert timesteps(1000, 25)[:2] == [999, 959]  # mimo.md 1.9
    assert timesteps(1000, 25)[-1] == 39
    assert timesteps(1000, 50, "leading")[:2] == [981, 961]  # s2vg.md 1.5
    assert timesteps(1000, 50, "leading")[-2:] == [21, 1]
    assert timesteps(1000, 50, "leading", offset=0)[-1] == 0


@pytest.mark.parametrize("zero", [False, True])
def test_the_time_of_a_level_of_a_time_is_that_time(zero: bool) -> None:
    trained = schedule(zero_terminal_snr=zero)
    assert [trained.time(trained.at(t)) for t in range(1000)] == list(range(1000))
    between = np.linspace(0.3, 997.7, 41)
    np.testing.assert_allclose([trained.time(trained.at(float(t))) for t in between], between, rtol=1e-6)
    assert trained.time(NOISE) == 999
    assert trained.time(CLEAN) == 0


def test_levels_keep_variance_and_end_clean() -> None:
    for table in (levels(schedule(), 7), levels(schedule("cosine"), 7, "linspace"), karras(7), karras(1)):
        assert table[-1] == CLEAN
        assert all(math.isclose(one.alpha**2 + one.sigma**2, 1) for one in table)
        ratios = [one.ratio for one in table]
        assert ratios == sorted(ratios, reverse=True)
    assert (CLEAN.snr, CLEAN.ratio, NOISE.snr, NOISE.ratio) == (math.inf, 0, 0, math.inf)
    assert of_ratio(math.inf) == NOISE
    assert of_ratio(3).snr == pytest.approx(1 / 9)


def test_karras_sigmas_are_those_of_sp4d() -> None:
    ratios = [level.ratio for level in karras(50, sigma_min=0.002, sigma_max=700)]  # sp4d.md 1.8, 7.7
    assert len(ratios) == 51
    assert ratios[:3] == pytest.approx([700, 620.3, 548.6], abs=0.05)
    assert ratios[-4:] == pytest.approx([0.0077, 0.0040, 0.0020, 0], abs=5e-5)
    assert ratios[49] == pytest.approx(0.002, rel=1e-9)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: timesteps(1000, 0),
        lambda: timesteps(1000, 1001),
        lambda: timesteps(1000, 1000, "leading"),
        lambda: timesteps(1000, 10, "leading", offset=-1),
        lambda: levels(schedule(), 0),
        lambda: karras(0),
        lambda: karras(5, sigma_min=80, sigma_max=80),
        lambda: schedule(steps=1),
        lambda: schedule(beta_start=0.1, beta_end=0.01),
        lambda: Schedule(np.array([0.9, 0.9])),
        lambda: Schedule(np.array([0.9, np.nan])),
        lambda: Schedule(np.array([1.2, 0.5])),
    ],
)
def test_what_makes_no_levels_is_refused(bad: Any) -> None:
    with pytest.raises(UsageError):
        bad()


def test_a_level_is_a_pair() -> None:
    alpha, sigma = Level(0.6, 0.8)
    assert (alpha, sigma) == (0.6, 0.8)
