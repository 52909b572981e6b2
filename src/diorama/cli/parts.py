"""``diorama parts`` and ``diorama rig``: objects from all around in parts, and rigged models."""

import json
import sys
from dataclasses import asdict, dataclass
from typing import Annotated

import tyro

from diorama.cli.commands import Common
from diorama.pipelines.parts_config import PartsConfig
from diorama.pipelines.rig_config import RigConfig


@dataclass(frozen=True)
class PartsCommand:
    """Show what a picture or a clip shows from all around, in colours and parts: diorama parts dog.jpg -o dog_parts/"""

    input: tyro.conf.Positional[str]
    """A picture, a video, or a folder of numbered images: of one animal, person, machine or plant."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = ""
    """Folder to make (default: <name>_parts beside the input)."""
    overwrite: bool = False
    """Replace an existing folder."""
    config: PartsConfig = PartsConfig()
    common: Common = Common()

    def run(self) -> int:
        """Make the views; returns the exit code."""
        from diorama.cli.progress import make_progress
        from diorama.core.memory import keep_freed_memory
        from diorama.media.safe import beside
        from diorama.pipelines.parts import parts

        keep_freed_memory()
        output = self.output or beside(self.input, "_parts")
        with make_progress(quiet=self.common.quiet or self.common.json) as progress:
            made = parts(self.input, output, self.config, overwrite=self.overwrite, progress=progress)
        if self.common.json:
            sys.stdout.write(json.dumps({**asdict(made), "folder": str(made.folder)}) + "\n")
        elif not self.common.quiet:
            sys.stdout.write(f"{made.folder}\n  {made.views} views x {made.frames} frames in {made.seconds:.1f} s\n")
            sys.stdout.write(f"  {made.folder / 'sheet.png'}\n")
        return 0


@dataclass(frozen=True)
class RigCommand:
    """Make a skinned, animated model: diorama rig creature.png -o creature.glb"""

    input: tyro.conf.Positional[str]
    """A picture or a clip; a folder that diorama parts made, or of silhouettes; a mesh (GLB, OBJ, PLY), whose parts its
    colours may tell; or an actor of a scene, as scene#person-1."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = ""
    """Model to write, .glb; or .bvh for the motion alone (default: <name>_rigged.glb beside the input)."""
    overwrite: bool = False
    """Replace an existing output."""
    config: RigConfig = RigConfig()
    common: Common = Common()

    def run(self) -> int:
        """Rig it; returns the exit code."""
        from diorama.cli.progress import make_progress
        from diorama.core.memory import keep_freed_memory
        from diorama.media.safe import beside
        from diorama.pipelines.rig import rig

        keep_freed_memory()
        output = self.output or beside(self.input, "_rigged.glb")
        with make_progress(quiet=self.common.quiet or self.common.json) as progress:
            made = rig(self.input, output, self.config, overwrite=self.overwrite, progress=progress)
        if self.common.json:
            paths = {"files": [str(file) for file in made.files], "extras": [str(extra) for extra in made.extras]}
            sys.stdout.write(json.dumps({**asdict(made), **paths}) + "\n")
        elif not self.common.quiet:
            moves = ", ".join(f"{name} ({frames})" for name, frames in made.motions.items())
            sys.stdout.write(f"{made.files[0]}\n  {made.parts} parts, {made.joints} joints, {made.vertices} vertices")
            sys.stdout.write(f" in {made.seconds:.1f} s; motions: {moves}\n")
            sys.stdout.write("".join(f"  {extra}\n" for extra in made.extras))
        return 0
