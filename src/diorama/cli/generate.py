"""``diorama generate``: the clip to begin with, from words, a picture, or a seed."""

import json
import sys
from dataclasses import asdict, dataclass
from typing import Annotated

import tyro

from diorama.cli.commands import Common
from diorama.pipelines.generate_config import GenerateConfig


@dataclass(frozen=True)
class GenerateCommand:
    """Make a clip: diorama generate "a heron by a river" --prior zeroscope-v2-576w -o clip.mp4"""

    given: tyro.conf.Positional[str] = ""
    """A prompt, or a picture that the clip begins with (any prior but the embedded one takes either); nothing: a clip
    of the theatre, by its seed."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "clip.mp4"
    """Film to write."""
    overwrite: bool = False
    """Replace an existing film."""
    config: GenerateConfig = GenerateConfig()
    common: Common = Common()

    def run(self) -> int:
        """Make the clip; returns the exit code."""
        from diorama.cli.progress import make_progress
        from diorama.core.memory import keep_freed_memory
        from diorama.pipelines.output import check_target
        from diorama.pipelines.presets import Look

        check_target(self.output, Look(), overwrite=self.overwrite)  # before seconds go into loading torch
        from diorama.pipelines.generate import generate

        keep_freed_memory()
        with make_progress(quiet=self.common.quiet or self.common.json) as progress:
            made = generate(self.given, self.output, self.config, overwrite=self.overwrite, progress=progress)
        if self.common.json:
            files = [str(file) for file in made.files]
            sys.stdout.write(json.dumps({**asdict(made), "files": files}) + "\n")
        elif not self.common.quiet:
            sys.stdout.write(f"{made.files[0]}\n  {made.frames} frames by {made.prior} in {made.seconds:.1f} s\n")
        return 0
