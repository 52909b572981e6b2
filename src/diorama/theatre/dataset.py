"""Clips of the theatre as training samples: recipes, and the arrays that each of them stores.

A sample is a function of (recipe, seed, number) alone, so that shards can be made anywhere, in any order, and again.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import parent_process
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from diorama.core.figure import Figure, Motion
from diorama.core.progress import Progress
from diorama.errors import LimitError, UsageError
from diorama.figures.cast import load_cast
from diorama.figures.part_colors import part_centers
from diorama.theatre.actor import canonical_picture
from diorama.theatre.choreography import perform, random_dance
from diorama.theatre.clip import EYES, Clip, Script, random_clip, random_person
from diorama.theatre.menagerie import FAMILIES, random_creature, random_motion
from diorama.theatre.moves import EXTREME
from diorama.theatre.render import FrameView
from diorama.theatre.shards import MEMBER_BYTES, Sample, ShardPlan, write_shards
from diorama.theatre.truth import joints_of, tags_of
from diorama.theatre.turntable import Turntable, film

Recipe = Literal["person", "scene", "parts", "stereo"]
RECIPES: tuple[Recipe, ...] = ("person", "scene", "parts", "stereo")
PIXEL_BYTES = {"person": 25, "scene": 60, "parts": 7, "stereo": 70}
"""About how many bytes a pixel of a frame takes before compression."""
VERSION = 1
"""Raised when the same seed gives other bytes."""
EXTREME_SHARE, PEOPLE_SHARE = 0.2, 0.25
"""Of the recipe "parts": rare far poses, and people of the cast among the creatures."""


@dataclass(frozen=True)
class DatasetConfig:
    """What to make.

    Attributes:
        recipe: "person" one actor, "scene" one to four with all layers, "parts" articulated objects from all around,
            "stereo" two eyes.
        size: pixels a side.
        frames: of a clip.
        fps: frames a second.
        views: around an object, for "parts".
        seed: of the whole set.
    """

    recipe: Recipe = "scene"
    size: int = 256
    frames: int = 24
    fps: float = 12.0
    views: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise UsageError(f"no recipe called {self.recipe!r}", "--recipe", f"choose one of {', '.join(RECIPES)}")
        if not 16 <= self.size <= 4096:
            raise UsageError(f"pictures of {self.size} pixels", "--size", "give 16 to 4096")
        if not 1 <= self.frames <= 2000:
            raise UsageError(f"{self.frames} frames", "--frames", "give 1 to 2000")
        if not 1 <= self.views <= 360:
            raise UsageError(f"{self.views} views", "--views", "give 1 to 360")
        if not (np.isfinite(self.fps) and 0 < self.fps <= 240):
            raise UsageError(f"{self.fps} frames a second", "--fps", "give more than 0, up to 240")
        if self.seed < 0:
            raise UsageError(f"seed {self.seed}", "--seed", "give 0 or more")
        whole = self.frames * self.size**2 * PIXEL_BYTES[self.recipe] * (self.views if self.recipe == "parts" else 1)
        if whole > MEMBER_BYTES:
            given = f"samples of about {whole / 1e9:.1f} GB, the limit is {MEMBER_BYTES / 1e9:.1f} GB"
            raise LimitError(given, "--size, --frames, --views", "make smaller or shorter clips")


def write_dataset(
    folder: Path, count: int, config: DatasetConfig, *, workers: int = 1, progress: Progress | None = None
) -> list[Path]:
    """Write `count` samples as shards into a folder; goes on where an earlier run stopped.

    A sample of 24 frames at 256 pixels takes 5 to 15 MB.

    Raises:
        UsageError: the folder holds another set.
    """
    plan = ShardPlan(folder, config.recipe, count, per_shard=8 if config.recipe == "parts" else 4)
    recipe = {"diorama": "theatre", "version": VERSION, **asdict(config)}
    if workers > 1 and count > plan.per_shard:
        sample(replace(config, size=16, frames=2), 0)  # compiles what the workers then only load, once
    return write_shards(plan, partial(sample, config), recipe=recipe, workers=workers, progress=progress)


def sample(config: DatasetConfig, number: int) -> Sample:
    """One sample of a set."""
    if parent_process() is not None:  # a worker: samples are made side by side
        torch.set_num_threads(1)
    seed = int(np.random.SeedSequence([config.seed, number]).generate_state(1, np.uint64)[0])
    return _object(config, seed) if config.recipe == "parts" else clip_sample(config, random_clip(seed, script(config)))


def script(config: DatasetConfig) -> Script:
    """What clips of a recipe may be."""
    whole = Script(config.frames, config.fps, config.size, config.size)
    if config.recipe == "person":
        return replace(whole, actors=(1, 1), occluders=0.3, objects=0.3)
    return replace(whole, stereo=EYES) if config.recipe == "stereo" else whole


def clip_sample(config: DatasetConfig, clip: Clip) -> Sample:
    """The arrays of a clip: what every recipe stores, and what the recipe adds."""
    films = [[clip.frame(t, view) for t in range(len(clip))] for view in range(len(clip.views))]
    joints = [joints_of(clip, frames, view) for view, frames in enumerate(films)]
    arrays = {
        "image": _stack(films, lambda f: f.image),
        "background": _stack(films, lambda f: f.background),
        "depth": _stack(films, lambda f: f.depth.astype(np.float16)),
        "flow": _stack(films, lambda f: f.flow.astype(np.float16)),
        "owner": _stack(films, lambda f: f.owner.astype(np.int8)),
        "parts": _stack(films, _visible_parts),
        "alphas": _stack(films, lambda f: np.packbits(np.stack([v.alpha for v in f.layers[1:]]), axis=-1)),
        "codes": _stack(films, lambda f: np.stack([v.codes for v in f.layers if v.codes is not None])),
        "joints_world": joints[0].world,
        "joints_pixels": np.stack([j.pixels for j in joints]),
        "joints_depth": np.stack([j.depth for j in joints]),
        "joints_visibility": np.stack([j.visibility for j in joints]),
        "viewmats": np.stack([cameras.viewmats for cameras in clip.views]).astype(np.float32),
        "Ks": np.stack([cameras.Ks for cameras in clip.views]).astype(np.float32),
        "part_centers": np.stack([_centers(clip, a) for a in range(len(clip.actors))]),
        **_canonical(clip, config.size),
    }
    if config.recipe == "scene":
        arrays["layers"] = _stack(films, lambda f: np.stack([v.image for v in f.layers[1:]]))
    if config.recipe == "stereo":
        arrays["disparity"] = (clip.views[0].Ks[0, 0, 0] * EYES / _stack(films[:1], lambda f: f.depth)[0]).astype(
            np.float16
        )
    return Sample(arrays, _note(config, clip, tags_of(clip, films[0], joints[0])))


def _stack(films: Sequence[Sequence[FrameView]], of: Callable[[FrameView], np.ndarray]) -> np.ndarray:
    """Something of each frame as "v t ..."."""
    return np.stack([np.stack([of(frame) for frame in frames]) for frames in films])


def _visible_parts(frame: FrameView) -> np.ndarray:
    found = np.full(frame.owner.shape, -1, np.int8)
    for number, layer in enumerate(frame.layers):
        if layer.codes is not None:  # an actor
            found = np.where(frame.owner == number, layer.parts, found).astype(np.int8)
    return found


def _centers(clip: Clip, actor: int) -> np.ndarray:
    """Centres of an actor's parts in the first frame, metres on the stage."""
    layer, body = clip.layers[clip.of_role("actor")[actor]], clip.actors[actor].dressed.body
    assert layer.body is not None
    return part_centers(layer.body.at(0), body.mesh.faces, body.face_parts, len(body.parts))


