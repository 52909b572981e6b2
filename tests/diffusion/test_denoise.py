"""Laws of denoisers: each kind of network that knows the truth gives x0; wrappers change what they say they change."""

import math
from typing import Any

import pytest
import torch

from diorama.diffusion.denoise import (
    along,
    from_edm,
    from_eps,
    from_flow,
    from_v,
    from_v_edm,
    from_x0,
    guided,
    inpainted,
    quarter_log,
)
from diorama.diffusion.levels import CLEAN, NOISE, Level, karras, levels, of_ratio, schedule
from diorama.diffusion.noise import Noise, generators
from diorama.diffusion.sample import descend, sample
from diorama.errors import UsageError

TRAINED = schedule()
MIDDLE = TRAINED.at(500)
SHAPE = (2, 3, 4, 5, 6)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def factor(scale: float) -> Any:
    """A denoiser that multiplies."""
    return lambda x, level: scale * x


@pytest.mark.parametrize("level", [CLEAN, MIDDLE, TRAINED.at(3), TRAINED.at(999)])
def test_a_network_that_knows_gives_the_truth(level: Level) -> None:
    clean, noise = normal(*SHAPE), normal(*SHAPE, seed=1)
    alpha, sigma = level
    x = alpha * clean + sigma * noise
    v = alpha * noise - sigma * clean
    time = TRAINED.time(level)
    told: list[float] = []

    def says(answer: torch.Tensor) -> Any:
        return lambda seen, when: (told.append(when), answer)[1]

    ratio, data = level.ratio, 0.5
    skip = data**2 / (ratio**2 + data**2)
    residual = (clean - skip * x / alpha) / max(ratio * data / math.hypot(ratio, data), 1e-20)
    for made in (
        from_eps(says(noise), TRAINED),
        from_v(says(v), TRAINED),
        from_x0(says(clean), TRAINED),
        from_v_edm(says(v)),
        from_edm(says(residual)),
        from_flow(says(noise - clean)),
    ):
        torch.testing.assert_close(made(x, level), clean, rtol=1e-4, atol=2e-5)
    assert told[:3] == [time] * 3
    assert told[3:5] == [quarter_log(level)] * 2
    assert told[5] == pytest.approx(ratio / (1 + ratio))


@pytest.mark.parametrize("s", [0.002, 0.7, 700.0])
def test_the_edm_views_are_the_published_formulas(s: float) -> None:
    level, y = of_ratio(s), s * normal(*SHAPE)
    x = y * level.alpha  # y is the variance-exploding view of x
    seen: list[tuple[torch.Tensor, float]] = []

    def network(given: torch.Tensor, time: float) -> torch.Tensor:
        seen.append((given, time))
        return torch.tanh(given) + time

    root = math.sqrt(s**2 + 1)  # sp4d.md 7.7
    want = y / (s**2 + 1) - s / root * network(y / root, math.log(s) / 4)
    torch.testing.assert_close(from_v_edm(network)(x, level), want, rtol=1e-5, atol=1e-5)
    data = 0.5  # Karras et al. 2022, table 1
    c_in, c_out = 1 / math.sqrt(s**2 + data**2), s * data / math.sqrt(s**2 + data**2)
    want = y * data**2 / (s**2 + data**2) + c_out * network(c_in * y, math.log(s) / 4)
    torch.testing.assert_close(from_edm(network)(x, level), want, rtol=1e-5, atol=1e-5)
    for ours, theirs in (seen[:2], seen[2:]):
        torch.testing.assert_close(ours[0], theirs[0], rtol=1e-5, atol=1e-5)
        assert ours[1] == pytest.approx(theirs[1])


def test_euler_lands_on_x0_with_a_perfect_denoiser() -> None:
    clean = normal(*SHAPE)
    ladder = karras(50, sigma_min=0.002, sigma_max=700)

    def network(x: torch.Tensor, time: float) -> torch.Tensor:  # v of the true clean data, in EDM's view
        s = math.exp(4 * time)
        level = of_ratio(s)
        return (level.alpha * x - clean) / level.sigma

    x = ladder[0].alpha * clean + ladder[0].sigma * normal(*SHAPE, seed=1)
    torch.testing.assert_close(sample(descend(ladder, from_v_edm(network)), x), clean, rtol=1e-4, atol=1e-4)


