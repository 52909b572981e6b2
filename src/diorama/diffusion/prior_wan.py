"""Wan 2.1's text-to-video as a prior: a diffusion transformer on straight paths (Wan Team 2025), folders of diffusers.

A latent frame stands for four pictures, the first one for one, so rows of a frame matrix are no videos to it.
"""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed
from jaxtyping import Float

from diorama.diffusion.denoise import Denoiser, Network, from_flow, guided
from diorama.diffusion.levels import Level
from diorama.diffusion.prior import Frames, Latents, Rung, Shares, Videos
from diorama.diffusion.prior_parts import AGAIN, Asked, half, network_of, scheduler_config
from diorama.diffusion.prior_text import umt5_vectors
from diorama.diffusion.release import read_config
from diorama.diffusion.room import SMALLER, in_memory, no_memory
from diorama.errors import ModelError, UsageError

_LOG = logging.getLogger(__name__)
GUIDANCE, SHIFT = 5.0, 3.0
"""As released for pictures of 480 lines."""
SIZE, FRAMES = (480, 832), 21
"""Pixels, and latent frames (81 pictures), that it was made for."""
CLOCK = 1000
"""What it is told at pure noise, and the steps it knows."""
TIME = 4
"""Pictures of a latent frame after the first."""
POSITIONS = 65_536
# Of the classes' `_keep_in_fp32_modules`: parts of names.
_PRECISE = ("time_embedder", "scale_shift_table", "norm1", "norm2", "norm3")


