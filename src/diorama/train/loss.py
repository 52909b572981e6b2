"""The diffusion loss in pieces: noise, targets, weights, drops. All of them pure.

A level is (alpha, sigma) of ``x = alpha * x0 + sigma * noise``, one pair a sample; alpha = 0 (zero terminal SNR) and
sigma = 0 are exact.
"""

import torch
from jaxtyping import Bool, Float, Shaped
from torch.nn import functional

from diorama.diffusion.backbone import CODE_SCALE
from diorama.errors import UsageError
from diorama.train.config import Target, Weighting

HEAD, HAND = 0.86, 0.11
"""Of the body at rest: the height above which it is the head, and the part from either side that is a hand."""


def over(value: Shaped[torch.Tensor, " b"], like: Shaped[torch.Tensor, "b ..."]) -> Shaped[torch.Tensor, "b ..."]:
    """One value a sample, shaped to be broadcast over `like`."""
    return value.reshape(-1, *[1] * (like.ndim - 1))


def noised(
    x0: Float[torch.Tensor, "b *shape"],
    noise: Float[torch.Tensor, "b *shape"],
    alpha: Float[torch.Tensor, " b"],
    sigma: Float[torch.Tensor, " b"],
) -> Float[torch.Tensor, "b *shape"]:
    """``alpha * x0 + sigma * noise``."""
    return over(alpha, x0) * x0 + over(sigma, x0) * noise


def target_of(
    kind: Target,
    x0: Float[torch.Tensor, "b *shape"],
    noise: Float[torch.Tensor, "b *shape"],
    *,
    alpha: Float[torch.Tensor, " b"],
    sigma: Float[torch.Tensor, " b"],
) -> Float[torch.Tensor, "b *shape"]:
    """What a network of this kind should say: the noise, x0, or ``v = alpha * noise - sigma * x0``.

    v as in arXiv 2202.00512, appendix D.
    """
    if kind == "eps":
        return noise
    if kind == "x0":
        return x0
    if kind == "v":
        return over(alpha, x0) * noise - over(sigma, x0) * x0
    raise UsageError(f"target {kind!r}", "--target", "choose one of eps, v, x0")


def level_weights(
    kind: Target,
    weighting: Weighting,
    gamma: float,
    *,
    alpha: Float[torch.Tensor, " b"],
    sigma: Float[torch.Tensor, " b"],
) -> Float[torch.Tensor, " b"]:
    """Weights of the squared error of a target, with SNR = alpha^2 / sigma^2.

    "min-snr" (arXiv 2303.09556, section 3.4) counts each level min(SNR, gamma) times on x0: that is
    min(SNR, gamma) / SNR on the noise and min(SNR, gamma) / (SNR + 1) on v. "moore" (specs/mimo.md 2.2) shifts the SNR
    by one for v: min(SNR + 1, gamma) / (SNR + 1), so that v at pure noise counts; on the noise and x0 it is the same.
    """
    a, s = alpha.double() ** 2, sigma.double() ** 2
    if weighting == "none":
        weights = torch.ones_like(a)
    elif kind == "v":
        kept = torch.minimum(a + s if weighting == "moore" else a, gamma * s)
        weights = kept / (a + s)
    elif kind == "eps":  # 1 where there is no signal left
        weights = torch.where(a > gamma * s, gamma * s / a.clamp(min=1e-300), 1.0)
    else:
        weights = torch.where(a > gamma * s, gamma, a / s.clamp(min=1e-300))
    return weights.to(alpha.dtype)


def offset_noise(
    noise: Float[torch.Tensor, "b c *shape"], offset: Float[torch.Tensor, "b c"], strength: float
) -> Float[torch.Tensor, "b c *shape"]:
    """Noise with a normal `offset` that is constant over each channel: brightness can then change as a whole."""
    return noise + strength * offset.reshape(*offset.shape, *[1] * (noise.ndim - 2))


def region_weights(mask: Float[torch.Tensor, "*shape"], inside: float) -> Float[torch.Tensor, "*shape"]:
    """`inside` where a mask (coverage, 0 to 1) is 1, and 1 where it is 0."""
    return 1 + (inside - 1) * mask


def details_of(codes: Float[torch.Tensor, "b 4 t hh ww"]) -> Float[torch.Tensor, "b 1 t h w"]:
    """Where vertex codes show a head or a hand: 1 or 0 for each latent position.

    Args:
        codes: places on the body at rest, 0 to 1 between its ends, and coverage; `CODE_SCALE` pixels a position.
    """
    across, up, seen = codes[:, :1], codes[:, 1:2], codes[:, 3:] > 0.5
    shown = seen & ((up > HEAD) | (across < HAND) | (across > 1 - HAND))
    return functional.max_pool3d(shown.float(), (1, CODE_SCALE, CODE_SCALE))


def sample_means(
    error: Float[torch.Tensor, "b ..."], weights: Float[torch.Tensor, "b ..."] | None = None
) -> Float[torch.Tensor, " b"]:
    """The mean error of each sample, weighted; `weights` are broadcast, and a sample without any counts 0.

    Each sample is normalised by its own weights: a small person counts as much as a large one, and the mean over
    samples does not depend on how a batch is split.
    """
    error = error.float()
    if weights is None:
        return error.flatten(1).mean(1)
    full = weights.float().expand_as(error)
    return (error * full).flatten(1).sum(1) / full.flatten(1).sum(1).clamp(min=1e-12)


def kept(
    value: Shaped[torch.Tensor, "b *shape"], keep: Bool[torch.Tensor, " b"], *, otherwise: float = 0.0
) -> Shaped[torch.Tensor, "b *shape"]:
    """A condition, `otherwise` in the samples that do not keep it."""
    return torch.where(over(keep, value), value, torch.as_tensor(otherwise, dtype=value.dtype, device=value.device))
