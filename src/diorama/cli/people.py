"""``diorama decompose``, ``animate`` and ``person``: people taken out of clips, played by others, in new poses."""

import json
import sys
from dataclasses import asdict, dataclass
from typing import Annotated

import tyro

from diorama.cli.commands import Common, tell_made
from diorama.pipelines.animate_config import AnimateConfig
from diorama.pipelines.decompose_config import DecomposeConfig
from diorama.pipelines.person_config import PersonConfig


@dataclass(frozen=True)
class DecomposeCommand:
    """Take a clip apart into people, what is before them, and the scene behind: diorama decompose clip.mp4 -o scene/"""

    input: tyro.conf.Positional[str]
    """A video, or a folder of numbered images."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = ""
    """Folder to make (default: <name>_scene beside the clip)."""
    overwrite: bool = False
    """Replace an existing scene."""
    resume: bool = False
    """Go on with an unfinished run, from its last finished stage."""
    config: DecomposeConfig = DecomposeConfig()
    common: Common = Common()

    def run(self) -> int:
        """Take it apart; returns the exit code."""
        from diorama.cli.progress import make_progress
        from diorama.core.memory import keep_freed_memory
        from diorama.media.safe import beside
        from diorama.pipelines.decompose import decompose

        keep_freed_memory()
        output = self.output or beside(self.input, "_scene")
        with make_progress(quiet=self.common.quiet or self.common.json) as progress:
            made = decompose(
                self.input, output, self.config, overwrite=self.overwrite, resume=self.resume, progress=progress
            )
        if self.common.json:
            sys.stdout.write(json.dumps({**asdict(made), "scene": str(made.scene)}) + "\n")
        elif not self.common.quiet:
            who, seconds = ", ".join(made.people) or "nobody", made.seconds["total"]
            rate = f"{made.frames / seconds:.1f} frames/s"
            sys.stdout.write(f"{made.scene}\n  {made.frames} frames in {seconds:.1f} s, {rate}; {who}\n")
            sys.stdout.write(f"  {made.scene / 'page.html'}\n")
        return 0


@dataclass(frozen=True)
class AnimateCommand:
    """Put another character into a clip: diorama animate --scene clip.mp4 --character photo.png -o out.mp4"""

    scene: str
    """A folder that decompose made; a clip, which is taken apart first, into <output>_scene; or, with --motion, a
    picture or a colour such as white."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])]
    """Film to write."""
    overwrite: bool = False
    """Replace an existing film."""
    resume: bool = False
    """Go on with an unfinished run."""
    config: AnimateConfig = AnimateConfig()
    common: Common = Common()

    def run(self) -> int:
        """Make the film; returns the exit code."""
        from diorama.cli.progress import make_progress
        from diorama.core.memory import keep_freed_memory
        from diorama.pipelines.animate import animate

        keep_freed_memory()
        with make_progress(quiet=self.common.quiet or self.common.json) as progress:
            made = animate(
                self.scene, self.output, self.config, overwrite=self.overwrite, resume=self.resume, progress=progress
            )
        tell_made(self.common, made.files, made.extras, made.frames, made.seconds)
        return 0


@dataclass(frozen=True)
class PersonCommand:
    """Show somebody in new poses: diorama person photo.png --motion walk -o out.mp4"""

    photos: tyro.conf.Positional[tuple[str, ...]]
    """Photos of one person; the first says where it stands, the others show more of it."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])]
    """Film to write; or a picture: the pose, or a sheet of poses."""
    overwrite: bool = False
    """Replace an existing output."""
    resume: bool = False
    """Go on with an unfinished film."""
    config: PersonConfig = PersonConfig()
    common: Common = Common()

    def run(self) -> int:
        """Make it; returns the exit code."""
        from diorama.cli.progress import make_progress
        from diorama.core.memory import keep_freed_memory
        from diorama.pipelines.person import person

        keep_freed_memory()
        with make_progress(quiet=self.common.quiet or self.common.json) as progress:
            made = person(
                self.photos, self.output, self.config, overwrite=self.overwrite, resume=self.resume, progress=progress
            )
        tell_made(self.common, made.files, made.extras, made.frames, made.seconds)
        return 0
