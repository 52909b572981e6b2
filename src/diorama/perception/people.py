"""The embedded answer to "where is the person": the pose network inside the mediapipe wheel, offline.

It sees one person a frame. It runs on every fourth frame; in between the mask follows the flow. The network's own
tracking stays off: it is made for every frame, and loses the body when it sees only some.
"""

import importlib.metadata
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from diorama.core.extras import available, need
from diorama.perception._mediapipe import hush as _hush
from diorama.perception._mediapipe import quiet as _quiet
from diorama.perception.base import Tracked
from diorama.perception.flow import pull

EVERY = 4  # frames: 75 ms a call on one core, and flow carries a mask over three frames without visible loss
LEAST_SHARE = 0.002  # of the frame: a smaller mask is noise

Soft = Float32[np.ndarray, "sh sw"]


def people_available() -> bool:
    """Whether the extra ``people`` is installed."""
    return available("mediapipe")


class MediapipePeople:
    """Segments the most prominent person; a `PeopleSegmenter`.

    Frames of a shot come in order. Every shot starts from fresh state, so a replay from its first frame gives the same
    masks. Nothing is loaded before the first call; `close` frees the network.

    Raises (when called):
        ModelError: mediapipe is not installed or not usable.
    """

    name = "mediapipe"

    def __init__(self) -> None:
        self._pose: Any = None
        self._soft: Soft | None = None
        self._age = 0

    def __call__(self, tracked: Tracked) -> Bool[np.ndarray, "sh sw"] | None:
        """The person's mask on ``tracked.small``, None where nobody is found."""
        if tracked.first or tracked.flow is None or self._pose is None:
            self._age, self._soft = 0, self._first(tracked)
        elif self._age % EVERY == 0:
            self._soft = self._look(tracked)
        elif self._soft is not None:
            self._soft = pull(self._soft, tracked.flow)
        self._age += 1
        return None if self._soft is None else clean(self._soft)

    @property
    def release(self) -> str:
        """Name and version of the package, for the recipe."""
        return f"{self.name}-{importlib.metadata.version(self.name)}"

    def close(self) -> None:
        """Free the network; a later call loads it again."""
        if self._pose is not None:
            self._pose.close()
        self._pose, self._soft, self._age = None, None, 0

    def _first(self, tracked: Tracked) -> Soft | None:
        if self._pose is not None:
            return self._look(tracked)
        _hush()
        pose = need("mediapipe.python.solutions.pose")
        with _quiet():  # 0.3 s: the network reports itself when it is made and when it first runs
            # Complexity 1 is the one network inside the wheel: 0 and 2 would be fetched from the network.
            self._pose = pose.Pose(model_complexity=1, enable_segmentation=True, static_image_mode=True)
            return self._look(tracked)

    def _look(self, tracked: Tracked) -> Soft | None:
        mask = self._pose.process(tracked.small).segmentation_mask
        return None if mask is None else np.array(mask, np.float32)


def clean(soft: Soft) -> Bool[np.ndarray, "sh sw"] | None:
    """The mask without specks: parts of at least a tenth of the largest; None when nothing of size is left."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((soft > 0.5).astype(np.uint8), connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if count < 2 or areas.max() < LEAST_SHARE * soft.size:
        return None
    kept = np.concatenate([[False], areas >= areas.max() / 10])
    return np.asarray(kept[labels])
