"""Boxes of people from RT-DETR and its kin (Zhao et al., CVPR 2024): every frame is looked at as a whole."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

from diorama.core.extras import need
from diorama.core.person import Box
from diorama.core.video import Pixels
from diorama.errors import ModelError
from diorama.perception import hub
from diorama.perception.people_hub import AS_IT_IS, Answerer, Question, stated_size
from diorama.perception.people_track import box_overlap

DETECTOR = Question(
    "detector",
    "detector of people",
    {
        "rt_detr": "RTDetrForObjectDetection",
        "rt_detr_v2": "RTDetrV2ForObjectDetection",
        "d_fine": "DFineForObjectDetection",
    },
    AS_IT_IS,
)
SIZE = (640, 640)
LEAST_SCORE = 0.3  # of somebody known; new people need `people_hub_find.START`
LEAST_BOX = 8.0  # pixels of its shorter side: nothing to see in less
SAME = 0.8  # overlap of two boxes, from which on they are one
MOST = 12  # people in a frame
NAMES = frozenset({"person", "people", "human", "pedestrian"})


@dataclass(frozen=True, eq=False)
class Found:
    """Where somebody is: box in pixels of the frame and within it, score 0..1."""

    box: Box
    score: float


class HubDetector(Answerer):
    """Finds people in frames, those of a batch at once; nothing is loaded before the first call.

    Args:
        model: a folder, a catalogue name, or a hub name in the download cache.
        device: "auto", "cpu", "cuda", ...
        note: receives the licence.

    Raises:
        ModelError: see `people_hub.locate`; a network that knows no people. When called: see `people_hub.Network`.
    """

    def __init__(self, model: str | Path, device: str = "auto", note: Callable[[str], None] = lambda _: None) -> None:
        super().__init__(model, DETECTOR, device, note)
        self.size = stated_size(self.folder, SIZE)
        self.labels = labels_of(self.folder)

    def __call__(self, images: Sequence[Pixels]) -> list[list[Found]]:
        """People of each frame, the surest first."""
        network, out = self.network, list[list[Found]]()
        for start in range(0, len(images), network.batch):
            part = images[start : start + network.batch]
            scores, boxes = network.run(self._looked, part, f"detection in {len(part)} frames")
            sizes = [image.shape[:2] for image in part]
            out += [found_in(s, b, size) for s, b, size in zip(scores, boxes, sizes, strict=True)]
        return out

    def _looked(self, images: Sequence[Pixels]) -> tuple[Float32[np.ndarray, "b q"], Float32[np.ndarray, "b q 4"]]:
        torch = need("torch")
        answer = self.network.module(pixel_values=self.network.resized(images, *self.size))
        scores = torch.sigmoid(answer.logits[..., self.labels]).amax(dim=-1)
        found = scores.float().cpu().numpy(), answer.pred_boxes.float().cpu().numpy()
        self._check_finite(*found)
        return found


def labels_of(folder: hub.ModelFolder) -> list[int]:
    """Numbers of the labels that mean people.

    Raises:
        ModelError: there is none.
    """
    names = folder.config.get("id2label")
    names = names if isinstance(names, dict) else {}
    found = sorted(int(k) for k, v in names.items() if str(k).isdecimal() and str(v).strip().lower() in NAMES)
    if not found or found[-1] >= len(names):
        what = f"a detector of {len(names)} kinds of things, none of them called person"
        raise ModelError(what, folder.path, 'id2label of its config.json must name a label "person"')
    return found


def found_in(
    scores: Float[np.ndarray, "q"], boxes: Float[np.ndarray, "q 4"], size: tuple[int, ...], least: float = LEAST_SCORE
) -> list[Found]:
    """People from a network's answer for one frame, the surest first, each once.

    Args:
        scores: 0..1.
        boxes: middle (x, y), width and height, of the frame's sides.
        size: of the frame, height and width.
        least: score.
    """
    height, width = size[:2]
    middle, half = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64) / 2
    corners = np.concatenate([middle - half, middle + half], axis=1).clip(0, 1) * [width, height, width, height]
    kept: list[Found] = []
    for place in np.argsort(-scores, kind="stable"):
        box, score = corners[place].astype(np.float32), float(scores[place])
        if score < least or len(kept) == MOST:
            break
        if (box[2:] - box[:2]).min() >= LEAST_BOX and not any(box_overlap(box, other.box) > SAME for other in kept):
            kept.append(Found(box, min(score, 1.0)))
    return kept
