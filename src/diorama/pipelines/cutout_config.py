"""How one subject is cut out of a picture or a clip, as options; importing this loads nothing heavy."""

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from diorama.errors import UsageError

MOST_FRAMES = 256
"""Frames of a clip that may be asked for."""


@dataclass(frozen=True)
class CutoutConfig:
    """Which subject is cut out of a picture or clip, and from which frames of it."""

    subject: Literal["auto", "person", "object"] = "auto"
    """What it is; auto: a person where one fills enough of the picture, else an object."""
    mask: str = ""
    """Its coverage, white where it is: a picture, a grey video or a folder of pictures, one mask a frame; one picture
    for a clip is where following begins."""
    box: tuple[float, float, float, float] | None = None
    """Left, top, right and bottom around the subject in the first frame, 0 to 1 of the picture's width and height."""
    person: int | None = None
    """Which of several people, counted from 1 from the left."""
    segmenter: str = ""
    """Who outlines an object where nothing plainer tells it: a folder with SAM 2, or its name; default: GrabCut."""
    frames: int = 16
    """Frames taken of a clip, evenly over its length."""
    seconds: float | int = 0.0
    """Length of the part of the clip that is used, from its beginning; 0: all of it."""
    fps: float | int = 0.0
    """Frames taken each second from the beginning on, instead of evenly over the length; 0: evenly."""
    tolerant: bool = False
    """Use what a damaged file still holds."""

    def __post_init__(self) -> None:
        if not 1 <= self.frames <= MOST_FRAMES:
            raise UsageError(f"{self.frames} frames", "--frames", f"give 1 to {MOST_FRAMES}")
        for name, value in (("--seconds", self.seconds), ("--fps", self.fps)):
            if not (isfinite(value) and value >= 0):
                raise UsageError(f"{value}", name, "give a number above 0, or 0 for none")
        if self.person is not None and self.person < 1:
            raise UsageError(f"person {self.person}", "--person", "people count from 1, from the left")
        if self.box is not None:
            self._check_box(self.box)
        given = [f"--{name}" for name in ("mask", "box", "person") if getattr(self, name) not in ("", None)]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)}", given[-1], "give one of them; each says what the subject is")
        if self.person is not None and self.subject == "object":
            raise UsageError("an object that is a person", "--person", "leave out --subject object")
        if self.box is not None and self.subject == "person":
            raise UsageError("a box around a person", "--box", "choose a person by --person, from the left")

    def _check_box(self, box: tuple[float, ...]) -> None:
        if not (len(box) == 4 and all(isfinite(v) and 0 <= v <= 1 for v in box)):
            raise UsageError(f"a box {box}", "--box", "give left, top, right, bottom, each 0 to 1")
        left, top, right, bottom = box
        if right - left < 0.01 or bottom - top < 0.01:
            raise UsageError(f"an empty box {box}", "--box", "give left, top, right, bottom, each 0 to 1")
