"""The loss of depth: right, also up to a shift, with edges in place, near things before far ones.

All of it is in roots of inverse depth: so neither the nearest surfaces nor the far half of a picture weigh all.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch.nn import functional

from diorama.train.recipe import Loss

NEAREST = 0.95
"""The quantile of inverse depth that becomes 1."""
SCALES = 3
SHARP, LEAST = 0.1, 0.02
"""Softness of the ranking loss, and the difference of roots from which on a pair counts."""
ALIGNED, EDGES, ORDER = 0.25, 0.5, 0.1
"""Weights of the terms beside the plain difference."""

Maps = Float[torch.Tensor, "b h w"]


def roots(inverse: Float[torch.Tensor, "h w"], known: Float[torch.Tensor, "h w"]) -> Float[torch.Tensor, "h w"]:
    """What is learned of inverse depth: its root, 1 where only a twentieth of the picture is nearer, at most 1.3."""
    seen = inverse[known > 0]
    near = float(torch.quantile(seen, NEAREST)) if len(seen) else 1.0
    return (inverse / max(near, 1e-6)).clamp(0, 1.69).sqrt()


def depth_loss(found: Maps, truth: Maps, known: Maps, pairs: Int[torch.Tensor, "b 2 n"]) -> Loss:
    """The loss of a batch: plain, without medians, of gradients (MiDaS, arXiv 1907.01341, eq. 11), and of ranks.

    Args:
        found, truth: roots of inverse depth.
        known: 1 where the truth counts.
        pairs: numbers of pixels whose order is compared.
    """
    plain = _mean((found - truth).abs(), known)
    difference = _aligned(found, truth, known)
    aligned = _mean(difference.abs(), known)
    edges = torch.stack([_gradients(difference, known, 2**k) for k in range(SCALES)]).mean(0)
    order = _order(found, truth, known, pairs)
    total = (plain + ALIGNED * aligned + EDGES * edges + ORDER * order).mean()
    terms = {"plain": plain, "aligned": aligned, "edges": edges, "order": order}
    return Loss(total, {name: value.mean() for name, value in terms.items()})


def _mean(values: Maps, weights: Maps) -> Float[torch.Tensor, " b"]:
    return (values * weights).flatten(1).sum(1) / weights.flatten(1).sum(1).clamp(min=1)


def _aligned(found: Maps, truth: Maps, known: Maps) -> Maps:
    """The difference of both without their medians, in units of the truth's mean difference from its own, times 3."""
    flat = known.flatten(1) > 0

    def centred(values: Maps) -> Maps:
        middle = torch.where(flat, values.flatten(1), torch.nan).nanmedian(1).values
        return values - torch.nan_to_num(middle)[:, None, None]

    spread = _mean(centred(truth).abs(), known)[:, None, None]
    return (centred(found) - centred(truth)) / (3 * spread + 0.05)


def _gradients(difference: Maps, known: Maps, step: int) -> Float[torch.Tensor, " b"]:
    d, k = difference[:, ::step, ::step], known[:, ::step, ::step]
    down = _mean((d[:, 1:] - d[:, :-1]).abs(), k[:, 1:] * k[:, :-1])
    return down + _mean((d[:, :, 1:] - d[:, :, :-1]).abs(), k[:, :, 1:] * k[:, :, :-1])


def _order(found: Maps, truth: Maps, known: Maps, pairs: Int[torch.Tensor, "b 2 n"]) -> Float[torch.Tensor, " b"]:
    """How far pairs of pixels are from the right order."""

    def at(values: Maps) -> Float[torch.Tensor, "b 2 n"]:
        return values.flatten(1).gather(1, pairs.flatten(1)).reshape(pairs.shape)

    step, way, valid = at(found), at(truth), at(known).prod(1)
    ahead = way[:, 0] - way[:, 1]
    counts = valid * (ahead.abs() > LEAST)
    wrong = functional.softplus(-(step[:, 0] - step[:, 1]) * ahead.sign() / SHARP)
    return (wrong * counts).sum(1) / counts.sum(1).clamp(min=1)


def rank_correlation(found: Float[np.ndarray, "*n"], truth: Float[np.ndarray, "*n"]) -> float:
    """Spearman's: of ranks, equal values sharing theirs; 0 where one is flat."""
    a, b = _ranks(found), _ranks(truth)
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0


def _ranks(values: Float[np.ndarray, "*n"]) -> Float[np.ndarray, " n"]:
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[which.ravel()]