def test_pure_noise_needs_a_network_that_can_start_there() -> None:
    x = normal(*SHAPE)
    torch.testing.assert_close(from_v(lambda x, t: -x, TRAINED)(x, NOISE), x)
    torch.testing.assert_close(from_flow(lambda x, t: 2 * x)(x, NOISE), -x)
    for made in (from_eps(lambda x, t: x, TRAINED), from_edm(lambda x, t: x), from_v_edm(lambda x, t: x)):
        with pytest.raises(UsageError):
            made(x, NOISE)


def test_guidance_on_x0_is_guidance_on_the_prediction() -> None:
    x = normal(*SHAPE)

    def cond(x: torch.Tensor, time: float) -> torch.Tensor:
        return torch.tanh(x)

    def uncond(x: torch.Tensor, time: float) -> torch.Tensor:
        return 0.2 * x

    def both(x: torch.Tensor, time: float) -> torch.Tensor:
        return uncond(x, time) + 3.5 * (cond(x, time) - uncond(x, time))

    wraps: list[Any] = [lambda n: from_eps(n, TRAINED), lambda n: from_v(n, TRAINED), from_v_edm, from_edm, from_flow]
    for wrap in wraps:
        ours = guided(wrap(cond), wrap(uncond), 3.5)(x, MIDDLE)
        torch.testing.assert_close(ours, wrap(both)(x, MIDDLE), rtol=1e-4, atol=1e-4)


def test_guidance_can_differ_from_frame_to_frame() -> None:
    x, scales = normal(*SHAPE), torch.linspace(1, 3, 4)  # sp4d.md 1.8
    out = guided(factor(2.0), factor(0.5), scales)(x, MIDDLE)
    torch.testing.assert_close(out, (0.5 + 1.5 * scales)[:, None, None] * x)
    torch.testing.assert_close(out[:, :, 0], 2 * x[:, :, 0])
    for wrong in (torch.ones(3) * 2, torch.ones(5) * 2):
        with pytest.raises(UsageError, match="one a frame"):
            guided(factor(2.0), factor(0.5), wrong)(x, MIDDLE)


def test_guidance_of_one_asks_the_conditional_alone() -> None:
    cond = factor(2.0)
    assert guided(cond, None, 1) is cond
    assert guided(cond, factor(9.0), 1.0) is cond
    assert guided(cond, None, torch.ones(4)) is cond
    with pytest.raises(UsageError, match="without an unconditional"):
        guided(cond, None, 3.5)


def test_rescaled_guidance_has_the_spread_of_the_conditional() -> None:
    x = normal(*SHAPE) + 0.3
    plain = guided(factor(2.0), factor(0.5), 4.0)(x, MIDDLE)
    whole = guided(factor(2.0), factor(0.5), 4.0, rescale=1)(x, MIDDLE)
    half = guided(factor(2.0), factor(0.5), 4.0, rescale=0.5)(x, MIDDLE)
    for item in range(len(x)):  # each of its own, whatever else is in the batch
        assert whole[item].std() == pytest.approx(float(2 * x[item].std()), rel=1e-5)
    torch.testing.assert_close(half, (whole + plain) / 2)


def test_outside_its_interval_guidance_does_not_run() -> None:
    asked: list[float] = []

    def uncond(x: torch.Tensor, level: Level) -> torch.Tensor:
        asked.append(level.ratio)
        return 0 * x

    denoise = guided(factor(2.0), uncond, 3, interval=(0.5, 5))
    x = normal(*SHAPE)
    out = [float((denoise(x, of_ratio(ratio)) / x).mean()) for ratio in (0.1, 0.5, 1.0, 4.99, 6.0)]
    assert out == pytest.approx([2, 6, 6, 6, 2])
    assert asked == pytest.approx([0.5, 1.0, 4.99])
    assert guided(factor(2.0), uncond, 3, interval=(0.5, 5))(x, NOISE).equal(2 * x)


@pytest.mark.parametrize(
    "wrong",
    [
        {"guidance_scale": math.nan},
        {"guidance_scale": math.inf},
        {"guidance_scale": 2.0, "rescale": 1.5},
        {"guidance_scale": 2.0, "interval": (2.0, 1.0)},
        {"guidance_scale": 2.0, "interval": (math.nan, 1.0)},
    ],
)
def test_guidance_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        guided(factor(2.0), factor(0.5), **wrong)