def _canonical(clip: Clip, size: int) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for side in ("front", "back"):
        pairs = [canonical_picture(actor.dressed, size, side) for actor in clip.actors]
        found[f"canonical_{side}"] = np.stack([image for image, _ in pairs])
        found[f"canonical_{side}_alpha"] = np.packbits(np.stack([alpha for _, alpha in pairs]), axis=-1)
    return found


def _note(config: DatasetConfig, clip: Clip, tags: Sequence[str]) -> dict[str, Any]:
    body = clip.actors[0].dressed.body
    return {
        "recipe": config.recipe,
        "seed": clip.seed,
        "fps": clip.fps,
        "tags": list(tags),
        "stage": clip.stage,
        "filmed": clip.filmed,
        "moves": [list(moves) for moves in clip.moves],
        "layers": [{"name": layer.name, "role": layer.role} for layer in clip.layers],
        "joint_names": list(body.skeleton.names),
        "part_names": list(body.parts),
        "size": [config.size, config.size],
        "packed": ["alphas", "canonical_front_alpha", "canonical_back_alpha"],
        "units": "metres; pixels from the upper left corner, centres at 0.5; depth along z",
    }


@dataclass(frozen=True, eq=False)
class Moving:
    """An articulated object in motion, and from where it is seen.

    Attributes:
        family: of the menagerie, or "person".
        body, motion: what it is and does.
        extreme: whether its poses are rare and far.
        elevation, start: of the cameras and of the first of them, degrees.
    """

    family: str
    body: Figure
    motion: Motion
    extreme: bool
    elevation: float
    start: float


