"""Cameras around an object as the multi-view networks are told about them: angles relative to the input view."""

import math
from dataclasses import dataclass

import torch
from diffusers.models.embeddings import get_timestep_embedding
from jaxtyping import Float

from diorama.errors import UsageError

CONDITION_NOISE = 1e-5
"""Noise the published sampler says to be in the image condition."""


@dataclass(frozen=True, eq=False)
class ViewCameras:
    """Directions from which the object is seen.

    Attributes:
        polar: radians from the pole, plus a quarter turn, minus those of the input view: pi/2 at its elevation.
        azimuth: radians against the input view, in [0, 2 pi).
    """

    polar: Float[torch.Tensor, " v"]
    azimuth: Float[torch.Tensor, " v"]


def novel_cameras(count: int = 12, *, elevation: float | int = 0.0) -> ViewCameras:
    """SP4D's cameras: a full turn in ``count + 1`` steps, of which the input view is the first and left out.

    Args:
        count: of views.
        elevation: degrees above the input view's.

    Raises:
        UsageError: no view, or an elevation beyond the poles.
    """
    if count < 1 or not -90 <= elevation <= 90:
        raise UsageError(f"{count} views at {elevation} degrees", "cameras", "take 1 view or more, within 90 degrees")
    azimuth = torch.arange(1, count + 1, dtype=torch.float32) * (2 * math.pi / (count + 1))
    return ViewCameras(torch.full((count,), math.pi / 2 - math.radians(elevation)), azimuth)


def camera_vector(
    polar: Float[torch.Tensor, "*n"],
    azimuth: Float[torch.Tensor, "*n"],
    cond_noise: float | int = CONDITION_NOISE,
    *,
    size: int = 1280,
) -> Float[torch.Tensor, "*n {size}"]:
    """What a network is told about cameras (spec sp4d.md 2.3).

    Args:
        polar: as in `ViewCameras`.
        azimuth: as in `ViewCameras`.
        cond_noise: standard deviation of the noise in the image condition.
        size: channels, a multiple of 10; 1280 in the published networks.

    Returns:
        Cosines and sines (periods up to 10000): a fifth for the noise, two for each angle.

    Raises:
        UsageError: another size.
    """
    if size < 10 or size % 10:
        raise UsageError(f"camera vectors of {size} channels", "size", "take a multiple of 10")
    noise = torch.full_like(polar, cond_noise)
    parts = ((noise, size // 5), (polar, 2 * size // 5), (azimuth, 2 * size // 5))
    waves = [
        get_timestep_embedding(values.flatten(), width, flip_sin_to_cos=True, downscale_freq_shift=0)
        for values, width in parts
    ]
    return torch.cat(waves, dim=-1).view(*polar.shape, size).to(polar.dtype)


def without_condition(vector: Float[torch.Tensor, "*n e"]) -> Float[torch.Tensor, "*n e"]:
    """The vector of the unconditional pass: cameras stay, what is said about the image condition goes."""
    return torch.cat([torch.zeros_like(vector[..., : vector.shape[-1] // 5]), vector[..., vector.shape[-1] // 5 :]], -1)


def guidance_scales(
    frames: int = 4, views: int = 12, *, first: float | int = 1.0, last: float | int = 3.0
) -> Float[torch.Tensor, " n"]:
    """SP4D's guidance scale of each picture, views fastest: rising evenly over the frames and, in each, the views."""
    return torch.linspace(first, last, frames * views)
