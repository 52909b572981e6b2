"""Outlines of people from SAM 2 (Ravi et al., 2024), frame by frame: prompted once by a box, then led by memory.

Everybody has a session of its own, so that people come and go. Where outline and box part, and nobody else is near who
could be meant, the box is believed and the session begins anew.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from diorama.core.person import Box
from diorama.core.video import Pixels
from diorama.perception.outline_hub import SEEN, Followed, Outliner
from diorama.perception.people_mask import SoftMask
from diorama.perception.people_track import TOUCH, box_overlap

LONGEST = 1024  # pixels of an outline's longer side
AGREE = 0.5  # overlap of an outline's box and the person's: below, one of them is wrong
FORGET = 30  # frames unseen, after which somebody is prompted again
NOTHING = 0.02  # coverage that is not kept


class HubMasks(Outliner):
    """Outlines the people of consecutive frames; `cut` where a shot begins. Nothing is loaded before the first call.

    Args:
        model: a folder, a catalogue name, or a hub name in the download cache.
        device: "auto", "cpu", "cuda", ...
        note: receives the licence.

    Raises:
        ModelError: see `people_hub.locate`. When called: see `people_hub.Network`.
    """

    def __init__(self, model: str | Path, device: str = "auto", note: Callable[[str], None] = lambda _: None) -> None:
        super().__init__(model, device, note)
        self._people: dict[int, Followed] = {}

    def __call__(self, image: Pixels, boxes: Mapping[int, Box]) -> dict[int, SoftMask | None]:
        """The outline of everybody in the frame by number, given their boxes; None where the network sees nobody."""
        self._age += 1
        for number in [n for n, known in self._people.items() if self._age - known.seen > FORGET]:
            del self._people[number]
        if not boxes:
            return {}
        pixels, shared = self._pixels(image), self._cache()
        return {number: self._outlined(number, image, boxes, pixels, shared) for number in boxes}

    def cut(self) -> None:
        """Forget everybody."""
        self._people = {}

    def close(self) -> None:
        """Forget everybody, free the network; a later call loads it again."""
        self.cut()
        super().close()

    def _outlined(
        self, number: int, image: Pixels, boxes: Mapping[int, Box], pixels: Any, shared: Any
    ) -> SoftMask | None:
        box, known, size = boxes[number], self._people.get(number), image.shape[:2]
        led = None
        if known is not None:
            known.session.cache = shared
            led = self._soft(self._step(known, pixels), size)
            if _fits(led, box) or any(box_overlap(box, b) > TOUCH for n, b in boxes.items() if n != number):
                return led
        fresh = self._prompted(box, size, shared)
        found = self._soft(self._step(fresh, pixels), size)
        if known is None or _agreement(found, box) > _agreement(led, box):
            self._people[number] = fresh
            return found
        return led

    def _soft(self, logits: Any, size: tuple[int, ...]) -> SoftMask | None:
        """Coverage where there is any, on a grid as fine as the frame or `LONGEST`."""
        scale = min(1.0, LONGEST / max(size[:2]))
        rows, columns = (max(1, round(side * scale)) for side in size[:2])
        values = self._coverage(logits, rows, columns)
        return _cut_to_what_is_there(values, (size[0] / rows, size[1] / columns))


def _cut_to_what_is_there(values: Float32[np.ndarray, "h w"], steps: tuple[float, float]) -> SoftMask | None:
    """The mask without empty sides; steps are pixels of the frame, down and across."""
    if values.max() <= SEEN:
        return None
    down, across = (np.flatnonzero((values > NOTHING).any(axis=axis)) for axis in (1, 0))
    # A rim of nothing: the mask ends within its grid.
    top, left = max(down[0] - 1, 0), max(across[0] - 1, 0)
    part = np.ascontiguousarray(values[top : down[-1] + 2, left : across[-1] + 2])
    to_frame = [[steps[1], 0, left * steps[1]], [0, steps[0], top * steps[0]]]
    return SoftMask(part, np.array(to_frame, np.float64))


def _agreement(mask: SoftMask | None, box: Box) -> float:
    """How far the box around an outline is the person's, 0..1."""
    bounds = None if mask is None else mask.bounds()
    return 0.0 if bounds is None else box_overlap(bounds, box)


def _fits(mask: SoftMask | None, box: Box) -> bool:
    return _agreement(mask, box) >= AGREE
