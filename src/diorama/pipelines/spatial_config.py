"""How a clip becomes a scene to look around in, as options; importing this loads nothing heavy."""

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from diorama.errors import UsageError
from diorama.pipelines.choices import check_choices

Write = Literal["page", "films", "ply", "splat", "glb"]
EVERYTHING: tuple[Write, ...] = ("page", "films", "ply", "splat", "glb")


@dataclass(frozen=True)
class SpatialConfig:
    """The scene."""

    views: int = 8
    """Cameras that the clip is seen from before the scene is fitted to what they see: 3 to 32, in a ring from 2."""
    layout: Literal["middle", "circle"] = "middle"
    """How they stand: in a row around the clip's own, or in a ring, with the clip's own as one more in its middle."""
    baseline: float = 0.08
    """From the first camera to the last, for a nearest point at 0.9 m (0.08 as published); at most 0.2."""
    most_frames: int = 16
    """Frames that the scene is fitted to, up to 128; of a longer clip, as many evenly apart."""
    width: int = 288
    """At which it is fitted, pixels; 192 with 1000 iterations is quick."""
    engine: Literal["fast", "generative"] = "generative"
    """What fills what the clip does not show: the background beside it, or a video network."""
    motion: Literal["nodes", "mlp"] = "nodes"
    """What moves the scene: nodes, or a network as published (slow without a GPU)."""
    iterations: int = 3000
    """Pictures that the fit looks at."""
    eyes: float = 0.03
    """Between the eyes of the stereo film, metres as `baseline`."""
    slow: int = 4
    """Pictures of the film in slow motion for each frame."""
    write: tuple[Write, ...] = EVERYTHING
    """What is written beside the scene itself."""

    def __post_init__(self) -> None:
        check_choices(self)
        if not (3 if self.layout == "middle" else 2) <= self.views <= 32:
            raise UsageError(f"{self.views} views", "--views", "give 3 to 32 (in a circle, 2)")
        if not (isfinite(self.baseline) and 0 <= self.baseline <= 0.2):
            fix = "give 0 (no parallax) to 0.2; beyond that there are more holes than scene"
            raise UsageError(f"a baseline of {self.baseline}", "--baseline", fix)
        if not (isfinite(self.eyes) and 0 <= self.eyes <= 0.2):
            raise UsageError(f"eyes {self.eyes} apart", "--eyes", "give 0 to 0.2")
        if not 1 <= self.most_frames <= 128:
            raise UsageError(f"{self.most_frames} frames", "--most-frames", "give 1 to 128")
        if not 64 <= self.width <= 1920:
            raise UsageError(f"a width of {self.width}", "--width", "give 64 to 1920")
        if not 1 <= self.iterations <= 200_000:
            raise UsageError(f"{self.iterations} iterations", "--iterations", "3000 is usual")
        if not 1 <= self.slow <= 32:
            raise UsageError(f"{self.slow} pictures a frame", "--slow", "give 1 to 32")
