"""SP4D: colours, then colours and parts, of an object from all around (sp4d.md 1.7, 2.3).

Stage 1 trains the RGB branch alone, as SV4D 2.0. Stage 2 begins with that branch twice and a silent exchange, and
trains both. v-prediction at EDM noise levels; settings that the paper does not give are those of the spec.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import nn

from diorama.diffusion.codec import Codec
from diorama.diffusion.denoise import Network, from_v_edm, guided
from diorama.diffusion.dual_condition import DualCondition
from diorama.diffusion.dual_keys import key_map
from diorama.diffusion.dual_load import load_dual, load_single
from diorama.diffusion.dual_unet import DualUNet
from diorama.diffusion.levels import karras
from diorama.diffusion.sample import descend, sample
from diorama.diffusion.store import save_tensors
from diorama.diffusion.view_cameras import camera_vector, guidance_scales, without_condition
from diorama.diffusion.view_shape import PRESETS, CameraAttention, ViewShape
from diorama.diffusion.view_unet import ViewUNet
from diorama.train import loss as losses
from diorama.train.config import TrainConfig
from diorama.train.data import stacked
from diorama.train.draws import Draws, seed_of
from diorama.train.preview import grid, to_picture
from diorama.train.recipe import Batch, Loss, Networks, Recipe
from diorama.train.recipes._contrast import LEAST, PartProjector, contrast, overheard, taken_widths
from diorama.train.recipes._encoders import Encoders, encoders_for
from diorama.train.recipes._initial import Weights, find_weights
from diorama.train.recipes._objects import Round, encoded, object_of, objects
from diorama.train.recipes._takes import kept_file, shuffled
from diorama.train.sources import Shards, Theatre
from diorama.train.split import Part

LOG_MEAN, LOG_STD = 0.7, 1.6
"""Of ln sigma, as Stable Video Diffusion is trained further."""
CONTRAST, RAMP_STEPS = 0.1, 1000
"""Weight of the contrastive loss, and the steps in which it grows to that."""
POOL = {"tiny": 4, "full": 20_000}
"""Objects of an epoch of the theatre, by size."""
STEPS = {"tiny": 3, "full": 25}
MEASURED = {"tiny": 2, "full": 8}
"""Held-out objects whose loss is told."""


def predict(
    network: nn.Module, x: Float[torch.Tensor, "b c n h w"], times: Float[torch.Tensor, " b"], told: DualCondition
) -> Float[torch.Tensor, "b c n h w"]:
    """v of one branch or two, each object at its own time (ln sigma / 4); as `dual_condition.bound`."""
    frames, views = told.image.shape[1], told.cameras.shape[1]
    image = told.image.repeat_interleave(views, dim=1).flatten(0, 1)
    flat = x.transpose(1, 2).flatten(0, 1)
    halves = flat.chunk(2, dim=1) if isinstance(network, DualUNet) else (flat,)
    given = {
        "context": told.context,
        "vector": told.cameras.repeat(1, frames, 1).flatten(0, 1),
        "cond_view": told.cond_view,
    }
    joined = torch.cat([part for half in halves for part in (half, image)], dim=1)
    return network(joined, times.repeat_interleave(x.shape[2]), **given).unflatten(0, (len(x), -1)).transpose(1, 2)


def condition(shape: ViewShape, batch: Batch, keep: "Kept | None" = None) -> DualCondition:
    """What the network is told of the objects of a batch; with everything dropped, `DualCondition.dropped`."""
    image, context, azimuth = batch["image"].float(), batch["context"].float(), batch["azimuth"]
    cameras = camera_vector(torch.full_like(azimuth, math.pi / 2), azimuth, size=shape.vector_dim)
    if keep is not None:
        cameras = torch.where(keep.image[:, None, None], cameras, without_condition(cameras))
        image, context = losses.kept(image, keep.image), losses.kept(context, keep.context)
    unknown = image.new_zeros(len(image), azimuth.shape[1], *image.shape[2:])
    return DualCondition(image, context, cameras, unknown)


@dataclass(frozen=True)
class Kept:
    """Which objects keep a condition, drawn one by one."""

    image: Bool[torch.Tensor, " b"]
    context: Bool[torch.Tensor, " b"]


@dataclass(frozen=True)
class PartsRecipe(Recipe):
    """See the module.

    Attributes:
        config: options of the run.
        round: pictures of an object.
        stage: 1 (RGB branch) or 2 (both).
        contrast: weight of the contrastive loss.
        least: latent positions of a region that it looks at.
    """

    config: TrainConfig
    round: Round
    stage: int = 1
    contrast: float = CONTRAST
    least: int = LEAST
    conditions = ("image", "context")
    about = "Articulated objects of the theatre, or shards of it. The licence is that of the weights it began with."

    @property
    def name(self) -> str:  # type: ignore[override]
        """With the stage."""
        return f"sp4d-stage{self.stage}"

    @property
    def shape(self) -> ViewShape:
        """Sizes of a network without weights."""
        return PRESETS["sp4d-tiny" if self.config.size == "tiny" else "sp4d"]

    @property
    def encoders(self) -> Encoders:
        """Codec and image encoder, frozen; not among the networks, since their work is done before a batch."""
        return encoders_for(self.config, self.shape.context_dim)

    def networks(self) -> dict[str, nn.Module]:
        """One branch; or two, which begin alike and do not hear each other, and the contrastive loss's projector."""
        weights = find_weights(self.config.init)
        if self.stage == 1:
            return {"rgb": self._single(weights)}
        if "dual" in weights:
            dual = load_dual(weights.paths["dual"], head_dim=self.shape.head_dim, camera_attention=self._attention)
        else:
            rgb = self._single(weights)
            dual = DualUNet.of(rgb.shape)
            dual.start_from(rgb)
        return {"dual": dual, "projector": PartProjector(taken_widths(dual.shape))}

    def _single(self, weights: Weights) -> ViewUNet:
        if self.config.size == "tiny" and "single" not in weights:
            return ViewUNet.of(self.shape)
        path = weights.need("single")
        return load_single(path, head_dim=self.shape.head_dim, camera_attention=self._attention)

    @property
    def _attention(self) -> CameraAttention:
        return self.shape.camera_attention

    @cached_property
    def _sources(self) -> dict[Part, Shards | Theatre]:
        parts: tuple[Part, ...] = ("train", "held-out")
        return {p: objects(self.config.data, self.round, part=p, seed=self.config.seed) for p in parts}

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Objects, each epoch in another order; latents are made once and kept in the run's folder."""
        return self.samples(numbers, "train")

    def samples(self, numbers: Sequence[int], part: Part) -> Batch:
        """The samples of these numbers of a part."""
        return stacked([self._sample(number, part) for number in numbers])

    def _sample(self, number: int, part: Part) -> dict[str, Shaped[torch.Tensor, "..."]]:
        source = self._sources[part]
        count = len(source) if isinstance(source, Shards) else POOL[self.config.size]
        place = shuffled(number, count, self.config.seed)
        what = source.places[place] if isinstance(source, Shards) else (source.config, place)
        name = f"{seed_of(self.encoders.name, self.round, what):016x}"
        folder = Path(self.config.out or f"runs/{self.name}") / "objects"
        path = folder / name[:2] / f"{name}.safetensors"
        made = kept_file(path, lambda: encoded(object_of(source, place, self.round), self.encoders))
        return {name: value.float() if value.is_floating_point() else value for name, value in made.items()}

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Squared error of v in the branches that there are, and in stage 2 the contrastive loss."""
        network, rates = self._network(networks), self.config.drop_rates
        x0 = self.latents(batch)
        log_sigma = LOG_MEAN + LOG_STD * torch.special.ndtri(draws.spread().clamp(1e-5, 1 - 1e-5))
        level = {"alpha": torch.rsqrt(1 + (2 * log_sigma).exp()), "sigma": torch.rsqrt(1 + (-2 * log_sigma).exp())}
        noise = draws.normal(*x0.shape[1:])
        keep = Kept(*(draws.keep(rates.get(name, 0.0)) for name in self.conditions))
        told, x = condition(network.shape, batch, keep), losses.noised(x0, noise, **level)
        heard: list[torch.Tensor] = []
        if isinstance(network, DualUNet) and self.contrast > 0:
            with overheard(network.part) as heard:
                said = predict(network, x, log_sigma / 4, told)
        else:
            said = predict(network, x, log_sigma / 4, told)
        error = (said.float() - losses.target_of("v", x0, noise, **level)) ** 2
        branches = [losses.sample_means(half) for half in error.chunk(2 if self.stage == 2 else 1, dim=1)]
        weight = losses.level_weights("v", self.config.weighting, self.config.snr_gamma, **level)
        total = (torch.stack(branches).mean(dim=0) * weight).mean()
        terms = {name: branch.mean() for name, branch in zip(("rgb", "part"), branches, strict=False)}
        if heard:
            projector = networks["projector"]
            assert isinstance(projector, PartProjector)
            apart = contrast(projector, heard, batch["ids"].long(), least=self.least)
            total = total + (self.contrast * self._ramp(draws) * apart).mean()
            terms["contrast"] = apart.mean()
        return Loss(total, terms)

    def _ramp(self, draws: Draws) -> Float[torch.Tensor, " b"]:
        """How much of the contrastive loss counts: it grows with the number of the sample, and so of the step."""
        steps = torch.tensor([number // self.config.batch for number in draws.numbers], device=draws.device)
        return (steps / RAMP_STEPS).clamp(max=1)

    def _network(self, networks: Networks) -> ViewUNet | DualUNet:
        network = networks["rgb" if self.stage == 1 else "dual"]
        assert isinstance(network, ViewUNet | DualUNet)
        return network

    def latents(self, batch: Batch) -> Float[torch.Tensor, "b c n h w"]:
        """What is to be made: colours, and in stage 2 parts behind them."""
        names = ("rgb", "part")[: self.stage]
        return torch.cat([batch[name].transpose(1, 2) for name in names], dim=1)

    def measure(self, networks: Networks) -> dict[str, float]:
        """The loss on held-out objects, at fixed levels and noise."""
        device, count = next(self._network(networks).parameters()).device, MEASURED[self.config.size]
        total = 0.0
        for number in range(count):
            batch = {name: value.to(device) for name, value in self.samples([number], "held-out").items()}
            terms = self.loss(networks, batch, Draws(seed_of("measure"), [number], device)).terms
            total += float(sum(terms[name] for name in ("rgb", "part") if name in terms)) / (self.stage * count)
        return {"v": total}

    @torch.no_grad()
    def preview(self, networks: Networks) -> UInt8[np.ndarray, "h w 3"]:
        """Of a held-out object in the first frame: some views, and what was made of the input view."""
        network, codec = self._network(networks), self.encoders.codec
        device = next(network.parameters()).device
        batch = {name: value.to(device) for name, value in self.samples([0], "held-out").items()}
        truth, told = self.latents(batch), condition(network.shape, batch)
        denoisers = [from_v_edm(_bound(network, each)) for each in (told, told.dropped())]
        scales = guidance_scales(self.round.frames, self.round.views).to(device)
        path = karras(STEPS[self.config.size], sigma_max=700)
        noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0)).to(device)
        made = sample(descend(path, guided(denoisers[0], denoisers[1], scales)), noise)
        rows = [each for one in (truth, made) for each in one[0].chunk(self.stage)]
        shown = [[row[:, view] for view in range(min(self.round.views, 6))] for row in rows]
        return grid([[_picture(codec, latent) for latent in row] for row in shown])

    def export(self, networks: Networks, folder: Path) -> None:
        """The published names, so that the next stage and others read it as a release; and the settings."""
        network = self._network(networks)
        state = network.state_dict()
        named = {theirs: state[ours] for theirs, ours in key_map(network).items()}
        save_tensors(folder / ("rgb.safetensors" if self.stage == 1 else "dual.safetensors"), named)
        settings = {"recipe": self.name, "size": self.config.size, "head_dim": network.shape.head_dim}
        settings |= {"camera_attention": network.shape.camera_attention, "prediction": "v", "time": "ln sigma / 4"}
        (folder / "settings.json").write_text(json.dumps(settings, indent=1) + "\n")


def _bound(network: nn.Module, told: DualCondition) -> Network:
    return lambda x, time: predict(network, x, torch.full((len(x),), float(time), device=x.device), told)


def _picture(codec: Codec, latent: Float[torch.Tensor, "c h w"]) -> UInt8[np.ndarray, "hh ww 3"]:
    return to_picture(codec.decode(latent[None].to(codec.device))[0].float().cpu().numpy())


def _recipe(config: TrainConfig, stage: int) -> PartsRecipe:
    """4 frames of 12 views; 576 pixels as trained, small at the size "tiny"."""
    if config.size == "tiny":
        return PartsRecipe(config, Round(2, 3, 64), stage, least=2)
    return PartsRecipe(config, Round(4, 12, 576), stage)


def stage1(config: TrainConfig) -> PartsRecipe:
    """The RGB branch."""
    return _recipe(config, 1)


def stage2(config: TrainConfig) -> PartsRecipe:
    """Both branches."""
    return _recipe(config, 2)
