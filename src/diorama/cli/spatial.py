"""``diorama spatial``: a clip becomes a 4D scene to look around in."""

import json
import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from diorama.cli.commands import Common
from diorama.pipelines.matrix_config import Generative
from diorama.pipelines.presets import Clip, DepthChoice
from diorama.pipelines.spatial_config import SpatialConfig


@dataclass(frozen=True)
class SpatialCommand:
    """Make a 4D scene of a clip, to look around in: diorama spatial clip.mp4 -o clip_spatial/"""

    input: tyro.conf.Positional[str]
    """A video, a picture, or a folder of numbered images; the scene is of its first shot."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = ""
    """Folder to make (default: <name>_spatial beside the input)."""
    overwrite: bool = False
    """Replace an existing folder."""
    resume: bool = False
    """Go on with an unfinished run after its last finished window."""
    config: SpatialConfig = SpatialConfig()
    depth: DepthChoice = DepthChoice()
    clip: Clip = Clip()
    generative: Generative = Generative("draft")
    common: Common = Common()

    def run(self) -> int:
        """Make the scene; returns the exit code."""
        from diorama.cli.progress import make_progress
        from diorama.core.memory import keep_freed_memory
        from diorama.media.safe import beside
        from diorama.pipelines.spatial import SpatialOptions, spatial

        keep_freed_memory()
        options = SpatialOptions(self.config, self.depth, self.clip, self.generative)
        output = self.output or beside(self.input, "_spatial")
        with make_progress(quiet=self.common.quiet or self.common.json) as progress:
            made = spatial(self.input, output, options, overwrite=self.overwrite, resume=self.resume, progress=progress)
        if self.common.json:
            fields = {"folder": str(made.folder), "scene": str(made.scene), "seconds": made.seconds}
            sys.stdout.write(json.dumps({**fields, "figures": made.figures, "notes": made.notes}) + "\n")
        elif not self.common.quiet:
            sys.stdout.write(f"{made.folder}\n  {made.frames} frames x {made.views} views in {made.seconds:.1f} s\n")
            sys.stdout.write(f"  {_in_words(made.figures)}\n  look at it: diorama view {made.folder}\n")
        return 0


def _in_words(figures: dict[str, float | int]) -> str:
    """What a fit came to, for people."""
    return (
        f"{figures['gaussians']:,} Gaussians; they agree with the frames to {figures['psnr']:.1f} dB, "
        f"their depth to {figures['depth_error']:.1%}"
    )
