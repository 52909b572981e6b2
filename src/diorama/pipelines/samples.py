"""A few moments of a film, kept in the work folder for the report, so that they outlive an interruption."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from diorama.media.atomic import atomic_path
from diorama.pipelines.frames import Rendered
from diorama.pipelines.report import Sample

WIDTH = 960


@dataclass(frozen=True)
class SampleFolder:
    """Reduced pictures of single frames, one `.npz` each."""

    path: Path

    def keep(self, rendered: Rendered) -> None:
        """Store one frame, at most `WIDTH` pixels wide."""
        frame = rendered.seen.tracked.frame
        with atomic_path(self.path / f"sample-{rendered.seen.place:07d}.npz") as partial, partial.open("wb") as file:
            np.savez(
                file,
                seconds=rendered.seconds,
                source=_reduced(frame.image),
                left=_reduced(rendered.eyes.views[0]),
                right=_reduced(rendered.eyes.views[-1]),
                inverse_depth=_reduced(rendered.inverse_depth),
                known=_reduced(rendered.eyes.known[-1].astype(np.uint8)).astype(bool),
            )

    def load(self) -> list[Sample]:
        """All stored frames in order."""
        samples = []
        for path in sorted(self.path.glob("sample-*.npz")):
            with np.load(path, allow_pickle=False) as stored:
                fields = {name: stored[name] for name in ("source", "left", "right", "inverse_depth", "known")}
                samples.append(Sample(float(stored["seconds"]), **fields))
        return samples


def _reduced(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    if width <= WIDTH:
        return image
    size = (WIDTH, max(1, round(height * WIDTH / width)))
    mask = image.dtype == np.uint8 and image.ndim == 2
    return cv2.resize(image, size, interpolation=cv2.INTER_NEAREST if mask else cv2.INTER_AREA)