def moving_object(config: DatasetConfig, seed: int) -> Moving:
    """An articulated object: a creature, or sometimes somebody of the cast."""
    rng = np.random.default_rng(seed)
    extreme = bool(rng.random() < EXTREME_SHARE)
    if rng.random() < PEOPLE_SHARE:
        family, body = "person", random_person(rng, load_cast()).body
        dance = random_dance(rng, config.frames / config.fps)
        extreme = bool(set(dance.moves) & set(EXTREME))
        motion = perform(dance, body, config.frames, config.fps)
        motion = replace(motion, root=motion.root * np.array([0, 1, 0], np.float32))  # objects stay in the middle
    else:
        family = FAMILIES[int(rng.integers(len(FAMILIES)))]
        creature = random_creature(rng, family)
        body = creature.figure
        motion = random_motion(rng, creature, frames=config.frames, fps=config.fps, extreme=extreme)
    return Moving(family, body, motion, extreme, float(rng.uniform(-5, 30)), float(rng.uniform(0, 360)))


def _object(config: DatasetConfig, seed: int) -> Sample:
    """Pictures of an articulated object from around."""
    found = moving_object(config, seed)
    body, elevation, start = found.body, found.elevation, found.start
    seen = film(body, found.motion, views=config.views, size=config.size, elevation=elevation, start=start)
    note = {
        "recipe": config.recipe,
        "seed": seed,
        "fps": config.fps,
        "family": found.family,
        "tags": ["extreme_motion"] if found.extreme else [],
        **object_note(seen, body.parts),
    }
    return Sample(object_arrays(seen), note)


def object_arrays(seen: Turntable) -> dict[str, np.ndarray]:
    """What is stored of an object; colours of its parts are worked out when it is loaded."""
    return {
        "image": seen.images,
        "alpha": np.packbits(seen.alpha, axis=-1),
        "depth": seen.depth.astype(np.float16),
        "parts": seen.parts,
        "viewmats": seen.cameras.viewmats.astype(np.float32),
        "Ks": seen.cameras.Ks.astype(np.float32),
        "azimuths": seen.azimuths,
        "part_centers": seen.centers,
        "box": np.stack([seen.low, seen.high]),
    }


def object_note(seen: Turntable, parts: Sequence[str]) -> dict[str, Any]:
    """What is noted of an object beside its arrays."""
    views, frames, height, width = seen.alpha.shape
    return {
        "elevation": seen.elevation,
        "part_names": list(parts),
        "views": views,
        "frames": frames,
        "size": [height, width],
        "packed": ["alpha"],
        "units": "sides of the clip's box; degrees; pixels from the upper left corner, centres at 0.5",
    }
