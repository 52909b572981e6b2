"""Training on real clips, from the embedded generator: `animate` as MIMO is told, `person` as SCD is (mimo.md 2.1).

Pieces of clips are mixed with lessons of the theatre in a set ratio, as HUD-7K mixes 5 with 2 thousand, so that what
the generator knew of other people is not forgotten. Measures compare with the network that the run began with.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import nn

from diorama.diffusion.backbone import Backbone
from diorama.diffusion.generate import EMBEDDED, SampleConfig, generate, load_backbone
from diorama.train.clip_lessons import ClipLessons, ClipPiece, ClipPieces, read_piece
from diorama.train.config import TrainConfig
from diorama.train.draws import Draws, seed_of
from diorama.train.export import write_weights
from diorama.train.latents import fingerprint
from diorama.train.lessons import Lessons, read_lesson
from diorama.train.low_rank import add_low_rank, take_low_rank, write_low_rank
from diorama.train.preview import grid, to_picture
from diorama.train.recipe import Batch, Networks
from diorama.train.recipes._takes import shuffled
from diorama.train.recipes.backbone import STILL, BackboneRecipe, Piece, cut_piece, encoder_fingerprint, given_of
from diorama.train.split import theatre_seed

NETWORK = "backbone-s"
MEASURED = 16
"""Held-out samples whose loss is told."""
SHOWN, SHOWN_FRAMES, SHOWN_APART = 2, 4, 2
"""Held-out pieces that are generated, how many of their frames, and how far apart: as far as in training at most."""
SHOWN_STEPS = 8
KEPT = 4 * SHOWN
LEAST_POOL = 4
"""Clips of the theatre, where there are any."""
Arrays = dict[str, Shaped[torch.Tensor, "..."]]


@dataclass(frozen=True)
class ClipsRecipe(BackboneRecipe):
    """`animate`: scene, what is before the person, motion, preview and canonical pictures are given."""

    name = "animate"
    unseen: ClassVar[tuple[str, ...]] = ()
    """Conditions that are not given when it is measured."""
    about = "Real clips that the user gave, taken apart, and clips of the theatre; licensed as clips and weights are."

    @cached_property
    def _pieces(self) -> ClipPieces:
        return ClipPieces.open(self.config.data)

    @cached_property
    def _lessons(self) -> Lessons:
        seed = theatre_seed(self.config.seed, "train")
        return Lessons(self._folder, encoder_fingerprint(self._codec), seed)

    @cached_property
    def _clips(self) -> ClipLessons:
        return ClipLessons(self._folder, self._lessons.codec, self._lessons.frames, self._lessons.size)

    @property
    def _folder(self) -> Path:
        return Path(self.config.out or f"runs/{self.name}") / "lessons"

    @cached_property
    def _start(self) -> Backbone:
        """The network that the run begins with."""
        return load_backbone(start_file(self.config.init))

    def networks(self) -> dict[str, nn.Module]:
        """The generator, all of it or thin matrices beside its attention."""
        network = load_backbone(start_file(self.config.init))
        if self.config.lora:
            add_low_rank(network, self.config.lora)
        else:
            network.requires_grad_(True)
        return {NETWORK: network}

    def _piece(self, number: int) -> Arrays:
        """A piece of a clip, or of the theatre as often as is asked for."""
        rng = np.random.default_rng(seed_of("mix", self.config.seed, number))
        if rng.random() < self.config.theatre:
            path = self._lessons.ready(shuffled(number, self.piece.pool, self.config.seed), self._codec)
            return self._told(cut_piece(path, self.piece, self._lessons, rng), [path], rng)
        known = self._pieces.of("train")
        return self._of_clip(known[shuffled(number, len(known), self.config.seed)], rng)

    def _of_clip(self, piece: ClipPiece, rng: np.random.Generator) -> Arrays:
        cut = cut_piece(self._clips.ready(piece, self._codec), self.piece, self._lessons, rng)
        return self._told(cut, self._others(piece, rng), rng)

    def _others(self, piece: ClipPiece, rng: np.random.Generator) -> list[Path]:
        """Lessons that show the same person, never held-out ones."""
        return []

    def _told(self, sample: Arrays, seen: list[Path], rng: np.random.Generator) -> Arrays:
        """What is told of the person's looks: its canonical pictures."""
        return sample

    def measure(self, networks: Networks) -> dict[str, float]:
        """Loss on held-out pieces, and dB of generated ones inside the person; both also as the run began."""
        now = networks[NETWORK]
        found = {}
        for name, network in (("", now), ("_before", self._start.to(_device(now)))):
            found[f"loss{name}"] = self._held_out_loss(network)
            pairs = [(self._made(network, number), self._sample(number)) for number in range(self._shown)]
            found[f"person_psnr{name}"] = psnr(pairs)
        return found

    @property
    def _shown(self) -> int:
        return min(SHOWN, len(self._pieces.of("held-out")))

    def _held_out_loss(self, network: nn.Module) -> float:
        """At fixed levels and noise, with all that is given in use."""
        told = replace(self, config=replace(self.config, drop=tuple(f"{name}=1" for name in self.unseen)))
        pieces, total = self._pieces.of("held-out"), 0.0
        for number in range(MEASURED):
            rng = np.random.default_rng(seed_of("measure", number))
            sample = self._of_clip(pieces[number % len(pieces)], rng)
            batch = {name: value[None].to(_device(network)) for name, value in sample.items()}
            draws = Draws(seed_of("measure"), [number], _device(network))
            total += float(told.loss({NETWORK: network}, batch, draws).total) / MEASURED
        return total

    @torch.no_grad()
    def preview(self, networks: Networks) -> UInt8[np.ndarray, "h w 3"]:
        """Of held-out pieces: the frames; what is told of the person; made as the run began; made now."""
        rows = []
        for number in range(self._shown):
            one, now = self._sample(number), networks[NETWORK]
            rows.append(list(one.image))
            rows.append(self._pictures(one.batch["reference" if "preview" in self.unseen else "preview"]))
            for network in (self._start.to(_device(now)), now):
                rows.append(list(self._made(network, number)))
        return grid(rows)

    def _sample(self, number: int) -> "Shown":
        """A held-out piece, whole, some of its frames."""
        piece = self._pieces.of("held-out")[number]
        lessons, rng = self._lessons, np.random.default_rng(seed_of("shown", number))
        side = slice(0, lessons.size // self._codec.factor)
        every = slice(0, SHOWN_APART * SHOWN_FRAMES, SHOWN_APART)
        read = read_lesson(self._clips.ready(piece, self._codec), slice(None), side, side)
        told = self._told(read, self._others(piece, rng), rng)
        batch = {k: (v if k in STILL else v[:, every])[None] for k, v in told.items()}
        seen = read_piece(piece, ("image", "person", "occluder"), lessons.size, lessons.frames).arrays
        return Shown(batch, seen["image"][every], (seen["person"] & ~seen["occluder"])[every])

    @cached_property
    def _kept(self) -> dict[tuple[str, int], UInt8[np.ndarray, "t h w 3"]]:
        """What was generated last, since measures and previews look at the same."""
        return {}

    def _made(self, network: nn.Module, number: int) -> UInt8[np.ndarray, "t h w 3"]:
        """Frames of a held-out piece as a network makes them of what is given."""
        key = (fingerprint(network), number)
        if key not in self._kept:
            if len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = self._generated(network, self._sample(number), number)
        return self._kept[key]

    @torch.no_grad()
    def _generated(self, network: nn.Module, one: "Shown", seed: int) -> UInt8[np.ndarray, "t h w 3"]:
        assert isinstance(network, Backbone)
        batch: Batch = {name: value.to(_device(network)) for name, value in one.batch.items()}
        given = given_of({**batch, "scene_known": torch.ones_like(batch["person"])})
        if "preview" in self.unseen:
            given = replace(given, preview=None, preview_alpha=None)
        sampling = SampleConfig(num_inference_steps=SHOWN_STEPS, seed=seed)
        return np.stack(self._pictures(generate(network, given, batch["image"], config=sampling)))

    def _pictures(self, latents: Float[torch.Tensor, "1 c t lh lw"]) -> list[UInt8[np.ndarray, "h w 3"]]:
        frames = self._codec.decode(latents[0].transpose(0, 1).cpu())
        return [to_picture(frame.numpy()) for frame in frames]

    def export(self, networks: Networks, folder: Path) -> None:
        """The generator for ``diorama animate --model``; with a LoRA in its weights, the LoRA itself too."""
        if self.config.lora:
            write_low_rank(take_low_rank(networks[NETWORK]), folder / "lora.safetensors")
        write_weights(networks[NETWORK], folder / f"{NETWORK}.safetensors")


@dataclass(frozen=True)
class PersonRecipe(ClipsRecipe):
    """`person`: the person is told by frames in their own poses as often as by canonical pictures, and seldom drawn."""

    name = "person"
    unseen: ClassVar[tuple[str, ...]] = ("preview",)

    def _others(self, piece: ClipPiece, rng: np.random.Generator) -> list[Path]:
        same = [one for one in self._pieces.of("train") if one.place.shard == piece.place.shard]
        same = same or list(self._pieces.of("train"))
        chosen = rng.permutation(len(same))[:2]
        return [self._clips.ready(same[int(i)], self._codec) for i in chosen]

    def _told(self, sample: Arrays, seen: list[Path], rng: np.random.Generator) -> Arrays:
        """Two frames of it with their codes, or the canonical pictures, widened to the shape of frames."""
        side = self._lessons.size // self._codec.factor
        if rng.random() < 0.5:
            return {**sample, **{name: _widened(sample[name]) for name in STILL}}
        whole, found = slice(0, side), []
        for turn in range(2):
            frame = int(rng.integers(self._lessons.frames))
            found.append(read_lesson(seen[turn % len(seen)], slice(frame, frame + 1), whole, whole))
        named = (("reference", "image"), ("reference_codes", "codes"))
        return {**sample, **{name: torch.cat([one[of] for one in found], dim=1) for name, of in named}}


@dataclass(frozen=True, eq=False)
class Shown:
    """A held-out piece to be generated: what is given as a batch of one, its frames, and where the person is seen."""

    batch: Batch
    image: UInt8[np.ndarray, "t h w 3"]
    person: Shaped[np.ndarray, "t h w"]


def psnr(made: list[tuple[UInt8[np.ndarray, "t h w 3"], Shown]]) -> float:
    """Of generated frames where the person is seen, dB; nan where it never is."""
    off = [(frames.astype(np.float32) - one.image)[one.person] for frames, one in made]
    values = np.concatenate(off)
    if not values.size:
        return math.nan
    return float(10 * np.log10(255**2 / max(float((values**2).mean()), 1e-6)))


def _widened(pictures: Float[torch.Tensor, "c s h w"]) -> Float[torch.Tensor, "c s h h"]:
    """Canonical pictures with their edge, which is white and of no body, repeated until they are square."""
    beside = pictures.shape[2] - pictures.shape[3]
    return nn.functional.pad(pictures, (beside // 2, beside - beside // 2, 0, 0), mode="replicate")


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def start_file(init: str) -> Path:
    """The weights that a run begins with: the embedded ones, a result of another run, or a file."""
    if not init:
        return EMBEDDED
    path = Path(init)
    return path / f"{NETWORK}.safetensors" if path.is_dir() else path


def pool_of(pieces: int, share: float) -> int:
    """How many lessons of the theatre go with pieces of clips: as many as their share of the samples."""
    return max(LEAST_POOL, math.ceil(pieces * share / (1 - share))) if share < 1 else 1200


def animate(config: TrainConfig) -> ClipsRecipe:
    """The recipe at the size that the device bears."""
    return ClipsRecipe(config, _sized(config))


def person(config: TrainConfig) -> PersonRecipe:
    """As `animate`."""
    return PersonRecipe(config, _sized(config))


def _sized(config: TrainConfig) -> Piece:
    large = config.device.startswith("cuda") or (config.device == "auto" and torch.cuda.is_available())
    pool = pool_of(len(ClipPieces.open(config.data).of("train")), config.theatre)
    return Piece(16, 0, pool) if large else Piece(pool=pool)
