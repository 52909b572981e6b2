"""How an object is shown from all around with its parts, as options; importing this loads nothing heavy."""

from dataclasses import dataclass

from diorama.errors import UsageError
from diorama.pipelines.cutout_config import CutoutConfig


@dataclass(frozen=True, kw_only=True)
class PartsConfig(CutoutConfig):
    """How an object is shown from all around with its parts."""

    model: str = "embedded"
    """embedded: what ships; a file trained here (parts-s.safetensors); or SP4D as released: its file or folder."""
    steps: int | None = None
    """Of the sampler (default: 1; 50 for SP4D as released)."""
    guidance: tuple[float, float] | None = None
    """Of the first and the last frame of a window (default: 1 1; 1 3 for SP4D as released)."""
    seed: int = 0
    """Of the noise."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps is not None and not 1 <= self.steps <= 1000:
            raise UsageError(f"{self.steps} steps", "--steps", "give 1 to 1000")
        if self.guidance is not None and not all(0 <= value <= 20 for value in self.guidance):
            raise UsageError(f"guidance {self.guidance}", "--guidance", "give two numbers from 0 to 20")
        if self.seed < 0:
            raise UsageError(f"seed {self.seed}", "--seed", "give 0 or more")
