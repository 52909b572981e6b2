"""How characters are put into a scene, as options; importing this loads nothing heavy."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from diorama.errors import UsageError
from diorama.media.encoding import Encoding
from diorama.media.fields import Scalar

Engine = Literal["preview", "diffusion"]
Shape = Literal["character", "actor"]
NAMED = "embedded"
"""What the embedded networks are called where networks are asked for."""


@dataclass(frozen=True, kw_only=True)
class PlayConfig:
    """How a character is drawn, and how the film is written."""

    motion: str = ""
    """What the character does (default: as the actor it replaces): a file (BVH, AMASS npz, GLB), a picture or a clip of
    somebody, another scene, or a dance such as walk, wave, jump."""
    engine: Engine = "preview"
    """preview: the textured body itself; diffusion: a generator on top: soft with what ships, made for --model."""
    model: str = ""
    """Networks: embedded (default); a file or folder that was trained here; or a folder of released ones (MIMO,
    Moore-AnimateAnyone), as downloaded or converted, whose own steps and guidance hold where these are not given."""
    num_inference_steps: int | None = None
    """Steps of the generator (default: 12; released networks have their own)."""
    guidance_scale: float | None = None
    """How far the generator goes towards the character's looks; 1 halves the time (default: 1.5; 3.5 as released)."""
    strength: float | None = None
    """Where the generator begins: 1 from noise, lower from the preview (default: 0.5; 1 for released networks)."""
    seconds: float | None = None
    """How long before a picture or a colour (default: 4 of a dance, all of any other motion)."""
    fps: float = 25.0
    """Frames a second before a picture."""
    at: tuple[float, float, float] = (0.5, 0.92, 0.7)
    """Where to stand where nobody stood: feet from the left and from the top, and height, as parts of the picture."""
    travel: bool = False
    """Whether the motion leads the person away, out of the picture too; else it moves on its place."""
    seed: int = 0
    """Of the noise, the grain, and the style of a dance."""
    encoding: Encoding = Encoding()

    def __post_init__(self) -> None:
        if self.num_inference_steps is not None and self.num_inference_steps < 1:
            raise UsageError(f"{self.num_inference_steps} steps", "--num-inference-steps", "give 1 or more")
        if self.guidance_scale is not None and not 0 <= self.guidance_scale <= 100:
            raise UsageError(f"guidance {self.guidance_scale}", "--guidance-scale", "give 0 to 100; 1 is none")
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise UsageError(f"strength {self.strength}", "--strength", "give 0 to 1")
        if self.seed < 0:
            raise UsageError(f"seed {self.seed}", "--seed", "give 0 or more")
        if self.seconds is not None and not 0.04 <= self.seconds <= 600:
            raise UsageError(f"{self.seconds} seconds", "--seconds", "give 0.04 to 600")
        if not 1 <= self.fps <= 120:
            raise UsageError(f"{self.fps} frames a second", "--fps", "give 1 to 120")
        if not (all(-1 <= value <= 2 for value in self.at) and self.at[2] >= 0.02):
            raise UsageError(f"at {self.at}", "--at", "give parts of the picture, such as 0.5 0.92 0.7")

    def for_recipe(self, *paths: str) -> dict[str, Scalar]:
        """All options, as a recipe keeps them.

        Args:
            paths: options that name files, which are kept without their folders: where they lie is nobody's business.
        """
        options = {**asdict(self.encoding), **asdict(self), "at": str(self.at)}
        del options["encoding"]
        return options | {name: Path(str(options[name])).name for name in paths}


@dataclass(frozen=True)
class AnimateConfig(PlayConfig):
    """How characters are put into a scene."""

    character: tuple[str, ...] = ()
    """Who comes: a photo, or an actor of a scene as scene#person-1; with several actors as person-1=photo.png."""
    keep_shape: Shape = "character"
    """Whose proportions are kept."""
    relight: bool = True
    """Characters take on the light, exposure, sharpness and grain of the scene; --no-relight: they stay as in their
    photo."""

    def roles(self, names: Sequence[str]) -> dict[str, str]:
        """Who comes for whom, by the names of the scene's actors.

        Raises:
            UsageError: an actor that is not there, one twice, or no word on which of several.
        """
        if not self.character:
            raise UsageError("no character", "--character", "give a photo, or an actor as scene#person-1")
        roles = dict[str, str]()
        for given in self.character:
            name, equals, who = given.partition("=")
            if not (equals and (name in names or name.startswith("person-"))):
                name, who = "", given
            if not name and len(names) != 1:
                known = ", ".join(names) or "nobody"
                fix = f"say whom, as {names[0]}={given}" if names else "choose a clip that shows a person"
                raise UsageError(f"the scene has {known}", "--character", fix)
            name = name or names[0]
            if name not in names:
                raise UsageError(f"no actor {name!r}", "--character", f"the scene has {', '.join(names)}")
            if name in roles:
                raise UsageError(f"two characters for {name}", "--character", "give one")
            roles[name] = who
        return roles