@pytest.mark.parametrize("solver", ["ddim", "ddpm", "dpm++2m"])
def test_what_is_known_ends_exact(solver: Any) -> None:
    known, draw = normal(*SHAPE), Noise(generators(2, 5))
    hard = (normal(2, 1, *SHAPE[2:], seed=2) > 0).float()
    soft = torch.where(hard == 1, hard, torch.rand(hard.shape, generator=torch.Generator().manual_seed(3)) * 0.9)
    for mask in (hard, soft):
        denoise = inpainted(factor(0.3), known, mask, draw)
        end = sample(descend(levels(TRAINED, 8), denoise), normal(*SHAPE, seed=4), solver=solver, draw=draw)
        sure = mask.expand(SHAPE) == 1
        assert torch.equal(end[sure], known[sure])
        assert not torch.equal(end[~sure], known[~sure])


def test_a_mask_mixes_what_is_known_and_what_is_made() -> None:
    known, x = normal(*SHAPE), normal(*SHAPE, seed=1)
    half = torch.full((2, 1, 1, 1, 1), 0.5)
    silent = inpainted(lambda x, level: x, known, half, torch.zeros_like)
    torch.testing.assert_close(silent(x, MIDDLE), 0.5 * known + 0.5 * (0.5 * MIDDLE.alpha * known + 0.5 * x))
    none = inpainted(factor(0.3), known, torch.zeros_like(half), torch.zeros_like)
    torch.testing.assert_close(none(x, MIDDLE), 0.3 * x)
    assert torch.equal(inpainted(factor(0.3), known, torch.ones_like(half), torch.zeros_like)(x, MIDDLE), known)


def test_what_is_known_is_seen_at_the_level_of_the_rest() -> None:
    known, seen = torch.ones(1, 1, 4, 50, 50), []
    denoise = inpainted(lambda x, level: (seen.append(x), x)[1], known, torch.ones(1, 1, 1, 1, 1), Noise(generators(1)))
    denoise(torch.zeros_like(known), MIDDLE)
    denoise(torch.zeros_like(known), MIDDLE)
    assert float(seen[0].mean()) == pytest.approx(MIDDLE.alpha, abs=0.03)
    assert float(seen[0].std()) == pytest.approx(MIDDLE.sigma, abs=0.03)
    assert not torch.equal(seen[0], seen[1])  # fresh noise each time (RePaint)


def test_known_latents_that_do_not_fit_are_refused() -> None:
    x, mask = normal(*SHAPE), torch.ones(2, 1, 1, 1, 1)
    for known, wrong in ((normal(2, 3, 4, 5, 7), mask), (x, torch.ones(3, 1, 1, 1, 1)), (x, torch.ones(2, 1, 9, 1, 1))):
        with pytest.raises(UsageError, match="shape"):
            inpainted(factor(1.0), known, wrong, torch.zeros_like)(x, MIDDLE)
    for value in (-0.1, 1.1, math.nan):
        with pytest.raises(UsageError, match="mask"):
            inpainted(factor(1.0), x, mask * value, torch.zeros_like)


@pytest.mark.parametrize("at_once", [0, 1, 3])
def test_a_matrix_is_denoised_along_columns_or_rows(at_once: int) -> None:
    matrix, seen = normal(*SHAPE), []

    def running(x: torch.Tensor, level: Level) -> torch.Tensor:
        seen.append(tuple(x.shape))
        return x.cumsum(dim=2)

    columns = along(running, "columns", at_once=at_once)(matrix, MIDDLE)
    torch.testing.assert_close(columns, matrix.cumsum(2))
    assert sum(shape[0] * shape[2] for shape in seen) == 2 * 4
    seen.clear()
    rows = along(running, "rows", at_once=at_once)(matrix, MIDDLE)
    torch.testing.assert_close(rows, matrix.cumsum(0))
    assert sum(shape[0] * shape[2] for shape in seen) == 4 * 2
    assert seen[0][1:3] == (3, 2)
    back = along(running, "rows", reverse=True, at_once=at_once)(matrix, MIDDLE)
    torch.testing.assert_close(back, matrix.flip(0).cumsum(0).flip(0))
    with pytest.raises(UsageError, match="diagonal"):
        along(running, "diagonal")
