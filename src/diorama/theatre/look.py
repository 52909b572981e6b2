"""Pictures of pictures: many put together on one sheet, to be looked at."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int, UInt8

from diorama.errors import UsageError

GAP = 4
PAPER = 24
"""The grey between pictures."""


def contact_sheet(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]], columns: int, *, gap: int = GAP, paper: int = PAPER
) -> UInt8[np.ndarray, "h w 3"]:
    """Pictures of one size in rows of `columns`.

    Args:
        images: RGB.
        columns: 1 or more.
        gap: pixels between and around them.
        paper: the grey of gaps and of places without a picture, 0..255.

    Raises:
        UsageError: none, of different sizes, or no columns.
    """
    if not images or columns < 1 or len({image.shape for image in images}) > 1:
        sizes = sorted({image.shape[:2] for image in images})
        raise UsageError(f"{len(images)} pictures of sizes {sizes} in {columns} columns", "contact_sheet")
    height, width, _ = images[0].shape
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), paper, np.uint8)
    for i, image in enumerate(images):
        top, left = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def depth_picture(depth: Float32[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Inverse depth in grey, near is bright, over the range that the picture holds."""
    inverse = np.where(np.isfinite(depth), 1 / np.maximum(depth, 1e-6), 0)
    low, high = np.percentile(inverse, [1, 99])
    grey = np.rint(255 * np.clip((inverse - low) / max(high - low, 1e-9), 0, 1)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def number_picture(numbers: Int[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Each number from 0 on in a colour of its own, -1 black."""
    hues = (np.arange(256) * 0.618) % 1
    wave = np.clip(np.abs((hues[:, None] * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    table = np.rint(70 + 185 * wave).astype(np.uint8)
    return np.where(numbers[..., None] < 0, 0, table[numbers % 256]).astype(np.uint8)


def flow_picture(flow: Float32[np.ndarray, "h w 2"]) -> UInt8[np.ndarray, "h w 3"]:
    """Direction as hue, length as strength; white stands still, black is not known."""
    known = np.isfinite(flow).all(axis=-1)
    x, y = np.where(known, flow[..., 0], 0), np.where(known, flow[..., 1], 0)
    length = np.hypot(x, y)
    share = np.clip(length / max(float(np.percentile(length, 99)), 1e-6), 0, 1)[..., None]
    hue = (np.arctan2(y, x) / (2 * np.pi)) % 1
    wave = np.clip(np.abs((hue[..., None] * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return np.where(known[..., None], np.rint(255 * (1 - share * (1 - wave))), 0).astype(np.uint8)
