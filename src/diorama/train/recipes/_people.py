"""What the published people recipes share: takes of the theatre, the diffusion loss, previews, and what is written."""

import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8

from diorama.diffusion.conditioning import Conditioning
from diorama.diffusion.denoise import Denoiser, from_eps, from_v, from_x0, guided
from diorama.diffusion.levels import levels
from diorama.diffusion.motion_unet import bind, predict
from diorama.diffusion.sample import descend, sample
from diorama.train import loss as losses
from diorama.train.config import TrainConfig
from diorama.train.data import stacked
from diorama.train.draws import Draws, seed_of
from diorama.train.export import write_weights
from diorama.train.preview import grid, to_picture
from diorama.train.recipe import Batch, Loss, Networks, Recipe
from diorama.train.recipes._encoders import Encoders, encoders_for
from diorama.train.recipes._initial import TINY, NetworkSize, Weights, find_weights
from diorama.train.recipes._people_nets import Members, Told, condition, trained_schedule, unguided
from diorama.train.recipes._takes import Shot, Takes, shuffled, skeletons, surface
from diorama.train.split import Part, theatre_seed

POOL = {"tiny": 4, "full": 6000}
"""Clips of an epoch, by size."""
GUIDANCE = 3.5
"""Of previews, as the published systems sample."""
STEPS = {"tiny": 3, "full": 20}
MEASURED = {"tiny": 2, "full": 8}
"""Held-out samples whose loss is told."""
MAKERS = {"eps": from_eps, "v": from_v, "x0": from_x0}
Arrays = dict[str, Shaped[torch.Tensor, "..."]]


