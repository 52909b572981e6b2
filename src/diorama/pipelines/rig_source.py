"""What is rigged: pictures, views, silhouettes, meshes and people, each brought to a figure and the motions seen."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int16, Int64

from diorama.core.camera import Cameras
from diorama.core.figure import Figure, Motion
from diorama.core.mesh import Mesh
from diorama.core.progress import Progress
from diorama.errors import ModelError, UsageError
from diorama.media.images import is_image
from diorama.pipelines.part_views import KINDS, NAME, PartViews, is_views, read_views
from diorama.pipelines.parts import views_of_source
from diorama.pipelines.rig_config import FOR_PARTS, RigConfig
from diorama.pipelines.rig_mesh import MESHES, opened, parts_of_colors, skeleton_of
from diorama.pipelines.rig_refine import Refine, refiner
from diorama.pipelines.rig_views import (
    checked_hull,
    colored_by,
    labelled,
    laid_into,
    seen_depth,
    silhouettes_of,
    standing,
    told_apart,
    used_only,
)
from diorama.rigging.assemble import Rig
from diorama.rigging.bones import bound, laid_in, outside
from diorama.rigging.capture import captured
from diorama.rigging.count import with_count
from diorama.rigging.draft import Draft, draft_of
from diorama.rigging.edit import edited, read_edits
from diorama.rigging.names import humanoid_roles, named

OUTSIDE = 0.25
"""Share of a skeleton's joints outside the surface from which on that is told."""
YOUNG = "the parts, and what the picture does not show, are guesses of a small network: look at them (--parts, --edit)"


@dataclass(frozen=True, eq=False)
class Rigged:
    """What came out.

    Attributes:
        figure: with its weights.
        motions: what was seen, by name.
        kept: the file whose surface and materials are to be kept.
        whole: whether that file has the figure's skin, and is to get no more than motions.
        inputs: files that were read.
        views: what the generator made of a picture or a clip.
    """

    figure: Figure
    motions: Mapping[str, Motion] = field(default_factory=dict)
    kept: Path | None = None
    whole: bool = False
    inputs: tuple[Path, ...] = ()
    views: PartViews | None = None


def rigged_source(source: str, config: RigConfig, progress: Progress, target: Path) -> Rigged:
    """Rig whatever a user names.

    Args:
        source: a picture or a clip, an actor of a scene, a folder of views, or a mesh.
        config: how.
        progress: told of steps and notes.
        target: the model to be; a clip of a person is taken apart beside it, as `scene_of` does it.

    Raises:
        DioramaError: says what was wrong and what to do.
    """
    path = Path(source)
    if "#" in source and not path.exists():
        from diorama.pipelines.rig_body import body_of_scene

        others = config.given(*FOR_PARTS)
        if others:
            fix = "leave it out; the body that was fitted to the actor is rigged"
            raise UsageError(f"an actor of a scene with {' and '.join(others)}", source, fix)
        return _of_body(body_of_scene(source, progress), "as filmed", config, progress)
    if path.is_dir() and not is_views(path) and any((path / kind).is_dir() for kind in KINDS):
        fix = "put it there: diorama parts writes it, the README says what must be in it"
        raise UsageError(f"a folder of views without {NAME}", path, fix)
    if path.is_dir() and is_views(path):
        refine = refiner(config.segmenter, progress, progress.note)
        return _of_views(read_views(path), config, progress, (path / NAME,), refine)
    if path.suffix.lower() in MESHES:
        return _of_mesh(path, config, progress)
    others = config.given(*FOR_PARTS)
    perhaps = config.who == "auto" and config.subject != "object" and config.box is None
    if perhaps and others:
        progress.note(f"{' and '.join(others)} asks for parts: the generator's views are rigged, not a fitted body")
    elif perhaps or config.who == "body":
        try:
            return _of_person(path, config, progress, target)
        except (UsageError, ModelError) as error:
            if config.who == "body":
                raise
            said = "; ".join(part for part in (error.what, error.fix) if part)
            progress.note(f"no body is fitted ({said}): the generator's views are rigged")
    views, _ = views_of_source(path, config, progress)
    progress.note(YOUNG)
    found = _of_views(views, config, progress, (path,), refiner(config.segmenter, progress))
    return replace(found, views=views)


def _idle(names: Sequence[str], what: str, config: RigConfig, progress: Progress) -> None:
    """Tell of options that are given and have no effect on what is rigged."""
    given = config.given(*names)
    if given:
        progress.note(f"{' and '.join(given)}: without effect on {what}")


