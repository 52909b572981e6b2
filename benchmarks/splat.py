"""Speed of the Gaussian rasteriser, forward and backward, against plain torch in tiles of 64 x 64 pixels.

Run: ``OMP_NUM_THREADS=1 python benchmarks/splat.py``. Times are medians.
"""

import time
from collections.abc import Callable

import numpy as np
import torch

from diorama.core.camera import Cameras, line
from diorama.core.memory import keep_freed_memory
from diorama.geometry._splat_twin import splat_tiles
from diorama.geometry.splat import SoftTensors, splat_torch
from table import show

HEIGHT, WIDTH = 160, 288
NAMES = ("means", "quats", "scales", "opacities", "colors")


def crowd(count: int, camera: Cameras) -> SoftTensors:
    """Gaussians of one to three pixels all over the picture, 2 to 6 metres away: a scene being fitted."""
    rng = np.random.default_rng(0)
    pixels, z = rng.uniform(0, [WIDTH, HEIGHT], (1, count, 2)), rng.uniform(2, 6, (1, count))
    values = (
        camera.unproject(pixels, z)[0],
        rng.normal(size=(count, 4)),
        rng.uniform(0.5, 1.5, (count, 3)) * z[0][:, None] / camera.Ks[0, 0, 0],
        rng.uniform(0.2, 1, count),
        rng.uniform(0, 1, (count, 3)),
    )
    return SoftTensors(*(torch.from_numpy(value.astype(np.float32)).requires_grad_() for value in values))


def seconds(draw: Callable[[], torch.Tensor]) -> float:
    """Of a picture and its gradients."""
    start = time.perf_counter()
    draw().square().mean().backward()
    return time.perf_counter() - start


def main() -> list[dict[str, object]]:
    """All rows."""
    keep_freed_memory()
    camera = line(1, 0.0, height=HEIGHT, width=WIDTH)
    rows: list[dict[str, object]] = []
    for count in (20_000, 30_000):
        soft = crowd(count, camera)
        times = [seconds(lambda soft=soft: splat_torch(soft, camera).color) for _ in range(60)]
        took = 1000 * float(np.median(times[5:]))
        figure = f"{count} Gaussians at {WIDTH}x{HEIGHT}, forward and backward"
        rows.append({"figure": figure, "measured": f"{took:.1f} ms", "goal": "<= 25 ms", "ok": took <= 25})
    soft = crowd(20_000, camera)
    own = [seconds(lambda: splat_torch(soft, camera).color) for _ in range(10)]
    plain = [seconds(lambda: splat_tiles(soft, camera, torch.zeros(3))[0])]
    own += [seconds(lambda: splat_torch(soft, camera).color) for _ in range(10)]
    ratio = float(np.median(plain) / np.median(own))
    note = f"{1000 * np.median(own):.1f} ms against {np.median(plain):.2f} s"
    figure = "20000 Gaussians, times as fast as plain torch in tiles"
    rows.append({"figure": figure, "measured": f"{ratio:.0f}", "goal": ">= 3", "ok": ratio >= 3, "note": note})
    return rows


if __name__ == "__main__":
    show(main())
