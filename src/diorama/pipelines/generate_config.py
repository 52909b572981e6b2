"""How a clip is made from words, a picture, or nothing, as options; importing this loads nothing heavy."""

from dataclasses import asdict, dataclass

from diorama.errors import UsageError
from diorama.media.encoding import Encoding
from diorama.media.fields import Scalar

EMBEDDED = "embedded"
"""What ships: clips of the theatre, no words and no pictures."""
MOST_FRAMES, LEAST_SIDE, MOST_SIDE = 1000, 16, 4096
MOST_WORDS = 10_000
"""Characters of a prompt."""


@dataclass(frozen=True)
class GenerateConfig:
    """How a clip is made."""

    prior: str = EMBEDDED
    """What makes it: embedded (clips of the theatre, from the seed alone); a folder of Zeroscope, of Stable Diffusion
    1.5 with AnimateDiff's motion modules, or of Wan 2.1; or their name in diorama models list."""
    prompt: str = ""
    """What to show, beside a picture (words can also be given first, in its place)."""
    negative_prompt: str | None = None
    """What to steer away from (default: low-quality, blurry, flickering, ghost)."""
    frames: int = 16
    """Frames; more than the prior can take at once are made in windows that overlap."""
    fps: float = 8.0
    """Frames a second."""
    height: int | None = None
    """Pixels (default: what the prior was made for)."""
    width: int | None = None
    """Pixels (default: what the prior was made for)."""
    num_inference_steps: int | None = None
    """Steps of the prior (default: 50)."""
    guidance_scale: float | None = None
    """How far to go towards the prompt; 1 halves the time (default: as released, 7.5; 5 for Wan)."""
    device: str = "auto"
    """auto, cpu or cuda."""
    seed: int = 0
    """Of the noise; of the theatre, what happens."""
    encoding: Encoding = Encoding()

    def __post_init__(self) -> None:
        if not 1 <= self.frames <= MOST_FRAMES:
            raise UsageError(f"{self.frames} frames", "--frames", f"give 1 to {MOST_FRAMES}")
        if not 1 <= self.fps <= 120:
            raise UsageError(f"{self.fps} frames a second", "--fps", "give 1 to 120")
        for name, side in (("--height", self.height), ("--width", self.width)):
            if side is not None and not LEAST_SIDE <= side <= MOST_SIDE:
                raise UsageError(f"{side} pixels", name, f"give {LEAST_SIDE} to {MOST_SIDE}")
        if self.num_inference_steps is not None and self.num_inference_steps < 1:
            raise UsageError(f"{self.num_inference_steps} steps", "--num-inference-steps", "give 1 or more")
        if self.guidance_scale is not None and not 0 <= self.guidance_scale <= 100:
            raise UsageError(f"guidance {self.guidance_scale}", "--guidance-scale", "give 0 to 100; 1 is none")
        if self.seed < 0:
            raise UsageError(f"seed {self.seed}", "--seed", "give 0 or more")
        if len(self.prompt) > MOST_WORDS or len(self.negative_prompt or "") > MOST_WORDS:
            raise UsageError("a prompt of a book's length", "--prompt", f"give at most {MOST_WORDS} characters")
        if not self.prior:
            raise UsageError("no prior", "--prior", "give embedded, a folder, or a name of diorama models list")

    def for_recipe(self, prompt: str, image: str) -> dict[str, Scalar]:
        """All options, as a recipe keeps them: the prior by its name, wherever it lies.

        Args:
            prompt: what was shown, wherever it was given.
            image: name of the picture that the clip begins with; empty where there is none.
        """
        from diorama.pipelines.recipe_models import named  # heavy: only where there is a recipe

        options = {**asdict(self.encoding), **asdict(self), "prompt": prompt, "image": image}
        del options["encoding"]
        return options | {"prior": named(self.prior)}