@dataclass(frozen=True)
class PeopleRecipe(Recipe):
    """See the module.

    Attributes:
        config: options of the run.
        shot: moments of a take, and their size.
    """

    config: TrainConfig
    shot: Shot
    conditions = ("reference",)
    about = "Clips of the theatre, made from seeds, with their own truth; licensed as the weights it began with."

    @abstractmethod
    def members(self, networks: Networks) -> Members:
        """Who does what."""

    @property
    def patches(self) -> bool:
        """Whether the tokens of the picture's patches are read beside the one of the whole."""
        return False

    @property
    def tiny(self) -> NetworkSize | None:
        """Sizes where weights may be missing."""
        return TINY if self.config.size == "tiny" else None

    @property
    def weights(self) -> Weights:
        """What the run starts from."""
        return find_weights(self.config.init)

    @property
    def encoders(self) -> Encoders:
        """Codec and image encoder, frozen; not among the networks, since their work is done before a batch."""
        return encoders_for(self.config, TINY.context)

    def takes(self, part: Part) -> Takes:
        """Where takes lie."""
        folder = Path(self.config.data or f"{self.config.out or f'runs/{self.name}'}/takes")
        return Takes(folder, self.encoders.name, self.shot, theatre_seed(self.config.seed, part))

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Takes, each epoch in another order; a take is made when it is first asked for."""
        return self.samples(numbers, "train")

    def samples(self, numbers: Sequence[int], part: Part) -> Batch:
        """The samples of these numbers of a part."""
        return stacked([self._sample(number, part) for number in numbers])

    def _sample(self, number: int, part: Part) -> Arrays:
        place = shuffled(number, POOL[self.config.size], self.config.seed)
        take = self.takes(part).get(place, self.encoders)
        return self.cut(dict(take), np.random.default_rng(seed_of("cut", self.config.seed, part, number)))

    def cut(self, take: Arrays, rng: np.random.Generator) -> Arrays:
        """A sample of a take: a frame for networks of pictures, else all, and another frame as reference.

        Latents "c t h w" and "c h w", tokens "n d", coverage "1 t h w"; poses "t 3 hh ww" and "3 hh ww" as bytes.
        """
        count = len(take["image"])
        reference = int(rng.integers(count))
        target = slice(None)
        if self.pictures:
            other = (reference + 1 + int(rng.integers(count - 1))) % count
            target = slice(other, other + 1)
        drawn = skeletons(take["points"].numpy(), self.shot.size)
        return {
            "image": take["image"][target].transpose(0, 1).float().contiguous(),
            "person": take["person"][target][None].float() / 255,
            "reference": take["image"][reference].float(),
            "tokens": take["tokens"][reference, : None if self.patches else 1].float(),
            "pose": drawn[target],
            "reference_pose": drawn[reference],
        }

    @property
    def pictures(self) -> bool:
        """Whether networks of pictures are trained."""
        return False

    def told(self, networks: Networks, batch: Batch, draws: Draws | None = None) -> Told:
        """The conditions of a batch; what is dropped on its own is, where `draws` are given."""
        pose = batch["pose"].transpose(1, 2).float() / 255
        return Told(pose, batch["reference"], batch["tokens"])

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Squared error of what the network says, weighted by level and by person."""
        config, x0, trained = self.config, batch["image"], trained_schedule(self.config.target)
        times = (draws.spread() * len(trained)).long()
        table = torch.from_numpy(trained.alphas_cumprod).to(x0.device)[times]
        level = {"alpha": table.sqrt().float(), "sigma": (1 - table).sqrt().float()}
        noise = losses.offset_noise(draws.normal(*x0.shape[1:]), draws.normal(x0.shape[1]), config.noise_offset)
        keep = draws.keep(config.drop_rates.get("reference", 0.0))
        members = self.members(networks)
        cond = condition(members, self.told(networks, batch, draws), keep)
        said = predict(members.denoiser, losses.noised(x0, noise, **level), times.float(), cond)
        target = losses.target_of(config.target, x0, noise, **level)
        error = losses.sample_means(
            (said.float() - target) ** 2, losses.region_weights(batch["person"], config.person_weight)
        )
        weight = losses.level_weights(config.target, config.weighting, config.snr_gamma, **level)
        return Loss((error * weight).mean(), {config.target: error.mean()})

    def measure(self, networks: Networks) -> dict[str, float]:
        """The loss on held-out takes, at fixed levels and noise."""
        total, count = 0.0, MEASURED[self.config.size]
        for number in range(count):
            batch = self._moved(networks, [number])
            draws = Draws(seed_of("measure"), [number], batch["image"].device)
            total += float(self.loss(networks, batch, draws).total) / count
        return {"loss": total}

    def _moved(self, networks: Networks, numbers: Sequence[int]) -> Batch:
        device = next(self.members(networks).denoiser.parameters()).device
        return {name: value.to(device) for name, value in self.samples(numbers, "held-out").items()}

    def preview(self, networks: Networks) -> UInt8[np.ndarray, "h w 3"]:
        """Of two held-out takes: the reference and frames; what was made of the reference in their poses."""
        rows, codec = [], self.encoders.codec
        for number in range(2):
            batch = self._moved(networks, [number])
            made = self.generate(networks, batch, seed=number)
            reference = batch["reference"][:, :, None]
            for latents in (torch.cat([reference, batch["image"]], dim=2), torch.cat([reference, made], dim=2)):
                chosen = latents[0].transpose(0, 1)[:5].to(codec.device)
                rows.append([to_picture(codec.decode(one[None])[0].float().cpu().numpy()) for one in chosen])
        return grid(rows)

    @torch.no_grad()
    def generate(self, networks: Networks, batch: Batch, *, seed: int = 0) -> Float[torch.Tensor, "b c t h w"]:
        """Videos under the conditions of a batch, sampled as the published systems do."""
        trained, members = trained_schedule(self.config.target), self.members(networks)
        cond = condition(members, self.told(networks, batch))
        both = [self._denoiser(members, each) for each in (cond, unguided(cond))]
        path = levels(trained, STEPS[self.config.size], "leading" if self.config.target == "eps" else "trailing")
        noise = torch.stack([torch.randn(x.shape, generator=_seeded(seed, i)) for i, x in enumerate(batch["image"])])
        return sample(descend(path, guided(both[0], both[1], GUIDANCE)), noise.to(batch["image"]))

    def _denoiser(self, members: Members, cond: Conditioning) -> Denoiser:
        return MAKERS[self.config.target](bind(members.denoiser, cond), trained_schedule(self.config.target))

    def export(self, networks: Networks, folder: Path) -> None:
        """All networks, trained or not, so that the next stage and sampling start from one folder; and the settings."""
        for name, network in networks.items():
            write_weights(network, folder / f"{name}.safetensors")
        trained = {"beta_schedule": "scaled_linear", "rescale_betas_zero_snr": self.config.target != "eps"}
        settings = {"recipe": self.name, "size": self.config.size, "prediction": self.config.target, **trained}
        (folder / "settings.json").write_text(json.dumps(settings, indent=1) + "\n")


def surface_maps(take: Arrays, size: int) -> Arrays:
    """What `code_maps` draws vertex codes from."""
    vertices, weights = surface(take, size)
    return {"vertices": vertices, "weights": weights}


def _seeded(*parts: object) -> torch.Generator:
    return torch.Generator().manual_seed(seed_of("generate", *parts))
