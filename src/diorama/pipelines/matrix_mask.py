"""What is known in pixels and in latents (s2vg.md 1.4), and rectangles around what is not."""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float

ERODED = 3
"""Side of the square by which the released code shrinks what is known."""
SURE = 0.7
"""Share of a latent position's pixels that must be known."""
Known = Bool[np.ndarray, "t h w"]


def eroded(known: Known, side: int = ERODED) -> Known:
    """What is known without its border, where warped colours are mixed; the picture's own border stays."""
    kernel = np.ones((side, side), np.uint8)
    return np.stack([cv2.erode(each.astype(np.uint8), kernel).astype(bool) for each in known])


def latent_mask(known: Known, factor: int, *, soft: bool = True) -> Float[torch.Tensor, "1 t y x"]:
    """How far latent positions are known, 0 to 1, as the released code decides it.

    A position is known where enough of its square is and where the picture, made as small as the latents, is known in
    full; a soft border lies inside what is known.

    Args:
        known: already eroded; sides are multiples of `factor`.
        factor: pixels a side of a latent position.
        soft: as released; without, positions are known or not.
    """
    maps = []
    for each in known.astype(np.float32):
        height, width = each.shape
        mean = cv2.blur(each, (factor, factor)) if factor > 1 else each
        sure = (mean >= SURE).astype(np.float32) * each
        small = cv2.resize(sure, (width // factor, height // factor), interpolation=cv2.INTER_LINEAR)
        hard = (small >= 1).astype(np.float32)
        maps.append(cv2.GaussianBlur(hard, (5, 5), 0) * hard if soft else hard)
    return torch.from_numpy(np.stack(maps))[None]


def unknown_shares(known: Known, factor: int) -> Float[torch.Tensor, "1 t y x"]:
    """The share of each latent position's square that is not known."""
    t, height, width = known.shape
    cells = known.reshape(t, height // factor, factor, width // factor, factor)
    return torch.from_numpy(1 - cells.mean(axis=(2, 4), dtype=np.float32))[None]


def per_latent_frame(
    shares: Float[torch.Tensor, "1 t y x"], factor: int, *, least: bool
) -> Float[torch.Tensor, "1 _ y x"]:
    """Maps of pictures for latent frames of which the first stands for one picture, each later for `factor`.

    Args:
        least: the least of each group (what is known), or the largest (what is unknown).
    """
    if factor == 1:
        return shares
    first, later = shares[:, :1], shares[:, 1:]
    groups = later.unflatten(1, (-1, factor))
    return torch.cat([first, groups.amin(dim=2) if least else groups.amax(dim=2)], dim=1)


def rectangles(
    open_: Bool[np.ndarray, "h w"], *, margin: int, least: int, whole: float = 0.6
) -> list[tuple[slice, slice]]:
    """Disjoint rectangles that hold all open pixels with a margin around them; the whole picture where they fill it.

    Args:
        margin: pixels around each opening.
        least: pixels a side; also what their sides are multiples of.
        whole: share of the picture from which on it is taken whole.
    """
    height, width = open_.shape
    if not open_.any():
        return []
    near = cv2.dilate(open_.astype(np.uint8), np.ones((2 * margin + 1, 2 * margin + 1), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(near)
    boxes = [_fitted(tuple(map(int, row[:4])), least, height, width) for row in stats[1:]]
    boxes = _merged(boxes)
    if sum(_area(box) for box in boxes) > whole * height * width:
        return [(slice(0, height), slice(0, width))]
    return [(slice(top, bottom), slice(left, right)) for top, bottom, left, right in boxes]


Box = tuple[int, int, int, int]


def _fitted(found: tuple[int, ...], least: int, height: int, width: int) -> Box:
    """A box (left, top, width, height) as (top, bottom, left, right) on a grid of `least`, inside the picture."""
    left, top, wide, high = found
    sides = []
    for first, length, side in ((top, high, height), (left, wide, width)):
        start = first // least * least
        end = min(-(-(first + length) // least) * least, side)
        sides += [min(start, max(side - least, 0)), max(end, min(least, side))]
    return sides[0], sides[1], sides[2], sides[3]


def _merged(boxes: list[Box]) -> list[Box]:
    """Boxes that overlap become one."""
    found = list(boxes)
    for i, a in enumerate(found):
        for j in range(i + 1, len(found)):
            b = found[j]
            if a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]:
                joined = (min(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), max(a[3], b[3]))
                return _merged([joined, *(box for k, box in enumerate(found) if k not in (i, j))])
    return found


def _area(box: Box) -> int:
    return (box[1] - box[0]) * (box[3] - box[2])
