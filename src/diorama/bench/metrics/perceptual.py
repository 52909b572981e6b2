"""Distance of pictures by what a network sees in them (LPIPS, Zhang et al. 2018), with whichever network.

A network turns a picture into maps of features; the distance is the squared difference of the maps, summed over
channels, averaged over positions, summed over maps (equation 1 of the paper, its weights folded into the features).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64

from diorama.bench.metrics.frames import Frame, Mask, Measured, Video, frame_masks, mean_over_frames, pairs
from diorama.errors import UsageError

Picture: TypeAlias = Float[torch.Tensor, "1 3 h w"]
Maps: TypeAlias = list[Float[torch.Tensor, "1 _c _h _w"]]


@dataclass(frozen=True)
class Perceptual:
    """A network that pictures are compared by.

    Attributes:
        name: part of every result, e.g. ``lpips-vgg (trunk 397923af, heads 13b6f0c1)`` or ``lpips-standin``.
        embed: picture in [-1, 1] to maps of features, weighted so that squared differences add up to the distance.
        least: smallest side of a picture, pixels.
        published: whether it is a network that published tables use.
    """

    name: str
    embed: Callable[[Picture], Maps]
    least: int
    published: bool


@torch.no_grad()
def frame_distance(
    network: Perceptual, one: Picture, two: Picture, mask: Bool[np.ndarray, "h w"] | None = None
) -> float:
    """Distance of two pictures as given (their range is the caller's matter), 0 for equal ones.

    With a mask, the map of distances is enlarged to the picture (bilinear, as ``spatial=True`` of the lpips package)
    and averaged over the mask; NaN where the mask is empty.

    Raises:
        UsageError: a picture smaller than the network takes.
    """
    height, width = one.shape[2:]
    if min(height, width) < network.least:
        what = f"frames of {width}x{height}, {network.name} takes {network.least} pixels or more a side"
        raise UsageError(what, "frames", "enlarge both videos, and say so beside the numbers")
    if mask is not None and not mask.any():
        return float("nan")
    both = zip(network.embed(one), network.embed(two), strict=True)
    maps = [(a - b).square().sum(dim=1, keepdim=True) for a, b in both]
    if mask is None:
        return float(sum(found.double().mean() for found in maps))
    size = (height, width)
    enlarged = [torch.nn.functional.interpolate(found.double(), size, mode="bilinear") for found in maps]
    return float(sum(found[0, 0][torch.from_numpy(mask)].mean() for found in enlarged))


def lpips(network: Perceptual, made: Video, true: Video, mask: Mask | None = None) -> Measured:
    """Mean distance of frames, smaller is better, with the name of the network.

    Args:
        network: from `weights.load_lpips`, or `standins.lpips_standin`.
        made: "t h w 3", uint8, uint16, or float in [0, 1].
        true: what it should be, of the same size.
        mask: "t h w", the pixels that count; frames without any are left out.

    Raises:
        UsageError: sizes that differ, values out of range, an empty mask, frames too small.
    """
    both = zip(pairs(made, true), frame_masks(mask, true), strict=True)
    found = [frame_distance(network, _scaled(one), _scaled(two), chosen) for (one, two), chosen in both]
    return Measured(mean_over_frames(found), network.name)


def _scaled(frame: Frame) -> Float[torch.Tensor, "1 3 h w"]:
    """A frame in [0, 1] as a picture in [-1, 1]."""
    signed: Float64[np.ndarray, "h w 3"] = 2 * frame - 1
    return torch.from_numpy(signed).permute(2, 0, 1)[None].float()
