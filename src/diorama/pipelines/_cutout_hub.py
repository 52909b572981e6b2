"""Any subject before any background, outlined by SAM 2: prompted by a box in the first frame, then followed."""

from collections.abc import Container, Iterable, Iterator

import numpy as np
from jaxtyping import Bool, Float32

from diorama.core.person import Box
from diorama.errors import UsageError
from diorama.perception.object_hub import ObjectMasks
from diorama.pipelines import _cutout_object as thing
from diorama.pipelines._cutout_clip import View
from diorama.pipelines._cutout_frame import SOLID, main_piece

Shares = tuple[float, float, float, float]


def start_box(view: View, box: Shares | None) -> Box:
    """Where the subject is in the first frame, pixels: as told, or around what GrabCut finds.

    Raises:
        UsageError: nothing is told, and nothing stands out from the background.
    """
    height, width = view.image.shape[:2]
    if box is None:
        mask = thing.first_held(view.image, None).mask
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        ends = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        box = tuple(np.array(ends) / np.tile(mask.shape[::-1], 2))
    return (np.array(box) * np.tile([width, height], 2)).astype(np.float32)


def outlined(
    views: Iterable[View], chosen: Container[int], masks: ObjectMasks, box: Box, notes: list[str]
) -> Iterator[tuple[View, Float32[np.ndarray, "h w"] | None]]:
    """The subject's coverage in the chosen frames, None where it is not seen.

    Args:
        views: chosen frames and those between them, in order.
        chosen: numbers of the chosen ones.
        masks: the network; it is closed in the end.
        box: around the subject in the first frame, pixels.
        notes: told where it is lost.

    Raises:
        UsageError: nothing is seen in the box.
        ModelError: the network does not load or run.
    """
    last: Bool[np.ndarray, "h w"] | None = None
    lost = False
    try:
        for place, view in enumerate(views):
            alpha = masks(view.image, box if place == 0 else None)
            if alpha is not None:
                alpha, _ = main_piece(alpha, last)
                last = alpha >= SOLID
            elif place == 0:
                fix = "say where the subject is by another --box, or leave out --segmenter"
                raise UsageError("SAM 2 sees nothing in the box", "the first frame", fix)
            elif not lost:
                lost = True  # it goes on: what comes back is known again
                notes.append(view.lost)
            if view.index in chosen:
                yield view, alpha
    finally:
        masks.close()
