"""Training on real clips from networks of the SD-1.5 kind: `animate` as MIMO's paper, `person` as SCD (mimo.md 2).

The takes of clips are those of `recipes._takes`, from pictures and bodies that were estimated; they are mixed with
takes of the theatre. With a LoRA, the attention of the big networks learns thin matrices, the small ones learn whole.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Shaped, UInt8
from torch import nn

from diorama.core.camera import Cameras
from diorama.diffusion.pictures import coverage, to_frames
from diorama.errors import DamagedMediaError
from diorama.figures.cast import load_cast
from diorama.theatre.shards import Sample
from diorama.train.clip_lessons import MASKS, ClipPiece, ClipPieces, read_piece
from diorama.train.config import TrainConfig
from diorama.train.draws import seed_of
from diorama.train.low_rank import add_low_rank, take_low_rank, write_low_rank
from diorama.train.recipe import Networks
from diorama.train.recipes._encoders import Encoders
from diorama.train.recipes._people import Arrays, PeopleRecipe
from diorama.train.recipes._takes import Shot, Takes, kept_file, landmarks_in, shuffled
from diorama.train.recipes.animate import MimoRecipe
from diorama.train.recipes.clip_cut import PUBLISHED_CUT, cut_of
from diorama.train.recipes.clips import pool_of
from diorama.train.recipes.person import ScdRecipe
from diorama.train.sources import REMEDY
from diorama.train.split import Part, theatre_seed

VERSION = 1
"""Raised when the same piece gives another take."""
BIG = ("denoiser", "reference")
"""Networks that a LoRA stands for."""


@dataclass(frozen=True)
class OnClips(PeopleRecipe):
    """Takes of clips and of the theatre, and a LoRA where one is asked for."""

    about = "Real clips that the user gave, taken apart, and clips of the theatre; licensed as clips and weights are."

    @cached_property
    def _pieces(self) -> ClipPieces:
        return ClipPieces.open(self.config.data)

    @property
    def _folder(self) -> Path:
        return Path(self.config.out or f"runs/{self.name}") / "takes"

    def takes(self, part: Part) -> Takes:
        """Those of the theatre."""
        return Takes(self._folder, self.encoders.name, self.shot, theatre_seed(self.config.seed, part))

    def _sample(self, number: int, part: Part) -> Arrays:
        """A take of a clip; in training, of the theatre as often as is asked for."""
        rng = np.random.default_rng(seed_of("mix", self.config.seed, part, number))
        known = self._pieces.of(part)
        if part == "train" and rng.random() < self.config.theatre:
            place = shuffled(number, pool_of(len(known), self.config.theatre), self.config.seed)
            take = self.takes(part).get(place, self.encoders)
        else:
            take = self._take(known[shuffled(number, len(known), self.config.seed)])
        return self.cut(dict(take), rng)

    def _take(self, piece: ClipPiece) -> Mapping[str, Shaped[torch.Tensor, "..."]]:
        encoders = self.encoders
        what = ("clip", VERSION, encoders.name, self.shot, piece.identity, piece.place.shard.name)
        name = hashlib.blake2b(repr(what).encode(), digest_size=16).hexdigest()
        path = self._folder / name[:2] / f"{name}.safetensors"
        return kept_file(path, lambda: taken_of(piece, self.shot, encoders))

    def learning(self, networks: dict[str, nn.Module]) -> dict[str, nn.Module]:
        """All of them learn, or thin matrices beside the attention of the big ones."""
        for name, network in networks.items():
            network.requires_grad_(True)
            if self.config.lora and name in BIG:
                add_low_rank(network, self.config.lora)
        return networks

    def export(self, networks: Networks, folder: Path) -> None:
        """As the published recipe; what a LoRA learned is in the weights, and in files of its own."""
        for name in BIG:
            if self.config.lora and name in networks:
                write_low_rank(take_low_rank(networks[name]), folder / f"{name}.lora.safetensors")
        super().export(networks, folder)


@dataclass(frozen=True)
class AnimateOnClips(OnClips, MimoRecipe):
    """MIMO's networks."""

    name = "animate"

    def networks(self) -> dict[str, nn.Module]:
        """As MIMO begins."""
        return self.learning(MimoRecipe.networks(self))


