"""What is rigged: pictures, views, silhouettes, meshes and people, each brought to a figure and the motions seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int16, Int32, Int64, UInt8

from diorama.core.camera import Cameras
from diorama.core.figure import Figure, Motion, Skeleton
from diorama.core.mesh import Mesh
from diorama.core.progress import Progress
from diorama.errors import LimitError, ModelError, UsageError
from diorama.media.images import is_image
from diorama.media.mesh import read_glb, read_obj, read_ply
from diorama.media.motion.bvh import read_bvh
from diorama.pipelines.part_views import NAME, PartViews, is_views, read_views
from diorama.pipelines.parts import views_of_source
from diorama.pipelines.rig_config import FOR_PARTS, RigConfig
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
from diorama.rigging.bones import bound, laid_in
from diorama.rigging.capture import captured
from diorama.rigging.count import with_count
from diorama.rigging.draft import Draft, draft_of
from diorama.rigging.edit import edited, read_edits
from diorama.rigging.names import humanoid_roles, named

MESHES = (".glb", ".gltf", ".obj", ".ply")
MOST_FACES = 4_000_000
FEW = 64
"""Different colours of vertices up to which they are taken for parts."""


@dataclass(frozen=True, eq=False)
class Rigged:
    """What came out.

    Attributes:
        figure: with its weights.
        motions: what was seen, by name.
        kept: the file whose surface and materials are to be kept.
        inputs: files that were read.
        notes: what is to be known.
    """

    figure: Figure
    motions: Mapping[str, Motion] = field(default_factory=dict)
    kept: Path | None = None
    inputs: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


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
    if path.is_dir() and is_views(path):
        refine = refiner(config.segmenter, progress, progress.note)
        return _of_views(read_views(path), config, progress, (path / NAME,), refine)
    if path.suffix.lower() in MESHES:
        return _of_mesh(path, config, progress)
    others = config.given(*FOR_PARTS)
    perhaps = config.who == "auto" and config.subject != "object" and config.box is None
    if perhaps and others:
        progress.note(f"no body is looked for, which has no use for {' and '.join(others)}")
    elif perhaps or config.who == "body":
        try:
            return _of_person(path, config, progress, target)
        except (UsageError, ModelError) as error:
            if config.who == "body":
                raise
            said = "; ".join(part for part in (error.what, error.fix) if part)
            progress.note(f"no body is fitted ({said}): the generator's views are rigged")
    views, notes = views_of_source(path, config, progress)
    found = _of_views(views, config, progress, (path,), refiner(config.segmenter, progress))
    return replace(found, notes=(*notes, *found.notes))


def _idle(names: Sequence[str], what: str, config: RigConfig) -> tuple[str, ...]:
    """A note of options that are given and have no effect on what is rigged."""
    given = config.given(*names)
    return (f"{' and '.join(given)}: without effect on {what}",) if given else ()


def _of_body(
    found: tuple[Figure, Motion],
    shown: str,
    config: RigConfig,
    progress: Progress,
    inputs: tuple[Path, ...] = (),
    notes: tuple[str, ...] = (),
) -> Rigged:
    """A fitted body with the pose or motion it had; notes are told."""
    notes += _idle(("names", "softness", "height", "cells"), "a fitted body", config)
    for note in notes:
        progress.note(note)
    return Rigged(found[0], {shown: found[1]}, inputs=inputs, notes=notes)


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
    notes = (f"the clip is taken apart in {scene.name}, which stays",)
    return _of_body(found, "as filmed", config, progress, (path,), notes)


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
    mesh, cameras, kept, notes = _surface(views, inside, config, progress)
    progress.advance()
    motions = dict[str, Motion]()
    if config.skeleton or labels is None:
        rig = bound(mesh, laid_in(_skeleton(Path(config.skeleton)), mesh), softness=config.softness)
        notes += _idle(("names",), "joints that are given", config)
    else:
        own, used = labelled(mesh, labels[:, 0], cameras, count)
        draft = drafted(mesh, own, config, progress)
        rig = draft.rig(config.softness)
        progress.advance()
        seen = used_only(labels, used.tolist())
        motions, more = _seen(rig, seen, own, (cameras, views.fps), progress)
        notes += more
    progress.advance()
    for note in notes:
        progress.note(note)
    return Rigged(rig.figure, motions, kept, inputs, notes)


def _seen(
    rig: Rig,
    labels: Int16[np.ndarray, "v t h w"],
    before: Int64[np.ndarray, " n"],
    views: tuple[Cameras, float],
    progress: Progress,
) -> tuple[dict[str, Motion], tuple[str, ...]]:
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
        return {}, ()
    both = np.zeros((int(before.max()) + 1, len(rig.figure.parts)), np.int64)
    np.add.at(both, (before, rig.labels), 1)
    owner = both.argmax(axis=1)
    first = np.array([int(np.flatnonzero(owner == part)[0]) for part in owner], np.int16)
    numbers = first[both.argmax(axis=0)]
    joined = np.append(first, np.int16(-1))[labels]
    found = captured(rig.figure, joined, views[0], fps=views[1], numbers=numbers.tolist(), progress=progress)
    return {"captured": found.motion}, found.notes


def _surface(
    views: PartViews, inside: np.ndarray, config: RigConfig, progress: Progress
) -> tuple[Mesh, Cameras, Path | None, tuple[str, ...]]:
    """The surface in the first frame, cameras in its axes, the file that it is to be kept of, and what is to be known.

    Raises:
        UsageError: views that do not fit each other, or the mesh.
    """
    cameras = views.cameras
    if config.mesh:
        mesh, kept, notes = _plain_mesh(Path(config.mesh), again=config.again)
        way, more = laid_into(mesh, inside[:, 0], cameras, views.radius, progress)
        return mesh, way.cameras(cameras), kept, notes + more
    hull, notes = checked_hull(inside[:, 0], cameras, views.radius, config.cells, depth=seen_depth(views))
    way = standing(hull, config.height)
    mesh = replace(hull, vertices=way.points(hull.vertices))
    return colored_by(mesh, views, way.cameras(cameras)), way.cameras(cameras), None, notes


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
    mesh, kept, notes = _plain_mesh(path, again=config.again)
    for note in notes:
        progress.note(note)
    labels = parts_of_colors(mesh)
    skeleton = Path(config.skeleton) if config.skeleton else None
    draft = None if labels is None or skeleton is not None else drafted(mesh, labels, config, progress)
    if skeleton is None and Path(config.motion).suffix.lower() in (".bvh", ".glb") and not _follows(draft, config):
        skeleton = Path(config.motion)
        progress.note("the mesh is bound to the skeleton of its motion")
    if skeleton is not None:
        rig = bound(mesh, laid_in(_skeleton(skeleton), mesh), softness=config.softness)
        more = _idle(("names",), "joints that are given", config)
        for note in more:
            progress.note(note)
        return Rigged(rig.figure, kept=kept, inputs=(path,), notes=notes + more)
    if draft is None:
        from diorama.pipelines.rig_plain import parts_of_mesh

        labels, more = parts_of_mesh(mesh, config, progress)
        notes += more
        for note in more:
            progress.note(note)
        draft = drafted(mesh, labels, config, progress)
    return Rigged(draft.rig(config.softness).figure, kept=kept, inputs=(path,), notes=notes)


def _follows(draft: Draft | None, config: RigConfig) -> bool:
    """Whether a motion in a file is for the parts of the mesh: a person's, or those that the user asks for."""
    asked = bool(config.edit) or config.parts is not None
    return asked or (draft is not None and humanoid_roles(draft) is not None)


