"""How near a made picture of another eye or camera comes to the true one: in holes, over time, and between the eyes."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch.nn import functional

from diorama.bench.metrics import pixels
from diorama.bench.metrics.frechet import VideoFeatures, clip_features
from diorama.bench.metrics.perceptual import Perceptual, Picture
from diorama.bench.metrics.standins import lpips_standin
from diorama.bench.metrics.weights import holds, load_i3d, load_lpips
from diorama.diffusion.checkpoint import read_tensors
from diorama.diffusion.clip_image import image_tokens, load_image_encoder
from diorama.diffusion.fit import fit

CLIP_FOLDER = "clip"
AESTHETIC = "sac+logos+ava1-l14-linearMSE.pth"
"""The predictor of aesthetics over CLIP ViT-L/14 (Schuhmann 2022)."""
WIDTHS = (768, 1024, 128, 64, 16, 1)
SHARES = (0.2, 0.2, 0.1)
"""Of units that it drops in training."""
FVD_FRAMES = 16
EVERY = 4
"""Of so many frames one is looked at by networks of pictures."""
STANDIN = "lr-standin"
Frames = UInt8[np.ndarray, "t h w 3"]
Masks = Bool[np.ndarray, "t h w"]
Rows = Float[torch.Tensor, "n d"]


@dataclass(frozen=True, eq=False)
class Judges:
    """The networks of the metrics; None where their weights are not there.

    Attributes:
        lpips: or its stand-in.
        clip: image encoder of CLIP.
        aesthetic: over its embeddings.
        video: for FVD.
    """

    lpips: Perceptual
    clip: Any = None
    aesthetic: torch.nn.Module | None = None
    video: VideoFeatures | None = None

    @property
    def named(self) -> dict[str, str]:
        """What each metric is measured by, by the key of its column."""
        return {
            "lpips_holes": self.lpips.name,
            "eyes": "CLIP" if self.clip is not None else STANDIN,
            "aesthetic": "" if self.aesthetic is None else AESTHETIC,
            "fvd": "" if self.video is None else self.video.name,
        }


def judges(weights: str = "") -> Judges:
    """The networks whose weights a folder holds: LPIPS and I3D as `bench.metrics.weights` says, CLIP as the folder
    ``clip`` (transformers), and the predictor of aesthetics under its published name.

    Raises:
        ModelError: one that is there in part, or unusable.
    """
    if not weights:
        return Judges(lpips_standin())
    folder = Path(weights)
    seen = load_lpips(folder) if holds(folder, "alex") else lpips_standin()
    clip = load_image_encoder(folder / CLIP_FOLDER) if (folder / CLIP_FOLDER / "config.json").is_file() else None
    pretty = _aesthetic(folder / AESTHETIC) if clip is not None and (folder / AESTHETIC).is_file() else None
    return Judges(seen, clip, pretty, load_i3d(folder) if holds(folder, "i3d") else None)


def score_video(
    pred: Frames, truth: Frames, masks: Mapping[str, Masks], *, seen: Perceptual | None = None
) -> dict[str, float]:
    """A video against the true one, whole and in regions.

    Args:
        pred, truth: of one size.
        masks: regions by name; those without a pixel are left out.
        seen: what LPIPS looks through; the stand-in by default.

    Returns:
        ``psnr`` (dB, of the error over all pixels), ``ssim`` (of every fourth frame), ``flicker`` (mean change of the
        error from frame to frame, levels of 255); for each region ``psnr_<name>``, ``flicker_<name>`` (of pixels in
        both frames) and ``lpips_<name>`` (of every fourth frame, its map averaged over the region).

    Raises:
        UsageError: sizes that differ, or frames that are too small for the network.
    """
    found = {"psnr": pixels.psnr(pred, truth, pool="pixels"), "ssim": pixels.ssim(pred[::EVERY], truth[::EVERY])}
    found |= _flickers("flicker", pred, truth, np.ones(truth.shape[:3], bool))
    for name, mask in masks.items():
        if mask.any():
            found[f"psnr_{name}"] = pixels.psnr(pred, truth, mask, pool="pixels")
            found |= _flickers(f"flicker_{name}", pred, truth, mask)
    some = {name: mask[::EVERY] for name, mask in masks.items()}
    return found | _distances(pred[::EVERY], truth[::EVERY], some, seen or lpips_standin())


@torch.no_grad()
def _distances(pred: Frames, truth: Frames, masks: Mapping[str, Masks], by: Perceptual) -> dict[str, float]:
    """LPIPS of regions: each frame is looked at once for all of them."""
    sums: dict[str, list[float]] = {name: [] for name in masks}
    for t, pair in enumerate(zip(pred, truth, strict=True)):
        apart = _apart(by, *(_picture(frame) for frame in pair))
        for name, mask in masks.items():
            sums[name] += apart[torch.from_numpy(mask[t])].tolist()
    return {f"lpips_{name}": float(np.mean(values)) for name, values in sums.items() if values}


def _apart(by: Perceptual, one: Picture, two: Picture) -> Float[torch.Tensor, "h w"]:
    """The map of LPIPS at the size of the pictures, as ``spatial=True`` of the lpips package."""
    size = one.shape[2:]
    both = zip(by.embed(one), by.embed(two), strict=True)
    maps = [(a - b).square().sum(dim=1, keepdim=True) for a, b in both]
    large = [functional.interpolate(found, size, mode="bilinear") for found in maps]
    return torch.stack([found[0, 0] for found in large]).sum(dim=0)


def _picture(frame: UInt8[np.ndarray, "h w 3"]) -> Picture:
    return torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 127.5 - 1


def _flickers(key: str, pred: Frames, truth: Frames, mask: Masks) -> dict[str, float]:
    """The change of the error; nothing where no pixel counts in two frames running."""
    both = mask[1:] & mask[:-1]
    if not both.any():
        return {}
    off = pred.astype(np.float32) - truth
    return {key: float(np.abs(off[1:] - off[:-1])[both].mean())}


@torch.no_grad()
def score_eyes(left: Frames, right: Frames, by: Judges) -> dict[str, float]:
    """What needs no truth: ``eyes`` (likeness of what a network sees in both eyes, 100 is the same), ``aesthetic``."""
    one, two = (_features(eye, by) for eye in (left, right))
    found = {"eyes": 100 * float(functional.cosine_similarity(one, two).mean())}
    if by.aesthetic is not None:
        found["aesthetic"] = float(by.aesthetic(functional.normalize(two, dim=1)).mean())
    return found


def video_features(frames: Frames, by: Judges) -> list[list[float]] | None:
    """For FVD; None without its network or where the clip is too short for it."""
    count = min(FVD_FRAMES, len(frames))
    if by.video is None or count < by.video.least:
        return None
    found: list[list[float]] = clip_features(by.video, frames, frames=count, stride=count).tolist()
    return found


def _features(frames: Frames, by: Judges) -> Rows:
    some = frames[::EVERY]
    if by.clip is not None:
        return torch.cat([image_tokens(by.clip, torch.from_numpy(frame)[None])[:, 0] for frame in some])
    return torch.stack([_pooled(frame) for frame in some])


def _pooled(frame: UInt8[np.ndarray, "h w 3"]) -> Float[torch.Tensor, " d"]:
    """Means of the maps of `lpips_standin`."""
    return torch.cat([found.mean(dim=(2, 3))[0] for found in lpips_standin().embed(_picture(frame))])


def _aesthetic(path: Path) -> torch.nn.Module:
    layers: list[torch.nn.Module] = []
    for number, (given, width) in enumerate(pairwise(WIDTHS)):
        layers.append(torch.nn.Linear(given, width))
        layers += [torch.nn.Dropout(SHARES[number])] if number < len(SHARES) else []
    network = torch.nn.ModuleDict({"layers": torch.nn.Sequential(*layers)})
    fit(network, read_tensors(path), source=str(path))
    scorer: torch.nn.Module = network["layers"]
    return scorer.eval().requires_grad_(False)
