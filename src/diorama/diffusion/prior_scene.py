"""scene-s, the embedded prior of scenes: given a picture whose holes are filled by guess, it says what is there."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float

from diorama.diffusion.backbone import Backbone, Given
from diorama.diffusion.codec import Codec
from diorama.diffusion.codec_load import load_codec
from diorama.diffusion.coding import Coding, decode_video, encode_video
from diorama.diffusion.denoise import Denoiser
from diorama.diffusion.generate import load_backbone
from diorama.diffusion.levels import angular
from diorama.diffusion.prior import Frames, Latents, Rung, Shares, Videos
from diorama.diffusion.room import SMALLER, in_memory

EMBEDDED = Path(__file__).parent / "data" / "scene-s.safetensors"


def guess_of(guess: Float[torch.Tensor, "b c t h w"], unknown: Float[torch.Tensor, "b 1 t h w"]) -> Given:
    """A guess as the backbone takes it: a preview that covers the holes of a scene.

    Args:
        guess: latents with the holes filled.
        unknown: the share of each position that is guessed, 0 to 1.
    """
    return Given(scene=guess, scene_known=torch.ones_like(unknown), preview=guess, preview_alpha=unknown)


@dataclass(frozen=True, eq=False)
class ScenePrior:
    """The embedded prior; a `diorama.diffusion.prior.Prior`.

    Attributes:
        network: a backbone trained by the recipe "scene-s".
        codec: that it was trained on.
    """

    network: Backbone
    codec: Codec
    name = "scene-s"
    size = (256, 448)
    multiple = 8
    shortest = 1
    rows = True
    reads_guess = True

    @staticmethod
    def load(path: Path = EMBEDDED, *, device: torch.device | str = "cpu") -> "ScenePrior":
        """The one that ships, or the result of a training run.

        Raises:
            ModelError: missing, damaged, or of another architecture.
        """
        return ScenePrior(load_backbone(path).to(device), load_codec(device=device))

    @property
    def longest(self) -> int:
        """Frames that the network can tell apart."""
        return self.network.sizes.positions

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.codec.device

    def fitting(self, count: int) -> int:
        """Any number fits."""
        return count

    def ladder(self, steps: int) -> list[Rung]:
        """Levels at even angles from pure noise, where it says the mean of what may be there."""
        heights = angular(steps)[:-1]
        return [Rung(1000 * (steps - i) / steps, level) for i, level in enumerate(heights)]

    def encode(self, frames: Frames) -> Latents:
        """Pictures to latents.

        Raises:
            OutOfMemoryError: they do not fit, also one by one and in tiles.
        """
        with in_memory(f"{len(frames)} pictures and their latents", "codec", SMALLER):
            return encode_video(self.codec, frames, Coding())

    def decode(self, latents: Latents) -> Frames:
        """Latents to pictures.

        Raises:
            OutOfMemoryError: they do not fit, also one by one and in tiles.
        """
        with in_memory(f"{latents.shape[1]} pictures and their latents", "codec", SMALLER):
            return decode_video(self.codec, latents, Coding())

    def denoiser(self, guess: Videos, unknown: Shares) -> Denoiser:
        """What is wrong with the guess."""
        return self.network.denoiser(self.network.condition(guess_of(guess, unknown), guess))
