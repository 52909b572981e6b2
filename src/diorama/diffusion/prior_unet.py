"""Video UNets of the Stable Diffusion kind as priors: one latent frame a picture, guidance towards a prompt."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float

from diorama.diffusion.codec import Codec
from diorama.diffusion.coding import Coding, decode_video, encode_video
from diorama.diffusion.conditioning import Conditioning
from diorama.diffusion.denoise import Denoiser, Network, guided
from diorama.diffusion.levels import Schedule
from diorama.diffusion.mimo import PREDICTIONS
from diorama.diffusion.motion_unet import bind
from diorama.diffusion.prior import Frames, Latents, Rung, Shares, Videos, trained_ladder
from diorama.diffusion.room import SMALLER, in_memory


@dataclass(eq=False)
class UNetPrior:
    """A `diorama.diffusion.prior.Prior` of UNet3DConditionModel or UNetMotionModel.

    Attributes:
        name, size, longest: as of the protocol.
        unet: on its device.
        codec: on the same; latents of the network's channels.
        trained: levels that the network knows.
        prediction: what it predicts, a name of `mimo.PREDICTIONS`.
        context: vectors of the prompt, and of what to steer away from.
        guidance_scale: 1 is none.
        coding: how many pictures the codec takes at once.
    """

    name: str
    size: tuple[int, int]
    longest: int
    unet: Any
    codec: Codec
    trained: Schedule
    prediction: str
    context: Float[torch.Tensor, "2 n d"]
    guidance_scale: float | int
    coding: Coding
    shortest: int = 1
    rows: bool = True
    reads_guess: bool = False
    multiple: int = 0

    def __post_init__(self) -> None:
        levels = len(self.unet.config.block_out_channels)
        self.multiple = self.codec.factor * 2 ** (levels - 1)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.codec.device

    def fitting(self, count: int) -> int:
        """Any number fits."""
        return count

    def ladder(self, steps: int) -> list[Rung]:
        """Levels as released: leading, offset 1 (s2vg.md 1.5)."""
        return trained_ladder(self.trained, steps)

    @torch.no_grad()
    def encode(self, frames: Frames) -> Latents:
        """Pictures to latents.

        Raises:
            OutOfMemoryError: they do not fit, also one by one and in tiles.
        """
        with in_memory(f"{len(frames)} pictures and their latents", "codec", SMALLER):
            return encode_video(self.codec, frames.to(self.device, torch.float32), self.coding)

    @torch.no_grad()
    def decode(self, latents: Latents) -> Frames:
        """Latents to pictures.

        Raises:
            OutOfMemoryError: they do not fit, also one by one and in tiles.
        """
        with in_memory(f"{latents.shape[1]} pictures and their latents", "codec", SMALLER):
            return decode_video(self.codec, latents.to(self.device, torch.float32), self.coding)

    def denoiser(self, guess: Videos, unknown: Shares) -> Denoiser:
        """Guided towards the prompt; what is guessed is not looked at."""
        told, untold = (PREDICTIONS[self.prediction](self._network(row), self.trained) for row in (0, 1))
        return guided(told, untold, self.guidance_scale)

    def _network(self, row: int) -> Network:
        inner = bind(self.unet, Conditioning(context=self.context[row : row + 1]))
        dtype = next(self.unet.parameters()).dtype

        def network(x: Videos, time: float) -> Videos:
            with torch.no_grad():
                return inner(x.to(dtype), time).to(x.dtype)

        return network
