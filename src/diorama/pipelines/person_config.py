"""How somebody of a photo is shown in new poses, as options; importing this loads nothing heavy."""

from dataclasses import dataclass

from diorama.errors import UsageError
from diorama.pipelines.animate_config import PlayConfig


@dataclass(frozen=True)
class PersonConfig(PlayConfig):
    """How somebody of a photo is shown in new poses."""

    motion: str = ""
    """The poses: a picture or a clip of somebody, a file (BVH, AMASS npz, GLB), a scene, or a dance such as walk, wave,
    jump (another word lists them all)."""
    background: str = "photo"
    """photo: what is behind the person there, completed; or another picture, or a colour (white, #3060a0)."""
    person: int | None = None
    """Which of several in the first photo, from 1 at the left (default: the largest)."""
    size: int = 1280
    """Pixels of the longer side, at most."""
    poses: int = 8
    """Poses on the sheet that is made where the output is a picture."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 64 <= self.size <= 4096:
            raise UsageError(f"size {self.size}", "--size", "give 64 to 4096")
        if not 1 <= self.poses <= 64:
            raise UsageError(f"{self.poses} poses", "--poses", "give 1 to 64")
