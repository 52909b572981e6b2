"""How characters are put into a scene, as options; importing this loads nothing heavy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from diorama.errors import UsageError
from diorama.media.encoding import Encoding

Engine = Literal["preview", "diffusion"]
Shape = Literal["character", "actor"]


@dataclass(frozen=True)
class AnimateConfig:
    """How characters are put into a scene."""

    character: tuple[str, ...] = ()
    """Who comes: a photo, or an actor of a scene as scene#person-1; with several actors as person-1=photo.png."""
    motion: str = ""
    """Another motion than the actor's: a file (BVH, AMASS npz, GLB) or a dance such as walk, wave, jump."""
    engine: Engine = "preview"
    """preview: the textured body itself; diffusion: the generator, which adds light, cloth and hair."""
    keep_shape: Shape = "character"
    """Whose proportions are kept."""
    relight: bool = True
    """Whether characters take on the light, exposure, sharpness and grain of the scene."""
    model: str = ""
    """A generator that was trained here (its safetensors file); default: the embedded one."""
    num_inference_steps: int = 12
    """Steps of the generator."""
    guidance_scale: float = 1.5
    """How far the generator goes towards the character's looks; 1 halves the time."""
    strength: float = 1.0
    """Where the generator begins: 1 from noise, lower from the preview."""
    seed: int = 0
    """Of the noise and the grain."""
    encoding: Encoding = Encoding()

    def __post_init__(self) -> None:
        if self.num_inference_steps < 1:
            raise UsageError(f"{self.num_inference_steps} steps", "--num-inference-steps", "give 1 or more")
        if not 0 <= self.strength <= 1:
            raise UsageError(f"strength {self.strength}", "--strength", "give 0 to 1")
        if self.seed < 0:
            raise UsageError(f"seed {self.seed}", "--seed", "give 0 or more")

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
