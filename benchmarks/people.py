"""`decompose` and the preview engine on a real clip at 720p: frames a second, stage by stage."""

import tempfile
import time
from pathlib import Path
from statistics import median

from diorama.core.memory import keep_freed_memory
from diorama.pipelines.animate import animate
from diorama.pipelines.animate_config import AnimateConfig
from diorama.pipelines.decompose import decompose
from diorama.pipelines.decompose_config import DecomposeConfig
from table import show

MEDIA = Path(__file__).parents[2] / "shared" / "media"
ROUNDS = 3


class Watch:
    """A progress that keeps when the frames of the film began."""

    def __init__(self) -> None:
        self.began = 0.0

    def begin(self, stage: str, total: int | None) -> None:
        """The last stage is the film."""
        self.began = time.perf_counter()

    def advance(self, steps: int = 1) -> None:
        """Nothing to keep."""

    def note(self, message: str) -> None:
        """Nothing to keep."""


def rate(figure: str, rates: list[float], goal: float, note: str) -> dict[str, object]:
    """One line of the table, of the middle rate."""
    measured = median(rates)
    return {
        "figure": figure,
        "measured": f"{measured:.1f} frames/s",
        "goal": f">= {goal:g}",
        "ok": measured >= goal,
        "note": f"{note}; runs: {', '.join(f'{value:.1f}' for value in rates)}",
    }


def main() -> list[dict[str, object]]:
    """Both figures; none where the clip is missing."""
    clip, photo = MEDIA / "juggler.mp4", MEDIA / "full_body_2.png"
    if not clip.is_file():
        return []
    keep_freed_memory()  # as the command line does
    taken, drawn, stages = [], [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        decompose(clip, folder / "warm", DecomposeConfig(end="1"))
        for turn in range(ROUNDS):
            found = decompose(clip, folder / f"scene{turn}")
            taken.append(found.frames / found.seconds["total"])
            stages.append(found.seconds)
        for turn in range(ROUNDS):
            watch, config = Watch(), AnimateConfig(character=(str(photo),))
            made = animate(folder / "scene0", folder / f"film{turn}.mp4", config, progress=watch)
            drawn.append(made.frames / (time.perf_counter() - watch.began))
    middle = sorted(stages, key=lambda one: one["total"])[ROUNDS // 2]
    note = ", ".join(f"{stage} {1000 * middle[stage] / 247:.0f} ms" for stage in ("people", "bodies", "layers"))
    rows = [
        rate("juggler, 247 frames of 720p, one person: decompose", taken, 8, note),
        rate("the same, recast by the preview engine", drawn, 10, "without the making of the character and its light"),
    ]
    show(rows)
    return rows


if __name__ == "__main__":
    main()