def _of_body(
    found: tuple[Figure, Motion], shown: str, config: RigConfig, progress: Progress, inputs: tuple[Path, ...] = ()
) -> Rigged:
    """A fitted body with the pose or motion it had."""
    _idle(("names", "softness", "height", "cells"), "a fitted body", config, progress)
    return Rigged(found[0], {shown: found[1]}, inputs=inputs)


def _of_person(path: Path, config: RigConfig, progress: Progress, target: Path) -> Rigged:
    from diorama.pipelines.rig_body import body_of_photo, body_of_scene

    if path.is_file() and is_image(path):
        found = body_of_photo(str(path), config.person, config.mask, progress)
        return _of_body(found, "as pictured", config, progress, (path,))
    if config.who != "body":
        raise UsageError("that takes minutes for a clip", path, "--who body fits one to a person in it")
    from diorama.media.store import read_actors
    from diorama.pipelines.animate_open import scene_of

    scene = scene_of(path, target, resume=True, progress=progress)
    actors = read_actors(scene, verify=False)
    number = 1 if config.person is None else config.person
    if not 1 <= number <= len(actors):
        raise UsageError(f"person {number} of {len(actors)}", "--person", "choose one that the scene has")
    found = body_of_scene(f"{scene}#{actors[number - 1].name}", progress)
    progress.note(f"the clip is taken apart in {scene.name}, which stays")
    return _of_body(found, "as filmed", config, progress, (path,))


def _of_views(
    views: PartViews, config: RigConfig, progress: Progress, inputs: tuple[Path, ...], refine: Refine | None
) -> Rigged:
    """From part views, or from silhouettes and a skeleton."""
    progress.begin("parts", None)
    bare = views.labels is None and views.colored is None
    if bare and not config.skeleton:
        raise UsageError(
            "views without parts", str(inputs[0].parent), "add a folder parts or labels, or give --skeleton"
        )
    labels, count = (None, 0) if bare else told_apart(views, refine)
    if refine is not None and (bare or views.labels is not None):
        progress.note("no parts are told by colours: the segmenter is not asked")
    progress.begin("rig", 5)
    inside = silhouettes_of(views, labels)
    progress.advance()
    mesh, cameras, kept = _surface(views, inside, config, progress)
    progress.advance()
    motions = dict[str, Motion]()
    if config.skeleton or labels is None:
        rig = _bound(mesh, Path(config.skeleton), config, progress)
    else:
        own, used = labelled(mesh, labels[:, 0], cameras, count)
        draft = drafted(mesh, own, config, progress)
        rig = draft.rig(config.softness)
        progress.advance()
        seen = used_only(labels, used.tolist())
        motions = _seen(rig, seen, own, (cameras, views.fps), progress)
    progress.advance()
    return Rigged(rig.figure, motions, kept, inputs=inputs)


def _bound(mesh: Mesh, skeleton: Path, config: RigConfig, progress: Progress) -> Rig:
    """The mesh on a skeleton of a file."""
    _idle(("names",), "joints that are given", config, progress)
    laid = laid_in(skeleton_of(skeleton), mesh)
    beside = outside(laid, mesh)
    if beside > OUTSIDE:
        progress.note(f"{beside:.0%} of the joints lie outside the surface: is the skeleton one of this mesh and pose?")
    return bound(mesh, laid, softness=config.softness)


def _seen(
    rig: Rig,
    labels: Int16[np.ndarray, "v t h w"],
    before: Int64[np.ndarray, " n"],
    views: tuple[Cameras, float],
    progress: Progress,
) -> dict[str, Motion]:
    """The motion that the part maps show, where there is more than one frame.

    Edits may have merged parts, whose pixels then are one part's, or split them, so that two share their pixels.

    Args:
        rig: as edited.
        labels: parts of pixels, numbered as `before`.
        before: the part of each vertex, before edits.
        views: cameras, and frames a second.
        progress: told of frames.
    """
    if labels.shape[1] < 2:
        return {}
    both = np.zeros((int(before.max()) + 1, len(rig.figure.parts)), np.int64)
    np.add.at(both, (before, rig.labels), 1)
    owner = both.argmax(axis=1)
    first = np.array([int(np.flatnonzero(owner == part)[0]) for part in owner], np.int16)
    numbers = first[both.argmax(axis=0)]
    joined = np.append(first, np.int16(-1))[labels]
    found = captured(rig.figure, joined, views[0], fps=views[1], numbers=numbers.tolist(), progress=progress)
    _tell(found.notes, progress)
    return {"captured": found.motion}


