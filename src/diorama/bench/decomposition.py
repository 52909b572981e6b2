"""What `diorama decompose` finds in clips whose layers, scene and bodies are known (`_decomposition_truth`).

Each clip is written without loss, taken apart as any other clip, and compared with the truth:

person: intersection over union of the seen person, coverage of a half and more, mean of the frames that have it.
occluder: the same of what is nearer than the person, in the person's surroundings, over all frames of a clip at once;
    of clips that have any.
order: of the pixels where person and something else lie one before the other, and one of them is found, those
    where the nearer one is.
background: PSNR of the scene inside the true whole person, where nothing but the bare scene is behind it and no
    shadow falls.
joints: mean distance of the main joints in the camera's axes with the middle of the hips laid on each other, mm.

A clip in which nobody is found counts in "found" alone. Where somebody else is found too, the one that covers most of
the actor is compared.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from diorama.bench._decomposition_truth import TITLES, HeldOut, Truth, held_out_clips, landmarks_of, truth_of
from diorama.bench.scores import Score
from diorama.core.figure import Motion
from diorama.core.layers import LayeredVideo
from diorama.core.progress import Progress, Silent
from diorama.figures.cast import load_cast
from diorama.figures.landmarks import POINT_NAMES
from diorama.figures.observation import Observation, guessed_camera
from diorama.figures.pose import joint_positions
from diorama.figures.solve import fit
from diorama.media.encoding import Encoding
from diorama.media.store import read_actors, read_scene
from diorama.media.write import FrameWriter, StreamSpec
from diorama.pipelines.decompose import SCENE, DecomposeConfig, decompose
from diorama.theatre.clip import Clip

__all__ = ["Found", "Row", "compare", "decomposition_scores", "held_out_clips", "scores_of", "tag_table", "take_apart"]

NAME = "decompose"
NOISE = 5.0
"""Pixels of noise on true landmarks, by which the body fit is measured alone."""
HALF = 128
"""Coverage (of 255) from which on a pixel is a layer's."""
SOME = 0.01
"""Part of the actor's pixels that something must hide for a clip to have occluders."""
VISIBLE = 0.25
"""Part of itself that an actor must show for a frame in which it should be found."""
HIPS = ("upperleg01.L", "upperleg01.R")
POINTS = POINT_NAMES["mediapipe33"]
MAIN = (
    *HIPS,
    *(f"{joint}.{side}" for joint in ("lowerleg01", "foot", "upperarm01", "lowerarm01", "wrist") for side in "LR"),
    *("neck01", "head"),
)
"""Joints that are compared."""
GOALS: Mapping[str, tuple[str, float, bool, str]] = {
    "found": ("frames in which the person is found", 95.0, True, "%"),
    "person": ("person IoU", 0.90, True, ""),
    "occluder": ("occluder IoU around the person", 0.75, True, ""),
    "order": ("layer order right", 95.0, True, "%"),
    "background": ("background behind the person", 25.0, True, "dB"),
    "joints": ("joint error of the body fit, hips aligned", 80.0, False, "mm"),
    "given": (f"joint error given true landmarks with {NOISE:g} px noise, hips aligned", 40.0, False, "mm"),
}
"""What each number is called, its goal, whether larger is better, its unit."""


@dataclass(frozen=True, eq=False)
class Found:
    """What was found of the actor.

    Attributes:
        person, occluder: coverage.
        scene: behind both.
        frames: in which it was seen.
        joints: main ones of those frames, in the order of `MAIN`, in the camera's axes, metres.
        strangers: others who were found where nobody is.
    """

    person: UInt8[np.ndarray, "t h w"]
    occluder: UInt8[np.ndarray, "t h w"]
    scene: UInt8[np.ndarray, "t h w 3"]
    frames: Int64[np.ndarray, " f"]
    joints: Float32[np.ndarray, "f j 3"]
    strangers: int = 0


@dataclass(frozen=True)
class Row:
    """One clip.

    Attributes:
        clip: what was taken apart.
        moves: what the actor does.
        values: by the names of `GOALS` and more; NaN where a clip has none.
    """

    clip: HeldOut
    moves: tuple[str, ...]
    values: Mapping[str, float]