@dataclass(eq=False)
class WanPrior:
    """A `diorama.diffusion.prior.Prior` of WanTransformer3DModel and AutoencoderKLWan.

    Attributes:
        transformer, vae: on one device; the codec in float32.
        context: vectors of the prompt, and of what to steer away from.
        guidance_scale: 1 is none.
        shift: how much of the time is spent near noise (Esser et al. 2024, eq. 23).
    """

    transformer: Any
    vae: Any
    context: Float[torch.Tensor, "2 n d"]
    guidance_scale: float | int
    shift: float | int = SHIFT
    name: str = "wan"
    size: tuple[int, int] = SIZE
    multiple: int = 16
    longest: int = FRAMES
    shortest: int = 1
    rows: bool = False
    reads_guess: bool = False

    def __post_init__(self) -> None:
        self.multiple = int(self.vae.config.scale_factor_spatial * self.transformer.config.patch_size[1])

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.transformer.parameters()).device

    def fitting(self, count: int) -> int:
        """The next 4k + 1."""
        return 1 + TIME * math.ceil((count - 1) / TIME)

    def ladder(self, steps: int) -> list[Rung]:
        """Times evenly from 1 down, shifted towards noise, as Wan's own scheduler."""
        if not 1 <= steps <= CLOCK:
            raise UsageError(f"{steps} sampling steps", "num_inference_steps", f"give 1 to {CLOCK}")
        even = [1 - (1 - 1 / CLOCK) * step / steps for step in range(steps)]
        return [_rung(self.shift * time / (1 + (self.shift - 1) * time)) for time in even]

    @torch.no_grad()
    def encode(self, frames: Frames) -> Latents:
        """Pictures to latents.

        Raises:
            UsageError: not 4k + 1 pictures, or sides that are no multiples of `multiple`.
            OutOfMemoryError: they do not fit, also in tiles.
        """
        if len(frames) != self.fitting(len(frames)):
            raise UsageError(f"{len(frames)} pictures", "frames", f"give {self.fitting(len(frames))}: 4k + 1")
        if frames.shape[2] % self.multiple or frames.shape[3] % self.multiple:
            given = f"pictures of {frames.shape[3]}x{frames.shape[2]}"
            raise UsageError(given, "frames", f"give sides that are multiples of {self.multiple}")

        def encoded() -> torch.Tensor:
            video = (2 * frames - 1).to(self.device, self.vae.dtype).transpose(0, 1)[None]
            z: torch.Tensor = self.vae.encode(video).latent_dist.mode()
            mean, spread = self._scale(z)
            return ((z - mean) / spread)[0].float()

        return self._fitted(encoded, f"{len(frames)} pictures of {frames.shape[3]}x{frames.shape[2]}")

    @torch.no_grad()
    def decode(self, latents: Latents) -> Frames:
        """Latents to pictures, all of them at once.

        Raises:
            OutOfMemoryError: they do not fit, also in tiles.
        """

        def decoded() -> torch.Tensor:
            z = latents[None].to(self.device, self.vae.dtype)
            mean, spread = self._scale(z)
            video: torch.Tensor = self.vae.decode(z * spread + mean).sample[0].float()
            return video.transpose(0, 1).mul_(0.5).add_(0.5).clamp_(0, 1)

        return self._fitted(decoded, f"{latents.shape[1]} latent frames of {latents.shape[3]}x{latents.shape[2]}")

    def _fitted(self, work: Callable[[], torch.Tensor], what: str) -> torch.Tensor:
        """Work of the codec, which goes from picture to picture by itself; from the first time that it does not fit, in
        tiles."""
        try:
            if not self.vae.use_tiling:
                try:
                    return work()
                except (RuntimeError, MemoryError) as error:
                    if not no_memory(error):
                        raise
                self.vae.enable_tiling()
                tile = self.vae.tile_sample_min_width
                _LOG.warning("out of memory: the codec goes on in tiles of %d pixels, which may show seams", tile)
            with in_memory(what, "codec", SMALLER):
                return work()
        finally:
            self.vae.clear_cache()  # work that broke off leaves features of its last pictures

    def _scale(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and spread of each channel."""
        config = self.vae.config
        mean, spread = (torch.tensor(each).to(like) for each in (config.latents_mean, config.latents_std))
        return mean[:, None, None, None], spread[:, None, None, None]

    def denoiser(self, guess: Videos, unknown: Shares) -> Denoiser:
        """Guided towards the prompt; what is guessed is not looked at."""
        told, untold = (from_flow(self._network(row)) for row in (0, 1))
        return guided(told, untold, self.guidance_scale)

    def _network(self, row: int) -> Network:
        dtype = self.context.dtype

        def network(x: Videos, time: float) -> Videos:
            times = torch.full((len(x),), CLOCK * time, device=x.device)
            context = self.context[row].expand(len(x), -1, -1)
            with torch.no_grad():
                out: torch.Tensor = self.transformer(x.to(dtype), times, context, return_dict=False)[0]
            return out.to(x.dtype)

        return network


def _rung(time: float) -> Rung:
    """``x = (1 - t) * x0 + t * noise``, scaled so that the squares of its shares sum to 1."""
    whole = math.hypot(1 - time, time)
    return Rung(CLOCK * time, Level((1 - time) / whole, time / whole))


def load_wan(folder: Path, asked: Asked) -> WanPrior:
    """The prior of a pipeline's folder: transformer/, vae/, text_encoder/, tokenizer/, scheduler/.

    Raises:
        ModelError: parts missing, damaged, or of another class; a pipeline of two transformers, or one for pictures.
        OutOfMemoryError: the weights alone do not fit.
        UsageError: another codec is asked for, of which there is none.
    """
    if asked.codec is not None:
        raise UsageError("another codec for Wan, which has its own latents", asked.codec, "leave it out")
    _check_single(folder)
    shift, dtype = _shift(folder), half(asked.device, torch.bfloat16)
    context = umt5_vectors(folder, [asked.prompt, asked.negative_prompt], device=asked.device, dtype=dtype)
    transformer = network_of(WanTransformer3DModel, folder / "transformer", asked, dtype, keep=_precise)
    sizes = transformer.config
    if context.shape[-1] != sizes.text_dim:
        what = f"a text encoder {context.shape[-1]} wide for a network that reads {sizes.text_dim}"
        raise ModelError(what, folder, "name the folder of one pipeline")
    if not 1 <= sizes.rope_max_seq_len <= POSITIONS:
        raise ModelError(f"rope_max_seq_len = {sizes.rope_max_seq_len}", folder / "transformer", AGAIN)
    # counted, and so in no file
    transformer.rope = WanRotaryPosEmbed(sizes.attention_head_dim, sizes.patch_size, sizes.rope_max_seq_len)
    vae = network_of(AutoencoderKLWan, folder / "vae", asked, torch.float32)
    _check_codec(vae.config, sizes, folder)
    on = [torch.nn.Module.to(part, asked.device) for part in (transformer, vae)]
    return WanPrior(on[0], on[1], context, asked.guidance(GUIDANCE), shift)


def _precise(name: str) -> bool:
    return any(part in name for part in _PRECISE)


def _check_single(folder: Path) -> None:
    """One transformer that is told one time for all frames."""
    index = read_config(folder / "model_index.json")
    second = index.get("transformer_2")
    if (isinstance(second, list) and any(second)) or index.get("expand_timesteps") or index.get("boundary_ratio"):
        raise ModelError("a pipeline of Wan 2.2, which is not known here", folder, "use Wan 2.1 text-to-video")


def _shift(folder: Path) -> float:
    settings: Mapping[str, Any] = scheduler_config(folder)
    flow = settings.get("use_flow_sigmas") or "shift" in settings
    value = settings.get("flow_shift", settings.get("shift", SHIFT))
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not flow or settings.get("use_dynamic_shifting") or not number or not 0.1 <= value <= 100:
        where = folder / "scheduler" / "scheduler_config.json"
        raise ModelError("no flow with a constant shift", where, "expected use_flow_sigmas and flow_shift")
    return float(value)


def _check_codec(codec: Any, sizes: Any, folder: Path) -> None:
    """Refuse a codec of other latents than the transformer's, or of other steps in time or space than are built in."""
    scales = [codec.latents_mean, codec.latents_std]
    sound = all(len(scale) == codec.z_dim and all(math.isfinite(each) for each in scale) for scale in scales)
    if not sound or not all(each > 0 for each in codec.latents_std):
        raise ModelError(f"latents_mean or latents_std are not {codec.z_dim} numbers", folder / "vae", AGAIN)
    if codec.z_dim != sizes.in_channels or sizes.in_channels != sizes.out_channels:
        what = f"a transformer from {sizes.in_channels} to {sizes.out_channels} channels, the codec has {codec.z_dim}"
        raise ModelError(what, folder, "use Wan's text-to-video: those for pictures take more channels")
    time = 2 ** sum(map(bool, codec.temperal_downsample))
    space = 2 ** (len(codec.dim_mult) - 1) * (codec.patch_size or 1)
    flat = sizes.patch_size[0] == 1 and sizes.patch_size[1] == sizes.patch_size[2]
    if time != TIME or space != codec.scale_factor_spatial or not flat:
        what = f"a codec of {time} pictures by {space} pixels, patches of {tuple(sizes.patch_size)}"
        raise ModelError(what, folder, f"expected {TIME} pictures, and square patches of one latent frame")
