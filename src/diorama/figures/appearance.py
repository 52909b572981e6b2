"""What a person looks like, as a volume over vertex codes: pictures of the person in, any pose of the same person out.

A position-coloured motion map (`codes.position_colors`) says of each pixel where on the resting body it lies. So a
picture with its map tells the colours of places on the body, and a map of another pose asks for them: MIMO's canonical
identity (section 3.2) without a network. Places that no picture shows take what is near them, from coarser grids
(pull-push, Gortler et al. 1996, section 5).
"""

import torch
from jaxtyping import Float
from torch.nn import functional

from diorama.errors import UsageError

SIDES = (32, 128, 128)
"""Cells along the codes' third, second and first axis: back to front, feet to head, left to right."""
Volume = Float[torch.Tensor, "b c d2 d1 d0"]


def appearance_volume(
    pictures: Float[torch.Tensor, "b c *p"],
    codes: Float[torch.Tensor, "b 3 *p"],
    weight: Float[torch.Tensor, "b 1 *p"],
    *,
    sides: tuple[int, int, int] = SIDES,
) -> Volume:
    """What pictures say of each place on the body.

    Args:
        pictures: colours or features.
        codes: places in [0, 1]; not looked at where `weight` is 0.
        weight: 0 where a pixel shows no body.
        sides: cells along each axis, powers of two.

    Returns:
        The volume, filled everywhere; zeros for a person of whom nothing is seen.

    Raises:
        UsageError: sides that cannot be halved down to 1.
    """
    if any(side < 1 or side & (side - 1) for side in sides):
        raise UsageError(f"sides {sides}", "sides", "give powers of two")
    d2, d1, d0 = sides
    size = codes.new_tensor([d0, d1, d2])[:, None] - 1
    place = (codes.flatten(2).clamp(0, 1) * size).round().long()
    cell = (place[:, 2] * d1 + place[:, 1]) * d0 + place[:, 0]
    share = weight.flatten(2)
    told = torch.cat([pictures.flatten(2) * share, share], dim=1)
    sums = told.new_zeros(*told.shape[:2], d2 * d1 * d0)
    sums.scatter_add_(2, cell[:, None].expand_as(told), told)
    return _filled(sums.unflatten(2, sides))


def appearance_at(volume: Volume, codes: Float[torch.Tensor, "b 3 *p"]) -> Float[torch.Tensor, "b c *p"]:
    """What a volume says of places on the body, between cells linearly; differentiable in both."""
    size = codes.new_tensor(volume.shape[:1:-1])
    grid = codes.flatten(2).transpose(1, 2) * (2 * (size - 1) / size) + (1 / size - 1)
    grid = grid[:, None, None]
    found = functional.grid_sample(volume, grid, align_corners=False, padding_mode="border")
    return found[:, :, 0, 0].unflatten(2, codes.shape[2:])


def _filled(sums: Float[torch.Tensor, "b k d2 d1 d0"]) -> Volume:
    """Weighted sums with their weights last, to means; empty cells take those of the grid of half the resolution."""
    value, weight = sums[:, :-1], sums[:, -1:]
    seen = weight > 0
    mean = torch.where(seen, value / weight.clamp(min=1e-6), 0)
    sides = sums.shape[2:]
    if max(sides) == 1:
        return mean
    halves = tuple(min(2, side) for side in sides)
    # a cell counts once, however many pixels fell into it
    coarse = functional.avg_pool3d(torch.cat([mean, seen.to(mean.dtype)], dim=1), halves)
    wide = functional.interpolate(_filled(coarse), size=tuple(sides), mode="trilinear", align_corners=False)
    return torch.where(seen, mean, wide)
