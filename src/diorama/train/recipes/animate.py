"""MIMO as its paper trains it (mimo.md 1.15, 2.1), and the two stages of Moore-AnimateAnyone (mimo.md 2.2).

Where the published training does not fit sampling, it is put right: conditions are dropped sample by sample, the
embedding and not the pixels, and one schedule serves training and sampling.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from diorama.figures.cast import load_cast
from diorama.figures.codes import VertexCodes
from diorama.train import loss as losses
from diorama.train.config import TrainConfig
from diorama.train.draws import Draws
from diorama.train.recipe import Batch, Networks
from diorama.train.recipes._initial import picture_unet, pose_encoder, reference_unet, video_unet
from diorama.train.recipes._people import Arrays, PeopleRecipe, surface_maps
from diorama.train.recipes._people_nets import Members, Told, code_maps, train_motion_only
from diorama.train.recipes._takes import Shot

CODE_CHANNELS = 16
"""Of a vertex code; the paper does not say how many."""
CONCAT = 8
"""Channels beside the noisy latents: scene and occluder."""
TINY_SIDE = 64


@dataclass(frozen=True)
class AnimateRecipe(PeopleRecipe):
    """A denoiser, a network that reads the reference, and a pose encoder."""

    def members(self, networks: Networks) -> Members:
        """As they are called."""
        return Members(networks["denoiser"], networks["reference"], networks["pose_encoder"])


@dataclass(frozen=True)
class MimoRecipe(AnimateRecipe):
    """All but codec and image encoder learn together: denoiser, reference, pose encoder, vertex codes."""

    name = "mimo-paper"
    conditions = ("reference", "scene", "occluder")  # type: ignore[assignment]

    def networks(self) -> dict[str, nn.Module]:
        """SD-1.5 twice, AnimateDiff's motion modules, and a new pose encoder over new codes."""
        weights, tiny = self.weights, self.tiny
        denoiser = video_unet(weights, tiny, 4 + CONCAT)
        width = denoiser.conv_in.out_channels
        codes = VertexCodes(len(load_cast().template), CODE_CHANNELS)
        if "codes" in weights:
            codes.load_state_dict({"codes": weights.read("codes")["codes"].float()})
        return {
            "denoiser": denoiser,
            "reference": reference_unet(weights, tiny),
            "pose_encoder": pose_encoder(weights, width, CODE_CHANNELS, tiny),
            "codes": codes,
        }

    def cut(self, take: Arrays, rng: np.random.Generator) -> Arrays:
        """All frames with scene and occluder, the body's surface, and the canonical picture as reference."""
        layers = {name: take[name].transpose(0, 1).float().contiguous() for name in ("image", "scene", "occluder")}
        return {
            **layers,
            **surface_maps(take, self.shot.size),
            "person": take["person"][None].float() / 255,
            "reference": take["reference"][0].float(),
            "tokens": take["tokens"][0, :1].float(),
        }

    def told(self, networks: Networks, batch: Batch, draws: Draws | None = None) -> Told:
        """Codes drawn over the body; scene and occluder beside the noise, now and then without one of them."""
        codes = networks["codes"]
        assert isinstance(codes, VertexCodes)
        layers = {name: batch[name] for name in ("scene", "occluder")}
        if draws is not None:
            rates = self.config.drop_rates
            layers = {name: losses.kept(value, draws.keep(rates.get(name, 0.0))) for name, value in layers.items()}
        concat = torch.cat([layers["scene"], layers["occluder"]], dim=1)
        pose = code_maps(codes.codes, batch["vertices"], batch["weights"])
        return Told(pose, batch["reference"], batch["tokens"], concat=concat)


@dataclass(frozen=True)
class MooreRecipe(AnimateRecipe):
    """Stage 1: networks of pictures; stage 2: motion modules alone.

    Attributes:
        stage: 1 or 2.
    """

    stage: int = 1

    @property
    def name(self) -> str:  # type: ignore[override]
        """With the stage."""
        return f"moore-stage{self.stage}"

    @property
    def pictures(self) -> bool:
        """In the first stage."""
        return self.stage == 1

    def networks(self) -> dict[str, nn.Module]:
        """Stage 1 leaves the last up block of the reference network as it is (mimo.md 2.2)."""
        weights, tiny = self.weights, self.tiny
        reference = reference_unet(weights, tiny)
        if self.stage == 1:
            denoiser = picture_unet(weights, tiny)
            reference.up_blocks[-1].requires_grad_(False)
        else:
            denoiser = video_unet(weights, tiny)
            train_motion_only(denoiser)
            reference.requires_grad_(False)
        encoder = pose_encoder(weights, denoiser.conv_in.out_channels, 3, tiny).requires_grad_(self.stage == 1)
        return {"denoiser": denoiser, "reference": reference, "pose_encoder": encoder}


def sized(config: TrainConfig, shot: Shot) -> Shot:
    """The takes of a size: tiny ones are small and short."""
    return replace(shot, size=TINY_SIDE, frames=min(shot.frames, 3)) if config.size == "tiny" else shot


def mimo(config: TrainConfig) -> MimoRecipe:
    """24 frames of 512 pixels; how far apart they are, the paper does not say: as Moore-AnimateAnyone."""
    return MimoRecipe(config, sized(config, Shot(24, 4, 512, layers=True)))


def moore_stage1(config: TrainConfig) -> MooreRecipe:
    """Pairs of pictures of 768 pixels, at least 30 frames apart."""
    return MooreRecipe(config, sized(config, Shot(4, 30, 768, layers=False)), 1)


def moore_stage2(config: TrainConfig) -> MooreRecipe:
    """24 frames of 512 pixels, every fourth of a film."""
    return MooreRecipe(config, sized(config, Shot(24, 4, 512, layers=False)), 2)
