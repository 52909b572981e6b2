"""The recipe of parts-s: colours, then colours and parts, of theatre creatures and people from all around."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import nn

from diorama.diffusion.parts_generate import (
    SIGMA_MIN,
    PartsGenerator,
    PartsSampleConfig,
    as_pictures,
    generate_parts,
    load_parts,
)
from diorama.diffusion.parts_net import PATCH, PartsGiven, PartsNet, PartsNetConfig, to_codes
from diorama.diffusion.parts_relief import Relief, hints_for, load_relief
from diorama.errors import UsageError
from diorama.train import loss as losses
from diorama.train.config import TrainConfig
from diorama.train.data import stacked
from diorama.train.draws import Draws, seed_of
from diorama.train.export import write_weights
from diorama.train.preview import grid
from diorama.train.recipe import Batch, Loss, Networks, Recipe
from diorama.train.recipes._contrast import PartProjector, contrast
from diorama.train.recipes._objects import Object, Round, majority, object_of, objects
from diorama.train.sources import Shards, Theatre
from diorama.train.split import Part

SIZE, VIEWS = 128, 8
STILL, MOVING = Round(1, 4, SIZE, input_too=True), Round(4, 2, SIZE, input_too=True)
"""What is looked at of an object: one moment from four sides, or four from two."""
MOVING_EVERY = 4
"""One batch in as many is of moving objects."""
OBJECT_WEIGHT = 3.0
"""Of the loss where the object is in any view's silhouette."""
LEAST = 6
"""Positions of a region that the contrastive loss looks at."""
PARTS_COUNT = 2.0
"""What the error of part maps counts against that of colours."""
START = 0.4
"""Noise under which the first guess is laid where the way from it to the truth begins; sampling may begin later."""
FROM_GUESS = 0.75
"""Share of the samples that lie on the way from the first guess to the truth; the others from noise."""
MEASURED = 12


