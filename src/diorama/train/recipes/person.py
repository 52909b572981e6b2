"""SCD: one network that reads the reference and makes the target (scd.md 1.1-1.3, 3.3-3.4).

The reference's own pose goes into the reference stream. Stage 1 learns from pictures, with gradients through the
reference; stage 2 learns motion modules, and reads the reference with the same parameters as a network of pictures.
"""

from dataclasses import dataclass, replace

from torch import nn

from diorama.train.config import TrainConfig
from diorama.train.draws import Draws
from diorama.train.recipe import Batch, Networks
from diorama.train.recipes._initial import picture_unet, pose_encoder, video_unet
from diorama.train.recipes._people import PeopleRecipe
from diorama.train.recipes._people_nets import Members, Told, own_view, train_motion_only
from diorama.train.recipes._takes import Shot
from diorama.train.recipes.animate import sized


@dataclass(frozen=True)
class ScdRecipe(PeopleRecipe):
    """One network and a pose encoder.

    Attributes:
        stage: 1 (pictures) or 2 (motion modules).
    """

    stage: int = 1

    @property
    def name(self) -> str:  # type: ignore[override]
        """With the stage."""
        return f"scd-stage{self.stage}"

    @property
    def pictures(self) -> bool:
        """In the first stage."""
        return self.stage == 1

    @property
    def patches(self) -> bool:
        """All tokens: with one, the queries of cross-attention learn nothing (scd.md 1.3)."""
        return True

    def networks(self) -> dict[str, nn.Module]:
        """Everything learns in the first stage, motion modules in the second."""
        weights, tiny = self.weights, self.tiny
        denoiser = picture_unet(weights, tiny) if self.stage == 1 else video_unet(weights, tiny)
        encoder = pose_encoder(weights, denoiser.conv_in.out_channels, 3, tiny).requires_grad_(self.stage == 1)
        if self.stage == 2:
            train_motion_only(denoiser)
        return {"denoiser": denoiser, "pose_encoder": encoder}

    def members(self, networks: Networks) -> Members:
        """The denoiser reads the reference itself."""
        return Members(networks["denoiser"], own_view(networks["denoiser"]), networks["pose_encoder"])

    def told(self, networks: Networks, batch: Batch, draws: Draws | None = None) -> Told:
        """With the reference's own pose."""
        return replace(super().told(networks, batch, draws), reference_pose=batch["reference_pose"].float() / 255)


def stage1(config: TrainConfig) -> ScdRecipe:
    """Pairs of pictures of 768 pixels, at least 30 frames apart."""
    return ScdRecipe(config, sized(config, Shot(4, 30, 768, layers=False)), 1)


def stage2(config: TrainConfig) -> ScdRecipe:
    """24 frames of 512 pixels, every fourth of a film."""
    return ScdRecipe(config, sized(config, Shot(24, 4, 512, layers=False)), 2)
