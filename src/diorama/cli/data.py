"""``diorama data``: training data from the theatre and from folders of rigged models."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from diorama.cli.commands import Common


@dataclass(frozen=True)
class Theatre:
    """Render clips with complete truth: diorama data theatre --recipe scene -n 100 -o DIR"""

    output: Annotated[str, tyro.conf.arg(aliases=["-o"])]
    """Folder for the shards; a run that was stopped goes on there."""
    count: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 16
    """Samples in all."""
    recipe: str = "scene"
    """person, scene, parts or stereo."""
    size: int = 256
    """Pixels a side."""
    frames: int = 24
    """Frames of a clip."""
    fps: float = 12.0
    """Frames a second."""
    views: int = 12
    """Views around an object, for parts."""
    seed: int = 0
    """Of the whole set; the same seed gives the same bytes."""
    workers: int = 0
    """Processes (default: one a core)."""
    common: Common = Common()

    def run(self) -> int:
        """Render; returns the exit code."""
        from diorama.cli.progress import make_progress
        from diorama.errors import UsageError
        from diorama.theatre.dataset import RECIPES, DatasetConfig, write_dataset

        if self.recipe not in RECIPES:
            raise UsageError(f"no recipe called {self.recipe!r}", "--recipe", f"choose one of {', '.join(RECIPES)}")
        if self.workers < 0:
            raise UsageError(f"{self.workers} workers", "--workers", "give 1 or more, or 0 for one a core")
        config = DatasetConfig(self.recipe, self.size, self.frames, self.fps, self.views, self.seed)
        with make_progress(quiet=self.common.quiet or self.common.json) as progress:
            paths = write_dataset(
                Path(self.output), self.count, config, workers=self.workers or os.cpu_count() or 1, progress=progress
            )
        _tell(self.common, paths, f"diorama data look {self.output}")
        return 0


@dataclass(frozen=True)
class Rigs:
    """Render rigged, animated models (GLB) of a folder as parts: diorama data rigs FOLDER -o DIR"""

    folder: tyro.conf.Positional[str]
    """Where the .glb and .gltf files are; folders within it are searched too."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])]
    """Folder for the shards and for skipped.jsonl, which names each file that is left out with the reason."""
    size: int = 256
    """Pixels a side."""
    views: int = 24
    """Views around each object."""
    frames: int = 24
    """Frames of its animation."""
    common: Common = Common()

    def run(self) -> int:
        """Render; returns the exit code."""
        from diorama.cli.progress import make_progress
        from diorama.errors import UsageError
        from diorama.pipelines.rig_set import RigSetConfig, write_rigs

        config = RigSetConfig(self.size, self.views, self.frames)
        with make_progress(quiet=self.common.quiet or self.common.json) as progress:
            done = write_rigs(Path(self.folder), Path(self.output), config, progress)
        if not done.shards:
            given = f"none of {len(done.skipped)} models serves; the first: {done.skipped[0][1]}"
            raise UsageError(given, str(Path(self.output) / "skipped.jsonl"), "see there for the others")
        _tell(self.common, done.shards, f"{len(done.shards)} objects, {len(done.skipped)} files left out")
        return 0


@dataclass(frozen=True)
class Look:
    """Draw a contact sheet of a set: diorama data look DIR"""

    folder: tyro.conf.Positional[str]
    """Where the shards are."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = ""
    """Picture to write (default: look.png in the folder)."""
    count: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 16
    """Samples to show."""
    common: Common = Common()

    def run(self) -> int:
        """Draw; returns the exit code."""
        from diorama.errors import UsageError
        from diorama.media.images import save_image
        from diorama.theatre.sheets import sheet_of

        if self.count < 1:
            raise UsageError(f"{self.count} samples", "-n", "give 1 or more")
        target = Path(self.output) if self.output else Path(self.folder) / "look.png"
        if target.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp") or target.is_dir():
            raise UsageError(f"no picture can be called {target.name!r}", "-o", "give a name such as look.png")
        save_image(target, sheet_of(Path(self.folder), self.count))
        _tell(self.common, [target], "")
        return 0


@dataclass(frozen=True)
class Data:
    """Make and look at training data: diorama data theatre | rigs | look"""

    what: tyro.conf.OmitSubcommandPrefixes[
        Annotated[Theatre, tyro.conf.subcommand("theatre")]
        | Annotated[Rigs, tyro.conf.subcommand("rigs")]
        | Annotated[Look, tyro.conf.subcommand("look")]
    ]

    @property
    def common(self) -> Common:
        """How the command talks."""
        return self.what.common

    def run(self) -> int:
        """Do it; returns the exit code."""
        return self.what.run()


def _tell(common: Common, files: list[Path], hint: str) -> None:
    if common.json:
        sys.stdout.write(json.dumps({"files": [str(file) for file in files]}) + "\n")
    elif not common.quiet:
        shown = [str(file) for file in files[:8]] + ([f"... {len(files)} files"] if len(files) > 8 else [])
        sys.stdout.write("\n".join(shown) + "\n" + (f"  {hint}\n" if hint else ""))