def decomposition_scores(
    clips: Sequence[HeldOut], *, keep: Path | None = None, progress: Progress | None = None
) -> list[Row]:
    """Take clips apart and compare; about 20 seconds a clip of 24 frames on one core.

    Args:
        clips: from `held_out_clips`.
        keep: a folder that is to hold clips and scenes; by default they are thrown away.
        progress: told of each clip.
    """
    told, rows = progress or Silent(), []
    told.begin("clips taken apart", len(clips))
    for number, held in enumerate(clips):
        clip = held.clip()
        truth = truth_of(clip)
        with _folder(keep) as folder:
            found = take_apart(truth, clip.fps, folder, f"clip-{number:03d}")
        values = {**compare(truth, found), "given": given_landmarks(clip, truth)}
        rows.append(Row(held, clip.moves[0], values))
        told.advance()
    return rows


def scores_of(rows: Sequence[Row]) -> list[Score]:
    """Means over clips, against their goals."""
    means = _means(rows)
    return [Score(NAME, title, means[key], goal, up, unit) for key, (title, goal, up, unit) in GOALS.items()]


def tag_table(rows: Sequence[Row]) -> str:
    """A Markdown table of means: of all clips, and of those of each tag."""
    groups = {"all": list(rows)}
    groups |= {title: [row for row in rows if tag in row.clip.tags] for tag, title in TITLES.items()}
    head = [*GOALS]
    lines = [f"| clips | n | {' | '.join(head)} |", "|---" * (len(head) + 2) + "|"]
    for title, group in groups.items():
        if group:
            means = _means(group)
            lines.append(f"| {title} | {len(group)} | {' | '.join(f'{means[key]:.3g}' for key in head)} |")
    return "\n".join(lines)


def take_apart(truth: Truth, fps: float | int, folder: Path, name: str = "clip") -> Found | None:
    """Write a clip without loss, take it apart, and read the actor; None where nobody was found on it."""
    clip, scene = folder / f"{name}.mkv", folder / f"{name}.scene"
    _write(clip, truth.image, Fraction(fps).limit_denominator(1001))
    decompose(clip, scene, DecomposeConfig(), overwrite=True)
    layered, actors = read_scene(scene, verify=False), read_actors(scene, verify=False)
    covered = [int(((_alpha(layered, actor.layer) >= HALF) & truth.whole).sum()) for actor in actors]
    if not actors or not max(covered):
        return None
    actor = actors[int(np.argmax(covered))]
    person = _alpha(layered, actor.layer)
    occluder = np.zeros_like(person) if actor.occluder is None else _alpha(layered, actor.occluder)
    frames = actor.track.frames
    joints = main_joints(actor.motion, actor.cameras.viewmats)[frames - actor.frames[0]]
    return Found(person, occluder, _colors(layered), frames, joints, len(actors) - 1)


def compare(truth: Truth, found: Found | None) -> dict[str, float]:
    """The numbers of a clip (module docstring) but "given", and some that explain them.

    "false": the part of the seen person that is taken for an occluder. "strangers": how many others were found.
    "absolute", "scaled": joints as they are, and with the hips aligned at the one scale that suits the clip best.
    """
    keys = ("person", "occluder", "false", "strangers", "order", "background", "joints", "absolute", "scaled")
    shown = truth.person.sum(axis=(1, 2)) > VISIBLE * np.maximum(truth.whole.sum(axis=(1, 2)), 1)
    if found is None:
        return {"found": 0.0} | dict.fromkeys(keys, float("nan"))
    seen = np.isin(np.arange(len(shown)), found.frames)
    person, occluder = found.person >= HALF, (found.occluder >= HALF) & truth.around
    each = [_iou(p, t) for p, t in zip(person[shown & seen], truth.person[shown & seen], strict=True)]
    some = truth.before.sum() > SOME * truth.whole.sum()
    off = found.scene.astype(np.float32) - truth.background
    behind = truth.whole & truth.bare & seen[:, None, None]
    return {
        "found": 100 * float(seen[shown].mean()) if shown.any() else float("nan"),
        "person": _mean(each),
        "occluder": _iou(occluder[seen], truth.before[seen]) if some else float("nan"),
        "false": float((occluder & truth.person)[seen].sum() / max(truth.person[seen].sum(), 1)),
        "strangers": float(found.strangers),
        "order": _order(truth, found),
        "background": _psnr(off[behind]),
        **_joint_errors(truth, found),
    }


