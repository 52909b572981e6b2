"""Decoded parts refined by the segmenter that the user names."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Int16, UInt8

from diorama.core.progress import Progress
from diorama.perception.object_hub import PartMasks
from diorama.rigging.refine import refined

Refine = Callable[[UInt8[np.ndarray, "v t h w 3"], Int16[np.ndarray, "v t h w"]], Int16[np.ndarray, "v t h w"]]
"""Part maps and the parts decoded from them, to parts with better borders."""


def refiner(model: str, progress: Progress, note: Callable[[str], None] = lambda _: None) -> Refine | None:
    """Who refines decoded parts; None without a model.

    Args:
        model: a folder with SAM 2, its name in the catalogue, or its hub name in the download cache; empty for none.
        progress: told of pictures, and how often the segmenter agreed.
        note: receives the licence.

    Raises:
        ModelError: no such model, or another one. When called: it does not load or run.
    """
    if not model:
        return None
    masks = PartMasks(model, note=note)

    def refine(
        colored: UInt8[np.ndarray, "v t h w 3"], labels: Int16[np.ndarray, "v t h w"]
    ) -> Int16[np.ndarray, "v t h w"]:
        try:
            found = refined(colored, labels, masks, progress)
        finally:
            masks.close()
        progress.note(f"the segmenter agrees with {found.believed} of {found.asked} parts in pictures")
        return found.labels

    return refine
