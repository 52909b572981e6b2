"""The way from part maps to a rig, against creatures whose rigs are known (``diorama bench parts``).

Part maps are drawn in their true colours, blurred by 1.5 pixels and given noise of 8 levels, as a generator might leave
them; then everything is done as for a user: parts told apart, a surface laid out, labels lifted, a tree, joints,
weights, a model written.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from jaxtyping import Float64, Int64, UInt8

from diorama.bench._parts_truth import Known, edges_of, known
from diorama.bench.parts_scores import agreement
from diorama.bench.scores import Score
from diorama.core.progress import Progress, Silent
from diorama.figures.part_colors import part_colors
from diorama.media.mesh import write_glb
from diorama.rigging.decode import decode
from diorama.rigging.draft import draft_of
from diorama.rigging.lift import lifted, votes
from diorama.rigging.surface import Surface
from diorama.rigging.swing import range_of_motion

BLUR, NOISE = 1.5, 8.0
LEAST = 200
"""Pixels of all pictures below which a true part does not count."""


@dataclass(frozen=True)
class RigRow:
    """What one creature gave.

    Attributes:
        family, extreme: of the creature.
        miou: of the parts told apart, silhouettes given.
        count, truth: of parts.
        blind: miou with silhouettes told from the part maps.
        vertices: of the lifted labels, mean intersection over union weighted by area.
        edges: share of the true pairs that hang together.
        joints: their error, share of the box; nan where no true edge is found.
        unity: largest error of the sum of weights.
        seconds: from a mesh with labels to the file.
    """

    family: str
    extreme: bool
    miou: float
    count: int
    truth: int
    blind: float
    vertices: float
    edges: float
    joints: float
    unity: float
    seconds: float


def rig_rows(count: int, *, size: int = 384, extreme: bool = False, progress: Progress | None = None) -> list[RigRow]:
    """Measure the first `count` creatures, or those in rare poses."""
    told = progress or Silent()
    told.begin("rigs of rare poses" if extreme else "rigs", count)
    rows = []
    for number in range(count):
        rows.append(rig_row(known(number, size=size, extreme=extreme), number))
        told.advance()
    return rows


def rig_row(creature: Known, seed: int) -> RigRow:
    """Measure one creature."""
    table = creature.table
    colored = spoilt(colored_of(creature), np.random.default_rng(seed))
    inside = table.parts >= 0
    found, blind = decode(colored, inside), decode(colored)
    told = agreement(found.labels, table.parts, least=LEAST)
    surface = Surface.of(creature.mesh.vertices, creature.mesh.faces)
    said = votes(creature.mesh.vertices, creature.mesh.faces, found.labels[:, 0], table.cameras, len(found.colors))
    places = lifted(surface, said)
    matched = as_true(places[surface.of_vertex], creature.labels)
    began = time.perf_counter()
    draft = draft_of(creature.mesh, places[surface.of_vertex])
    rig = draft.rig()
    with TemporaryDirectory() as folder:
        write_glb(Path(folder) / "rig.glb", rig.figure, {"range": range_of_motion(rig.figure.skeleton)})
    seconds = time.perf_counter() - began
    edges, joints = tree_error(creature, draft.tree.parents, draft.tree.joints, as_true_parts(draft.labels, creature))
    unity = float(np.abs(rig.figure.skin_weights.astype(np.float64).sum(axis=1) - 1).max())
    return RigRow(
        *(creature.family, creature.extreme, told.miou, told.count, told.truth),
        *(agreement(blind.labels, table.parts, least=LEAST).miou, weighted_iou(matched, creature), edges, joints),
        *(unity, seconds),
    )


def colored_of(creature: Known) -> UInt8[np.ndarray, "v t h w 3"]:
    """Part maps in their true colours on white."""
    table = creature.table
    palette = part_colors(table.centers, table.low, table.high)
    return np.concatenate([palette, np.full((1, 3), 255, np.uint8)])[table.parts]


def spoilt(colored: UInt8[np.ndarray, "v t h w 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "v t h w 3"]:
    """Blurred and with noise."""
    flat = colored.reshape(-1, *colored.shape[2:])
    soft = np.stack([cv2.GaussianBlur(picture.astype(np.float32), (0, 0), BLUR) for picture in flat])
    noisy = soft + rng.normal(0, NOISE, soft.shape).astype(np.float32)
    return np.rint(noisy).clip(0, 255).astype(np.uint8).reshape(colored.shape)


def as_true_parts(labels: Int64[np.ndarray, " n"], creature: Known) -> Int64[np.ndarray, " k"]:
    """The true part that most of each found part is."""
    table = np.zeros((int(labels.max()) + 1, len(creature.parents)), np.int64)
    np.add.at(table, (labels, creature.labels), 1)
    return table.argmax(axis=1)


def as_true(labels: Int64[np.ndarray, " n"], truth: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """Found labels under the numbers of the true parts that they overlap most with, one to one; -1 for others."""
    from diorama.core.extras import need

    table = np.zeros((int(labels.max()) + 1, int(truth.max()) + 1))
    np.add.at(table, (labels, truth), 1)
    rows, columns = need("scipy.optimize").linear_sum_assignment(-table)
    numbers = np.full(len(table), -1, np.int64)
    numbers[rows] = columns
    return numbers[labels]


def weighted_iou(labels: Int64[np.ndarray, " n"], creature: Known) -> float:
    """Mean over the true parts of intersection over union of areas."""
    surface = Surface.of(creature.mesh.vertices, creature.mesh.faces)
    shared = np.bincount(surface.of_vertex, minlength=len(surface.points))
    area = (surface.areas / np.maximum(shared, 1))[surface.of_vertex]
    ious = []
    for part in np.unique(creature.labels):
        both = area[(labels == part) & (creature.labels == part)].sum()
        either = area[(labels == part) | (creature.labels == part)].sum()
        ious.append(both / max(either, 1e-15))
    return float(np.mean(ious))


def tree_error(
    creature: Known,
    parents: np.ndarray,
    joints: np.ndarray,
    true_of: Int64[np.ndarray, " k"],
) -> tuple[float, float]:
    """The share of true edges that were found, and the mean error of their joints, share of the box."""
    truth = edges_of(creature.parents)
    far: dict[frozenset[int], float] = {}
    size = float(np.ptp(creature.mesh.vertices, axis=0).max())
    for part, parent in enumerate(parents):
        pair = frozenset((int(true_of[part]), int(true_of[parent]))) if parent >= 0 else frozenset()
        if pair not in truth:
            continue
        child = next(each for each in pair if creature.parents[each] in pair)
        error = float(np.linalg.norm(joints[part] - creature.joints[child])) / size
        far[pair] = min(error, far.get(pair, np.inf))
    share = len(far) / max(len(truth), 1)
    return share, float(np.mean(list(far.values()))) if far else float("nan")


def rig_scores(rows: Sequence[RigRow]) -> list[Score]:
    """Against the goals of the issue."""
    name = "rig"

    def mean(field: str) -> float:
        return float(np.mean([getattr(row, field) for row in rows]))

    near = float(np.mean([abs(row.count - row.truth) <= 1 for row in rows]))
    far: Float64[np.ndarray, " n"] = np.array([row.joints for row in rows])
    return [
        Score(name, f"parts told apart under noise {NOISE:g}/255 and blur {BLUR:g} px, mIoU", mean("miou"), 0.92),
        Score(name, "the same without given silhouettes", mean("blind"), 0.92),
        Score(name, "part count within 1", 100 * near, 95, unit="%"),
        Score(name, "lifted vertices, mIoU", mean("vertices"), 0.93),
        Score(name, "skeleton edges right", 100 * mean("edges"), 95, unit="%"),
        Score(name, "joint error, median over creatures", 100 * float(np.nanmedian(far)), 5, False, "% of the box"),
        Score(name, "partition of unity", max(row.unity for row in rows), 1e-6, False),
        Score(name, "mesh to GLB, slowest", max(row.seconds for row in rows), 10, False, "s"),
    ]


def family_table(rows: Sequence[RigRow]) -> str:
    """Means by family, of all, and of the rare poses, which count in no other line."""
    names = ("miou", "blind", "vertices", "edges", "joints")
    plain = [row for row in rows if not row.extreme]
    groups = {family: [row for row in plain if row.family == family] for family in sorted({r.family for r in plain})}
    groups |= {"all": plain, "rare poses": [row for row in rows if row.extreme]}
    lines = ["| creatures | n | decoded | blind | vertices | edges | joints | count within 1 |", "|---" * 8 + "|"]
    for name, some in groups.items():
        if some:
            means = [f"{np.nanmean([asdict(row)[n] for row in some]):.3f}" for n in names]
            near = float(np.mean([abs(row.count - row.truth) <= 1 for row in some]))
            lines.append(f"| {name} | {len(some)} | {' | '.join(means)} | {near:.0%} |")
    return "\n".join(lines)
