"""End to end: from one picture of a creature that no training has seen to a rigged model (``diorama bench parts``)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from jaxtyping import Bool, Float64, UInt8

from diorama.bench._parts_truth import Known, known
from diorama.bench.scores import Score
from diorama.core.extras import need
from diorama.core.figure import Figure
from diorama.core.progress import Progress, Silent
from diorama.diffusion.parts_generate import VIEWS
from diorama.errors import DioramaError
from diorama.media.images import save_image
from diorama.media.mesh import read_glb
from diorama.pipelines.cutout import cutouts
from diorama.pipelines.rig import rig
from diorama.pipelines.rig_config import RigConfig

NEAR = 0.1
"""Share of the box within which a joint is a true one's."""
SAMPLES = 3000
"""Vertices that surfaces are compared by."""
SETS = ("plain", "rare poses", "over photographs", "over photographs, in a box")
"""Pictures of creatures on white, the same in rare poses, and before real scenes; with a box around them, too."""
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
"""That install with scikit-image."""
WIDER = 1.5
"""Sides of a creature's picture that a photograph behind it has."""


@dataclass(frozen=True)
class PictureRow:
    """What one picture gave.

    Attributes:
        family: of the creature.
        made: whether a model was made.
        outline: overlap of what was cut out with the creature.
        why: else what was said.
        joints, truth: how many joints it has, and should have.
        precision: share of its joints that are within `NEAR` of a true one.
        recall: share of true ones that are within `NEAR` of one of its.
        shape: distance of its surface from the true one, share of the box (mean of both directions).
        posed: the same after every part has moved as the true part that is nearest to it, mean over the poses.
        seconds: from the picture to the file.
    """

    family: str
    made: bool
    why: str = ""
    outline: float = float("nan")
    joints: int = 0
    truth: int = 0
    precision: float = float("nan")
    recall: float = float("nan")
    shape: float = float("nan")
    posed: float = float("nan")
    seconds: float = float("nan")


def picture_rows(
    count: int, name: str = SETS[0], *, config: RigConfig | None = None, progress: Progress | None = None
) -> list[PictureRow]:
    """Rows of the first `count` creatures of a set, each from another side."""
    told = progress or Silent()
    told.begin(f"pictures, {name}", count)
    rows = []
    for number in range(count):
        creature = known(number, views=VIEWS, frames=4, size=256, extreme=name == SETS[1])
        view = (3 * number) % VIEWS
        shown = _shown(creature, view, np.random.default_rng(number) if name in SETS[2:] else None)
        how = config or RigConfig(subject="object", bare=True)
        rows.append(picture_row(creature, view, shown, replace(how, box=shown.box) if name == SETS[3] else how))
        told.advance()
    return rows


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture of a creature, and where in it the creature is."""

    picture: UInt8[np.ndarray, "h w 3"]
    inside: Bool[np.ndarray, "h w"]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Around the creature and a little more, as shares of the picture."""
        (top, left), (bottom, right) = (find(np.argwhere(self.inside), axis=0) for find in (np.min, np.max))
        height, width = self.inside.shape
        ends = (left - 2) / width, (top - 2) / height, (right + 3) / width, (bottom + 3) / height
        return tuple(float(np.clip(end, 0, 1)) for end in ends)  # type: ignore[return-value]


