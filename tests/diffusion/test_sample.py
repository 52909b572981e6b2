"""The sampler: equal to the schedulers of diffusers, reproducible, and exact where the answer is known."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler

from diorama.core.progress import Silent
from diorama.diffusion.denoise import from_eps, from_v
from diorama.diffusion.levels import CLEAN, Level, karras, levels, schedule
from diorama.diffusion.noise import Noise, generators
from diorama.diffusion.sample import Step, descend, sample
from diorama.errors import ModelError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of diffusers
BETAS: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SPACINGS = ["leading", "trailing", "linspace"]
TRAINED = schedule()


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


MIX = 0.3 * normal(4, 4, seed=9)


def network(x: torch.Tensor, time: float) -> torch.Tensor:
    """Anything smooth that looks at all channels and at the time."""
    return torch.tanh(torch.einsum("dc,bchw->bdhw", MIX.to(x), x)) + 0.001 * time


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert float((ours - theirs).abs().max()) <= 1e-5 * float(theirs.abs().max())


@pytest.mark.parametrize(
    ("spacing", "zero", "kind"), [("leading", False, "epsilon"), ("trailing", True, "v_prediction")]
)
@pytest.mark.parametrize("steps", [4, 25, 50])  # with others, diffusers does not step from level to level
def test_ddim_is_that_of_diffusers(spacing: Any, zero: bool, kind: str, steps: int) -> None:
    theirs = DDIMScheduler(
        **BETAS,
        clip_sample=False,
        steps_offset=1,
        prediction_type=kind,
        rescale_betas_zero_snr=zero,
        timestep_spacing=spacing,
    )
    theirs.set_timesteps(steps)
    trained = schedule(zero_terminal_snr=zero)
    denoise = (from_eps if kind == "epsilon" else from_v)(network, trained)
    for eta in (0.0, 0.5):
        draw, y = Noise(generators(2)), normal(2, 4, 8, 8)
        for time in theirs.timesteps:
            extra = {"variance_noise": draw(y)} if eta and time != theirs.timesteps[-1] else {}
            y = theirs.step(network(y, float(time)), time, y, eta=eta if extra else 0.0, **extra).prev_sample
        plan = descend(levels(trained, steps, spacing), denoise)
        ours = sample(plan, normal(2, 4, 8, 8), eta=eta, draw=Noise(generators(2)))
        assert_close(ours, y)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_ddpm_is_that_of_diffusers(spacing: Any) -> None:
    theirs = DDPMScheduler(**BETAS, clip_sample=False, timestep_spacing=spacing, steps_offset=1)
    theirs.set_timesteps(28)  # 27 divides 999: linspace visits whole timesteps, which diffusers rounds to
    x, random = normal(1, 4, 8, 8), torch.Generator().manual_seed(3)
    y = x
    for time in theirs.timesteps:
        y = theirs.step(network(y, float(time)), time, y, generator=random).prev_sample
    plan = descend(levels(TRAINED, 28, spacing), from_eps(network, TRAINED))
    random = torch.Generator().manual_seed(3)
    ours = sample(plan, x, solver="ddpm", draw=lambda like: torch.randn(like.shape, generator=random))
    assert_close(ours, y)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", [7, 25])
def test_euler_is_that_of_diffusers(spacing: Any, steps: int) -> None:
    theirs = EulerDiscreteScheduler(**BETAS, timestep_spacing=spacing, steps_offset=1)
    theirs.set_timesteps(steps)
    x = normal(2, 4, 8, 8)
    y = x * theirs.sigmas[0]
    for time in theirs.timesteps:
        y = theirs.step(network(theirs.scale_model_input(y, time), float(time)), time, y).prev_sample
    ladder = levels(TRAINED, steps, spacing)
    ours = sample(descend(ladder, from_eps(network, TRAINED)), x * ladder[0].sigma)
    assert_close(ours, y)


@pytest.mark.parametrize("steps", [12, 20])
def test_dpm_2m_is_that_of_diffusers(steps: int) -> None:
    theirs = DPMSolverMultistepScheduler(
        **BETAS, timestep_spacing="leading", steps_offset=1, final_sigmas_type="zero", lower_order_final=True
    )
    theirs.set_timesteps(steps)
    x = normal(2, 4, 8, 8)
    y = x
    for time in theirs.timesteps:
        y = theirs.step(network(y, float(time)), time, y).prev_sample
    ladder = [*(TRAINED.at(float(time)) for time in theirs.timesteps), CLEAN]
    assert_close(sample(descend(ladder, from_eps(network, TRAINED)), x, solver="dpm++2m"), y)


def test_the_second_order_is_of_second_order() -> None:
    def gaussian(x: torch.Tensor, level: Level) -> torch.Tensor:  # exact for data of spread 0.3
        return level.alpha * 0.09 / (level.alpha**2 * 0.09 + level.sigma**2) * x

    x = normal(1, 4, 8, 8).double()
    start = levels(TRAINED, 1)[0]
    exact = x * 0.3 / (start.alpha**2 * 0.09 + start.sigma**2) ** 0.5

    def error(steps: int, solver: Any) -> float:
        ladder = [*karras(steps, sigma_min=1e-3, sigma_max=start.ratio), CLEAN]
        return float((sample(descend(ladder[:-1], gaussian), x, solver=solver) - exact).abs().max())

    assert error(20, "dpm++2m") < error(20, "ddim") / 3
    assert error(40, "dpm++2m") < error(20, "dpm++2m") / 3
    assert 1.7 < error(20, "ddim") / error(40, "ddim") < 2.3


@pytest.mark.parametrize(("solver", "eta"), [("ddim", 0.0), ("ddim", 0.7), ("ddpm", 0.0), ("dpm++2m", 0.0)])
def test_a_batch_is_its_items_and_the_same_seed_the_same_bytes(solver: Any, eta: float) -> None:
    plan = descend(levels(TRAINED, 6), from_eps(network, TRAINED))
    x = normal(3, 4, 8, 8)

    def run(items: list[int]) -> torch.Tensor:
        draw = Noise([generators(3, "test", 1)[item] for item in items])
        return sample(plan, x[items], solver=solver, eta=eta, draw=draw)

    batch = run([0, 1, 2])
    assert torch.equal(batch, run([0, 1, 2]))
    for item in range(3):
        torch.testing.assert_close(run([item])[0], batch[item], rtol=1e-5, atol=1e-5)


def test_every_solver_ends_with_the_spread_of_the_data() -> None:
    def gaussian(x: torch.Tensor, level: Level) -> torch.Tensor:
        return level.alpha * 0.25 / (level.alpha**2 * 0.25 + level.sigma**2) * x

    ladder = levels(TRAINED, 60)
    for solver, eta in (("ddpm", 0.0), ("ddim", 0.0), ("ddim", 1.0)):
        draw = Noise(generators(1, solver, eta))
        end = sample(descend(ladder, gaussian), normal(1, 40000), solver=solver, eta=eta, draw=draw)
        assert float(end.std()) == pytest.approx(0.5, rel=0.1)


def test_a_rising_level_adds_noise_of_the_right_spread() -> None:
    low, high = TRAINED.at(200), TRAINED.at(700)
    clean = torch.ones(1, 40000)
    draw = Noise(generators(1, "rise"))
    x = low.alpha * clean + low.sigma * draw(clean)
    up = sample([Step(low, high)], x, draw=draw)
    assert float(up.mean()) == pytest.approx(high.alpha, abs=0.02)
    assert float(up.var()) == pytest.approx(high.sigma**2, rel=0.03)  # s2vg.md 6.16
    from_clean = sample([Step(CLEAN, high)], clean, draw=draw)
    assert float(from_clean.var()) == pytest.approx(high.sigma**2, rel=0.03)
    assert float(from_clean.mean()) == pytest.approx(high.alpha, abs=0.02)


def test_noise_there_and_back_is_nothing_with_an_oracle() -> None:
    clean, (low, high) = normal(1, 50), (TRAINED.at(200), TRAINED.at(700))

    def oracle(x: torch.Tensor, level: Level) -> torch.Tensor:
        return clean

    plan = [Step(high, low, oracle), Step(low, high), Step(high, low, oracle), Step(low, CLEAN, oracle)]
    torch.testing.assert_close(sample(plan, normal(1, 50, seed=2), draw=Noise(generators(1))), clean)


def test_a_step_moves_the_items_it_names() -> None:
    low, high = TRAINED.at(200), TRAINED.at(700)
    x, seen = normal(4, 3), []

    def look(x: torch.Tensor, level: Level) -> torch.Tensor:
        seen.append(len(x))
        return 0 * x + torch.arange(len(x))[:, None]

    def double(x: torch.Tensor, level: Level) -> torch.Tensor:
        assert level == CLEAN
        return 2 * x

    alone = sample([Step(low, CLEAN, look, double, items=(3, 1))], x)
    assert torch.equal(alone[[0, 2]], x[[0, 2]])
    torch.testing.assert_close(alone[[3, 1]], torch.tensor([[0.0], [2.0]]).expand(2, 3))
    among = sample([Step(low, CLEAN, look, items=(3, 1), sees_all=True)], x)
    torch.testing.assert_close(among[[3, 1]], torch.tensor([[3.0], [1.0]]).expand(2, 3))
    assert torch.equal(among[[0, 2]], x[[0, 2]])
    assert seen == [2, 4]
    whole = sample([Step(low, high)], x, draw=Noise(generators(4)))
    part = sample([Step(low, high, items=(2,))], x, draw=Noise(generators(4)))
    assert torch.equal(part[2], whole[2])  # its own generator
    assert torch.equal(part[[0, 1, 3]], x[[0, 1, 3]])


def test_a_step_that_stays_only_finishes() -> None:
    low, x = TRAINED.at(200), normal(1, 3)
    assert torch.equal(sample([Step(low, low, finish=lambda x, level: x + level.alpha)], x), x + low.alpha)


@pytest.mark.parametrize("break_with", ["stay", "rise", "items"])
def test_the_second_order_forgets_where_steps_do_not_follow_each_other(break_with: str) -> None:
    a, b, c = (TRAINED.at(time) for time in (900, 600, 300))
    denoise = from_eps(lambda x, time: torch.tanh(x) + 0.001 * time, TRAINED)
    between = {"stay": Step(b, b), "rise": Step(b, b), "items": Step(b, b, items=(0,))}[break_with]
    plan = [Step(a, b, denoise), between, Step(b, c, denoise)]
    x = normal(1, 5)
    if break_with == "rise":
        plan[1:2] = [Step(b, a), Step(a, b, denoise)]
    end = sample(plan, x, solver="dpm++2m", draw=Noise(generators(1)))
    assert bool(torch.isfinite(end).all())
    if break_with != "rise":
        assert torch.equal(end, sample([plan[0], plan[2]], x, solver="dpm++2m"))
    halves = [Step(a, b, denoise, items=(0,)), Step(a, b, denoise, items=(1,)), Step(b, c, denoise)]
    pair = normal(2, 5)
    first = sample(halves[:2], pair)
    assert torch.equal(sample(halves, pair, solver="dpm++2m"), sample(halves[2:], first))


def test_progress_is_told_of_every_step() -> None:
    class Counter(Silent):
        steps, whole = 0, None

        def begin(self, stage: str, total: int | None) -> None:
            self.whole = total

        def advance(self, steps: int = 1) -> None:
            self.steps += steps

    told = Counter()
    sample(descend(levels(TRAINED, 5), lambda x, level: x), normal(1, 3), progress=told)
    assert (told.steps, told.whole) == (5, 5)


def _tried(**options: Any) -> Callable[[], object]:
    plan = options.pop("plan", descend(levels(TRAINED, 3), lambda x, level: x))
    return lambda: sample(plan, normal(1, 3), **options)


@pytest.mark.parametrize(
    ("attempt", "said"),
    [
        (_tried(plan=[]), "0 steps"),
        (lambda: descend(levels(TRAINED, 0), lambda x, level: x), "0 sampling steps"),
        (_tried(solver="ddpm"), "no source"),
        (_tried(eta=1.0), "no source"),
        (_tried(eta=1.5), "eta 1.5"),
        (_tried(plan=[Step(CLEAN, TRAINED.at(3))]), "no source"),
        (_tried(plan=[Step(TRAINED.at(3), CLEAN)]), "no denoiser"),
        (_tried(plan=descend(levels(TRAINED, 3), lambda x, level: x[:, :2])), r"\(1, 2\)"),
        (lambda: descend(levels(TRAINED, 3), [lambda x, level: x] * 2), "2 denoisers for 3 steps"),
    ],
)
def test_plans_that_cannot_be_walked_are_refused(attempt: Callable[[], object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        attempt()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_network_of_numbers_that_are_not_finite_is_named(value: float) -> None:
    with pytest.raises(ModelError, match="not finite"):
        sample(descend(levels(TRAINED, 3), lambda x, level: x * value), normal(1, 3))
