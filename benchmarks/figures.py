"""Speed of skinning: one body of 13,700 vertices and 104 joints over sixteen frames. Run: python benchmarks/figures.py"""

import time
from collections.abc import Callable

import numpy as np
import torch

from diorama.core.figure import Figure, Skeleton
from diorama.core.mesh import Mesh
from diorama.figures.pose import Skin, global_transforms, skin_vertices
from table import show

VERTICES, JOINTS, FRAMES, REPEATS = 13_700, 104, 16, 60


def body() -> Figure:
    """A random figure of the size of a real one."""
    rng = np.random.default_rng(0)
    parents = np.array([-1, *(rng.integers(max(0, j - 6), j) for j in range(1, JOINTS))], np.int32)
    rest = np.tile(np.eye(4, dtype=np.float32), (JOINTS, 1, 1))
    rest[:, :3, 3] = rng.normal(size=(JOINTS, 3))
    weights = rng.random((VERTICES, 4)).astype(np.float32)
    weights /= weights.sum(axis=1, keepdims=True)
    joints = np.stack([rng.permutation(JOINTS)[:4] for _ in range(VERTICES)]).astype(np.int32)
    mesh = Mesh(rng.normal(size=(VERTICES, 3)).astype(np.float32), rng.integers(0, VERTICES, (100, 3)).astype(np.int32))
    names = tuple(map(str, range(JOINTS)))
    return Figure(Skeleton(names, parents, rest), mesh, joints, weights, ("all",), np.zeros(JOINTS, np.int32))


def least(work: Callable[[], object]) -> float:
    """Milliseconds of the fastest of many runs, after one that warms up."""
    work()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def main() -> list[dict[str, object]]:
    """All rows."""
    skin = Skin.of(body())
    turns = torch.nn.functional.normalize(torch.randn(FRAMES, JOINTS, 4), dim=-1)
    root = torch.zeros(FRAMES, 3)
    with torch.inference_mode():
        whole = least(lambda: skin_vertices(skin, global_transforms(skin.bones, turns, root)))
    figure = f"skinning, {FRAMES} frames of {VERTICES} vertices, {JOINTS} joints"
    return [{"figure": figure, "measured": f"{whole:.1f} ms", "goal": "<= 10 ms", "ok": whole <= 10}]


if __name__ == "__main__":
    show(main())
