"""Options of upscaling: how much, and by what."""

from dataclasses import dataclass
from typing import Literal, get_args

from diorama.errors import UsageError

Times = Literal[1, 2, 4]
EMBEDDED = "embedded"
GIVE = f"give {EMBEDDED} (which is upscale-s), or a folder or hub name of Swin2SR"
"""What an upscaler can be."""


@dataclass(frozen=True)
class Upscale:
    """Larger pictures for every eye, in step with each other and over time."""

    upscale: Times = 1
    """How many times the width and height of the result; 1: as it is."""
    upscaler: str = EMBEDDED
    """embedded, or a model of the family Swin2SR: a folder, or its name on the hub."""

    def __post_init__(self) -> None:
        if self.upscale not in get_args(Times):
            raise UsageError(f"upscale {self.upscale!r}", "--upscale", "give 1, 2 or 4")
        if not self.upscaler.strip():
            raise UsageError("no upscaler", "--upscaler", GIVE)