def parts_of_colors(mesh: Mesh) -> Int64[np.ndarray, " n"] | None:
    """Parts that the colours of vertices tell apart, where there are few of them; None for a mesh of any looks."""
    if mesh.colors is None:
        return None
    colors, labels = np.unique(mesh.colors, axis=0, return_inverse=True)
    if not 2 <= len(colors) <= FEW or len(colors) * 8 > len(mesh.vertices):
        return None
    return labels.reshape(-1).astype(np.int64)


def _plain_mesh(path: Path, *, again: bool) -> tuple[Mesh, Path | None, tuple[str, ...]]:
    """The surface of a file, the file itself where its materials can be kept, and what is lost where not."""
    suffix = path.suffix.lower()
    if suffix not in MESHES:
        raise UsageError(f"a mesh of the kind {suffix or '(none)'!r}", path, f"give one of {', '.join(MESHES)}")
    kept: Path | None = None
    notes: tuple[str, ...] = ()
    if suffix in (".glb", ".gltf"):
        asset = read_glb(path)
        if asset.figures and not again:
            raise UsageError("it has a skin already", path, "--again makes a new one, without its joints and motions")
        surfaces = [*asset.meshes, *(figure.mesh for figure in asset.figures)]
        if not surfaces:
            raise UsageError("no surface in it", path, "give a model with triangles")
        mesh, kept = _joined(surfaces), None if asset.figures else path
        if kept is None:
            notes = (f"it is written anew without its old skin and motions; of its materials {_looks(mesh)} remain",)
    else:
        mesh = read_obj(path) if suffix == ".obj" else read_ply(path)
    if len(mesh.faces) > MOST_FACES:
        raise LimitError(f"{len(mesh.faces)} faces, at most {MOST_FACES}", path, "reduce the mesh first")
    return mesh, kept, notes


