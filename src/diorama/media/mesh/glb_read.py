"""GLB and glTF files as figures, meshes and motions.

The pose in which the file puts its nodes becomes the rest pose; sizes are those of the scene, in metres. A figure has
one texture or vertex colours: where several materials meet, their colours are taken at the vertices.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from diorama.core.mesh import Mesh
from diorama.errors import DamagedMediaError, DioramaError, LimitError, MediaError
from diorama.media.mesh._gltf_file import BROKEN, FILE_BYTES, Document
from diorama.media.mesh._gltf_motion import read_motions
from diorama.media.mesh._gltf_nodes import Nodes, read_nodes
from diorama.media.mesh._gltf_skin import Skin, read_skin
from diorama.media.mesh._gltf_surface import Surface, joined, read_surfaces
from diorama.media.mesh.asset import Asset
from diorama.media.safe import local_path


def read_glb(path: Path, *, max_bytes: int = FILE_BYTES) -> Asset:
    """Everything of a .glb or .gltf file that Diorama has values for.

    Args:
        path: the file; what belongs to a .gltf must lie in its folder or below.
        max_bytes: size of the file, and of each file it refers to.

    Raises:
        UsageError: not a path of a local file.
        MediaError: no such file, no glTF 2.0, an extension that is not supported, or a part outside its folder.
        DamagedMediaError: a file that breaks the rules of glTF; says how.
        LimitError: too large, or too much in it.
    """
    path = local_path(path)
    try:
        with rules_kept(path):
            return _asset(Document(path, max_bytes))
    except (MediaError, DamagedMediaError, LimitError):
        raise
    except DioramaError as error:  # of values that the file's numbers do not make
        what = ": ".join(part for part in (error.where, error.what) if part)
        raise DamagedMediaError(what, path, error.fix) from error


@contextmanager
def rules_kept(path: Path) -> Iterator[None]:
    """What a document that breaks the rules of glTF leads to within the block becomes a `DamagedMediaError`."""
    try:
        with np.errstate(all="ignore"):  # what overflows is not finite, and is refused as such
            yield
    except BROKEN as error:
        detail = f"{error} is missing or unknown" if isinstance(error, KeyError) else str(error)
        detail = " ".join(detail.split())[:300]
        raise DamagedMediaError(f"breaks the rules of glTF: {detail}", path, "export or download it again") from error


def read_skins(document: Document, nodes: Nodes) -> tuple[list[Skin], list[Mesh]]:
    """The figures of the scene, one for each skin, and the surfaces without a skin.

    Raises:
        DioramaError, ValueError: as `read_skin` and `read_surfaces`.
    """
    rest = nodes.rest()
    skinned: dict[int, list[Surface]] = {}
    meshes: list[Mesh] = []
    for number in sorted(nodes.shown):
        node = document.item("nodes", number)
        surfaces = read_surfaces(document, node["mesh"]) if "mesh" in node else []
        if not surfaces:
            continue
        if "skin" in node:
            document.item("skins", node["skin"])
            skinned.setdefault(node["skin"], []).extend(surfaces)
        else:
            meshes.append(joined(surfaces, rest[number]).mesh)
    skins = [
        read_skin(document, nodes, rest, number, joined(surfaces, np.eye(4)))
        for number, surfaces in sorted(skinned.items())
    ]
    return skins, meshes


def _asset(document: Document) -> Asset:
    nodes = read_nodes(document)
    skins, meshes = read_skins(document, nodes)
    motions = read_motions(document, nodes, skins[0]) if skins else {}
    return Asset(document.path.name, tuple(skin.figure for skin in skins), tuple(meshes), motions)
