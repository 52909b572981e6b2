"""The first stage of parts-s: the front and the back of creatures, told from one view (`diffusion.parts_relief`)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import nn
from torch.nn import functional

from diorama.diffusion.parts_net import CONTRAST, to_codes
from diorama.diffusion.parts_relief import Relief, ReliefMaps, load_relief
from diorama.theatre.dataset import DatasetConfig, moving_object
from diorama.theatre.relief import BothSides, both_sides
from diorama.train.config import TrainConfig
from diorama.train.data import stacked
from diorama.train.draws import Draws, seed_of
from diorama.train.export import write_weights
from diorama.train.preview import grid
from diorama.train.recipe import Batch, Loss, Networks, Recipe
from diorama.train.recipes._objects import FPS, MOST_STRIDE
from diorama.train.split import Part, theatre_seed

SIZE, FRAMES = 128, 2
LOOKS = 4
"""Directions from which an object is seen: it takes longer to make than to draw."""
WEIGHTS = {"depth": 4.0, "part": 1.5, "rgb": 0.4, "rise": 2.0, "depth_steps": 8.0, "part_steps": 4.0}
APART = (1, 4)
"""Pixels between those whose differences are compared: means of what might be are even nowhere, parts are."""
MEASURED = 24


@dataclass(frozen=True)
class ReliefRecipe(Recipe):
    """See the module."""

    config: TrainConfig
    name = "parts-relief"
    about = "Articulated creatures and people of the theatre, made from seeds; Apache-2.0 like the code."

    def networks(self) -> dict[str, nn.Module]:
        """The network, from --init or from scratch."""
        if not self.config.init:
            return {"relief": Relief()}
        begun = Path(self.config.init)
        return {"relief": load_relief(begun / "relief.safetensors" if begun.is_dir() else begun).requires_grad_(True)}

    def batch(self, numbers: Sequence[int]) -> Batch:
        """New objects all the time, `LOOKS` looks at each."""
        return stacked([self.sample(number, "train") for number in numbers])

    def sample(self, number: int, part: Part) -> dict[str, Shaped[torch.Tensor, "..."]]:
        """An object's looks: codes of a frame and of the first one, and what is true of the pixels."""
        rng = np.random.default_rng(seed_of("relief", number))
        fps = FPS / int(rng.integers(1, MOST_STRIDE + 1))
        config = DatasetConfig("parts", SIZE, 4, fps, 2, theatre_seed(self.config.seed, part))
        found = moving_object(config, seed_of("relief", config.seed, number) % 2**32)
        looks = []
        for _ in range(LOOKS):
            later = int(rng.integers(0, len(found.motion)))
            motion = replace(
                found.motion, rotations=found.motion.rotations[[0, later]], root=found.motion.root[[0, later]]
            )
            azimuth, elevation = float(rng.uniform(0, 360)), float(rng.uniform(-5, 30))
            seen = both_sides(found.body, motion, azimuth=azimuth, elevation=elevation, size=SIZE)
            looks.append(tensors_of(seen, elevation))
        return {name: torch.stack([look[name] for look in looks]) for name in looks[0]}

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Distances of depths and colours where the object is."""
        network = networks["relief"]
        flat = {name: value.flatten(0, 1) for name, value in batch.items()}
        said: ReliefMaps = network(flat["image"], flat["first"])
        inside = flat["inside"]
        count = inside.sum(dim=(1, 2, 3)).clamp(min=1)

        def off(one: Float[torch.Tensor, "n c h w"], name: str) -> Float[torch.Tensor, ""]:
            return (((one - flat[name]).abs() * inside).sum(dim=(1, 2, 3)) / count).mean()

        def steps(one: Float[torch.Tensor, "n c h w"], name: str) -> Float[torch.Tensor, ""]:
            return torch.stack([_differences(one - flat[name], inside, step) for step in APART]).mean()

        terms = {
            "depth": off(said.front, "front") + 0.5 * off(said.back, "back"),
            "part": off(said.part_front, "part_front") + 0.5 * off(said.part_back, "part_back"),
            "rgb": off(said.rgb_back, "rgb_back"),
            "rise": (said.rise - flat["rise"]).abs().mean(),
            "depth_steps": steps(said.front, "front") + 0.5 * steps(said.back, "back"),
            "part_steps": steps(said.part_front, "part_front") + 0.5 * steps(said.part_back, "part_back"),
        }
        return Loss(torch.stack([WEIGHTS[name] * value for name, value in terms.items()]).sum(), terms)

    @torch.no_grad()
    def measure(self, networks: Networks) -> dict[str, float]:
        """The terms of the loss on held-out objects."""
        device, total = next(networks["relief"].parameters()).device, dict[str, float]()
        for number in range(MEASURED):
            batch = {name: value[None].to(device) for name, value in self.sample(number, "held-out").items()}
            terms = self.loss(networks, batch, Draws(0, [number], device)).terms
            for name, value in terms.items():
                total[name] = total.get(name, 0.0) + float(value) / MEASURED
        return total

    @torch.no_grad()
    def preview(self, networks: Networks) -> UInt8[np.ndarray, "h w 3"]:
        """Pictures, and front and back as they are and as they are said to be: depths, then parts."""
        network, rows = networks["relief"], []
        device = next(network.parameters()).device
        for number in range(4):
            look = {name: value[:1].to(device) for name, value in self.sample(number, "held-out").items()}
            said: ReliefMaps = network(look["image"], look["first"])
            inside = look["inside"]
            picture = functional.pixel_shuffle(look["image"], 4)
            row = [picture]
            for name in ("front", "back", "part_front", "part_back", "rgb_back"):
                for value in (look[name], getattr(said, name)):
                    row.append((value - 1 if value.shape[1] == 1 else value) * inside)
            rows.append([_shown(each[0].expand(3, -1, -1)) for each in row])
        return grid(rows)

    def export(self, networks: Networks, folder: Path) -> None:
        """The network."""
        write_weights(networks["relief"], folder / "relief.safetensors")


def _differences(
    error: Float[torch.Tensor, "n c h w"], inside: Float[torch.Tensor, "n 1 h w"], step: int
) -> Float[torch.Tensor, ""]:
    """How far differences between pixels `step` apart are off, where both are of the object."""
    total = error.new_zeros(())
    for axis in (2, 3):
        kept = error.shape[axis] - step
        both = inside.narrow(axis, 0, kept) * inside.narrow(axis, step, kept)
        off = (error.narrow(axis, step, kept) - error.narrow(axis, 0, kept)).abs() * both
        total = total + (off.sum(dim=(1, 2, 3)) / both.sum(dim=(1, 2, 3)).clamp(min=1)).mean()
    return total / 2


def _shown(codes: Float[torch.Tensor, "3 h w"]) -> UInt8[np.ndarray, "h w 3"]:
    picture = (codes / CONTRAST + 1).clamp(0, 1) * 255
    return picture.round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def tensors_of(seen: BothSides, elevation: float) -> dict[str, Shaped[torch.Tensor, "..."]]:
    """The second frame of both, with the first one beside it."""

    def colors(picture: UInt8[np.ndarray, "h w 3"]) -> Float[torch.Tensor, "3 h w"]:
        return (torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).float() / 255 - 1) * CONTRAST

    def codes(picture: UInt8[np.ndarray, "h w 3"]) -> Float[torch.Tensor, "c y x"]:
        return to_codes(torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).float() / 255)

    palette = np.concatenate([seen.palette, np.full((1, 3), 255, np.uint8)])
    return {
        "image": codes(seen.image[1]),
        "first": codes(seen.image[0]),
        "inside": torch.from_numpy(seen.parts[1] >= 0).float()[None],
        "front": torch.from_numpy(seen.depth[1])[None],
        "back": torch.from_numpy(seen.depth_back[1])[None],
        "part_front": colors(palette[seen.parts[1]]),
        "part_back": colors(palette[seen.parts_back[1]]),
        "rgb_back": colors(seen.image_back[1]),
        "rise": torch.tensor(math.radians(elevation)),
    }


def make(config: TrainConfig) -> ReliefRecipe:
    """The recipe."""
    return ReliefRecipe(config)