def _tell(notes: Iterable[str], progress: Progress) -> None:
    for note in notes:
        progress.note(note)


def _surface(
    views: PartViews, inside: np.ndarray, config: RigConfig, progress: Progress
) -> tuple[Mesh, Cameras, Path | None]:
    """The surface in the first frame, cameras in its axes, and the file that it is to be kept of.

    Raises:
        UsageError: views that do not fit each other, or the mesh.
    """
    cameras = views.cameras
    if config.mesh:
        given = opened(Path(config.mesh))
        if given.figure is not None and not config.again:
            raise UsageError("it has a skin already", config.mesh, "--again makes a new one, without its motions")
        way, notes = laid_into(given.mesh, inside[:, 0], cameras, views.radius, progress)
        _tell(given.notes + notes, progress)
        return given.mesh, way.cameras(cameras), given.kept
    hull, notes = checked_hull(inside[:, 0], cameras, views.radius, config.cells, depth=seen_depth(views))
    _tell(notes, progress)
    way = standing(hull, config.height)
    mesh = replace(hull, vertices=way.points(hull.vertices))
    return colored_by(mesh, views, way.cameras(cameras)), way.cameras(cameras), None


def drafted(mesh: Mesh, labels: Int64[np.ndarray, " n"], config: RigConfig, progress: Progress) -> Draft:
    """Parts with names in a tree, as many as are wanted, changed as the user says."""
    draft = draft_of(mesh, labels)
    if config.parts is not None:
        draft = with_count(draft, config.parts)
    elif len(draft) == 1:
        progress.note("there is one part only, so nothing bends: --parts or --edit makes more")
    if config.names != "plain":
        person = humanoid_roles(draft) is not None
        if not person and config.names != "auto":
            progress.note("the parts are not built like a person's: names describe them instead")
        draft = named(draft, style="smpl" if config.names == "smpl" else "mixamo")
    return edited(draft, read_edits(Path(config.edit))) if config.edit else draft


def _of_mesh(path: Path, config: RigConfig, progress: Progress) -> Rigged:
    given = config.given("mesh")
    if given:
        raise UsageError("--mesh with an input that is a mesh", "--mesh", "leave it out; the input is what is rigged")
    found = opened(path)
    if found.figure is not None and not config.again:
        return _of_skin(path, found.figure, config, progress)
    _tell(found.notes, progress)
    mesh = found.mesh
    labels = parts_of_colors(mesh)
    skeleton = Path(config.skeleton) if config.skeleton else None
    draft = None if labels is None or skeleton is not None else drafted(mesh, labels, config, progress)
    if skeleton is None and Path(config.motion).suffix.lower() in (".bvh", ".glb") and not _follows(draft, config):
        skeleton = Path(config.motion)
        progress.note("the mesh is bound to the skeleton of its motion")
    if skeleton is not None:
        rig = _bound(mesh, skeleton, config, progress)
        return Rigged(rig.figure, kept=found.kept, inputs=(path,))
    if draft is None:
        from diorama.pipelines.rig_plain import parts_of_mesh

        draft = drafted(mesh, parts_of_mesh(mesh, config, progress), config, progress)
    return Rigged(draft.rig(config.softness).figure, kept=found.kept, inputs=(path,))


def _of_skin(path: Path, figure: Figure, config: RigConfig, progress: Progress) -> Rigged:
    """A model with its own skin, which stays as it is: it gets a motion."""
    if not config.motion:
        raise UsageError("it has a skin already", path, "--motion moves it as it is; --again makes a new one")
    others = config.given("edit", "parts", "skeleton")
    if others:
        fix = "add --again for a new skin, or leave it out: the model moves by the skin it has"
        raise UsageError(f"a model with a skin and {' and '.join(others)}", path, fix)
    idle = ("names", "softness", "height", "cells", "model", "segmenter", "steps", "guidance")
    _idle(idle, "a skin that stays", config, progress)
    return Rigged(figure, kept=path, whole=True, inputs=(path,))


def _follows(draft: Draft | None, config: RigConfig) -> bool:
    """Whether a motion in a file is for the parts of the mesh: a person's, or those that the user asks for."""
    asked = bool(config.edit) or config.parts is not None
    return asked or (draft is not None and humanoid_roles(draft) is not None)
