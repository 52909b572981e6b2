"""SP4D's table in miniature: views and part maps made from one view of creatures that no training has seen.

Two settings, as in the paper: all views of one moment ("multi-view"), and one view of four moments ("multi-frame").
Parts are compared over all pictures of a setting at once, so that parts which change their colour from view to view
count as wrong. The baseline colour-segments each true picture alone, as SAM does, so its parts have no ties.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int16, UInt8

from diorama.bench._parts_truth import Known, known
from diorama.bench.metrics.perceptual import lpips
from diorama.bench.metrics.pixels import decibels
from diorama.bench.metrics.standins import lpips_standin
from diorama.bench.parts_scores import Agreement, agreement
from diorama.core.extras import need
from diorama.core.progress import Progress, Silent
from diorama.diffusion.parts_generate import SIZE, VIEWS, WINDOW, PartsGenerator, PartsSampleConfig, generate_parts
from diorama.errors import UsageError
from diorama.rigging.decode import decode

LEAST = 12
"""Pixels of a true part in all pictures of a setting below which it does not count."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A creature as it is shown to the generator.

    Attributes:
        images, parts: of all views, the input view first.
        family: of the creature.
    """

    images: UInt8[np.ndarray, "v t h w 3"]
    parts: Int16[np.ndarray, "v t h w"]
    family: str


@dataclass(frozen=True)
class ViewRow:
    """Scores of one creature: of all views of the first frame, of the input view over time, and of the colours."""

    family: str
    views: Agreement
    frames: Agreement
    psnr: float
    lpips: float
    silhouette: float


def asked(number: int, *, extreme: bool = False) -> Asked:
    """The creature of a number, at the generator's size, from one of its sides."""
    creature = known(number, views=VIEWS, frames=WINDOW, size=SIZE, extreme=extreme)
    return turned(creature, (3 * number) % VIEWS)


def turned(creature: Known, first: int) -> Asked:
    """Views from `first` on around."""
    order = (first + np.arange(VIEWS)) % VIEWS
    return Asked(creature.table.images[order], creature.table.parts[order].astype(np.int16), creature.family)


def decoded(colored: UInt8[np.ndarray, "v t h w 3"]) -> Int16[np.ndarray, "v t h w"]:
    """The parts of part maps, one number each in all pictures; none where nothing is sure."""
    try:
        return decode(colored).labels
    except UsageError:
        return np.full(colored.shape[:4], -1, np.int16)


def generated_row(network: PartsGenerator, seen: Asked, config: PartsSampleConfig) -> ViewRow:
    """What the generator makes of the input view of a creature: of its first frame, and of four."""
    still = generate_parts(network, seen.images[0, :1], config=config)
    moving = generate_parts(network, seen.images[0], config=config)
    views = agreement(decoded(still.colored)[:, 0], seen.parts[:, 0], least=LEAST)
    frames = agreement(decoded(moving.colored[:1])[0], seen.parts[0], least=LEAST)
    made, true = still.images[1:, 0], seen.images[1:, 0]
    error = float(np.mean((made.astype(np.float64) - true) ** 2)) / 255**2
    shown, real = made.min(axis=-1) < 230, seen.parts[1:, 0] >= 0
    overlap = float((shown & real).sum() / max((shown | real).sum(), 1))
    distance = lpips(lpips_standin(), made, true).value
    return ViewRow(seen.family, views, frames, decibels(error), distance, overlap)


def segmented_row(seen: Asked) -> ViewRow:
    """The baseline: each true picture segmented by colour alone (Felzenszwalb and Huttenlocher 2004)."""
    segment = need("skimage.segmentation").felzenszwalb
    numbers, last = np.full(seen.parts.shape, -1, np.int64), 0
    for view, frame in np.ndindex(seen.parts.shape[:2]):
        inside = seen.parts[view, frame] >= 0
        found = segment(seen.images[view, frame], scale=60, sigma=0.6, min_size=20)
        numbers[view, frame][inside] = np.unique(found[inside], return_inverse=True)[1].reshape(-1) + last
        last = int(numbers.max()) + 1
    views = agreement(numbers[:, 0], seen.parts[:, 0], least=LEAST)
    frames = agreement(numbers[0], seen.parts[0], least=LEAST)
    return ViewRow(seen.family, views, frames, float("nan"), float("nan"), 1.0)


def view_rows(
    measure: Callable[[Asked], ViewRow],
    count: int,
    *,
    extreme: bool = False,
    title: str = "views",
    progress: Progress | None = None,
) -> list[ViewRow]:
    """Rows of the first `count` creatures, or of those in rare poses."""
    told = progress or Silent()
    told.begin(title, count)
    rows = []
    for number in range(count):
        rows.append(measure(asked(number, extreme=extreme)))
        told.advance()
    return rows


def row_of(network: PartsGenerator, config: PartsSampleConfig = PartsSampleConfig()) -> Callable[[Asked], ViewRow]:
    """`generated_row` of a network."""
    return lambda seen: generated_row(network, seen, config)


def view_table(groups: Sequence[tuple[str, Sequence[ViewRow]]]) -> str:
    """A Markdown table, a row a method."""
    head = "| method | mIoU | ARI | F1 | mAcc | frames: mIoU | ARI | F1 | mAcc | PSNR dB | LPIPS* | silhouette |"
    lines = [head, "|---" * 12 + "|"]
    for title, rows in groups:
        cells = [
            f"{np.mean([getattr(getattr(row, setting), name) for row in rows]):.3f}"
            for setting in ("views", "frames")
            for name in ("miou", "ari", "f1", "macc")
        ]
        rest = (np.mean([row.psnr for row in rows]), np.mean([row.lpips for row in rows]))
        more = ["" if np.isnan(value) else f"{value:.3g}" for value in rest]
        cells += [*more, f"{np.mean([row.silhouette for row in rows]):.3f}"]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
