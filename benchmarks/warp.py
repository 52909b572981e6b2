"""Speed of warp and fill at 1080p, and the sharpness of the warp on the Middlebury motorcycle.

Run: ``python benchmarks/warp.py`` (needs the extra `samples` for the motorcycle). Times are the least of many, with
freed memory kept and holes filled in place, both as in a run of the command.
"""

import time
from collections.abc import Callable

import cv2
import numpy as np
from skimage import data

from diorama.core.memory import keep_freed_memory
from diorama.geometry.warp import forward_warp, forward_warp_subpixel, stereo_warp
from diorama.perception.fill import Neighbour, edge_fill, fill
from table import show

HEIGHT, WIDTH = 1080, 1920
REPEATS = 150


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A 1080p picture and its disparity: sloping ground with gentle waves, and fourteen objects before it."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (HEIGHT // 12, WIDTH // 12, 3)).astype(np.uint8)
    image = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    disparity = 10 + 3 * np.sin(x / 300) + 12 * y / HEIGHT
    for i in range(14):
        centre = rng.integers(0, HEIGHT), rng.integers(0, WIDTH)
        disparity[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 120**2] = 30 + i
    return image, disparity.astype(np.float32)


def least(work: Callable[[], object]) -> float:
    """Milliseconds of the fastest of many runs, after one that compiles."""
    work()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def timings() -> list[dict[str, object]]:
    """Milliseconds a view at 1080p."""
    image, disparity = scene()
    warped, known = forward_warp(image, disparity)
    small = np.zeros((216, 384, 2), np.float32)
    aside = np.roll(image, 300, axis=1), np.roll(disparity, 300, axis=1)
    others = [Neighbour(image, np.minimum(disparity, 22), small), Neighbour(*aside, small + np.float32((60, 0)))]
    view = warped.copy()

    def borrowing() -> None:
        fill(view, known, disparity=disparity, neighbours=others, out=view)

    cases = [
        ("nearest warp, a view", 1.5, lambda: forward_warp(image, disparity)),
        ("sub-pixel warp, a view", 7.0, lambda: forward_warp_subpixel(image, disparity)),
        ("both eyes, nearest", 3.0, lambda: stereo_warp(image, disparity)),
        (f"edge fill ({1 - known.mean():.1%} holes)", 1.0, lambda: edge_fill(view, known, out=view)),
        ("fill, borrowing from 2 frames", 3.0, borrowing),
    ]
    rows: list[dict[str, object]] = []
    for name, goal, work in cases:
        took = least(work)
        rows.append(
            {"figure": f"1080p {name}", "measured": f"{took:.2f} ms", "goal": f"<= {goal} ms", "ok": took <= goal}
        )
    return rows


def motorcycle() -> list[dict[str, object]]:
    """PSNR against the real right picture, on pixels whose disparity is known."""
    left, right, disparity = data.stereo_motorcycle()
    measured = np.isfinite(disparity)
    safe = np.where(measured, disparity, 0).astype(np.float32)
    marks = np.repeat(measured[..., None], 3, axis=2).astype(np.uint8) * 255
    rows: list[dict[str, object]] = []
    for name, goal, warp in (("nearest", 26.8, forward_warp), ("sub-pixel", 27.2, forward_warp_subpixel)):
        view, known = warp(left, safe)
        known &= warp(marks, safe)[0][..., 0] == 255
        error = (view[known].astype(float) - right[known]) ** 2
        score = 10 * np.log10(255**2 / error.mean())
        figure = f"motorcycle, {name}"
        rows.append(
            {"figure": figure, "measured": f"{score:.2f} dB", "goal": f">= {goal} dB", "ok": bool(score >= goal)}
        )
    return rows


def main() -> list[dict[str, object]]:
    """All rows."""
    keep_freed_memory()
    return timings() + motorcycle()


if __name__ == "__main__":
    show(main())
