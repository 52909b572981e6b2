"""What stands in for LPIPS and for I3D where their weights are absent: fixed filters, told apart by name.

Nothing here is trained, and no value compares with a published one. They order distortions: more noise, blur or shift
is further; a shift of a pixel is nearer than a blur of the same PSNR; stills, shuffled and flickering frames are told
from motion (tests/bench/test_metrics_networks.py).
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch.nn import functional

from diorama.bench.metrics.frechet import VideoFeatures, resized
from diorama.bench.metrics.perceptual import Maps, Perceptual, Picture

LPIPS_STANDIN, FVD_STANDIN = "lpips-standin", "fvd-standin"

LEVELS = 4
CONTRAST = 0.05
"""Strength of a response below which it counts as none: without it, the noise of flat walls would be all."""

# Luma (BT.601), yellow against blue, red against green.
_OPPONENT = ((0.299, 0.587, 0.114), (0.25, 0.25, -0.5), (0.5, -0.5, 0.0))

CLIP_SIDE = 96
SCALE = 30.0
"""Of the features, so that distances come out between 1 and 1000."""
_SEED = 20240901
_LAYERS = (  # channels out, kernel, stride
    (24, (3, 5, 5), (1, 2, 2)),
    (32, (3, 3, 3), (1, 2, 2)),
    (32, (3, 3, 3), (2, 2, 2)),
)


def lpips_standin() -> Perceptual:
    """``lpips-standin``: normalised, rectified and pooled derivatives of Gaussians on four scales, and coarse colour.

    The shape is LPIPS's (features of unit length, squared differences); the filters are those of early vision.
    """
    return Perceptual(LPIPS_STANDIN, _derivatives, 32, published=False)


def fvd_standin() -> VideoFeatures:
    """``fvd-standin``: 88 means of three layers of fixed random filters over space and time.

    Clips are taken at 96 x 96. Half of each layer's filters do not see the mean, half of those only change over time.
    """
    return VideoFeatures(FVD_STANDIN, _RandomFilters(), least=4, published=False)


def _derivatives(picture: Picture) -> Maps:
    x = torch.einsum("oc,bchw->bohw", torch.tensor(_OPPONENT), picture / 2)
    blur, slope, curve = (_gaussian(1.0, order) for order in (0, 1, 2))
    maps = []
    for _ in range(LEVELS):
        luma = x[:, :1]
        responses = (
            *(_separable(x, blur, slope), _separable(x, slope, blur), 2 * _separable(luma, slope, slope)),
            (_separable(luma, blur, curve) - _separable(luma, curve, blur)) / 2,
        )
        signed = torch.cat(responses, dim=1)
        halves = torch.cat([signed.clamp(min=0), (-signed).clamp(min=0)], dim=1)
        pooled = functional.avg_pool2d(_separable(halves, blur, blur), 2)
        length = pooled.square().sum(dim=1, keepdim=True).sqrt()
        maps.append(pooled / (length + CONTRAST) / math.sqrt(LEVELS))
        x = functional.avg_pool2d(_separable(x, _gaussian(0.7, 0), _gaussian(0.7, 0)), 2)
    return [*maps, x]


def _gaussian(sigma: float, order: int) -> Float[torch.Tensor, "7"]:
    """A Gaussian that adds up to 1, or its first or second derivative whose magnitudes add up to 2."""
    at = torch.arange(-3, 4).float()
    bell = torch.exp(-at.square() / (2 * sigma**2))
    if order == 0:
        return bell / bell.sum()
    derived = -at * bell if order == 1 else (at.square() / sigma**2 - 1) * bell
    derived = derived - derived.mean()
    return 2 * derived / derived.abs().sum()


def _separable(
    x: Float[torch.Tensor, "b c h w"], down: Float[torch.Tensor, "7"], across: Float[torch.Tensor, "7"]
) -> Float[torch.Tensor, "b c h w"]:
    count = x.shape[1]
    x = functional.pad(x, (3, 3, 3, 3), mode="replicate")
    x = functional.conv2d(x, down.view(1, 1, 7, 1).expand(count, 1, 7, 1), groups=count)
    return functional.conv2d(x, across.view(1, 1, 1, 7).expand(count, 1, 1, 7), groups=count)


class _RandomFilters:
    """Clips "b 3 t h w" in [0, 1] to features "b 88"."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(_SEED)
        widths = (3, *(width for width, _, _ in _LAYERS))
        self._filters = [
            _filters(width, given, kernel, generator)
            for given, (width, kernel, _) in zip(widths[:-1], _LAYERS, strict=True)
        ]

    def __call__(self, clips: Float[torch.Tensor, "b 3 t h w"]) -> Float[torch.Tensor, "b 88"]:
        x, means = resized(clips, CLIP_SIDE) * 2 - 1, []
        for weights, (_, kernel, stride) in zip(self._filters, _LAYERS, strict=True):
            edges = [side // 2 for side in reversed(kernel) for _ in range(2)]
            x = functional.relu(functional.conv3d(functional.pad(x, edges, mode="replicate"), weights, stride=stride))
            means.append(x.mean(dim=(2, 3, 4)))
        return SCALE * torch.cat(means, dim=1)


def _filters(
    width: int, given: int, kernel: Sequence[int], generator: torch.Generator
) -> Float[torch.Tensor, "o i t h w"]:
    weights = torch.randn(width, given, *kernel, generator=generator)
    weights[: width // 2] -= weights[: width // 2].mean(dim=(2, 3, 4), keepdim=True)
    weights[width // 4 : width // 2] -= weights[width // 4 : width // 2].mean(dim=2, keepdim=True)
    return weights / weights.flatten(1).norm(dim=1).view(-1, 1, 1, 1, 1)
