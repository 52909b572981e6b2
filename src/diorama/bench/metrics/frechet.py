"""Frechet distance between sets of features: FVD (Unterthiner et al. 2018) with whichever network.

``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`` of Gaussians with means m and covariances S. With S = F' F the last
trace is the sum of the singular values of F1 F2' (the roots of the eigenvalues of the symmetric F1 S2 F1'): no root of
a product that is not symmetric, and exact where there are fewer samples than features.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64

from diorama.bench.metrics.frames import Video, check_video, unit, windows
from diorama.errors import UsageError

_log = logging.getLogger(__name__)

NEGATIVE = 1e-6
"""Share of the largest eigenvalue to which rounding may carry the smallest below 0."""


@dataclass(frozen=True)
class VideoFeatures:
    """A network that clips are compared by.

    Attributes:
        name: part of every result, e.g. ``i3d-400 (55168d27)`` or ``fvd-standin``.
        embed: clips "b 3 t h w" in [0, 1], of any size, to features "b d".
        least: frames that a clip needs.
        exactly: frames that a clip must have, where the network takes no other number.
        published: whether it is a network that published tables use.
    """

    name: str
    embed: Callable[[Float[torch.Tensor, "b 3 t h w"]], Float[torch.Tensor, "b d"]]
    least: int
    exactly: int | None = None
    published: bool = True


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Mean and a factor F of the covariance F' F."""

    mean: Float64[np.ndarray, "d"]
    factor: Float64[np.ndarray, "r d"]


@dataclass(frozen=True)
class Frechet:
    """A distance and all that it depends on.

    Attributes:
        value: the distance, smaller is better.
        by: name of the network.
        frames: of a clip.
        stride: frames from the start of a clip to that of the next one.
        samples: clips on the side with fewer.
        dimensions: of the features.
    """

    value: float
    by: str
    frames: int
    stride: int
    samples: int
    dimensions: int

    @property
    def few(self) -> bool:
        """Whether there are fewer samples than features: the value is then far too high for few samples."""
        return self.samples <= self.dimensions

    @property
    def terms(self) -> str:
        """What the value is of, in a line that belongs beside it."""
        told = f"{self.by}, clips of {self.frames} frames every {self.stride}, {self.samples} samples"
        bias = f"; biased: no more samples than the {self.dimensions} features, compare equal counts only"
        return told + (bias if self.few else "")


def distance(one: Gaussian, two: Gaussian) -> float:
    """Frechet distance of two Gaussians over the same features; 0 or above.

    Raises:
        UsageError: features of another number.
    """
    if one.mean.shape != two.mean.shape:
        raise UsageError(f"Gaussians of {len(one.mean)} and {len(two.mean)} features", "features", "use one network")
    spread = float(np.sum(one.factor**2) + np.sum(two.factor**2))
    overlap = float(np.linalg.svd(one.factor @ two.factor.T, compute_uv=False).sum())
    return max(float(np.sum((one.mean - two.mean) ** 2)) + spread - 2 * overlap, 0.0)


def gaussian(mean: Float64[np.ndarray, "d"], covariance: Float64[np.ndarray, "d d"]) -> Gaussian:
    """From a mean and a covariance.

    Raises:
        UsageError: values that are not finite, or a matrix that is no covariance.
    """
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise UsageError("a mean or covariance with NaN or infinity", "covariance")
    largest = float(np.abs(covariance).max(initial=0))
    if not np.allclose(covariance, covariance.T, rtol=0, atol=1e-9 * largest):
        raise UsageError("a covariance that is not symmetric", "covariance")
    values, vectors = np.linalg.eigh(covariance)
    if values[0] < -NEGATIVE * largest:
        raise UsageError(f"a covariance with an eigenvalue of {values[0]:g}", "covariance", "it must be 0 or above")
    return Gaussian(mean, np.sqrt(np.maximum(values, 0))[:, None] * vectors.T)


def fitted(features: Float64[np.ndarray, "n d"]) -> Gaussian:
    """From samples, with the covariance of samples (n - 1).

    Raises:
        UsageError: fewer than two samples, or values that are not finite.
    """
    if len(features) < 2:
        raise UsageError(f"{len(features)} samples, a covariance needs 2 or more", "features", "measure more clips")
    if not np.isfinite(features).all():
        raise UsageError("features with NaN or infinity", "features")
    mean = features.mean(axis=0)
    centred = (features - mean) / np.sqrt(len(features) - 1)
    small = np.asarray(np.linalg.qr(centred, mode="r")) if len(features) > len(mean) else centred
    return Gaussian(mean, small)


@torch.no_grad()
def clip_features(network: VideoFeatures, video: Video, *, frames: int, stride: int) -> Float64[np.ndarray, "n d"]:
    """Features of each window of a video; windows are read one by one.

    Raises:
        UsageError: a video shorter than a window, values out of range, or windows that the network does not take.
    """
    check_video(video, "video")
    if frames < network.least or network.exactly not in (None, frames):
        wants = network.exactly or f"{network.least} or more"
        raise UsageError(f"clips of {frames} frames, {network.name} takes {wants}", "frames")
    found = []
    for window in windows(video, frames, stride):
        clip = np.stack([unit(frame) for frame in window]).astype(np.float32)
        found.append(network.embed(torch.from_numpy(clip).permute(3, 0, 1, 2)[None])[0].double().numpy())
    if not found:
        raise UsageError(f"a video of {len(video)} frames, a clip has {frames}", "frames", "use shorter clips")
    return np.stack(found)


def compare(
    made: Float64[np.ndarray, "n d"], true: Float64[np.ndarray, "m d"], *, by: str, frames: int, stride: int
) -> Frechet:
    """Distance of two sets of features.

    Raises:
        UsageError: as `fitted` and `distance`.
    """
    value = distance(fitted(made), fitted(true))
    return Frechet(value, by, frames, stride, min(len(made), len(true)), made.shape[1])


def fvd(
    network: VideoFeatures, made: Iterable[Video], true: Iterable[Video], *, frames: int = 16, stride: int | None = None
) -> Frechet:
    """Frechet video distance between two sets of videos, smaller is better; logs a warning where samples are few.

    Args:
        network: from `weights.load_i3d`, `weights.load_videomae` or `standins.fvd_standin`.
        made: videos; sizes and lengths may differ.
        true: videos, not necessarily as many.
        frames: of a clip.
        stride: frames between the starts of clips; a clip's length by default, so that samples share no frame. DisCo's
            scripts take every start (1).

    Raises:
        UsageError: as `clip_features`, or fewer than two clips on a side.
    """
    step = frames if stride is None else stride
    sides = [[clip_features(network, video, frames=frames, stride=step) for video in side] for side in (made, true)]
    if not all(sides):
        raise UsageError("no videos", "made, true")
    found = compare(*(np.concatenate(side) for side in sides), by=network.name, frames=frames, stride=step)
    if found.few:
        _log.warning("FVD: %s", found.terms)
    return found


def resized(clips: Float[torch.Tensor, "b 3 t h w"], side: int) -> Float[torch.Tensor, "b 3 t side side"]:
    """Frames made square as Pillow's bicubic does it (antialiased, not clipped), which is what DisCo's scripts do."""
    if clips.shape[-2:] == (side, side):
        return clips
    flat = clips.transpose(1, 2).flatten(0, 1)
    square = torch.nn.functional.interpolate(flat, (side, side), mode="bicubic", antialias=True)
    return square.unflatten(0, (clips.shape[0], clips.shape[2])).transpose(1, 2)
