"""``diorama bench parts``: rigs from part maps, views from one picture, and both together."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from diorama.bench.parts_drift import drift_rows, drift_scores
from diorama.bench.parts_features import KINDS, describer, featured_row, is_there
from diorama.bench.parts_pictures import SETS, picture_rows, picture_scores, picture_table
from diorama.bench.parts_rig import family_table, rig_rows, rig_scores
from diorama.bench.parts_views import ViewRow, row_of, segmented_row, view_rows, view_table
from diorama.bench.scores import Score
from diorama.core.progress import Progress, Silent
from diorama.diffusion.parts_generate import EMBEDDED, load_parts
from diorama.errors import UsageError
from diorama.media.atomic import content_hash
from diorama.train.options import start

VARIANTS = {
    "full": ("parts", "with both"),
    "no-fusion": ("parts-no-fusion", "without BiDiFuse"),
    "no-contrast": ("parts-no-contrast", "without the contrastive loss"),
}
GOAL_MIOU, GOAL_ARI = 0.68, 0.60
"""Of the published network, on its own data."""


@dataclass(frozen=True)
class PartsBenchConfig:
    """What is measured.

    Attributes:
        creatures: how many, of those that nothing was tuned or trained on; half as many of each special set.
        what: some of "rig", "views", "pictures".
        size: pixels of the part maps of "rig".
        variants: rows of the table that are trained here for equally many steps.
        train_steps: of each of them; 0: none are trained.
        init: folder of weights that all variants begin with.
        out: folder of the variants.
        weights: folder of the weights of baselines; those that are not there have no row.
    """

    creatures: int = 40
    what: tuple[str, ...] = ("rig", "views", "pictures")
    size: int = 384
    variants: tuple[str, ...] = tuple(VARIANTS)
    train_steps: int = 0
    init: str = ""
    out: str = "runs/bench-parts"
    weights: str = ""

    @property
    def special(self) -> int:
        """Creatures of each special set."""
        return (self.creatures + 1) // 2

    def __post_init__(self) -> None:
        for given, known in ((self.what, ("rig", "views", "pictures")), (self.variants, tuple(VARIANTS))):
            if wrong := [name for name in given if name not in known]:
                raise UsageError(f"unknown {', '.join(wrong)}", "bench parts", f"known are {', '.join(known)}")
        if self.creatures < 1 or not 64 <= self.size <= 1024:
            raise UsageError(f"{self.creatures} creatures at {self.size} pixels", "bench parts", "1 and 64 to 1024")


def measure_parts(config: PartsBenchConfig, progress: Progress | None = None) -> tuple[list[Score], str]:
    """The scores, and tables beside them."""
    told = progress or Silent()
    scores: list[Score] = []
    more: list[str] = []
    if "rig" in config.what:
        rows = rig_rows(config.creatures, size=config.size, progress=told)
        rare = rig_rows(config.special, size=config.size, extreme=True, progress=told)
        scores += rig_scores(rows)
        more.append(family_table([*rows, *rare]))
    if "views" in config.what:
        groups = view_groups(config, told)
        scores += view_scores(groups[0][1])
        more.append(view_table(groups))
        scores += drift_scores(drift_rows(config.special, told))
    if "pictures" in config.what:
        sets = {name: picture_rows(config.creatures, name, progress=told) for name in SETS[:1]}
        sets |= {name: picture_rows(config.special, name, progress=told) for name in SETS[1:]}
        scores += picture_scores(sets[SETS[0]])
        more.append(picture_table(sets))
    return scores, "\n\n".join(more)


def view_groups(config: PartsBenchConfig, progress: Progress) -> list[tuple[str, list[ViewRow]]]:
    """Rows of what ships, of the variants that are trained here, and of the baseline."""
    shipped = row_of(load_parts(EMBEDDED))
    groups = [("parts-s", view_rows(shipped, config.creatures, title="parts-s", progress=progress))]
    rare = view_rows(shipped, config.special, extreme=True, title="parts-s, rare poses", progress=progress)
    groups.append(("parts-s, rare poses", rare))
    for name in config.variants if config.train_steps else ():
        network = load_parts(_trained(name, config, progress))
        rows = view_rows(row_of(network), config.creatures, title=name, progress=progress)
        groups.append((f"{VARIANTS[name][1]}, {config.train_steps} steps", rows))
    plain = view_rows(segmented_row, config.creatures, title="segments", progress=progress)
    groups.append(("colour segments of each true picture", plain))
    if is_there(config.weights):
        row = partial(featured_row, describer(config.weights))
        features = view_rows(row, config.creatures, title="features", progress=progress)
        groups.append((f"features of all true pictures in {KINDS} kinds", features))
    return groups


def _trained(name: str, config: PartsBenchConfig, progress: Progress) -> Path:
    """The weights of a variant; trained where they are not there yet, in a folder of their own for all that matters."""
    folder = Path(config.out) / "-".join([name, str(config.train_steps), _begun(config.init)])
    result = folder / "result" / "parts-s.safetensors"
    if not result.is_file():
        given = {"steps": config.train_steps, "out": str(folder), "init": config.init, "preview_every": 0.0}
        start(VARIANTS[name][0], {**given, "resume": (folder / "checkpoints").is_dir()}, progress)
    return result


def _begun(init: str) -> str:
    """What training begins with, by content: all weights that ``--init`` names.

    Raises:
        UsageError: none.
    """
    paths = [Path(each) for each in init.split(os.pathsep) if each]
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.glob("*.safetensors")))]
    if not files:
        raise UsageError(f"no weights in {init!r}", "--init", "name a folder with relief.safetensors")
    return hashlib.sha256(" ".join(map(content_hash, files)).encode()).hexdigest()[:8]


def view_scores(rows: Sequence[ViewRow]) -> list[Score]:
    """Against the published network's figures."""

    def mean(setting: str, name: str) -> float:
        return sum(float(getattr(getattr(row, setting), name)) for row in rows) / max(len(rows), 1)

    return [
        Score("parts-s", "all views of one moment, mIoU", mean("views", "miou"), GOAL_MIOU),
        Score("parts-s", "all views of one moment, ARI", mean("views", "ari"), GOAL_ARI),
        Score("parts-s", "one view of four moments, mIoU", mean("frames", "miou"), GOAL_MIOU),
        Score("parts-s", "one view of four moments, ARI", mean("frames", "ari"), GOAL_ARI),
    ]