@dataclass(frozen=True)
class SmallPartsRecipe(Recipe):
    """See the module.

    Attributes:
        config: options of the run.
        stage: 1 (colours alone) or 2 (both).
        contrast: weight of the contrastive loss.
        fused: whether the branches talk to each other.
    """

    config: TrainConfig
    stage: int = 2
    contrast: float = 0.1
    fused: bool = True
    conditions = ("image",)
    about = "Articulated creatures and people of the theatre, made from seeds; Apache-2.0 like the code."

    @property
    def name(self) -> str:  # type: ignore[override]
        """As the registry calls it."""
        if self.stage == 1:
            return "parts-stage1"
        return "parts" + ("" if self.fused else "-no-fusion") + ("" if self.contrast else "-no-contrast")

    def networks(self) -> dict[str, nn.Module]:
        """The network and, in the second stage, the contrastive loss's projector; from --init or from scratch."""
        self._check_init()
        network, begun = PartsNet(PartsNetConfig(fused=self.fused)), self._begun("parts-s.safetensors")
        former = load_parts(begun).views if begun is not None else None
        if former is not None:
            network = former.requires_grad_(True)
            if self.stage == 2 and not network.has_parts:
                network.begin_parts()
        if self.stage == 1:
            for piece in (network.part, network.fusions):
                if piece is not None:
                    piece.requires_grad_(False)
            return {"parts-s": network}
        return {"parts-s": network, "projector": PartProjector([network.sizes.widths[2]])}

    def _begun(self, name: str) -> Path | None:
        """A file of --init: itself, or in one of its folders."""
        paths = [Path(each) for each in self.config.init.split(os.pathsep) if each]
        found = [path / name if path.is_dir() else path for path in paths]
        return next((path for path in found if path.is_file() and path.name == name), None)

    def _check_init(self) -> None:
        """Raise for what is named and would not be used."""
        for each in filter(None, self.config.init.split(os.pathsep)):
            path, names = Path(each), ("relief.safetensors", "parts-s.safetensors")
            if not (path.name in names and path.is_file()) and not any((path / name).is_file() for name in names):
                fix = f"name files called {' or '.join(names)}, or folders that hold them"
                raise UsageError(f"nothing to begin with in {each}", "--init", fix)

    @cached_property
    def _relief(self) -> Relief:
        """The network that guesses: of its own stage, or of an earlier result."""
        begun = self._begun("relief.safetensors") or self._begun("parts-s.safetensors")
        if begun is None:
            raise UsageError("no relief to begin with", "--init", "train parts-relief first, and name its result")
        return load_relief(begun)

    @cached_property
    def _sources(self) -> dict[tuple[Part, Round], Shards | Theatre]:
        rounds = (STILL, MOVING, Round(4, VIEWS, SIZE, input_too=True))
        parts: tuple[Part, ...] = ("train", "held-out")
        found = {}
        for part in parts:
            for shape in rounds:
                # a film of all eight views, of which a sample takes some
                found[part, shape] = objects(
                    self.config.data, replace(shape, views=VIEWS), part=part, seed=self.config.seed
                )
        return found

    def batch(self, numbers: Sequence[int]) -> Batch:
        """New objects all the time; every fourth batch moves."""
        moving = (numbers[0] // self.config.batch) % MOVING_EVERY == MOVING_EVERY - 1
        shape = MOVING if moving else STILL
        return stacked([self._sample(number, shape) for number in numbers])

    def _sample(self, number: int, shape: Round) -> dict[str, Shaped[torch.Tensor, "..."]]:
        return self._tensors(object_of(self._sources["train", shape], number, shape))

    def _tensors(self, seen: Object) -> dict[str, Shaped[torch.Tensor, "..."]]:
        return {**tensors_of(seen), "hint": hints_for(self._relief, seen.given, seen.azimuths)}

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Squared error of the clean codes of the branches that there are, more on the object; and the contrast.

        Sampling begins with the first guess g under noise of `START`. On a path that is right from there on, x is
        x0 + sigma * (noise + (g - x0) / START): what is wrong with the guess belongs to the noise, and goes with it
        (as in inversion by direct iteration, arXiv 2303.11435).
        """
        network = networks["parts-s"]
        assert isinstance(network, PartsNet)
        x0 = torch.cat([batch[name] for name in ("rgb", "part")[: self.stage]], dim=1)
        near = ~draws.keep(FROM_GUESS)
        # most at high noise: what is wrong there, no later step mends
        top = torch.where(near, math.atan(START), torch.pi / 2 * 0.99)
        angle = math.atan(SIGMA_MIN) + draws.spread().sqrt() * (top - math.atan(SIGMA_MIN))
        alpha, sigma = torch.cos(angle), torch.sin(angle)
        noise = draws.normal(*x0.shape[1:]) + losses.kept((batch["hint"][:, : x0.shape[1]] - x0) / START, near)
        x = losses.noised(x0, noise, alpha, sigma)
        keep = draws.keep(self.config.drop_rates.get("image", 0.0))
        told = (losses.kept(batch["image"], keep), batch["azimuth"], losses.kept(batch["hint"], keep))
        given = PartsGiven(*told)
        said, heard = network(x, (sigma / alpha).log() / 4, given)
        weights = losses.region_weights((batch["ids"] >= 0).to(x0.dtype)[:, None], OBJECT_WEIGHT)
        error = (said.float() - x0) ** 2
        branches = [losses.sample_means(half, weights) for half in error.chunk(self.stage, dim=1)]
        shares = branches[0] if self.stage == 1 else (branches[0] + PARTS_COUNT * branches[1]) / (1 + PARTS_COUNT)
        total = shares.mean()
        terms = {name: branch.mean() for name, branch in zip(("rgb", "part"), branches, strict=False)}
        if self.stage == 2 and self.contrast > 0:
            projector = networks["projector"]
            assert isinstance(projector, PartProjector)
            apart = contrast(projector, heard, batch["ids"].flatten(1, 2).long(), least=LEAST).mean()
            total, terms["contrast"] = total + self.contrast * apart, apart
        return Loss(total, terms)

    @torch.no_grad()
    def measure(self, networks: Networks) -> dict[str, float]:
        """The loss of one step from the first guess, on held-out objects, and of the guess itself.

        As sampling begins, but that the input view is not known here and counts too.
        """
        network = networks["parts-s"]
        assert isinstance(network, PartsNet)
        device, total, guess = next(network.parameters()).device, 0.0, 0.0
        for number in range(MEASURED):
            sample = self._tensors(object_of(self._sources["held-out", STILL], number, STILL))
            batch = {name: value[None].to(device) for name, value in sample.items()}
            x0 = torch.cat([batch[name] for name in ("rgb", "part")[: self.stage]], dim=1)
            noise = Draws(seed_of("measure"), [number], device).normal(*x0.shape[1:])
            given = PartsGiven(batch["image"], batch["azimuth"], batch["hint"])
            angle = torch.full((1,), math.atan(START), device=device)
            x = losses.noised(batch["hint"][:, : x0.shape[1]], noise, angle.cos(), angle.sin())
            said, _ = network(x, angle.tan().log() / 4, given)
            weights = losses.region_weights((batch["ids"] >= 0).to(x0.dtype)[:, None], OBJECT_WEIGHT)
            total += float(losses.sample_means((said - x0) ** 2, weights)) / MEASURED
            guess += float(losses.sample_means((batch["hint"][:, : x0.shape[1]] - x0) ** 2, weights)) / MEASURED
        return {"first_step": total, "first_guess": guess}

    @torch.no_grad()
    def preview(self, networks: Networks) -> UInt8[np.ndarray, "h w 3"]:
        """Of held-out objects: the colours and parts of all views in the first frame, true and made."""
        network = networks["parts-s"]
        assert isinstance(network, PartsNet)
        rows, whole = [], PartsGenerator(network, self._relief).eval()
        for number in range(3):
            shape = Round(1, VIEWS, SIZE, input_too=True)
            seen = object_of(self._sources["held-out", Round(4, VIEWS, SIZE, input_too=True)], number, shape)
            made = generate_parts(whole, seen.given[:1], config=PartsSampleConfig())
            rows += [list(seen.image[:, 0]), list(made.images[:, 0])]
            if self.stage == 2:
                rows += [list(seen.colored[:, 0]), list(made.colored[:, 0])]
            guess = as_pictures(hints_for(self._relief, seen.given[:1], made.azimuths)[None])
            rows += [list(guess.images[:, 0]), list(guess.colored[:, 0])]
        return grid(rows)

    def export(self, networks: Networks, folder: Path) -> None:
        """Both networks, without the projector."""
        network = networks["parts-s"]
        assert isinstance(network, PartsNet)
        write_weights(PartsGenerator(network, self._relief), folder / "parts-s.safetensors")


def tensors_of(seen: Object) -> dict[str, Shaped[torch.Tensor, "..."]]:
    """An object as codes "c t v h w", the input view "t c h w", the part of each position "t v h w"."""

    def codes(pictures: UInt8[np.ndarray, "v t h w 3"]) -> Float[torch.Tensor, "c t v hh ww"]:
        frames = torch.from_numpy(np.ascontiguousarray(pictures)).permute(1, 0, 4, 2, 3).float() / 255
        return to_codes(frames).permute(2, 0, 1, 3, 4).contiguous()

    ids = majority(torch.from_numpy(seen.parts).transpose(0, 1).flatten(0, 1), PATCH)
    return {
        "rgb": codes(seen.image),
        "part": codes(seen.colored),
        "image": codes(seen.given[None])[:, :, 0].transpose(0, 1).contiguous(),
        "ids": ids.unflatten(0, (seen.parts.shape[1], -1)),
        "azimuth": torch.from_numpy(seen.azimuths),
    }


def stage1(config: TrainConfig) -> SmallPartsRecipe:
    """Colours alone."""
    return SmallPartsRecipe(config, 1)


def stage2(config: TrainConfig) -> SmallPartsRecipe:
    """Both."""
    return SmallPartsRecipe(config)


def without_fusion(config: TrainConfig) -> SmallPartsRecipe:
    """Both, without exchange between them: an ablation."""
    return SmallPartsRecipe(config, fused=False)


def without_contrast(config: TrainConfig) -> SmallPartsRecipe:
    """Both, without the contrastive loss: an ablation."""
    return SmallPartsRecipe(config, contrast=0.0)
