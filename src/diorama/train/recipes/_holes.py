"""Lessons of scene-s: a clip of the theatre warped to a row of cameras and filled by guess, and what is truly there.

A lesson is a function of (codec, seed, number), made once and kept as latents.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float32, Shaped, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from diorama.core.camera import Cameras
from diorama.diffusion.codec import Codec
from diorama.diffusion.pictures import coverage, to_frames
from diorama.geometry.warp import TEAR, Eye, eye_warp
from diorama.media.atomic import atomic_path
from diorama.perception.extend import edge_fill
from diorama.theatre.cameras import beside
from diorama.theatre.clip import Clip, Script, random_clip
from diorama.train.draws import seed_of

VERSION = 2
"""Raised when the same seed gives other lessons."""
SIZE, FRAMES, VIEWS = 256, 8, 5
RATES = (6.0, 12.0, 24.0)
PARALLAX = 0.03, 0.2
"""Of near things between the outermost views, in widths of these pictures: as many pixels as films of twice the width
have at 0.015 to 0.1 (S2VG goes up to 0.12)."""


@dataclass(frozen=True, eq=False)
class Holes:
    """A matrix of pictures.

    Attributes:
        guess: warped from the first view, holes filled by the background beside them.
        image: the same with what is truly there in the holes.
        unknown: the holes.
    """

    guess: UInt8[np.ndarray, "v t h w 3"]
    image: UInt8[np.ndarray, "v t h w 3"]
    unknown: Bool[np.ndarray, "v t h w"]


def holes(seed: int) -> Holes:
    """The pictures of a seed."""
    rng = np.random.default_rng(seed)
    script = Script(FRAMES, float(rng.choice(RATES)), SIZE, SIZE, occluders=0.5)
    clip = random_clip(int(rng.integers(1 << 62)), script)
    source, focal = [clip.frame(t) for t in range(FRAMES)], float(clip.views[0].Ks[0, 0, 0])
    nearness = np.stack([np.where(np.isfinite(f.depth), 1 / np.maximum(f.depth, 0.05), 0) for f in source])
    parallax = float(rng.uniform(*PARALLAX)) * SIZE
    disparity = (nearness * (parallax / max(float(np.quantile(nearness, 0.95)), 1e-3))).astype(np.float32)
    eye: Eye = "right" if rng.random() < 0.5 else "left"
    metres = parallax / max(float(np.quantile(nearness, 0.95)), 1e-3) / focal * (1 if eye == "right" else -1)
    first = np.stack([f.image for f in source])
    pictures = [(first, first, np.zeros(first.shape[:3], bool))]
    for view in range(1, VIEWS):
        share = view / (VIEWS - 1)
        truth = _filmed(clip, beside(clip.views[0], metres * share))
        pictures.append(_seen_from(first, disparity, truth, eye, share=share))
    guess, image, unknown = zip(*pictures, strict=True)
    return Holes(np.stack(guess), np.stack(image), np.stack(unknown))


def _filmed(clip: Clip, cameras: Cameras) -> UInt8[np.ndarray, "t h w 3"]:
    moved = replace(clip, views=(cameras,))
    return np.stack([moved.frame(t).image for t in range(len(moved))])


def _seen_from(
    source: UInt8[np.ndarray, "t h w 3"],
    disparity: Float32[np.ndarray, "t h w"],
    truth: UInt8[np.ndarray, "t h w 3"],
    eye: Eye,
    *,
    share: float,
) -> tuple[UInt8[np.ndarray, "t h w 3"], UInt8[np.ndarray, "t h w 3"], Bool[np.ndarray, "t h w"]]:
    guesses, images, holes = [], [], []
    for frame, shift, true in zip(source, disparity, truth, strict=True):
        warped, known = eye_warp(frame, shift, eye=eye, share=share, tear=TEAR)
        guesses.append(edge_fill(warped, known, eye=eye))
        images.append(np.where(known[..., None], warped, true))
        holes.append(~known)
    return np.stack(guesses), np.stack(images), np.stack(holes)


@dataclass(frozen=True)
class HoleLessons:
    """Where lessons lie.

    Attributes:
        folder: of the files.
        codec: fingerprint of the codec that made the latents.
        seed: of the set.
    """

    folder: Path
    codec: str
    seed: int

    def ready(self, number: int, codec: Codec) -> Path:
        """The file of a lesson, made where it is not there or damaged."""
        name = hashlib.blake2b(repr((VERSION, self.codec, self.seed, number)).encode(), digest_size=16).hexdigest()
        path = self.folder / name[:2] / f"{name}.safetensors"
        if not _whole(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as partial:
                save_file(dict(encoded(holes(seed_of("holes", self.seed, number)), codec)), partial)
        return path


def _whole(path: Path) -> bool:
    try:
        with safe_open(path, "pt") as file:
            return set(file.keys()) == {"guess", "image", "unknown"}
    except (OSError, SafetensorError):
        return False


@torch.no_grad()
def encoded(seen: Holes, codec: Codec) -> Mapping[str, Shaped[torch.Tensor, "..."]]:
    """As stored: latents "v t c h w" in half precision, and the share of each position that is unknown, 255 for all."""
    latents = {
        name: [codec.encode(to_frames(view)).half() for view in getattr(seen, name)] for name in ("guess", "image")
    }
    unknown = torch.stack([coverage(view, codec.factor) for view in seen.unknown])
    return {**{name: torch.stack(views).contiguous() for name, views in latents.items()}, "unknown": unknown}


def read_holes(path: Path) -> dict[str, Shaped[torch.Tensor, "..."]]:
    """A lesson with numbers as floats: latents "v c t h w", and "unknown" as "v 1 t h w"."""
    with safe_open(path, "pt") as file:
        found = {name: file.get_tensor(name).float().transpose(1, 2) for name in ("guess", "image")}
        unknown = file.get_tensor("unknown").float()[:, None] / 255
    return {**found, "unknown": unknown}
