"""Outlines of any object from SAM 2 (Ravi et al., 2024): one subject through a clip, or the parts of one picture."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from diorama.core.extras import need
from diorama.core.person import Box
from diorama.core.video import Pixels
from diorama.errors import UsageError
from diorama.perception.outline_hub import SEEN, SEGMENTER, Followed, Outliner

# The same weights hold both: what follows through clips is left out where there is one picture.
PICTURES = replace(SEGMENTER, classes={"sam2_video": "Sam2Model"})
TOGETHER = 16
"""Prompts that are answered at once."""


class ObjectMasks(Outliner):
    """Outlines one subject of consecutive frames. Nothing is loaded before the first call.

    Args:
        model: a folder, a catalogue name, or a hub name in the download cache.
        device: "auto", "cpu", "cuda", ...
        note: receives the licence.

    Raises:
        ModelError: see `people_hub.locate`. When called: see `people_hub.Network`.
    """

    _subject: Followed | None = None

    def __call__(self, image: Pixels, box: Box | None = None) -> Float32[np.ndarray, "h w"] | None:
        """Coverage 0..1 of the subject in the next frame, None where it is not seen.

        Args:
            image: the frame.
            box: left, top, right, bottom around the subject, pixels of the frame: it is followed from here on.

        Raises:
            UsageError: the first frame has no box.
        """
        self._age += 1
        size, pixels, shared = image.shape[:2], self._pixels(image), self._cache()
        if box is not None:
            self._subject = self._prompted(box, size, shared)
        if self._subject is None:
            raise UsageError("a frame without a box", "ObjectMasks", "give one with the first frame")
        self._subject.session.cache = shared
        alpha = self._coverage(self._step(self._subject, pixels), *size)
        return alpha if alpha.max() > SEEN else None

    def close(self) -> None:
        """Forget the subject, free the network; a later call with a box loads it again."""
        self._subject = None
        super().close()


class PartMasks(Outliner):
    """Outlines what is at given places of a picture. Nothing is loaded before the first call.

    Args:
        model: a folder, a catalogue name, or a hub name in the download cache.
        device: "auto", "cpu", "cuda", ...
        note: receives the licence.

    Raises:
        ModelError: see `people_hub.locate`. When called: see `people_hub.Network`.
    """

    def __init__(self, model: str | Path, device: str = "auto", note: Callable[[str], None] = lambda _: None) -> None:
        super().__init__(model, device, note, PICTURES)

    def __call__(
        self, picture: UInt8[np.ndarray, "h w 3"], points: Float32[np.ndarray, "k 2"], boxes: Float32[np.ndarray, "k 4"]
    ) -> Bool[np.ndarray, "k h w"]:
        """One mask for each place.

        Args:
            picture: RGB.
            points: x and y within each part, pixels from the upper left edge.
            boxes: left, top, right, bottom around it, the same.
        """
        height, width = picture.shape[:2]
        found = np.zeros((len(points), height, width), bool)
        across = np.array([self.side / width, self.side / height], np.float32)
        places, corners = points * across, boxes * np.tile(across, 2)
        seen: dict[str, Any] = {"pixel_values": self._pixels(picture)} if len(points) else {}
        for start in range(0, len(points), TOGETHER):
            some = slice(start, start + TOGETHER)
            answer = self._answered(seen, places[some], corners[some])
            seen = {"image_embeddings": answer.image_embeddings}
            found[some] = self._masks(answer.pred_masks, height, width)
        return found

    def _answered(self, seen: dict[str, Any], places: np.ndarray, corners: np.ndarray) -> Any:
        torch, network = need("torch"), self.network

        def ask(prompts: tuple[np.ndarray, np.ndarray]) -> Any:
            inside, around = (torch.from_numpy(one).to(network.device) for one in prompts)
            return network.module(
                **seen, input_points=inside[None, :, None], input_boxes=around[None], multimask_output=False
            )

        return network.run(ask, (places, corners), "outlines of parts")

    def _masks(self, logits: Any, height: int, width: int) -> Bool[np.ndarray, "k h w"]:
        torch = need("torch")
        fine = torch.nn.functional.interpolate(
            logits.float().view(-1, 1, *logits.shape[-2:]), (height, width), mode="bilinear", align_corners=False
        )
        values = fine[:, 0].cpu().numpy()
        self._check_finite(values)
        return np.asarray(values > 0)
