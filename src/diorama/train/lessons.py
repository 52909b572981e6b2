"""Lessons of the theatre as latents on disk: made once, in any process, read in pieces in every later epoch.

A file holds a clip: latents in half precision, coverage and vertex codes as bytes. It is a function of (codec, length,
size, seed, number), which its name says by a hash, so that files of different codecs never meet.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Shaped
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from diorama.diffusion.backbone import CODE_SCALE
from diorama.diffusion.codec import Codec
from diorama.diffusion.pictures import code_map, coverage, stacked, to_frames
from diorama.media.atomic import atomic_path
from diorama.theatre.clip import Script, random_clip
from diorama.theatre.lesson import Lesson, lesson
from diorama.train.draws import seed_of

VERSION = 3
"""Raised when the same seed gives other lessons."""
Arrays = Mapping[str, Shaped[torch.Tensor, "..."]]


@dataclass(frozen=True)
class Lessons:
    """Where lessons lie, and what they are like.

    Attributes:
        folder: of the files.
        codec: fingerprint of the codec that made the latents.
        seed: of the set; that of another part never gives the same clip.
        frames, fps, size: of a clip; pixels a side.
    """

    folder: Path
    codec: str
    seed: int
    frames: int = 16
    fps: float = 10.0
    size: int = 256

    def path(self, number: int) -> Path:
        """The file of a clip."""
        what = (VERSION, self.codec, self.seed, self.frames, self.fps, self.size, number)
        name = hashlib.blake2b(repr(what).encode(), digest_size=16).hexdigest()
        return self.folder / name[:2] / f"{name}.safetensors"

    def pictures(self, number: int) -> Lesson:
        """The clip as pictures: one actor, sometimes behind something or holding something."""
        script = Script(self.frames, self.fps, self.size, self.size, actors=(1, 1), occluders=0.35, objects=0.3)
        return lesson(random_clip(seed_of("lesson", self.seed, number), script))

    def ready(self, number: int, codec: Codec) -> Path:
        """The file of a clip, made where it is not there or damaged."""
        path = self.path(number)
        if not whole(path, self.frames):
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as partial:
                save_file(dict(encoded(self.pictures(number), codec)), partial)
        return path


PARTS = frozenset(
    ("image", "scene", "occluder", "preview", "reference", "person", "occluder_alpha", "preview_alpha", "codes")
) | {"reference_codes"}


def whole(path: Path, frames: int) -> bool:
    """Whether a file is there, holds all parts of a lesson, and its header fits its length."""
    try:
        with safe_open(path, "pt") as file:
            return set(file.keys()) == PARTS and file.get_slice("image").get_shape()[0] == frames
    except (OSError, SafetensorError):
        return False


@torch.no_grad()
def encoded(seen: Lesson, codec: Codec) -> Arrays:
    """A lesson as stored.

    Latents "t c h w" of the image, the scene, the scene with occluders, and both with the preview (see `Given`), and
    "s c h w" of the canonical pictures, in half precision; coverage "t h w" and codes with coverage "t 4 hh ww" as
    bytes, 255 for 1.
    """
    shown = np.asarray(seen.codes.any(axis=-1))
    before, preview = stacked(seen.scene, seen.image, seen.occluder, seen.preview, shown)
    latents = {
        "image": seen.image,
        "scene": seen.scene,
        "occluder": before,
        "preview": preview,
        "reference": seen.canonical,
    }
    return {
        **{name: codec.encode(to_frames(value)).half().contiguous() for name, value in latents.items()},
        "person": coverage(seen.person, codec.factor),
        "occluder_alpha": coverage(seen.occluder, codec.factor),
        "preview_alpha": coverage(shown, codec.factor),
        "codes": code_map(seen.codes, codec.factor // CODE_SCALE),
        "reference_codes": code_map(seen.canonical_codes, codec.factor // CODE_SCALE),
    }


def read_lesson(path: Path, frames: slice, rows: slice, columns: slice) -> dict[str, Shaped[torch.Tensor, "..."]]:
    """A piece of a lesson: some frames, a window of latent positions; the reference whole. Numbers as floats."""
    wide = [slice(part.start * CODE_SCALE, part.stop * CODE_SCALE) for part in (rows, columns)]
    with safe_open(path, "pt") as file:
        found = {
            name: file.get_slice(name)[frames, :, rows, columns].float()
            for name in ("image", "scene", "occluder", "preview")
        }
        for name in ("person", "occluder_alpha", "preview_alpha"):
            found[name] = file.get_slice(name)[frames, rows, columns][:, None].float() / 255
        found["codes"] = file.get_slice("codes")[frames, :, wide[0], wide[1]].float() / 255
        found["reference"] = file.get_tensor("reference").float()
        found["reference_codes"] = file.get_tensor("reference_codes").float() / 255
    return {name: value.transpose(0, 1) for name, value in found.items()}  # time behind channels
