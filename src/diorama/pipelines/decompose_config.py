"""How a clip is taken apart, as options; importing this loads nothing heavy."""

from dataclasses import dataclass

from diorama.errors import UsageError
from diorama.pipelines.presets import parse_time

MOST = 6
"""People who get layers of their own."""
CONFLICTS = (
    ("detector", "boxes"),
    ("detector", "landmarks"),
    ("detector", "masks"),
    ("segmenter", "masks"),
    ("pose", "landmarks"),
)
"""Networks, and files that say the same."""


@dataclass(frozen=True)
class DecomposeConfig:
    """How a clip is taken apart."""

    start: str = ""
    """Where to begin: seconds, or [hours:]minutes:seconds."""
    end: str = ""
    """Where to stop: seconds, or [hours:]minutes:seconds."""
    people: int = MOST
    """Most people who get layers of their own; those who fill most of the clip come first."""
    boxes: str = ""
    """CSV or JSON with boxes of people, where they are not to be searched for."""
    landmarks: str = ""
    """JSON, or a folder of OpenPose's files, with landmarks of people."""
    masks: tuple[str, ...] = ()
    """Masks of people as number=file, such as 1=mask.mkv: grey video, pictures or an array, one mask a frame."""
    detector: str = ""
    """Who finds people: a folder with RT-DETR, or its name (diorama models list); default: the embedded answer."""
    segmenter: str = ""
    """Who outlines them: a folder with SAM 2, or its name; default: the embedded answer."""
    pose: str = ""
    """Who says how they stand: a folder with ViTPose, or its name; default: the embedded answer."""
    tolerant: bool = False
    """Take apart what a damaged file still holds."""

    def __post_init__(self) -> None:
        if not 1 <= self.people <= MOST:
            raise UsageError(f"{self.people} people", "--people", f"give 1 to {MOST}")
        if self.boxes and self.landmarks:
            raise UsageError("boxes and landmarks", "--boxes", "give one of them; landmarks say where people are too")
        for asked, given in CONFLICTS:
            if getattr(self, asked) and getattr(self, given):
                raise UsageError(f"{given} of a file and a {asked}", f"--{asked}", "give one of them")

    @property
    def span(self) -> tuple[float, float | None]:
        """Start and end, seconds of the clip; None for its end."""
        return parse_time(self.start, "--start") if self.start else 0.0, parse_time(
            self.end, "--end"
        ) if self.end else None
