"""Outlines of people from SAM 2 (Ravi et al., 2024), frame by frame: prompted once by a box, then led by memory.

Everybody has a session of its own, so that people come and go; all share the features of the frame. A session keeps
what the network reads of the past (the prompted frame, a few frames of features, a few more pointers) and nothing else:
memory does not grow with the clip. Where outline and box part, and nobody else is near who could be meant, the box is
believed and the session begins anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from diorama.core.extras import need
from diorama.core.person import Box
from diorama.core.video import Pixels
from diorama.perception.people_hub import Answerer, Question, pair_of
from diorama.perception.people_mask import SoftMask
from diorama.perception.people_track import TOUCH, box_overlap

SEGMENTER = Question("segmenter", "segmenter of clips", {"sam2_video": "Sam2VideoModel"})
LONGEST = 1024  # pixels of an outline's longer side
AGREE = 0.5  # overlap of an outline's box and the person's: below, one of them is wrong
FORGET = 30  # frames unseen, after which somebody is prompted again
NOTHING = 0.02  # coverage that is not kept
_BOX = (2, 3)  # what the network calls the corners of a box


@dataclass(eq=False)
class _Followed:
    """One person's session, and the frame it was last shown."""

    session: Any
    seen: int


class HubMasks(Answerer):
    """Outlines the people of consecutive frames; `cut` where a shot begins. Nothing is loaded before the first call.

    Args:
        model: a folder, a catalogue name, or a hub name in the download cache.
        device: "auto", "cpu", "cuda", ...
        note: receives the licence.

    Raises:
        ModelError: see `people_hub.locate`. When called: see `people_hub.Network`.
    """

    def __init__(self, model: str | Path, device: str = "auto", note: Callable[[str], None] = lambda _: None) -> None:
        super().__init__(model, SEGMENTER, device, note)
        self.side = pair_of(self.folder.config.get("image_size", 1024), "image_size", self.folder.path)[0]
        self._people: dict[int, _Followed] = {}
        self._age = 0

    def __call__(self, image: Pixels, boxes: Mapping[int, Box]) -> dict[int, SoftMask | None]:
        """The outline of everybody in the frame by number, given their boxes; None where the network sees nobody."""
        self._age += 1
        for number in [n for n, known in self._people.items() if self._age - known.seen > FORGET]:
            del self._people[number]
        if not boxes:
            return {}
        pixels = self.network.run(lambda one: self.network.resized([one], self.side, self.side), image, "a frame")
        shared = self._cache()
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
            led = self._run(known, pixels, size)
            if _fits(led, box) or any(box_overlap(box, b) > TOUCH for n, b in boxes.items() if n != number):
                return led
        fresh = self._prompted(box, size, shared)
        found = self._run(fresh, pixels, size)
        if known is None or _agreement(found, box) > _agreement(led, box):
            self._people[number] = fresh
            return found
        return led

    def _cache(self) -> Any:
        """Where the features of the frame at hand are kept for everybody."""
        device = self.network.device
        return self._session(device).cache

    def _session(self, device: str) -> Any:
        torch, kinds = need("torch"), need("transformers")
        return kinds.Sam2VideoInferenceSession(
            inference_device=device, inference_state_device=device, video_storage_device=device, dtype=torch.float32
        )

    def _prompted(self, box: Box, size: tuple[int, ...], shared: Any) -> _Followed:
        """A session that will look for what is in the box."""
        torch = need("torch")
        session = self._session(self.network.device)
        session.cache = shared
        most = np.array([size[1], size[0]] * 2, np.float32)
        corners = np.clip(box, 0, most) * (self.side / most)
        prompt = {
            "point_coords": torch.from_numpy(corners.astype(np.float32)).view(1, 1, 2, 2),
            "point_labels": torch.tensor(_BOX, dtype=torch.int32).view(1, 1, 2),
        }
        session.add_point_inputs(session.obj_id_to_idx(1), self._age, prompt)
        session.obj_with_new_inputs = [1]
        return _Followed(session, self._age)

    def _run(self, person: _Followed, pixels: Any, size: tuple[int, ...]) -> SoftMask | None:
        """The person's outline in the frame, which its session remembers."""
        network = self.network
        logits = network.run(
            lambda one: network.module(person.session, frame=one, frame_idx=self._age).pred_masks, pixels, "an outline"
        )
        person.seen = self._age
        self._forget_past(person.session)
        return self._soft(logits, size)

    def _forget_past(self, session: Any) -> None:
        """Leave what the network will read at the next frame: memories of `num_maskmem` - 1 frames, more pointers."""
        config, outputs = self.network.module.config, session.output_dict_per_obj[0]
        past = outputs["non_cond_frame_outputs"]
        for index in [i for i in past if i + config.max_object_pointers_in_encoder <= self._age + 1]:
            del past[index]
        for kept in (*past.values(), *outputs["cond_frame_outputs"].values()):
            kept.pop("high_res_masks", None)
            kept.pop("pred_masks", None)
        for index, kept in past.items():
            if index + config.num_maskmem <= self._age + 1:
                kept.pop("maskmem_features", None)
                kept.pop("maskmem_pos_enc", None)
        session.processed_frames = {}
        session.point_inputs_per_obj[0].clear()
        session.frames_tracked_per_obj[0].clear()

    def _soft(self, logits: Any, size: tuple[int, ...]) -> SoftMask | None:
        """Coverage where there is any, on a grid as fine as the frame or `LONGEST`."""
        torch = need("torch")
        scale = min(1.0, LONGEST / max(size[:2]))
        rows, columns = (max(1, round(side * scale)) for side in size[:2])
        fine = torch.nn.functional.interpolate(
            logits.float().view(1, 1, *logits.shape[-2:]), (rows, columns), mode="bilinear", align_corners=False
        )
        values = torch.sigmoid(fine)[0, 0].cpu().numpy()
        self._check_finite(values)
        return _cut_to_what_is_there(values, (size[0] / rows, size[1] / columns))


def _cut_to_what_is_there(values: Float32[np.ndarray, "h w"], steps: tuple[float, float]) -> SoftMask | None:
    """The mask without empty sides; steps are pixels of the frame, down and across."""
    if values.max() <= 0.5:
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
