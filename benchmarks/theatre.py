"""Speed of the theatre with all passes, clips built and drawn on two cores. Run: python benchmarks/theatre.py."""

import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import torch

from diorama.core.memory import keep_freed_memory
from diorama.theatre.clip import Script, random_clip
from table import show

PROCESSES, CLIPS = 2, 12


def start() -> None:
    """Warm one process up."""
    keep_freed_memory()
    torch.set_num_threads(1)
    random_clip(0, Script(frames=2)).frame(0)


def draw(script: Script, seed: int) -> int:
    """Build and draw a clip; the frames."""
    clip = random_clip(seed, script)
    for frame in range(len(clip)):
        clip.frame(frame)
    return len(clip)


def rate(script: Script) -> float:
    """Frames a second of all processes together, building included."""
    with ProcessPoolExecutor(PROCESSES, initializer=start) as pool:
        list(pool.map(draw, [Script(frames=2)] * PROCESSES, range(PROCESSES)))
        began = time.perf_counter()
        frames = sum(pool.map(partial(draw, script), range(100, 100 + CLIPS)))
        return frames / (time.perf_counter() - began)


def main() -> list[dict[str, object]]:
    """All rows."""
    rows: list[dict[str, object]] = []
    for size, goal in ((256, 50), (512, 12)):
        for actors, note in (((1, 1), "one actor"), ((1, 4), "one to four actors")):
            script = Script(24, 12.0, size, size, actors)
            found = rate(script)
            figure = f"theatre, all passes, {size} x {size}, {note}"
            row = {"figure": figure, "measured": f"{found:.0f} frames/s", "goal": f">= {goal}", "ok": found >= goal}
            rows.append(row)
    return rows


if __name__ == "__main__":
    show(main())
