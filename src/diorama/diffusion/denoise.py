"""Denoisers ``(x, level) -> x0`` from networks of every kind, and wrappers that change what a denoiser does.

A network is ``(x, time) -> prediction`` with its conditions already bound. What it predicts is one of noise (eps),
velocity (v), clean data (x0), EDM's residual or the flow; each becomes a denoiser by a few lines. All of them are
affine in the prediction, so guidance on x0 equals guidance on the prediction.
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float

from diorama.diffusion.levels import Level, Schedule
from diorama.diffusion.side_by_side import side_by_side
from diorama.errors import UsageError

Tensor = Float[torch.Tensor, "..."]
Network = Callable[[Tensor, float], Tensor]
Denoiser = Callable[[Tensor, Level], Tensor]
Draw = Callable[[Tensor], Tensor]
"""Standard normal noise of the shape, type and device of its argument."""


def from_eps(network: Network, trained: Schedule) -> Denoiser:
    """A network that predicts the noise (Ho et al. 2020). Cannot start from pure noise (alpha = 0)."""

    def denoise(x: Tensor, level: Level) -> Tensor:
        if level.alpha <= 0:
            raise UsageError(
                "a network that predicts noise says nothing about data at zero signal",
                "levels",
                "use spacing='leading', a schedule without zero terminal SNR, or a v network",
            )
        return (x - level.sigma * network(x, trained.time(level))) / level.alpha

    return denoise


def from_v(network: Network, trained: Schedule) -> Denoiser:
    """A network that predicts v = alpha * noise - sigma * x0 (Salimans and Ho 2022)."""
    return lambda x, level: level.alpha * x - level.sigma * network(x, trained.time(level))


def from_x0(network: Network, trained: Schedule) -> Denoiser:
    """A network that predicts the clean data."""
    return lambda x, level: network(x, trained.time(level))


def quarter_log(level: Level) -> float:
    """What EDM networks are told: ln(sigma / alpha) / 4 (Karras et al. 2022, table 1).

    Raises:
        UsageError: pure noise, whose ratio is infinite.
    """
    if level.alpha <= 0:
        raise UsageError("an EDM network cannot be told of pure noise", "levels", "begin at a finite sigma (karras)")
    return math.log(max(level.ratio, 1e-20)) / 4


def from_v_edm(network: Network) -> Denoiser:
    """A v network that is told ln(sigma) / 4, as SVD, SV4D and SP4D (c_skip = 1 / (s**2 + 1) in the EDM view)."""
    return lambda x, level: level.alpha * x - level.sigma * network(x, quarter_log(level))


def from_edm(network: Network, *, sigma_data: float | int = 0.5) -> Denoiser:
    """An EDM network (Karras et al. 2022, eq. 7): scaled input, residual output."""

    def denoise(x: Tensor, level: Level) -> Tensor:
        # c_in, c_skip, c_out of x / alpha, multiplied out: no large numbers at high noise
        total = math.hypot(level.sigma, level.alpha * sigma_data)
        out = network(x / total, quarter_log(level))
        return x * (level.alpha * (sigma_data / total) ** 2) + out * (level.sigma * sigma_data / total)

    return denoise


def from_flow(network: Network) -> Denoiser:
    """A rectified-flow network: predicts noise - x0 at ``(1 - t) * x0 + t * noise`` and is told t in [0, 1]."""

    def denoise(x: Tensor, level: Level) -> Tensor:
        whole = level.alpha + level.sigma
        time = level.sigma / whole
        straight = x / whole
        return straight - time * network(straight, time)

    return denoise


def guided(
    cond: Denoiser,
    uncond: Denoiser | None,
    guidance_scale: float | int | Float[torch.Tensor, " t"],
    *,
    rescale: float | int = 0.0,
    interval: tuple[float | int, float | int] = (0.0, math.inf),
) -> Denoiser:
    """Classifier-free guidance (Ho and Salimans 2022) on x0: ``uncond + scale * (cond - uncond)``.

    Args:
        cond: the denoiser with its conditions.
        uncond: the one without; may be None only if nothing is to be guided (scale 1), and is then never called.
        guidance_scale: one number, or one a frame for ``x`` "b c t h w" (SP4D: linspace over frames and views).
        rescale: how far the spread of the result is brought back to that of `cond` (Lin et al. 2023, section 3.4, here
            of x0), 0 to 1, against over-exposure.
        interval: sigma / alpha between which guidance acts (Kynkäänniemi et al. 2024); outside, `cond` alone runs, at
            half the cost.

    Raises:
        UsageError: guidance without an unconditional denoiser, a scale that is not finite, or a bad interval.
    """
    scale = torch.as_tensor(guidance_scale, dtype=torch.float32)
    if not bool(torch.isfinite(scale).all()) or not 0 <= rescale <= 1 or not interval[0] <= interval[1]:
        given = f"guidance {guidance_scale}, rescale {rescale}, interval {interval}"
        raise UsageError(given, "guidance_scale", "give finite scales, a rescale of 0 to 1, and a rising interval")
    if bool((scale == 1).all()):
        return cond
    if uncond is None:
        raise UsageError(
            f"guidance {guidance_scale} without an unconditional denoiser", "guidance_scale", "give one, or guidance 1"
        )
    without = uncond

    def denoise(x: Tensor, level: Level) -> Tensor:
        if not interval[0] <= level.ratio <= interval[1]:
            return cond(x, level)
        with_conditions, free = side_by_side([lambda: cond(x, level), lambda: without(x, level)], x.device)
        weight = scale.to(x) if scale.ndim == 0 else _by_frame(scale.to(x), x)
        out = free + weight * (with_conditions - free)
        return _respread(out, with_conditions, rescale) if rescale else out

    return denoise


def _by_frame(scale: Tensor, x: Tensor) -> Tensor:
    if x.ndim != 5 or x.shape[2] != len(scale):
        raise UsageError(f"{len(scale)} guidance scales for latents {tuple(x.shape)}", "guidance_scale", "one a frame")
    return scale[None, None, :, None, None]


def _respread(out: Tensor, like: Tensor, share: float | int) -> Tensor:
    axes = tuple(range(1, out.ndim))
    spread = like.std(dim=axes, keepdim=True) / out.std(dim=axes, keepdim=True).clamp_min(1e-8)
    return out * (share * spread + (1 - share))


def inpainted(denoise: Denoiser, known: Tensor, mask: Tensor, draw: Draw) -> Denoiser:
    """Keeps what is known: its place in x is noised anew at every level, its place in x0 is the known itself.

    RePaint (Lugmayr et al. 2022, eq. 8); jumps back to noisier levels are steps of the plan.

    Args:
        known: clean latents of the shape of x.
        mask: 1 where known, 0 where to be made, anything between blends; broadcasts to x.
        draw: fresh noise for each call.

    Raises:
        UsageError: shapes that do not fit, or a mask outside [0, 1].
    """
    if not bool(((mask >= 0) & (mask <= 1)).all()):
        raise UsageError(f"a mask from {float(mask.min()):g} to {float(mask.max()):g}", "mask", "give 0 to 1")

    def kept(x: Tensor, level: Level) -> Tensor:
        _same_shape(x, known, mask)
        return mix(known, denoise(keep(x, level, known=known, mask=mask, draw=draw), level), mask)

    return kept


def mix(known: Tensor, made: Tensor, mask: Tensor) -> Tensor:
    """`known` where the mask is 1, `made` where it is 0."""
    return mask * known + (1 - mask) * made


def noised(clean: Tensor, level: Level, draw: Draw) -> Tensor:
    """``alpha * clean + sigma * noise``; the clean itself, bit for bit and without a draw, where sigma is 0."""
    if level.sigma <= 0:
        return clean
    return level.alpha * clean + level.sigma * draw(clean)


def keep(x: Tensor, level: Level, *, known: Tensor, mask: Tensor, draw: Draw) -> Tensor:
    """x at `level` with what is known put back at that level, under fresh noise."""
    return mix(noised(known, level, draw), x, mask)


def _same_shape(x: Tensor, known: Tensor, mask: Tensor) -> None:
    try:
        fits = known.shape == x.shape and torch.broadcast_shapes(mask.shape, x.shape) == x.shape
    except RuntimeError:
        fits = False
    if not fits:
        shapes = f"known {tuple(known.shape)}, mask {tuple(mask.shape)} for latents {tuple(x.shape)}"
        raise UsageError(shapes, "known", "known must have the shape of the latents, the mask must broadcast to it")


def along(denoise: Denoiser, axis: str, *, reverse: bool = False, at_once: int = 0) -> Denoiser:
    """Runs a video denoiser along one axis of a matrix of views x frames ``x "v c t h w"``.

    Args:
        denoise: for videos "b c t h w".
        axis: "columns": each view is a video over time; "rows": each frame is a video over views.
        reverse: the video runs backwards (S2VG: rows from the last view to the first).
        at_once: videos in one call; 0 for all.

    Raises:
        UsageError: an unknown axis.
    """
    if axis not in ("columns", "rows"):
        raise UsageError(f"no axis {axis!r} of the frame matrix", "along", "known: columns, rows")

    def run(x: Tensor, level: Level) -> Tensor:
        videos = x if axis == "columns" else x.transpose(0, 2)
        videos = videos.flip(2) if reverse else videos
        parts: Sequence[Tensor] = videos.split(at_once or len(videos))
        out = torch.cat([denoise(part, level) for part in parts])
        out = out.flip(2) if reverse else out
        return out if axis == "columns" else out.transpose(0, 2)

    return run
