"""What a person looks like, as a volume over vertex codes: pictures of the person in, any pose of the same person out.

A position-coloured motion map (`codes.position_colors`) says of each pixel where on the resting body it lies. So a
picture with its map tells the colours of places on the body, and a map of another pose asks for them: MIMO's canonical
identity (section 3.2) without a network. Places that no picture shows take what is near them, from coarser grids
(pull-push, Gortler et al. 1996, section 5).
"""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch.nn import functional

from diorama.core.mesh import Mesh
from diorama.errors import UsageError
from diorama.figures.codes import position_colors

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


def body_colors(
    pictures: UInt8[np.ndarray, "s h w 3"], codes: UInt8[np.ndarray, "s h w 3"], mesh: Mesh
) -> UInt8[np.ndarray, "v 3"]:
    """The colours of a body's vertices that some pictures of it show.

    Args:
        pictures: of the person.
        codes: vertex codes of the body in them, black beside it.
        mesh: the body at rest.
    """
    volume = appearance_volume(_planes(pictures), _planes(codes), _within(codes))
    told = torch.from_numpy(position_colors(mesh).T[None].astype(np.float32) / 255)
    return (appearance_at(volume, told)[0].T * 255).round().to(torch.uint8).numpy()


def _planes(pictures: UInt8[np.ndarray, "s h w 3"]) -> Float[torch.Tensor, "1 3 s h w"]:
    return torch.from_numpy(pictures).permute(3, 0, 1, 2)[None].float() / 255


def _within(codes: UInt8[np.ndarray, "s h w 3"]) -> Float[torch.Tensor, "1 1 s h w"]:
    """1 in the body, 0 beside it and at its border, where a picture shows what is behind it too."""
    beside = torch.from_numpy(~codes.any(axis=-1))[None, None].float()
    return 1 - functional.max_pool3d(beside, (1, 3, 3), stride=1, padding=(0, 1, 1))


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
