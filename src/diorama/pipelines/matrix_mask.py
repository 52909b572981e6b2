"""What is known in pixels and in latents (s2vg.md 1.4), and rectangles around what is not."""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int

ERODED = 3
"""Side of the square by which the released code shrinks what is known."""
SURE = 0.7
"""Share of a latent position's pixels that must be known."""
MOST_BOXES = 64
"""Openings that are told apart; where there are more, those farther from each other count as one."""
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
    open_: Bool[np.ndarray, "h w"], *, margin: int, least: int, grid: int, whole: float = 0.8
) -> list[tuple[slice, slice]]:
    """Rectangles that hold all open pixels with a margin around them; the whole picture where they fill it.

    Boxes around openings are joined as long as one costs less to paint than two. Those that are left may overlap where
    nothing is open: each open pixel lies in one of them, each opening whole.

    Args:
        margin: pixels around each opening.
        least: pixels a side; a box is thought to cost a square of this side besides its own pixels.
        grid: what sides are multiples of, as far as the picture goes.
        whole: share of the picture from which on it is taken whole.
    """
    height, width = open_.shape
    if not open_.any():
        return []
    everything = [(slice(0, height), slice(0, width))]
    for reach in (grid << n for n in range(max(height, width).bit_length())):
        near = cv2.dilate(open_.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
        if near.mean() > whole:
            return everything
        count, _, stats, _ = cv2.connectedComponentsWithStats(near)
        if count <= MOST_BOXES + 1:
            break
    left, top, wide, high = stats[1:, :4].T
    more = max(margin - reach, 0)
    rows = _sides(top, top + high, more, (grid, least, height))
    columns = _sides(left, left + wide, more, (grid, least, width))
    boxes = _parted(_joined(np.stack([*rows, *columns], axis=1), least * least), open_)
    if _areas(boxes).sum() > whole * height * width:
        return everything
    return [(slice(a, b), slice(c, d)) for a, b, c, d in boxes.tolist()]


def _sides(
    start: Int[np.ndarray, " n"], end: Int[np.ndarray, " n"], more: int, limits: tuple[int, int, int]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Sections a margin longer, on a grid, no shorter than `least`, inside the picture."""
    grid, least, length = limits
    first = np.maximum(start - more, 0) // grid * grid
    last = np.minimum(np.maximum(-(-(end + more) // grid) * grid, first + least), length)
    return np.clip(np.minimum(first, last - least), 0, None), last


def _joined(boxes: Int[np.ndarray, "n 4"], own: int) -> Int[np.ndarray, "m 4"]:
    """Boxes (top, bottom, left, right), two made one while that saves most; `own` is what a box costs by itself."""
    while len(boxes) > 1:
        both = boxes[:, None], boxes[None]
        lower, upper = np.minimum(*both), np.maximum(*both)
        join = np.stack([lower[..., 0], upper[..., 1], lower[..., 2], upper[..., 3]], axis=-1)
        saved = _areas(boxes)[:, None] + _areas(boxes)[None] + own - _areas(join)
        np.fill_diagonal(saved, -1)
        a, b = np.unravel_index(np.argmax(saved), saved.shape)
        if saved[a, b] < 0:
            break
        boxes = np.concatenate([np.delete(boxes, [a, b], axis=0), join[a, b][None]])
    return boxes


def _parted(boxes: Int[np.ndarray, "n 4"], open_: Bool[np.ndarray, "h w"]) -> Int[np.ndarray, "m 4"]:
    """Boxes that share open pixels made one, so that none is painted twice and no opening is cut."""
    for a in range(len(boxes)):
        for b in range(a + 1, len(boxes)):
            low, high = np.maximum(boxes[a], boxes[b]), np.minimum(boxes[a], boxes[b])
            if open_[low[0] : max(high[1], 0), low[2] : max(high[3], 0)].any():
                join = np.where([True, False] * 2, high, low)
                return _parted(np.concatenate([np.delete(boxes, [a, b], axis=0), join[None]]), open_)
    return boxes


def _areas(boxes: Int[np.ndarray, "*n 4"]) -> Int[np.ndarray, "*n"]:
    return (boxes[..., 1] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 2])
