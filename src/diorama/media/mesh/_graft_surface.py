"""The surfaces of a glTF document as `read_glb` gives them, primitive by primitive."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32

from diorama.errors import MediaError, UsageError
from diorama.media.mesh._gltf_arrays import as_floats
from diorama.media.mesh._gltf_file import Document
from diorama.media.mesh._gltf_nodes import Nodes
from diorama.media.mesh._gltf_surface import moved, read_triangles

OTHERWISE = frozenset(
    {
        *("KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_meshopt_compression"),
        *("EXT_mesh_gpu_instancing", "KHR_node_visibility", "MSFT_lod"),
    }
)
"""Extensions that put vertices in another order, or decide which copies of a mesh are seen."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A primitive.

    Attributes:
        vertices: where the file puts them, metres.
        faces: as stored; none where the reader leaves the primitive out.
    """

    vertices: Float32[np.ndarray, "v 3"]
    faces: Int32[np.ndarray, "f 3"] | None


@dataclass(frozen=True, eq=False)
class Placed:
    """A mesh in the scene.

    Attributes:
        node, mesh: their numbers.
        world: node to scene.
        pieces: all primitives.
    """

    node: int
    mesh: int
    world: Float64[np.ndarray, "4 4"]
    pieces: tuple[Piece, ...]


def read_placed(document: Document, nodes: Nodes) -> list[Placed]:
    """All meshes of the scene, in the order of their nodes' numbers.

    Raises:
        UsageError: weights are already present.
        MediaError: an extension that weights cannot be added beside.
        LimitError: too many primitives or vertices.
        ValueError: what breaks the rules of glTF.
    """
    unfit = sorted({str(used) for used in document.json.get("extensionsUsed", [])} & OTHERWISE)
    if unfit:
        raise MediaError(f"weights cannot be added to a file with {', '.join(unfit)}", document.path, "export it plain")
    shown = [number for number in sorted(nodes.shown) if "mesh" in document.item("nodes", number)]
    for number in shown:
        _check_free(document, number)
    rest = nodes.rest()
    return [_placed(document, number, rest[number]) for number in shown]


def _check_free(document: Document, number: int) -> None:
    node = document.item("nodes", number)
    primitives = document.item("meshes", node["mesh"])["primitives"]
    if "skin" in node or any({"JOINTS_0", "WEIGHTS_0"} & set(primitive["attributes"]) for primitive in primitives):
        fix = "animate the skeleton it has, or export it without one"
        raise UsageError("weights are already present", document.path, fix)


def _placed(document: Document, number: int, world: Float64[np.ndarray, "4 4"]) -> Placed:
    mesh = document.item("nodes", number)["mesh"]
    pieces = []
    for primitive in document.item("meshes", mesh)["primitives"]:
        document.spend("primitives", 1)
        found = read_triangles(document, primitive)
        if found is None:
            places, faces = as_floats(document, primitive["attributes"]["POSITION"], (3,)), None
            document.spend("vertices", len(places))
        else:
            places, faces = found
        pieces.append(Piece(moved(places, world[None, :3]), faces))
    return Placed(number, mesh, world, tuple(pieces))