@dataclass(frozen=True)
class PersonOnClips(OnClips, ScdRecipe):
    """SCD's network; of videos where motion modules are among the weights."""

    name = "person"

    def networks(self) -> dict[str, nn.Module]:
        """As SCD begins; also in videos all of it learns, since a person is no motion."""
        return self.learning(ScdRecipe.networks(self))


def taken_of(piece: ClipPiece, shot: Shot, encoders: Encoders) -> Mapping[str, Shaped[torch.Tensor, "..."]]:
    """A piece as a take, see `recipes._takes.taken`.

    Raises:
        DamagedMediaError: a piece that is damaged or of another size, or without a body of the cast.
    """
    names = ("image", "scene", *MASKS, "canonical", "body", "viewmats", "Ks")
    sample = read_piece(piece, names, shot.size, shot.frames)
    seen, body, cameras = sample.arrays, *_bodies(sample, shot, piece)
    images = to_frames(seen["image"].copy())
    found = {
        "image": encoders.latents(images),
        "person": coverage(seen["person"], encoders.codec.factor),
        "body": torch.from_numpy(body),
        "points": torch.from_numpy(landmarks_in(cameras, body)),
        "viewmats": torch.from_numpy(cameras.viewmats),
        "Ks": torch.from_numpy(cameras.Ks),
    }
    reference = images
    if shot.layers:
        before = np.where(seen["occluder"][..., None], seen["image"], 0).astype(np.uint8)
        reference = to_frames(_square(seen["canonical"][:1]))
        found["scene"] = encoders.latents(to_frames(seen["scene"].copy()))
        found["occluder"] = encoders.latents(to_frames(before))
        found["reference"] = encoders.latents(reference)
    found["tokens"] = encoders.tokens(reference)
    halves = ("image", "scene", "occluder", "reference", "tokens")
    return {name: value.half() if name in halves else value for name, value in found.items()}


def _bodies(sample: Sample, shot: Shot, piece: ClipPiece) -> tuple[Float32[np.ndarray, "t v 3"], Cameras]:
    """The posed bodies of a piece and the cameras of its frames."""
    shapes = {"body": (len(load_cast().template), 3), "viewmats": (4, 4), "Ks": (3, 3)}
    for name, shape in shapes.items():
        array = sample.arrays[name]
        fits = array.dtype == np.float32 and array.shape == (shot.frames, *shape)
        if not (fits and np.isfinite(array).all()):
            what = f"{name} of {array.dtype} {array.shape}, expected {(shot.frames, *shape)} finite numbers"
            raise DamagedMediaError(what, f"{piece.place.shard}: {piece.place.key}", REMEDY)
    body, viewmats, Ks = (sample.arrays[name].copy() for name in shapes)
    return body, Cameras(viewmats, Ks, shot.size, shot.size)


def _square(pictures: UInt8[np.ndarray, "s h w 3"]) -> UInt8[np.ndarray, "s h h 3"]:
    """Canonical pictures with white beside them."""
    beside = pictures.shape[1] - pictures.shape[2]
    sides = (beside // 2, beside - beside // 2)
    return np.pad(pictures, ((0, 0), (0, 0), sides, (0, 0)), constant_values=255)


def _shot(config: TrainConfig, *, layers: bool) -> Shot:
    """The shot that pieces are cut for."""
    cut = cut_of(config)
    return Shot(cut.frames, round(30 / PUBLISHED_CUT.fps), cut.size, layers)


def animate(config: TrainConfig) -> AnimateOnClips:
    """MIMO's recipe at its size."""
    return AnimateOnClips(config, _shot(config, layers=True))


def person(config: TrainConfig) -> PersonOnClips:
    """SCD's: videos with motion modules, pictures without."""
    found = PersonOnClips(config, _shot(config, layers=False))
    return replace(found, stage=2) if "motion" in found.weights else found
