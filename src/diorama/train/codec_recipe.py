"""Training of the embedded codec: from the principal components of patches, or of its decoder alone.

The loss is the logarithm of each picture's mean squared error, so that its mean is the PSNR that is asked for (2.3
units are 10 dB) and no picture counts more because it is harder; pictures beyond `ENOUGH` stop counting. A little
noise on the latents, of another strength for each sample, makes the decoder bear what a denoiser leaves; a prior of
unit variance keeps the encoder from outgrowing the noise.
"""

import copy
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import nn

from diorama.diffusion.codec_small import EMBEDDED, SmallCodec, SmallCodecConfig, open_small
from diorama.train.codec_data import Pictures, patches_of, read_pictures, write_pictures
from diorama.train.config import TrainConfig
from diorama.train.draws import Draws, seed_of
from diorama.train.export import write_weights
from diorama.train.loop import run_folder
from diorama.train.preview import grid, to_picture
from diorama.train.recipe import Batch, Loss, Networks, Recipe

CROP = 128
PHOTO_SHARE = 0.4
NOISE = 0.05
"""Largest deviation of the noise on latents."""
ENOUGH = 3e-4
"""Mean squared error, 35 dB."""
PRIOR = 1e-3
FITTED = 400
"""Crops whose principal components are taken."""
SCORED = 40

SMALL = SmallCodecConfig()
LARGE = SmallCodecConfig(encoder_width=384, encoder_blocks=2, decoder_width=128, decoder_blocks=5)
"""For a GPU: 2.4 M parameters, 4.7 times the work."""

ABOUT = """A codec of 8x8 pixels to 16 channels. Data: frames of the synthetic theatre, and photographs that come with
scikit-image and are CC0 or in the public domain. Licence: Apache-2.0, as the package."""


class CodecRecipe(Recipe):
    """Trains `SmallCodec`.

    Args:
        config: options; `data` is a folder of `codec_data.write_pictures`, by default ``pictures`` in the run's folder,
            which is filled first.
        start: weights to go on from, whose encoder then stays as it is; None trains all from principal components.
        sizes: of a codec trained anew.
    """

    about = ABOUT

    def __init__(self, config: TrainConfig, start: Path | None = None, *, sizes: SmallCodecConfig = SMALL) -> None:
        self.name = "codec-s" if start is None else "codec-s-decoder"
        self.seed, self.start, self.sizes = config.seed, start, sizes
        self.folder = Path(config.data) if config.data else run_folder(self.name, config.out) / "pictures"
        if not config.data:
            write_pictures(self.folder, workers=os.cpu_count() or 1)
        self._pictures: Pictures | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_pictures": None}

    @property
    def pictures(self) -> Pictures:
        """What is trained on; opened where it is needed."""
        if self._pictures is None:
            self._pictures = read_pictures(self.folder, CROP)
        return self._pictures

    def networks(self) -> dict[str, nn.Module]:
        """The codec; of its linear part nothing is trained."""
        if self.start is None:
            codec = SmallCodec(self.sizes)
            codec.set_basis(torch.from_numpy(patches_of([self._crop(-1 - i) for i in range(FITTED)], codec.factor)))
        else:
            codec = open_small(self.start)
        codec.decoder.requires_grad_(True)
        codec.encoder.requires_grad_(self.start is None)
        codec.analysis.requires_grad_(False)
        codec.synthesis.requires_grad_(False)
        return {"codec": codec}

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Crops of theatre and photographs."""
        return {"frames": torch.from_numpy(np.stack([self._crop(number) for number in numbers]))}

    def _crop(self, number: int, *, photo_share: float = PHOTO_SHARE) -> Float[np.ndarray, "3 s s"]:
        rng = np.random.default_rng(seed_of("codec", self.seed, number))
        return self.pictures.crop(rng, CROP, photo_share)

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """See the module."""
        codec = _codec(networks)
        frames = batch["frames"]
        latents = codec.to_latents(frames)
        strength = (NOISE * draws.uniform())[:, None, None, None]
        found = codec.to_frames(latents + strength * draws.normal(*latents.shape[1:]))
        error = (found.float() - frames).square().mean(dim=(1, 2, 3))
        fidelity, prior = (error + ENOUGH).log().mean(), latents.float().square().mean()
        return Loss(fidelity + PRIOR * prior, {"psnr": -10 * error.log10().mean(), "variance": prior})

    def preview(self, networks: Networks) -> UInt8[np.ndarray, "h w 3"]:
        """Held-out frames of the theatre, above what the codec makes of them."""
        frames = self._held()[:: SCORED // 4][:4]
        found = self._through(_codec(networks), frames, 0.0)
        return grid([[to_picture(f.numpy()) for f in rows] for rows in (frames, found)])

    def measure(self, networks: Networks) -> dict[str, float]:
        """PSNR in dB, mean over held-out frames of the theatre, clean and with noise on the latents."""
        codec, frames = _codec(networks), self._held()
        return {
            f"held_psnr{suffix}": psnr(self._through(codec, frames, noise), frames)
            for suffix, noise in (("", 0.0), ("_noise_0.05", 0.05), ("_noise_0.1", 0.1))
        }

    def _held(self) -> Float[torch.Tensor, "b 3 h w"]:
        held = self.pictures.held
        chosen = held[:: max(1, len(held) // SCORED)][:SCORED]
        return torch.from_numpy(np.ascontiguousarray(chosen)).permute(0, 3, 1, 2).float() / 255

    @staticmethod
    def _through(
        codec: SmallCodec, frames: Float[torch.Tensor, "b 3 h w"], noise: float
    ) -> Float[torch.Tensor, "b 3 h w"]:
        """Encoded and decoded, on the CPU."""
        generator, parts = torch.Generator().manual_seed(0), []
        for part in frames.split(4):
            latents = codec.encode(part.to(codec.device))
            latents = latents + noise * torch.randn(latents.shape, generator=generator).to(latents)
            parts.append(codec.decode(latents).cpu())
        return torch.cat(parts)

    def export(self, networks: Networks, folder: Path) -> None:
        """The codec with latents of unit variance over the theatre."""
        codec = copy.deepcopy(_codec(networks))
        if self.start is None:
            crops = np.stack([self._crop(-1 - i, photo_share=0.0) for i in range(FITTED)])
            codec.standardise(torch.from_numpy(crops).to(codec.device))
        write_weights(codec, folder / "codec-s.safetensors")


def psnr(found: Float[torch.Tensor, "b 3 h w"], true: Float[torch.Tensor, "b 3 h w"]) -> float:
    """Peak signal to noise in dB, the mean over pictures; those that are equal count 100."""
    error = (found - true).double().square().mean(dim=(1, 2, 3))
    return float((-10 * error.clamp(min=1e-10).log10()).mean())


def codec_recipe(config: TrainConfig) -> CodecRecipe:
    """Encoder and decoder, from principal components."""
    return CodecRecipe(config)


def large_recipe(config: TrainConfig) -> CodecRecipe:
    """The same, of the size for a GPU."""
    return CodecRecipe(config, sizes=LARGE)


def decoder_recipe(config: TrainConfig) -> CodecRecipe:
    """The embedded codec with a better decoder: its latents, and what was trained on them, stay valid."""
    return CodecRecipe(config, start=EMBEDDED)


def _codec(networks: Networks) -> SmallCodec:
    codec = networks["codec"]
    assert isinstance(codec, SmallCodec)
    return codec
