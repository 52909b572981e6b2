"""From pictures, views or a mesh to a skinned, animated model (``diorama rig``)."""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from diorama.core.figure import Motion
from diorama.core.progress import Noted, Progress, Silent
from diorama.errors import InterruptedRunError, MediaError, UsageError
from diorama.media.atomic import hidden_sibling, sweep, write_bytes
from diorama.media.fields import Scalar
from diorama.media.images import save_image
from diorama.media.lock import RunLock
from diorama.media.mesh import animate_glb, graft_glb, read_glb, write_glb
from diorama.media.motion.bvh import write_bvh
from diorama.media.recipe import Input, Recipe, write_sidecar
from diorama.media.safe import local_path
from diorama.pipelines.animate_motion import check_motion
from diorama.pipelines.animate_open import path_of
from diorama.pipelines.part_views import is_views, overview
from diorama.pipelines.rig_config import RigConfig
from diorama.pipelines.rig_film import turn_of, write_turn
from diorama.pipelines.rig_mesh import MESHES
from diorama.pipelines.rig_motion import motions_of
from diorama.pipelines.rig_page import MOST_BYTES as PAGE_BYTES
from diorama.pipelines.rig_page import rig_page
from diorama.pipelines.rig_source import Rigged, rigged_source
from diorama.rigging.edit import read_edits

MODEL, MOTION = ".glb", ".bvh"
SHEET = "_views.png"
NOTES = 1000
"""Characters of notes that a recipe holds."""
NETWORKS = ("model", "segmenter")
"""Options that name weights, which are no inputs."""


@dataclass(frozen=True)
class RigResult:
    """What was made.

    Attributes:
        files: the model or the motion that was asked for.
        extras: beside it: page, turntable, motion, and a sheet of the views that were made of a picture.
        joints, parts, vertices: how many.
        motions: names of the animations, with their frames.
        seconds: of the run.
        notes: what is to be known.
    """

    files: tuple[Path, ...]
    extras: tuple[Path, ...]
    joints: int
    parts: int
    vertices: int
    motions: dict[str, int]
    seconds: float
    notes: tuple[str, ...] = field(default=())


