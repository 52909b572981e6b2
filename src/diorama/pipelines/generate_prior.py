"""A clip out of a video network: from noise under a prompt, after a first picture where one is given, in windows.

The first picture is kept as RePaint keeps what is known (Lugmayr et al. 2022): its latents, noised anew at every level,
are the first frame's; in the noisy half each step is taken twice, so that the rest follows it.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8

from diorama.core.progress import Progress
from diorama.diffusion.denoise import Denoiser, inpainted
from diorama.diffusion.levels import CLEAN
from diorama.diffusion.noise import Noise, generators
from diorama.diffusion.prior import Prior
from diorama.diffusion.room import SMALLER, in_memory
from diorama.diffusion.sample import Solver, Step, descend, sample
from diorama.diffusion.windows import WindowConfig, shifted
from diorama.errors import ModelError, UsageError
from diorama.pipelines.generate_config import GenerateConfig

STEPS = 50
AGAIN_ABOVE = 500
"""On the clock of 1000: where steps are taken twice for a first picture."""
CHUNK = 16
"""Pictures that leave the codec together; those for films see as many at once."""
MOST_AT_ONCE = 1 << 28
"""Pixels of all frames of a clip whose codec takes it whole: a limit, no measure of what a machine can hold."""

Latents = Float[torch.Tensor, "1 c t y x"]
Picture = UInt8[np.ndarray, "h w 3"]


def made_by(
    prior: Prior, config: GenerateConfig, size: tuple[int, int], *, first: Picture | None, progress: Progress
) -> Iterator[UInt8[np.ndarray, "_ h w 3"]]:
    """The frames of a clip, a few at a time: the network is done when this returns, the codec goes on with each part.

    Args:
        prior: with its prompt.
        config: how many frames and steps, and the seed.
        size: height and width, multiples of `prior.multiple`.
        first: picture of that size that the clip begins with; None: nothing is known.
        progress: told of steps.

    Raises:
        ModelError: the network or its codec gives numbers that are not finite.
        OutOfMemoryError: one frame alone does not fit, or what is known of all frames does not.
        UsageError: more steps than the network knows, or more frames than its codec can take.
    """
    _check_size(prior, config.frames, size)
    with in_memory(f"the latents of {config.frames} frames", "--frames", SMALLER):
        latents = _latents(prior, config, size, first, progress)
    return _decoded(prior, latents, config.frames)


def _fitting(prior: Prior, frames: int) -> int:
    return prior.fitting(max(frames, prior.shortest))


def _check_size(prior: Prior, frames: int, size: tuple[int, int]) -> None:
    """Codecs whose latent frames stand for several pictures take a clip whole."""
    area = size[0] * size[1]
    if prior.rows or _fitting(prior, frames) * area <= MOST_AT_ONCE:
        return
    most = next((count for count in range(frames, 0, -1) if _fitting(prior, count) * area <= MOST_AT_ONCE), 0)
    what = f"the codec of {prior.name} holds a clip whole, and {frames} frames of {size[1]}x{size[0]} are too many"
    raise UsageError(what, "--frames", f"give at most {most} of this size" if most else "give a smaller --width")


def _decoded(prior: Prior, latents: Latents, count: int) -> Iterator[UInt8[np.ndarray, "_ h w 3"]]:
    done = 0
    for part in latents[0].split(CHUNK if prior.rows else latents.shape[2], dim=1):
        for frames in prior.decode(part)[: count - done].split(CHUNK):
            if not bool(torch.isfinite(frames).all()):
                raise ModelError("the codec gave numbers that are not finite", prior.name, "check the weights")
            yield (frames * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
            done += len(frames)


def _latents(
    prior: Prior, config: GenerateConfig, size: tuple[int, int], first: Picture | None, progress: Progress
) -> Latents:
    count = _fitting(prior, config.frames)
    shape = _latent_shape(prior, count, size)
    known, mask = torch.zeros(1, *shape, device=prior.device), torch.zeros(1, 1, shape[1], 1, 1, device=prior.device)
    if first is not None:
        picture = torch.from_numpy(first).permute(2, 0, 1)[None].float() / 255
        known[:, :, :1], mask[:, :, 0] = prior.encode(picture.to(prior.device)), 1
    draw = Noise(generators(1, "generate", config.seed))
    plan = _plan(prior, config.num_inference_steps or STEPS, known, mask, draw)
    solver: Solver = "ddim" if first is None else "ddpm"
    return sample(plan, draw(known), solver=solver, draw=draw, progress=progress)


def _latent_shape(prior: Prior, count: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Shape of the latents of `count` pictures, told by smaller ones."""
    side = prior.multiple
    channels, frames, rows, columns = prior.encode(torch.zeros(count, 3, side, side, device=prior.device)).shape
    return channels, frames, size[0] // side * rows, size[1] // side * columns


def _plan(prior: Prior, steps: int, known: Latents, mask: torch.Tensor, draw: Noise) -> list[Step]:
    guess = known[:, :, :1].expand_as(known)
    unknown = (1 - mask).expand(-1, -1, -1, *known.shape[3:])

    def bind(spans: Int64[torch.Tensor, "k n"]) -> Denoiser:
        def cut(value: torch.Tensor) -> torch.Tensor:
            return torch.cat([value[:, :, span.to(value.device)] for span in spans])

        return prior.denoiser(cut(guess), cut(unknown))

    rungs = prior.ladder(steps)
    levels = [*(rung.level for rung in rungs), CLEAN]
    windows = WindowConfig(prior.longest, prior.longest // 4)
    denoisers = shifted(bind, known.shape[2], windows, steps=steps)
    if not bool(mask.any()):
        return descend(levels, denoisers)
    plan = []
    for rung, (level, after), denoise in zip(rungs, pairwise(levels), denoisers, strict=True):
        move = Step(level, after, inpainted(denoise, known, mask, draw))
        back = rung.time > AGAIN_ABOVE and level.alpha > 0 and after != CLEAN
        plan += [move, Step(after, level), move] if back else [move]
    return plan
