"""Speed of skinning and of drawing one body. Run: python benchmarks/figures.py. Times are the least of many."""

import time
from collections.abc import Callable

import numpy as np
import torch

from diorama.core.camera import Cameras
from diorama.core.figure import Figure, Skeleton
from diorama.core.memory import keep_freed_memory
from diorama.core.mesh import Mesh
from diorama.figures.cast import load_cast
from diorama.figures.pose import Skin, global_transforms, skin_vertices
from diorama.geometry.raster import rasterize
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


def before(size: int) -> Cameras:
    """A camera that a standing person just fits."""
    viewmat = np.diag([1.0, -1, -1, 1])
    viewmat[:3, 3] = 0, 0.9, 3
    K = np.array([[1.4 * size, 0, size / 2], [0, 1.4 * size, size / 2], [0, 0, 1]])
    return Cameras(viewmat[None], K[None], size, size)


def drawing() -> list[dict[str, object]]:
    """Rows of the rasteriser, on one core."""
    cast = load_cast()
    person = next(p.name for p in cast.people if p.age == "adult")
    mesh, rows = cast.figure(person).mesh, []
    for size, goal in ((256, 1.5), (512, 3.0)):
        camera = before(size)
        took = least(lambda camera=camera: rasterize(mesh.vertices, mesh.faces, camera))
        covered = (rasterize(mesh.vertices, mesh.faces, camera).face_ids >= 0).mean()
        figure = f"rasterise a body of {len(mesh.vertices)} vertices at {size} x {size}"
        note = f"{covered:.0%} of the pixels"
        rows.append(
            {"figure": figure, "measured": f"{took:.2f} ms", "goal": f"<= {goal} ms", "ok": took <= goal, "note": note}
        )
    return rows


def main() -> list[dict[str, object]]:
    """All rows."""
    keep_freed_memory()
    skin = Skin.of(body())
    turns = torch.nn.functional.normalize(torch.randn(FRAMES, JOINTS, 4), dim=-1)
    root = torch.zeros(FRAMES, 3)
    with torch.inference_mode():
        whole = least(lambda: skin_vertices(skin, global_transforms(skin.bones, turns, root)))
    figure = f"skinning, {FRAMES} frames of {VERTICES} vertices, {JOINTS} joints"
    return [{"figure": figure, "measured": f"{whole:.1f} ms", "goal": "<= 10 ms", "ok": whole <= 10}, *drawing()]


if __name__ == "__main__":
    show(main())