def _looks(mesh: Mesh) -> str:
    """What a mesh knows of its materials, in words."""
    if mesh.texture is not None:
        return "one texture and its coordinates"
    return "no looks" if mesh.colors is None else "the colours of its vertices"


def _joined(meshes: Sequence[Mesh]) -> Mesh:
    """Several surfaces as one: with the one texture or the colours that all of them have, else without any looks."""
    if len(meshes) == 1:
        return meshes[0]
    vertices = np.concatenate([mesh.vertices for mesh in meshes])
    faces = _moved_up([mesh.faces for mesh in meshes], [len(mesh.vertices) for mesh in meshes])
    uvs = [mesh.uvs for mesh in meshes if mesh.uvs is not None]
    texture = meshes[0].texture
    if texture is not None and len(uvs) == len(meshes) and all(_same(mesh.texture, texture) for mesh in meshes):
        corners = [mesh.uv_faces for mesh in meshes if mesh.uv_faces is not None]
        return Mesh(vertices, faces, np.concatenate(uvs), _moved_up(corners, list(map(len, uvs))), texture=texture)
    colors = [mesh.colors for mesh in meshes if mesh.colors is not None]
    return Mesh(vertices, faces, colors=np.concatenate(colors) if len(colors) == len(meshes) else None)


def _moved_up(faces: Sequence[Int32[np.ndarray, "_ 3"]], counts: Sequence[int]) -> Int32[np.ndarray, "f 3"]:
    """Faces of several meshes in one table, each counting from the end of those before it."""
    starts = np.cumsum([0, *counts[:-1]])
    return np.concatenate([each + start for each, start in zip(faces, starts, strict=True)]).astype(np.int32)


def _same(one: UInt8[np.ndarray, "..."] | None, other: UInt8[np.ndarray, "..."]) -> bool:
    return one is other or (one is not None and np.array_equal(one, other))


def _skeleton(path: Path) -> Skeleton:
    """The skeleton of a GLB or BVH file.

    Raises:
        UsageError: a file without one.
    """
    if path.suffix.lower() == ".bvh":
        return read_bvh(path).skeleton
    if path.suffix.lower() not in (".glb", ".gltf"):
        raise UsageError(f"a skeleton of the kind {path.suffix or '(none)'!r}", "--skeleton", "give a GLB or BVH file")
    asset = read_glb(path)
    if not asset.figures:
        raise UsageError("no skeleton in it", path, "give a model with a skin")
    return asset.figures[0].skeleton
