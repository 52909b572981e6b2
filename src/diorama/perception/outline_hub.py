"""SAM 2 (Ravi et al., 2024) through the frames of a clip: prompted by a box, then led by its memory.

A session follows one subject; all sessions share the features of the frame. It keeps what the network reads of the
past (the prompted frame, a few frames of features, a few more pointers) and nothing else: memory does not grow with the
clip.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from diorama.core.extras import need
from diorama.core.person import Box
from diorama.core.video import Pixels
from diorama.perception.people_hub import Answerer, Question, pair_of

SEGMENTER = Question("segmenter", "segmenter of clips", {"sam2_video": "Sam2VideoModel"})
SEEN = 0.5
"""Coverage that a subject must reach somewhere."""
_BOX = (2, 3)  # what the network calls the corners of a box


@dataclass(eq=False)
class Followed:
    """One subject's session, and the frame it was last shown."""

    session: Any
    seen: int


class Outliner(Answerer):
    """Sessions over consecutive frames, for those who say which subjects there are. Nothing is loaded before use.

    Args:
        model: a folder, a catalogue name, or a hub name in the download cache.
        device: "auto", "cpu", "cuda", ...
        note: receives the licence.
        question: what the network is asked, and which ones can answer.

    Raises:
        ModelError: see `people_hub.locate`. When used: see `people_hub.Network`.
    """

    def __init__(
        self,
        model: str | Path,
        device: str = "auto",
        note: Callable[[str], None] = lambda _: None,
        question: Question = SEGMENTER,
    ) -> None:
        super().__init__(model, question, device, note)
        self.side = pair_of(self.folder.config.get("image_size", 1024), "image_size", self.folder.path)[0]
        self._age = 0

    def _pixels(self, image: Pixels) -> Any:
        """A frame as the network takes it."""
        return self.network.run(lambda one: self.network.resized([one], self.side, self.side), image, "a frame")

    def _cache(self) -> Any:
        """Where the features of the frame at hand are kept for everybody."""
        device = self.network.device
        return self._session(device).cache

    def _session(self, device: str) -> Any:
        torch, kinds = need("torch"), need("transformers")
        return kinds.Sam2VideoInferenceSession(
            inference_device=device, inference_state_device=device, video_storage_device=device, dtype=torch.float32
        )

    def _prompted(self, box: Box, size: tuple[int, ...], shared: Any) -> Followed:
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
        return Followed(session, self._age)

    def _step(self, subject: Followed, pixels: Any) -> Any:
        """Logits of the subject in the frame, which its session remembers."""
        network = self.network
        logits = network.run(
            lambda one: network.module(subject.session, frame=one, frame_idx=self._age).pred_masks, pixels, "an outline"
        )
        subject.seen = self._age
        self._forget_past(subject.session)
        return logits

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

    def _coverage(self, logits: Any, rows: int, columns: int) -> Float32[np.ndarray, "rows columns"]:
        """Logits of one subject as coverage 0..1 on another grid."""
        torch = need("torch")
        fine = torch.nn.functional.interpolate(
            logits.float().view(1, 1, *logits.shape[-2:]), (rows, columns), mode="bilinear", align_corners=False
        )
        values = torch.sigmoid(fine)[0, 0].cpu().numpy()
        self._check_finite(values)
        return np.asarray(values, np.float32)