def given_landmarks(clip: Clip, truth: Truth, *, noise: float | int = NOISE) -> float:
    """Joint error of the body fit to true landmarks in the picture and in space, hips aligned, mm.

    Noise in space is that of the picture at the actor's distance. The camera is guessed as for any clip.
    """
    pixels, local = landmarks_of(clip)
    rng, focal = np.random.default_rng(clip.seed), float(clip.views[0].Ks[0, 0, 0])
    hips = [POINTS.index(f"{side}_hip") for side in ("left", "right")]
    world = local - local[:, hips].mean(axis=1, keepdims=True)
    world += rng.normal(0, 1, world.shape) * noise * float(np.median(local[..., 2])) / focal
    points = np.concatenate([pixels + rng.normal(0, noise, pixels.shape), np.ones((*pixels.shape[:2], 1))], axis=-1)
    camera = guessed_camera(*truth.image.shape[1:3])
    seen = Observation(points.astype(np.float32), "mediapipe33", camera, float(clip.fps), world.astype(np.float32))
    done = fit(seen, load_cast())
    joints = main_joints(done.motion, done.cameras.viewmats)
    return _apart(_centred(joints), _centred(_main(truth.joints, truth.names)))


def main_joints(motion: Motion, viewmats: Float32[np.ndarray, "v 4 4"] | np.ndarray) -> Float32[np.ndarray, "t m 3"]:
    """The joints of `MAIN` in the axes of each frame's camera, metres."""
    world = _main(joint_positions(motion), motion.skeleton.names)
    return (np.einsum("tij,tnj->tni", viewmats[:, :3, :3], world) + viewmats[:, None, :3, 3]).astype(np.float32)


def _main(joints: Float32[np.ndarray, "t j 3"], names: Sequence[str]) -> Float32[np.ndarray, "t m 3"]:
    return joints[:, [list(names).index(name) for name in MAIN]]


def _centred(joints: Float32[np.ndarray, "t m 3"]) -> Float32[np.ndarray, "t m 3"]:
    """About the middle of the hips, the first two."""
    return joints - joints[:, :2].mean(axis=1, keepdims=True)


def _apart(one: Float32[np.ndarray, "t m 3"], two: Float32[np.ndarray, "t m 3"]) -> float:
    """Mean distance, mm."""
    return 1000 * float(np.linalg.norm(one - two, axis=-1).mean())


def _joint_errors(truth: Truth, found: Found) -> dict[str, float]:
    true = _main(truth.joints, truth.names)[found.frames]
    one, two = _centred(found.joints), _centred(true)
    scale = np.float32((one * two).sum() / max(float((one * one).sum()), 1e-9))
    return {"joints": _apart(one, two), "absolute": _apart(found.joints, true), "scaled": _apart(scale * one, two)}


def _order(truth: Truth, found: Found) -> float:
    """Percent of the pixels with several layers, one of them found, whose nearer layer is found; NaN without any."""
    person, occluder = found.person >= HALF, found.occluder >= HALF
    hidden = truth.before & truth.whole
    decided = (hidden | truth.below) & (person | occluder)
    decided &= np.isin(np.arange(len(person)), found.frames)[:, None, None]
    right = np.where(hidden, occluder, person & ~occluder) & decided
    return 100 * float(right.sum() / decided.sum()) if decided.any() else float("nan")


def _iou(one: np.ndarray, two: np.ndarray) -> float:
    return float((one & two).sum() / max((one | two).sum(), 1))


def _psnr(off: Float32[np.ndarray, "n 3"]) -> float:
    """Of differences in levels of 255, dB; NaN without any."""
    return float(-10 * np.log10(max(float((off**2).mean()), 1e-5) / 255**2)) if len(off) else float("nan")


def _mean(values: Sequence[float]) -> float:
    """The mean of those that are numbers; NaN where none is."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _means(rows: Sequence[Row]) -> dict[str, float]:
    return {key: _mean([row.values[key] for row in rows]) for key in GOALS}


def _alpha(layered: LayeredVideo, name: str) -> UInt8[np.ndarray, "t h w"]:
    maps = layered.layer(name).alpha
    assert maps is not None  # people have coverage
    return np.stack(list(maps))


def _colors(layered: LayeredVideo) -> UInt8[np.ndarray, "t h w 3"]:
    return np.stack([frame.image for frame in layered.layer(SCENE).color])


def _write(path: Path, images: UInt8[np.ndarray, "t h w 3"], fps: Fraction) -> None:
    spec = StreamSpec(images.shape[2], images.shape[1], 1 / fps, fps)
    with FrameWriter(path, spec, Encoding("ffv1").resolved(path.suffix, 8)) as writer:
        for number, image in enumerate(images):
            writer.write(image, number)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
    else:
        with TemporaryDirectory(prefix="diorama-") as name:
            yield Path(name)