def _shown(creature: Known, view: int, rng: np.random.Generator | None) -> Shown:
    """A view in the first frame: on white, or somewhere before a piece of a photograph."""
    picture, inside = creature.table.images[view, 0], creature.table.parts[view, 0] >= 0
    if rng is None:
        return Shown(picture, inside)
    photograph = getattr(need("skimage.data"), PHOTOGRAPHS[int(rng.integers(len(PHOTOGRAPHS)))])()
    height, width = photograph.shape[:2]
    side, size = min(height, width), int(WIDER * len(picture))
    top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
    behind = cv2.resize(photograph[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_AREA)
    y, x = (int(rng.integers(0, size - len(picture) + 1)) for _ in range(2))
    place = np.s_[y : y + len(picture), x : x + len(picture)]
    where = np.zeros((size, size), bool)
    where[place] = inside
    full = behind.copy()
    full[place] = np.where(inside[..., None], picture, behind[place])
    cover = cv2.GaussianBlur(where.astype(np.float32), (0, 0), 0.7)[..., None]
    return Shown(np.rint(full * cover + behind * (1 - cover)).astype(np.uint8), where)


def picture_row(creature: Known, view: int, shown: Shown, config: RigConfig) -> PictureRow:
    """From the picture of one view in the first frame to a model, and that against the truth."""
    with TemporaryDirectory() as folder:
        picture, model = Path(folder) / "creature.png", Path(folder) / "creature.glb"
        save_image(picture, shown.picture)
        try:
            outline = _outline(picture, shown, config)
            result = rig(picture, model, config)
        except DioramaError as error:
            return PictureRow(creature.family, False, error.what)
        figure = read_glb(model).figures[0]
    azimuth = np.radians(float(creature.table.azimuths[view]))
    turn = np.array([[np.cos(azimuth), 0, np.sin(azimuth)], [0, 1, 0], [-np.sin(azimuth), 0, np.cos(azimuth)]])
    return replace(_compared(creature, figure, turn, result.seconds), outline=outline)


def _outline(picture: Path, shown: Shown, config: RigConfig) -> float:
    """Intersection over union of what is cut out with the creature, in the square that is cut out."""
    cut = cutouts(picture, config, size=256)
    left, top, side = cut.crop
    scale = 256 / side
    there = cv2.warpAffine(
        shown.inside.astype(np.float32),
        np.array([[scale, 0, -left * scale], [0, scale, -top * scale]], np.float32),
        (256, 256),
        flags=cv2.INTER_LINEAR,
    )
    found, truth = cut.alpha[0] >= 0.5, there >= 0.5
    return float((found & truth).sum() / max((found | truth).sum(), 1))


def _compared(creature: Known, figure: Figure, turn: Float64[np.ndarray, "3 3"], seconds: float) -> PictureRow:
    """The model is turned to the true axes, and brought to the size and place of the true surface."""
    truth = creature.mesh.vertices.astype(np.float64)
    size = float(np.ptp(truth, axis=0).max())
    made = figure.mesh.vertices.astype(np.float64) @ turn.T
    scale = size / max(float(np.ptp(made, axis=0).max()), 1e-9)
    shift = (truth.min(axis=0) + truth.max(axis=0)) / 2 - scale * (made.min(axis=0) + made.max(axis=0)) / 2
    made = scale * made + shift
    joints = scale * figure.skeleton.joints.astype(np.float64) @ turn.T + shift
    true_joints = creature.joints[creature.parents >= -1]
    far = np.linalg.norm(joints[:, None] - true_joints[None], axis=-1) / size
    moves = _moves(creature, joints, figure, made)
    posed = [
        _between(place, true.astype(np.float64)) / size for place, true in zip(moves, creature.places, strict=True)
    ]
    return PictureRow(
        *(creature.family, True, "", float("nan"), len(joints), len(true_joints)),
        *(float((far.min(axis=1) < NEAR).mean()), float((far.min(axis=0) < NEAR).mean())),
        *(_between(made, truth) / size, float(np.mean(posed)), seconds),
    )


def _moves(
    creature: Known, joints: Float64[np.ndarray, "j 3"], figure: Figure, made: Float64[np.ndarray, "v 3"]
) -> Float64[np.ndarray, "t v 3"]:
    """The made surface in every pose: each of its parts moves as the true part whose middle is nearest to its own."""
    weights = figure.dense_weights.astype(np.float64)
    middles = (weights.T @ made) / np.maximum(weights.sum(axis=0), 1e-9)[:, None]
    used = np.flatnonzero(creature.parents >= -1)
    first = creature.mesh.vertices.astype(np.float64)
    centers = np.stack([first[creature.labels == part].mean(axis=0) for part in used])
    nearest = used[np.linalg.norm(middles[:, None] - centers[None], axis=-1).argmin(axis=1)]
    found = np.zeros((len(creature.places), *made.shape))
    for joint, part in enumerate(nearest):
        own = creature.labels == part
        for t, places in enumerate(creature.places):
            turn, shift = _rigid(first[own], places[own].astype(np.float64))
            found[t] += weights[:, joint : joint + 1] * (made @ turn.T + shift)
    return found


def _rigid(
    start: Float64[np.ndarray, "n 3"], end: Float64[np.ndarray, "n 3"]
) -> tuple[Float64[np.ndarray, "3 3"], Float64[np.ndarray, "3"]]:
    """The motion that brings points onto others (Kabsch 1976)."""
    a, b = start.mean(axis=0), end.mean(axis=0)
    u, _, vt = np.linalg.svd((start - a).T @ (end - b))
    flip = np.diag([1, 1, np.sign(np.linalg.det(vt.T @ u.T)) or 1])
    turn = vt.T @ flip @ u.T
    return turn, b - turn @ a


def _between(a: Float64[np.ndarray, "n 3"], b: Float64[np.ndarray, "m 3"]) -> float:
    """Mean distance of two surfaces, both ways, by their vertices."""
    tree = need("scipy.spatial").cKDTree
    a, b = a[:: max(1, len(a) // SAMPLES)], b[:: max(1, len(b) // SAMPLES)]
    return float((tree(a).query(b)[0].mean() + tree(b).query(a)[0].mean()) / 2)


def picture_scores(rows: Sequence[PictureRow]) -> list[Score]:
    """Against the goal of the issue, and the published network's precision."""
    made = [row for row in rows if row.made]

    def mean(name: str) -> float:
        return float(np.mean([getattr(row, name) for row in made])) if made else float("nan")

    name = "picture"
    return [
        Score(name, "models made", 100 * len(made) / max(len(rows), 1), 95, unit="%"),
        Score(name, f"joints within {NEAR:.0%} of a true one", 100 * mean("precision"), 72.7, unit="%"),
        Score(name, "true joints found", 100 * mean("recall"), 72.7, unit="%"),
        Score(name, "surface from the true one", 100 * mean("shape"), 5, False, "% of the box"),
        Score(name, "the same in the creature's poses", 100 * mean("posed"), 6, False, "% of the box"),
        Score(name, "seconds a picture", mean("seconds"), 60, False, "s"),
    ]


def picture_table(sets: Mapping[str, Sequence[PictureRow]]) -> str:
    """Means of the sets."""
    names = ("outline", "precision", "recall", "shape", "posed", "seconds")
    lines = ["| pictures | n | models | outline | precision | recall | surface | posed | seconds |", "|---" * 9 + "|"]
    for name, rows in sets.items():
        made = [row for row in rows if row.made]
        means = [f"{np.mean([getattr(row, n) for row in made]):.3f}" if made else "" for n in names]
        lines.append(f"| {name} | {len(rows)} | {len(made) / max(len(rows), 1):.0%} | {' | '.join(means)} |")
    return "\n".join(lines)