def rig(
    source: str | Path,
    output: str | Path,
    config: RigConfig = RigConfig(),
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> RigResult:
    """Rig something.

    Args:
        source: a picture or a clip, an actor of a scene, a folder of part views or silhouettes, or a mesh.
        output: ``.glb`` for the model; ``.bvh`` for the motion that was captured.
        config: how.
        overwrite: replace an existing output.
        progress: told of steps and notes.

    Raises:
        DioramaError: its children say what was wrong and what to do; nothing appears unless it is complete.
    """
    began, told = time.perf_counter(), Noted(progress or Silent())
    target = _target(source, output, config, overwrite=overwrite)
    _check_files(source, config)
    with RunLock(target):
        sweep(target)
        try:
            found = rigged_source(str(source), config, told, target)
            motions = motions_of(found, config, told)
            with _aside(target) as folder:
                made = folder / target.name
                extras = _written(found, motions, made, config, told)
                for file in (*extras, write_sidecar(made, _recipe(found, config, told.notes)), made):
                    os.replace(file, target.with_name(file.name))
        except KeyboardInterrupt as stop:
            raise InterruptedRunError("stopped", target, "run the same command again") from stop
    figure = found.figure
    counts = {name: len(motion) for name, motion in _inside(target, found, motions).items()}
    sizes = len(figure.skeleton), len(figure.parts), len(figure.mesh.vertices)
    beside = tuple(target.with_name(extra.name) for extra in extras)
    return RigResult((target,), beside, *sizes, counts, time.perf_counter() - began, tuple(told.notes))


def _inside(target: Path, found: Rigged, motions: Mapping[str, Motion]) -> Mapping[str, Motion]:
    """The animations of what was made: those of the user's own model are in it, too."""
    own = found.whole and target.suffix.lower() == MODEL
    return read_glb(target).motions if own else motions


def _target(source: str | Path, output: str | Path, config: RigConfig, *, overwrite: bool) -> Path:
    path = local_path(output)
    if path.suffix.lower() not in (MODEL, MOTION):
        raise UsageError(f"unknown output format {path.suffix or '(none)'!r}", path, "use .glb, or .bvh for the motion")
    if path.is_dir():
        raise UsageError("the output is a folder", path, "add a file name to the path")
    files = [path, *(_beside(path, ending) for ending in _endings(source, path, config))]
    given = [Path(source), *(Path(name) for name in _files_in(config).values() if name)]
    for file in files:
        if file.exists() and any(one.exists() and file.samefile(one) for one in given):
            raise UsageError("the output is the input", file, "choose another name")
        if file.exists() and not overwrite:
            raise UsageError("the output exists", file, "choose another name, or add --overwrite")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _endings(source: str | Path, target: Path, config: RigConfig) -> tuple[str, ...]:
    """What may be written beside a target: only clips and views show a motion, only pictures and clips make views."""
    if target.suffix.lower() == MOTION:
        return ()
    mesh = Path(source).suffix.lower() in MESHES
    known = mesh or is_views(Path(source)) or ("#" in str(source) and not Path(source).exists())
    others = () if config.bare else (".html", ".mp4", *(() if known else (SHEET,)))
    return others if mesh else (*others, MOTION)


def _check_files(source: str | Path, config: RigConfig) -> None:
    """Refuse what is missing or is none before anything slow begins."""
    named = {"": str(path_of(str(source))), "--mesh": config.mesh, "--skeleton": config.skeleton}
    for option, given in (named | {"--mask": config.mask}).items():
        if given and not local_path(given).exists():
            raise MediaError("no such file", given, f"check the path{f' of {option}' if option else ''}")
    if config.edit:
        read_edits(local_path(config.edit))
    if config.motion:
        check_motion(config.motion)


def _files_in(config: RigConfig) -> dict[str, str]:
    """The options that name files."""
    names = ("motion", "mesh", "skeleton", "edit", "mask", *NETWORKS)
    return {name: str(getattr(config, name)) for name in names}


@contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """A folder beside the target in which everything is made before anything appears."""
    folder = hidden_sibling(target, f"partial-{os.getpid()}")
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _written(
    found: Rigged, motions: Mapping[str, Motion], target: Path, config: RigConfig, progress: Progress
) -> tuple[Path, ...]:
    """Write what was asked for, and what stands beside it."""
    captured = next((motion for name, motion in found.motions.items() if len(motion) > 1), None)
    if target.suffix.lower() == MOTION:
        moving = next(iter(motions.values())) if config.motion else captured
        if moving is None:
            raise UsageError("nothing moves in it", target.name, "give a clip, --motion, or ask for a .glb")
        write_bvh(target, moving)
        return ()
    _write_model(found, motions, target, progress)
    extras: list[Path] = []
    if captured is not None:
        extras.append(_beside(target, MOTION))
        write_bvh(extras[-1], captured)
    if config.bare:
        return tuple(extras)
    extras.append(_beside(target, ".html"))
    facts = {"parts": str(len(found.figure.parts))} if not found.whole else {}
    if target.stat().st_size > PAGE_BYTES:
        progress.note("the model is too large for a page")
        extras.pop()
    else:
        page = rig_page(target.read_bytes(), title=target.stem, facts=facts, newest=len(motions) if found.whole else 0)
        write_bytes(extras[-1], page.encode())
    if found.views is not None:
        extras.append(_beside(target, SHEET))
        save_image(extras[-1], overview(found.views))
    extras.append(_beside(target, ".mp4"))
    write_turn(extras[-1], turn_of(found.figure, next(iter(motions.values()))), progress)
    return tuple(extras)


def _write_model(found: Rigged, motions: Mapping[str, Motion], target: Path, progress: Progress) -> None:
    """The model: the user's own file with a skin more where that can be kept, or motions more; else a new one."""
    if found.kept is not None and found.whole:
        animate_glb(found.kept, target, motions)
        progress.note("the model keeps its skin and its animations; the motion is added (--again makes a new skin)")
        return
    if found.kept is not None:
        try:
            graft_glb(found.kept, target, found.figure, motions, name=target.stem)
        except MediaError as error:
            progress.note(f"the file cannot be kept as it is ({error.what}): surface and colours are written anew")
        else:
            return
    write_glb(target, found.figure, motions, name=target.stem)


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(target.stem + ending)


def _plain(value: Scalar | tuple[float, ...]) -> Scalar:
    """An option as a recipe holds it: several numbers as on the command line."""
    return " ".join(map(repr, value)) if isinstance(value, tuple) else value


def _recipe(found: Rigged, config: RigConfig, told: Sequence[str]) -> Recipe:
    import diorama

    options = {name: _plain(value) for name, value in vars(config).items() if value is not None}
    options |= {name: Path(given).name for name, given in _files_in(config).items()}
    given = [Path(name) for option, name in _files_in(config).items() if option not in NETWORKS and name]
    inputs = tuple(Input.of(path) for path in (*found.inputs, *given) if path.is_file())
    kept = list(told)
    while len(notes := json.dumps(kept)) > NOTES:
        kept.pop()
    return Recipe("rig", options, inputs, config.seed, diorama.__version__, {"notes": notes})
