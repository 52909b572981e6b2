"""Meshes of files: their surface, the parts that colours tell, the skin and the skeleton that they have."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from diorama.core.figure import Figure, Skeleton
from diorama.core.mesh import Mesh
from diorama.errors import LimitError, UsageError
from diorama.media.mesh import read_glb, read_obj, read_ply
from diorama.media.motion.bvh import read_bvh

MODELS = (".glb", ".gltf")
MESHES = (*MODELS, ".obj", ".ply")
MOST_FACES = 4_000_000
FEW = 64
"""Different colours of vertices up to which they are taken for parts."""


@dataclass(frozen=True, eq=False)
class Opened:
    """A file with a surface.

    Attributes:
        mesh: all of its surfaces.
        kept: the file itself, where its materials can be kept.
        figure: its own skin, where it has one: of several skeletons that with most joints, with all skins on it.
        notes: what is lost in a new skin.
    """

    mesh: Mesh
    kept: Path | None = None
    figure: Figure | None = None
    notes: tuple[str, ...] = ()


def opened(path: Path) -> Opened:
    """Read a model or a mesh.

    Raises:
        UsageError: another kind of file, or one without a surface.
        LimitError: too many faces.
    """
    suffix = path.suffix.lower()
    if suffix not in MESHES:
        raise UsageError(f"a mesh of the kind {suffix or '(none)'!r}", path, f"give one of {', '.join(MESHES)}")
    if suffix not in MODELS:
        return _checked(Opened(read_obj(path) if suffix == ".obj" else read_ply(path)), path)
    asset = read_glb(path)
    surfaces = [*asset.meshes, *(figure.mesh for figure in asset.figures)]
    if not surfaces:
        raise UsageError("no surface in it", path, "give a model with triangles")
    mesh = joined(surfaces)
    if not asset.figures:
        return _checked(Opened(mesh, path), path)
    lost = f"it is written anew without its old skin and motions; of its materials {_looks(mesh)} remain"
    return _checked(Opened(mesh, None, _own_figure(asset.figures), (lost,)), path)


def _checked(found: Opened, path: Path) -> Opened:
    if len(found.mesh.faces) > MOST_FACES:
        raise LimitError(f"{len(found.mesh.faces)} faces, at most {MOST_FACES}", path, "reduce the mesh first")
    return found


def _own_figure(figures: Sequence[Figure]) -> Figure:
    """The skins on the skeleton with most joints, as one figure."""
    first = max(figures, key=lambda figure: len(figure.skeleton))
    return _together([figure for figure in figures if figure.skeleton.equals(first.skeleton)])


def _together(figures: Sequence[Figure]) -> Figure:
    """Figures on one skeleton as one."""
    first, width = figures[0], max(figure.skin_joints.shape[1] for figure in figures)

    def wide(rows: np.ndarray) -> np.ndarray:
        return np.pad(rows, ((0, 0), (0, width - rows.shape[1])))

    joints = np.concatenate([wide(figure.skin_joints) for figure in figures])
    weights = np.concatenate([wide(figure.skin_weights) for figure in figures])
    mesh = joined([figure.mesh for figure in figures])
    return Figure(first.skeleton, mesh, joints, weights, first.parts, first.joint_parts)


def parts_of_colors(mesh: Mesh) -> Int64[np.ndarray, " n"] | None:
    """Parts that the colours of vertices tell apart, where there are few of them; None for a mesh of any looks."""
    if mesh.colors is None:
        return None
    colors, labels = np.unique(mesh.colors, axis=0, return_inverse=True)
    if not 2 <= len(colors) <= FEW or len(colors) * 8 > len(mesh.vertices):
        return None
    return labels.reshape(-1).astype(np.int64)


def _looks(mesh: Mesh) -> str:
    """What a mesh knows of its materials, in words."""
    if mesh.texture is not None:
        return "one texture and its coordinates"
    return "no looks" if mesh.colors is None else "the colours of its vertices"


def joined(meshes: Sequence[Mesh]) -> Mesh:
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


def skeleton_of(path: Path) -> Skeleton:
    """The skeleton of a GLB or BVH file.

    Raises:
        UsageError: a file without one.
    """
    if path.suffix.lower() == ".bvh":
        return read_bvh(path).skeleton
    if path.suffix.lower() not in MODELS:
        raise UsageError(f"a skeleton of the kind {path.suffix or '(none)'!r}", "--skeleton", "give a GLB or BVH file")
    asset = read_glb(path)
    if not asset.figures:
        raise UsageError("no skeleton in it", path, "give a model with a skin")
    return max(asset.figures, key=lambda figure: len(figure.skeleton)).skeleton
