"""How characters are put into a scene, as options; importing this loads nothing heavy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from diorama.errors import UsageError
from diorama.media.encoding import Encoding

Shape = Literal["character", "actor"]


@dataclass(frozen=True)
class AnimateConfig:
    """How characters are put into a scene."""

    character: tuple[str, ...] = ()
    """Who comes: a photo, or an actor of a scene as scene#person-1; with several actors as person-1=photo.png."""
    keep_shape: Shape = "character"
    """Whose proportions are kept."""
    relight: bool = True
    """Whether characters take on the light, exposure, sharpness and grain of the scene."""
    seed: int = 0
    """Of the grain."""
    encoding: Encoding = Encoding()

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
