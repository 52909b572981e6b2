"""Noise levels: pairs (alpha, sigma) with ``x = alpha * x0 + sigma * noise`` and ``alpha**2 + sigma**2 = 1``.

A schedule is the table of levels that a network was trained on. A sampler visits some of them, or any others: what the
network is told about a level that stands between two of its own follows from the table.

Sources: DDPM (Ho et al. 2020), cosine (Nichol and Dhariwal 2021), zero terminal SNR and spacings (Lin et al. 2023,
tables 2 and 3), Karras sigmas (Karras et al. 2022, eq. 5).
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64

from diorama.errors import UsageError

Betas = Literal["scaled_linear", "linear", "cosine"]
Spacing = Literal["leading", "trailing", "linspace"]


class Level(NamedTuple):
    """How much of the data and how much noise: ``x = alpha * x0 + sigma * noise``. ``CLEAN`` is (1, 0)."""

    alpha: float
    sigma: float

    @property
    def ratio(self) -> float:
        """sigma / alpha: the noise level of the variance-exploding (EDM) view; inf for pure noise."""
        return self.sigma / self.alpha if self.alpha > 0 else math.inf

    @property
    def snr(self) -> float:
        """Signal-to-noise ratio (alpha / sigma)**2; inf for clean data."""
        return (self.alpha / self.sigma) ** 2 if self.sigma > 0 else math.inf


CLEAN = Level(1.0, 0.0)
NOISE = Level(0.0, 1.0)


def of_ratio(ratio: float | int) -> Level:
    """The level whose sigma / alpha is `ratio` (an EDM sigma, 0 to inf)."""
    if math.isinf(ratio):
        return NOISE
    return Level(1.0 / math.hypot(1.0, ratio), ratio / math.hypot(1.0, ratio))


@dataclass(frozen=True)
class Schedule:
    """The levels a network was trained on.

    Attributes:
        alphas_cumprod: alpha squared of each training timestep, falling; 0 at the end where the terminal SNR is zero.
    """

    alphas_cumprod: Float64[np.ndarray, " n"]

    def __post_init__(self) -> None:
        table = self.alphas_cumprod
        falling = len(table) > 1 and bool(np.isfinite(table).all() and (np.diff(table) < 0).all())
        if not falling or table[0] > 1 or table[-1] < 0:
            raise UsageError("a schedule needs alphas_cumprod that fall from at most 1 to at least 0", "schedule")

    def __len__(self) -> int:
        return len(self.alphas_cumprod)

    @property
    def ratios(self) -> Float64[np.ndarray, " n"]:
        """sigma / alpha of each timestep, rising."""
        with np.errstate(divide="ignore"):
            return np.sqrt((1 - self.alphas_cumprod) / self.alphas_cumprod)

    def at(self, time: float | int) -> Level:
        """The level of a timestep, 0 to len - 1; between two of them the ratio is interpolated linearly (Euler)."""
        below = min(max(int(time), 0), len(self) - 1)
        if below == time:
            squared = float(self.alphas_cumprod[below])
            return Level(math.sqrt(squared), math.sqrt(1 - squared))
        return of_ratio(float(np.interp(time, np.arange(len(self)), self.ratios)))

    def time(self, level: Level) -> float:
        """The timestep, possibly between two, that the network is told for `level`; inverse of `at`.

        Levels outside the table are told as its nearest end.
        """
        if level.alpha <= 0:
            return float(len(self) - 1)
        ratios = self.ratios
        place = int(np.searchsorted(ratios, level.ratio))
        near = [i for i in (place - 1, place) if 0 <= i < len(self)]
        for index in near:  # its own levels give whole numbers, whatever the rounding
            if math.isclose(ratios[index], level.ratio, rel_tol=1e-9):
                return float(index)
        finite = np.isfinite(ratios)
        return float(np.interp(level.ratio, ratios[finite], np.arange(len(self))[finite]))


def _betas(name: Betas, steps: int, start: float, end: float) -> np.ndarray:
    if name == "scaled_linear":
        return np.linspace(start**0.5, end**0.5, steps, dtype=np.float64) ** 2
    if name == "linear":
        return np.linspace(start, end, steps, dtype=np.float64)
    times = np.arange(steps + 1) / steps
    bars = np.cos((times + 0.008) / 1.008 * math.pi / 2) ** 2
    return np.minimum(1 - bars[1:] / bars[:-1], 0.999)


def schedule(
    betas: Betas = "scaled_linear",
    *,
    steps: int = 1000,
    beta_start: float | int = 0.00085,
    beta_end: float | int = 0.012,
    zero_terminal_snr: bool = False,
) -> Schedule:
    """A variance-preserving schedule by name; the defaults are those of Stable Diffusion 1.5.

    Args:
        betas: how the noise added per step grows.
        steps: training timesteps.
        beta_start: noise of the first step; not used by "cosine".
        beta_end: noise of the last step; not used by "cosine".
        zero_terminal_snr: shift and scale so that the last level is pure noise (Lin et al. 2023, algorithm 1).

    Raises:
        UsageError: an unknown name, fewer than two steps, or betas outside (0, 1).
    """
    if betas not in ("scaled_linear", "linear", "cosine"):
        raise UsageError(f"no schedule is called {betas!r}", "schedule", "known: scaled_linear, linear, cosine")
    if steps < 2 or not 0 < beta_start < beta_end < 1:
        given = f"{steps} steps with betas {beta_start} to {beta_end}"
        raise UsageError(given, "schedule", "give two steps or more and 0 < beta_start < beta_end < 1")
    bars = np.cumprod(1 - _betas(betas, steps, beta_start, beta_end))
    if zero_terminal_snr:
        roots = np.sqrt(bars)
        bars = ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])) ** 2
    return Schedule(bars)


def timesteps(trained: int, steps: int, spacing: Spacing = "trailing", *, offset: int = 1) -> list[float]:
    """Which of `trained` timesteps a sampler of `steps` steps visits, from noise to data.

    Args:
        spacing: "leading" begins below the last timestep (as Stable Diffusion 1.5 was released), "trailing" at it
            (needed for zero terminal SNR), "linspace" runs from the last to the first and may fall between timesteps.
        offset: added by "leading".

    Raises:
        UsageError: no steps, more than `trained`, an unknown spacing, or an offset that leaves the table.
    """
    if not 1 <= steps <= trained:
        raise UsageError(f"{steps} sampling steps", "num_inference_steps", f"give 1 to {trained}")
    if spacing == "leading":
        times = [float(i * (trained // steps) + offset) for i in range(steps)][::-1]
        if times[0] >= trained or times[-1] < 0:
            given = f"{steps} steps with offset {offset} visit timesteps {times[-1]:g} to {times[0]:g} of {trained}"
            raise UsageError(given, "num_inference_steps", "give fewer steps, or another offset")
        return times
    if spacing == "trailing":
        return [float(round(trained - i * trained / steps) - 1) for i in range(steps)]
    if spacing == "linspace":
        return np.linspace(0, trained - 1, steps)[::-1].tolist()
    raise UsageError(f"no spacing is called {spacing!r}", "spacing", "known: leading, trailing, linspace")


def levels(trained: Schedule, steps: int, spacing: Spacing = "trailing", *, offset: int = 1) -> list[Level]:
    """`steps` levels of a schedule from noise to data, and ``CLEAN`` after them; arguments as `timesteps`."""
    return [*(trained.at(time) for time in timesteps(len(trained), steps, spacing, offset=offset)), CLEAN]


def karras(
    steps: int, *, sigma_min: float | int = 0.002, sigma_max: float | int = 80.0, rho: float | int = 7.0
) -> list[Level]:
    """`steps` levels whose ratios follow Karras et al. 2022 (eq. 5) from `sigma_max` to `sigma_min`, then ``CLEAN``.

    Raises:
        UsageError: no steps, or limits that do not fall.
    """
    if steps < 1 or not 0 < sigma_min < sigma_max or rho <= 0:
        given = f"{steps} steps from sigma {sigma_max} to {sigma_min}, rho {rho}"
        raise UsageError(given, "karras", "give 1 step or more and 0 < sigma_min < sigma_max, 0 < rho")
    ramp = np.linspace(0, 1, steps)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return [*(of_ratio(float(sigma)) for sigma in (high + ramp * (low - high)) ** rho), CLEAN]


def angular(steps: int) -> list[Level]:
    """`steps` levels at even angles from pure noise, then ``CLEAN``: alpha = cos, sigma = sin.

    The idea of the cosine schedule (Nichol and Dhariwal 2021), exact at both ends.

    Raises:
        UsageError: no steps.
    """
    if steps < 1:
        raise UsageError(f"{steps} sampling steps", "num_inference_steps", "give 1 or more")
    turns = [math.pi / 2 * (steps - i) / steps for i in range(1, steps)]
    return [NOISE, *(Level(math.cos(turn), math.sin(turn)) for turn in turns), CLEAN]
