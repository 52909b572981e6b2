"""Parts told apart in feature space: SP4D's contrastive loss (sp4d.md 1.7).

Features of the part branch are averaged over each part in each picture; regions of the same part attract each other
across views and frames, those of other parts repel. Temperature, places and sizes are ours: the paper gives none.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import nn

from diorama.diffusion.view_shape import ViewShape
from diorama.diffusion.view_unet import ViewUNet

TEMPERATURE = 0.07
LEAST = 8
"""Latent positions of a region; smaller ones say little."""
LEVELS = (1, 2)
"""Halvings of the latent resolution at which features are taken, where the network has them."""
FEATURES = 128


def taken_levels(shape: ViewShape) -> list[int]:
    """The levels of `LEVELS` that a network has."""
    return [level for level in LEVELS if level < len(shape.widths)]


def taken_widths(shape: ViewShape) -> list[int]:
    """Their channels."""
    return [shape.widths[level] for level in taken_levels(shape)]


class PartProjector(nn.Module):
    """Features of a region to a direction in 128 dimensions, by a perceptron for each level.

    Args:
        widths: channels of the levels that are taken.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, FEATURES)) for width in widths
        )

    def forward(self, features: Float[torch.Tensor, "r c"], number: int) -> Float[torch.Tensor, "r d"]:
        """Unit vectors; `number` is the place of the level."""
        return nn.functional.normalize(self.heads[number](features), dim=-1)


@contextmanager
def overheard(branch: ViewUNet) -> Iterator[list[torch.Tensor]]:
    """What the branch's way up says at each taken level while it runs in here, "n c h w".

    Taken is the last block of a level before the one that leads to the next.
    """
    blocks, deepest = branch.shape.layers_per_level, len(branch.shape.widths) - 1
    places = [(deepest - level) * (blocks + 1) + blocks - 1 for level in taken_levels(branch.shape)]
    found: list[torch.Tensor] = []
    hooks = [branch.up[place].register_forward_hook(lambda *said: found.append(said[2])) for place in places]
    try:
        yield found
        found.reverse()  # coarse levels come first on the way up
    finally:
        for hook in hooks:
            hook.remove()


def regions(
    features: Float[torch.Tensor, "n c h w"], parts: Int[torch.Tensor, "n y x"], *, least: int = LEAST
) -> tuple[Float[torch.Tensor, "r c"], Int[torch.Tensor, " r"]]:
    """Means of features over each part in each picture, and the parts.

    Args:
        features: of n pictures, at the latents' resolution or coarser.
        parts: the part at each latent position, -1 for none.
        least: latent positions that a region must have.
    """
    count = max(int(parts.max()) + 1, 1)
    shown = (parts[:, None] == torch.arange(count, device=parts.device)[:, None, None]).float()
    cover = nn.functional.adaptive_avg_pool2d(shown, (features.shape[2], features.shape[3]))
    means = torch.einsum("nchw,nkhw->nkc", features.float(), cover) / cover.sum(dim=(2, 3)).clamp(min=1e-6)[..., None]
    kept = shown.sum(dim=(2, 3)) >= least
    labels = torch.arange(count, device=parts.device).expand(len(parts), -1)
    return means[kept], labels[kept]


def part_contrast(
    features: Float[torch.Tensor, "r d"], parts: Int[torch.Tensor, " r"], temperature: float = TEMPERATURE
) -> Float[torch.Tensor, ""]:
    """InfoNCE over the regions of one object: ``-mean log(exp(s_ij / tau) / sum_{k != i} exp(s_ik / tau))``.

    The mean is over the positives j of each anchor i, then over anchors. Regions that have no positive or no negative
    are no anchors, so an object of a single part costs nothing. With R regions of each of P parts and a direction a
    part it is ``log(R - 1 + (P - 1) R exp(-1 / tau))``, its least; all alike, ``log(P R - 1)``.

    Args:
        features: unit vectors of regions.
        parts: the part of each.
        temperature: tau.
    """
    same = parts[:, None] == parts[None]
    own = torch.eye(len(parts), dtype=torch.bool, device=parts.device)
    anchors = (same & ~own).any(dim=1) & (~same).any(dim=1)
    if not bool(anchors.any()):
        return features.sum() * 0
    likeness = features @ features.T / temperature
    total = likeness.masked_fill(own, -torch.inf).logsumexp(dim=1, keepdim=True)
    positive = (same & ~own).to(features.dtype)
    each = ((total - likeness) * positive).sum(dim=1) / positive.sum(dim=1).clamp(min=1)
    return each[anchors].mean()


def contrast(
    projector: PartProjector,
    heard: Sequence[Float[torch.Tensor, "..."]],
    parts: Int[torch.Tensor, "b n y x"],
    *,
    least: int = LEAST,
) -> Float[torch.Tensor, " b"]:
    """The loss of each object: the mean over levels of `part_contrast`.

    Args:
        projector: to unit vectors.
        heard: from `overheard`, pictures of all objects, "b*n c h w" a level.
        parts: the part at each latent position.
        least: as `regions`.
    """
    values = []
    for sample, ids in enumerate(parts):
        levels = []
        for number, said in enumerate(heard):
            means, labels = regions(said.unflatten(0, (len(parts), -1))[sample], ids, least=least)
            levels.append(part_contrast(projector(means, number), labels))
        values.append(torch.stack(levels).mean())
    return torch.stack(values)
