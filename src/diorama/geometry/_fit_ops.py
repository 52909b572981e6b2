"""What fitting differentiates besides the rasteriser: Gaussians led by nodes, and how unlike two pictures are."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32

from diorama.core.parallel import bands
from diorama.geometry._fit_kernels import (
    MOTION,
    SHIFT,
    TAPS,
    TURN,
    blur,
    follow,
    follow_back,
    similarity,
    turn_nodes,
    turn_nodes_back,
)

_PIECES = 4
"""Parts in which gradients of nodes are summed, whatever the number of threads: for the same sums everywhere."""
_LEAST = 4096
_TAPS = np.exp(-0.5 * ((np.arange(TAPS) - TAPS // 2) / 1.5) ** 2).astype(np.float32)
_TAPS /= _TAPS.sum()

Tensor = torch.Tensor


class Follow(torch.autograd.Function):
    """Centres and rotations of Gaussians whose nodes have moved, as in `MovingGaussians.at`.

    Differentiable in the centres and rotations at rest, and in the shifts and the turns (of unit length) of the nodes.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rest: Float[Tensor, "g 3"],
        quats: Float[Tensor, "g 4"],
        shifts: Float[Tensor, "n 3"],
        turns: Float[Tensor, "n 4"],
        nodes: Float[Tensor, "n 3"],
        bonds: tuple[np.ndarray, np.ndarray],
    ) -> tuple[Float[Tensor, "g 3"], Float[Tensor, "g 4"]]:
        """Of all Gaussians; `bonds` are links and weights."""
        given = [t.detach().contiguous().numpy() for t in (rest, quats, nodes, shifts, turns)]
        centres, lying, places, moved, turned = given
        matrices = np.empty((len(turned), 9), np.float32)
        turn_nodes(turned, matrices)
        means, out = np.empty_like(centres), np.empty_like(lying)

        def work(first: int, last: int) -> None:
            follow(first, last, centres, lying, *bonds, places, moved, turned, matrices, means, out)

        bands(len(centres), work, least=_LEAST)
        ctx.kept = centres, lying, bonds, places, turned, matrices
        return torch.from_numpy(means), torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Of the tensors that `forward` takes."""
        centres, lying, bonds, places, turned, matrices = ctx.kept
        to_means, to_out = (np.ascontiguousarray(grad.numpy()) for grad in grads)
        to_rest, to_quats = np.empty_like(centres), np.empty_like(lying)
        received = np.zeros((_PIECES, len(places), MOTION), np.float32)
        edges = [len(centres) * i // _PIECES for i in range(_PIECES + 1)]

        def work(first: int, last: int) -> None:
            for i in range(first, last):
                follow_back(
                    edges[i], edges[i + 1], centres, lying, *bonds, places, turned, matrices, to_means, to_out, to_rest,
                    to_quats, received[i],
                )  # fmt: skip

        bands(_PIECES, work, least=1)
        summed = received.sum(axis=0)
        to_turns = np.empty_like(turned)
        turn_nodes_back(turned, summed, to_turns)
        to_shifts = np.ascontiguousarray(summed[:, SHIFT:TURN])
        return (*(torch.from_numpy(a) for a in (to_rest, to_quats, to_shifts, to_turns)), None, None)


@dataclass(frozen=True, eq=False)
class Goal:
    """What a drawn picture should be.

    Attributes:
        color: RGB, 0 to 1.
        weight: how much each pixel counts.
        inverse: 1 / depth in 1/m, 0 where it is not known.
    """

    color: Float32[np.ndarray, "h w 3"]
    weight: Float32[np.ndarray, "h w"]
    inverse: Float32[np.ndarray, "h w"]


@dataclass(frozen=True)
class Shares:
    """Of the loss: structural similarity (the rest of 1 is absolute difference) and relative depth."""

    similarity: float
    depth: float


class Unlike(torch.autograd.Function):
    """``(1 - s) L1 + s (1 - SSIM) + depth |sum of weight times z / Z - alpha|``, weighted means over pixels."""

    @staticmethod
    def forward(ctx: Any, color: Tensor, alpha: Tensor, depth: Tensor, goal: Goal, shares: Shares) -> Tensor:
        """One number."""
        drawn, cover, far = color.detach().numpy(), alpha.detach().numpy(), depth.detach().numpy()
        share = goal.weight / max(float(goal.weight.sum()), 1e-6)
        off = drawn - goal.color
        wide = share[..., None] / 3
        loss = (1 - shares.similarity) * float((np.abs(off) * wide).sum())
        to_color = (1 - shares.similarity) * np.sign(off) * wide
        if shares.similarity:
            alike, to_alike = similar(drawn, goal.color, share / 3)
            loss += shares.similarity * (1 - alike)
            to_color -= shares.similarity * to_alike
        wrong = far * goal.inverse - cover * (goal.inverse > 0)
        loss += shares.depth * float((np.abs(wrong) * share).sum())
        to_wrong = shares.depth * np.sign(wrong) * share
        ctx.grads = to_color, -to_wrong * (goal.inverse > 0), to_wrong * goal.inverse
        return color.new_tensor(loss)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Of colour, alpha and depth."""
        (grad,) = grads
        return (*(torch.from_numpy(part) * grad for part in ctx.grads), None, None)


def similar(
    drawn: Float32[np.ndarray, "h w 3"], goal: Float32[np.ndarray, "h w 3"], weight: Float32[np.ndarray, "h w"]
) -> tuple[float, Float32[np.ndarray, "h w 3"]]:
    """The weighted sum of structural similarity over pixels and channels, and its gradient in `drawn`.

    Windows are Gaussian, 11 pixels wide, sigma 1.5 (Wang et al. 2004), with nothing beyond the border.
    """
    x, y = (np.ascontiguousarray(a.transpose(2, 0, 1)) for a in (drawn, goal))
    maps = np.concatenate([x, y, x * x, y * y, x * y])
    blurred = np.empty_like(maps)
    bands(len(maps), lambda first, last: blur(first, last, maps, _TAPS, blurred), least=3)
    to_blurred, back = np.empty_like(maps[:9]), np.empty_like(maps[:9])
    alike = similarity(0, maps.shape[1], blurred, weight, to_blurred)
    bands(len(back), lambda first, last: blur(first, last, to_blurred, _TAPS, back), least=3)
    gradient = back[:3] + 2 * x * back[3:6] + y * back[6:]
    return float(alike), np.ascontiguousarray(gradient.transpose(1, 2, 0))
