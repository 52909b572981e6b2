"""From pictures, views or a mesh to a skinned, animated model (``diorama rig``)."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from diorama.core.figure import Figure, Motion
from diorama.core.progress import Progress, Silent
from diorama.errors import InterruptedRunError, MediaError, UsageError
from diorama.figures.retarget import retarget
from diorama.media.atomic import sweep, write_bytes
from diorama.media.lock import RunLock
from diorama.media.mesh import graft_glb, write_glb
from diorama.media.motion.bvh import write_bvh
from diorama.media.recipe import Input, Recipe, write_sidecar
from diorama.media.safe import local_path
from diorama.pipelines.animate_motion import check_motion, driving
from diorama.pipelines.rig_config import RigConfig
from diorama.pipelines.rig_film import turn_of, write_turn
from diorama.pipelines.rig_page import MOST_BYTES as PAGE_BYTES
from diorama.pipelines.rig_page import rig_page
from diorama.pipelines.rig_source import Rigged, rigged_source
from diorama.rigging.swing import range_of_motion

MODEL, MOTION = ".glb", ".bvh"
FPS, SECONDS = 24.0, 4.0
"""Of motions that are made."""


@dataclass(frozen=True)
class RigResult:
    """What was made.

    Attributes:
        files: the model or the motion that was asked for.
        extras: beside it: page, turntable, motion.
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
    began, told = time.perf_counter(), progress or Silent()
    target = _target(source, output, overwrite=overwrite)
    if config.motion:
        check_motion(config.motion)
    with RunLock(target):
        sweep(target)
        try:
            found = rigged_source(str(source), config, told, _beside(target, "_scene"))
            motions = motions_of(found, config, told)
            extras = _written(found, motions, target, config, told)
        except KeyboardInterrupt as stop:
            raise InterruptedRunError("stopped", target, "run the same command again") from stop
    recipe = _recipe(found, config)
    write_sidecar(target, recipe)
    figure = found.figure
    counts = {name: len(motion) for name, motion in motions.items()}
    sizes = len(figure.skeleton), len(figure.parts), len(figure.mesh.vertices)
    return RigResult((target,), extras, *sizes, counts, time.perf_counter() - began, found.notes)


def _target(source: str | Path, output: str | Path, *, overwrite: bool) -> Path:
    path = local_path(output)
    if path.suffix.lower() not in (MODEL, MOTION):
        raise UsageError(f"unknown output format {path.suffix or '(none)'!r}", path, "use .glb, or .bvh for the motion")
    if path.is_dir():
        raise UsageError("the output is a folder", path, "add a file name to the path")
    if path.exists() and Path(source).exists() and path.samefile(source):
        raise UsageError("the output is the input", path, "choose another name")
    if path.exists() and not overwrite:
        raise UsageError("the output exists", path, "choose another name, or add --overwrite")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def motions_of(found: Rigged, config: RigConfig, progress: Progress) -> dict[str, Motion]:
    """The animations: what is asked for first, then what was seen, then every joint in turn.

    Raises:
        DioramaError: a motion that this skeleton cannot follow.
    """
    skeleton, motions = found.figure.skeleton, dict[str, Motion]()
    if config.motion:
        name = Path(config.motion).stem or "motion"
        motions[name] = _asked(found.figure, config, progress)
    motions |= {name: motion for name, motion in found.motions.items() if name not in motions}
    motions["range"] = range_of_motion(skeleton, fps=FPS)
    return motions


def _asked(figure: Figure, config: RigConfig, progress: Progress) -> Motion:
    try:
        given = driving(config.motion, figure, fps=FPS, seconds=SECONDS, seed=config.seed, progress=progress)
    except UsageError as error:
        names = ", ".join(figure.skeleton.names[:6])
        fix = f"{error.fix}; the joints here are {names}, ...: --names mixamo or --edit name them as motions expect"
        raise UsageError(error.what, config.motion, fix) from error
    return given.motion if given.motion.skeleton is figure.skeleton else retarget(given.motion, figure.skeleton)


def _written(
    found: Rigged, motions: Mapping[str, Motion], target: Path, config: RigConfig, progress: Progress
) -> tuple[Path, ...]:
    """Write what was asked for, and what stands beside it."""
    captured = next((motion for name, motion in found.motions.items() if len(motion) > 1), None)
    if target.suffix.lower() == MOTION:
        moving = next(iter(motions.values())) if config.motion else captured
        if moving is None:
            raise UsageError("no motion in a single picture", target, "give a clip, --motion, or ask for a .glb")
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
    facts = {"joints": str(len(found.figure.skeleton)), "vertices": str(len(found.figure.mesh.vertices))}
    if target.stat().st_size > PAGE_BYTES:
        progress.note("the model is too large for a page")
        extras.pop()
    else:
        write_bytes(extras[-1], rig_page(target.read_bytes(), title=target.stem, facts=facts).encode())
    extras.append(_beside(target, ".mp4"))
    write_turn(extras[-1], turn_of(found.figure, next(iter(motions.values()))), progress)
    return tuple(extras)


def _write_model(found: Rigged, motions: Mapping[str, Motion], target: Path, progress: Progress) -> None:
    """The model: the user's own file with a skin where that can be kept, else a new one."""
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


def _recipe(found: Rigged, config: RigConfig) -> Recipe:
    import diorama

    options = {name: value for name, value in vars(config).items() if isinstance(value, str | int | float | bool)}
    for name in ("motion", "mesh", "skeleton", "edit", "mask", "model"):
        options[name] = Path(str(options.get(name, ""))).name
    inputs = tuple(Input.of(path) for path in found.inputs if path.is_file())
    return Recipe("rig", options, inputs, config.seed, diorama.__version__, {"notes": json.dumps(found.notes)})
