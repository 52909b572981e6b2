"""Videos from the embedded generator: noise to latents under what is given, long ones in windows."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int64

from diorama.core.progress import Progress
from diorama.diffusion.backbone import Backbone, BackboneConfig, Given
from diorama.diffusion.checkpoint import read_tensors
from diorama.diffusion.conditioning import Conditioning
from diorama.diffusion.denoise import Denoiser, guided
from diorama.diffusion.fit import fit
from diorama.diffusion.levels import angular
from diorama.diffusion.noise import Noise, generators
from diorama.diffusion.sample import Solver, descend, sample
from diorama.diffusion.windows import WindowConfig, shifted
from diorama.errors import ModelError, UsageError

EMBEDDED = Path(__file__).parent / "data" / "backbone-s.safetensors"
_CONFIG_BYTES = 100_000


@dataclass(frozen=True)
class SampleConfig:
    """How a video is made.

    Attributes:
        num_inference_steps: network calls a frame (two each under guidance).
        guidance_scale: how far from "anybody in this pose" towards the reference; 1 halves the time.
        guidance_interval: sigma / alpha between which guidance acts; outside, a step costs half.
        rescale: of guidance, see `guided`.
        solver: of the sampler.
        windows: how a long video is cut.
        strength: share of the steps that are walked, from 1 (from noise) down to 0 (hardly anything is changed).
        seed: of the noise; item i of a batch has its own.
    """

    num_inference_steps: int = 12
    guidance_scale: float = 1.5
    guidance_interval: tuple[float, float] = (0.2, 3.0)
    rescale: float = 0.0
    solver: Solver = "ddim"
    windows: WindowConfig = WindowConfig()
    strength: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_inference_steps < 1:
            raise UsageError(f"{self.num_inference_steps} sampling steps", "num_inference_steps", "give 1 or more")
        if not 0 <= self.strength <= 1:
            raise UsageError(f"strength {self.strength}", "strength", "give 0 to 1")
        if self.seed < 0:
            raise UsageError(f"seed {self.seed}", "seed", "give 0 or more")


def load_backbone(path: Path = EMBEDDED) -> Backbone:
    """The embedded generator, or one that was trained here (``result/backbone-s.safetensors`` of a run).

    Raises:
        ModelError: missing, damaged, or of another architecture.
    """
    network = Backbone(_config_beside(path))
    tensors = {name: tensor.float() for name, tensor in read_tensors(path).items()}
    fit(network, tensors, source=str(path))
    return network.eval().requires_grad_(False)


def _config_beside(path: Path) -> BackboneConfig:
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return BackboneConfig()
    try:
        if beside.stat().st_size > _CONFIG_BYTES:
            raise ValueError("it is too large")
        values = json.loads(beside.read_text())
        names = ("latent_channels", "heads", "context_width", "positions")
        sizes = {name: int(values[name]) for name in names}
        widths = tuple(int(width) for width in values["widths"])
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ModelError(f"no configuration of a backbone: {error}", beside, "get the files again") from error
    if not (1 < len(widths) <= 6 and all(0 < n <= 4096 and n % 16 == 0 for n in widths)):
        raise ModelError(f"widths {widths}", beside, "get the files again")
    divided = all(width % max(sizes["heads"], 1) == 0 for width in widths)
    if not divided or not all(0 < n <= 4096 for n in sizes.values()):
        raise ModelError(f"sizes {sizes}", beside, "get the files again")
    return BackboneConfig(widths=widths, **sizes)


@torch.no_grad()
def generate(
    network: Backbone,
    given: Given,
    like: Float[torch.Tensor, "b c t h w"],
    *,
    config: SampleConfig = SampleConfig(),
    start: Float[torch.Tensor, "b c t h w"] | None = None,
    cuts: tuple[int, ...] = (),
    progress: Progress | None = None,
) -> Float[torch.Tensor, "b c t h w"]:
    """Latents of b videos.

    Args:
        given: what is known; guidance points away from the same without preview and reference.
        like: of the shape to be made; its values are not looked at.
        config: how.
        start: latents to begin from, for a strength below 1.
        cuts: first frames of later shots.
        progress: told of each step.

    Raises:
        UsageError: conditions that do not fit, no frames, a strength below 1 without a start.
        OutOfMemoryError: also in smaller windows.
    """
    config.windows.fits(network.sizes.positions)
    full = network.condition(given, like)
    anybody = replace(given, preview=None, preview_alpha=None, reference=None, reference_codes=None)
    free = network.condition(anybody, like) if config.guidance_scale != 1 else None
    seeds = generators(len(like), "generate", config.seed)
    bind, steps = _bound(network, full, free, config), config.num_inference_steps
    denoisers = shifted(bind, like.shape[2], config.windows, steps=steps, cuts=cuts)
    skipped = steps - max(1, round(config.strength * steps))
    levels, x = angular(steps)[skipped:], Noise(seeds)(like)
    if skipped:
        if start is None:
            raise UsageError(f"strength {config.strength} of no start", "start", "give latents, or strength 1")
        x = levels[0].alpha * start + levels[0].sigma * x
    plan = descend(levels, denoisers[skipped:])
    return sample(plan, x, solver=config.solver, draw=Noise(seeds), progress=progress)


def _bound(
    network: Backbone, full: Conditioning, free: Conditioning | None, config: SampleConfig
) -> Callable[[Int64[torch.Tensor, "k t"]], Denoiser]:
    """Frames of windows to a denoiser for them."""

    def bind(spans: Int64[torch.Tensor, "k t"]) -> Denoiser:
        told = network.denoiser(full.cut(spans))
        if free is None:
            return told
        return guided(
            told,
            network.denoiser(free.cut(spans)),
            config.guidance_scale,
            rescale=config.rescale,
            interval=config.guidance_interval,
        )

    return bind
