"""Gaussians as GLB files with the Khronos extension KHR_gaussian_splatting (ratified 2026).

Points with the extension's attributes: rotations (x, y, z, w), scales in metres, opacities, colours as spherical
harmonics of degree 0, and plain colours for programs that do not know the extension. glTF has Y up: (x, y, z) becomes
(x, -y, -z).
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from diorama.core.gaussians import Gaussians
from diorama.core.rotations import from_matrix, multiply
from diorama.errors import DamagedMediaError, DioramaError, LimitError, MediaError, UsageError
from diorama.media.anaglyph import linear_from_srgb
from diorama.media.atomic import atomic_path
from diorama.media.mesh._glb_bytes import VERTICES, Buffer, Json, added
from diorama.media.mesh._gltf_arrays import as_floats
from diorama.media.mesh._gltf_file import Document
from diorama.media.mesh._gltf_nodes import read_nodes
from diorama.media.mesh.glb_read import rules_kept
from diorama.media.safe import local_path
from diorama.media.splat._numbers import checked_count, coefficients, from_coefficients, given, unit

EXTENSION = "KHR_gaussian_splatting"
POINTS = 0
_TURNED = np.diag([1.0, -1.0, -1.0, 1.0])
"""From our axes to those of glTF and back: half a turn about x."""
_EVEN = 1e-3


def write_splat_glb(path: Path, gaussians: Gaussians, *, name: str = "scene") -> None:
    """Write Gaussians so that the Khronos validator finds no error.

    Args:
        path: to write; appears when it is complete.
        gaussians: at least one.
        name: of the scene.

    Raises:
        UsageError: no Gaussians, too many, or `path` cannot be written.
    """
    turned = _moved(given(gaussians, "write_splat_glb"), _TURNED)
    document: Json = {"asset": {"version": "2.0", "generator": "diorama"}, "scene": 0, "extensionsUsed": [EXTENSION]}
    buffer = Buffer(document)
    plain = np.empty((len(gaussians), 4), np.uint16)
    plain[:, :3] = np.rint(65535 * linear_from_srgb(gaussians.colors))
    plain[:, 3] = np.rint(65535 * gaussians.opacities)
    attributes: Json = {
        "POSITION": buffer.accessor(turned.means, VERTICES, bounds=True),
        "COLOR_0": buffer.accessor(plain, VERTICES, normalized=True),
        _named("ROTATION"): buffer.accessor(turned.quats[:, [1, 2, 3, 0]], VERTICES),
        _named("SCALE"): buffer.accessor(turned.scales, VERTICES),
        _named("OPACITY"): buffer.accessor(turned.opacities, VERTICES),
        _named("SH_DEGREE_0_COEF_0"): buffer.accessor(coefficients(turned.colors), VERTICES),
    }
    said: Json = {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}
    primitive: Json = {"mode": POINTS, "attributes": attributes, "extensions": {EXTENSION: said}}
    mesh = added(document, "meshes", {"name": name, "primitives": [primitive]})
    document["scenes"] = [{"name": name, "nodes": [added(document, "nodes", {"name": name, "mesh": mesh})]}]
    with atomic_path(path) as partial:
        partial.write_bytes(buffer.file())


def read_splat_glb(path: Path) -> Gaussians:
    """All Gaussians of the scene of a GLB or glTF file, where its nodes put them.

    Raises:
        MediaError: no such file, no glTF 2.0, an extension that is not supported, or no Gaussians in it.
        DamagedMediaError: a file that breaks the rules of glTF; says how.
        LimitError: too large, or too many Gaussians or primitives.
    """
    path = local_path(path)
    try:
        with rules_kept(path):
            return _gaussians(Document(path))
    except (MediaError, DamagedMediaError, LimitError):
        raise
    except DioramaError as error:  # of values that the file's numbers do not make
        raise DamagedMediaError(": ".join(filter(None, (error.where, error.what))), path, error.fix) from error


def holds_splats(path: Path) -> bool:
    """Whether a glTF file says that it uses the extension; raises as `read_splat_glb`."""
    with rules_kept(path):
        return EXTENSION in Document(path).json.get("extensionsUsed", [])


def _gaussians(document: Document) -> Gaussians:
    nodes = read_nodes(document)
    rest = nodes.rest()
    found, count = list[Gaussians](), 0
    for number in sorted(nodes.shown):
        node = document.item("nodes", number)
        mesh = document.item("meshes", node["mesh"]) if "mesh" in node else {}
        for primitive in mesh.get("primitives", []):
            document.spend("primitives", 1)
            if EXTENSION in primitive.get("extensions", {}):
                found.append(_moved(_primitive(document, primitive, count), _TURNED @ rest[number]))
                count += len(found[-1])
    if not found:
        raise MediaError("no Gaussians in it", document.path, f"give a GLB file with {EXTENSION}")
    names = ("means", "quats", "scales", "opacities", "colors")
    return Gaussians(*(np.concatenate([getattr(part, name) for part in found]) for name in names))


def _primitive(document: Document, primitive: Any, before: int) -> Gaussians:
    """The Gaussians of a primitive; `before` is how many were read before it."""
    if primitive.get("mode") != POINTS:
        raise ValueError("Gaussians that are not points")
    said, attributes = primitive["extensions"][EXTENSION], primitive["attributes"]
    if "extensions" in said:
        raise MediaError("Gaussians that are compressed", document.path, "export them without compression")
    known = {"kernel": ("ellipse",), "colorSpace": ("srgb_rec709_display",)}
    for key, values in known.items():
        if said.get(key) not in values:
            what = f"Gaussians with the {key} {str(said.get(key))[:60]!r}, expected {values[0]!r}"
            raise MediaError(what, document.path, "export them again")

    means = as_floats(document, attributes["POSITION"], (3,))
    checked_count(before + len(means), document.path)

    def read(key: str, width: int) -> Float32[np.ndarray, "g c"]:
        found = as_floats(document, attributes[_named(key)], (width,))
        if len(found) != len(means):
            raise ValueError(f"{key} of {len(found)} elements, expected {len(means)}")
        return found

    turns, scales, opacities = (read(key, width) for key, width in (("ROTATION", 4), ("SCALE", 3), ("OPACITY", 1)))
    colors = from_coefficients(read("SH_DEGREE_0_COEF_0", 3))
    return Gaussians(means, unit(turns[:, [3, 0, 1, 2]]), scales, opacities[:, 0], colors)


def _moved(gaussians: Gaussians, matrix: Float64[np.ndarray, "4 4"]) -> Gaussians:
    """Gaussians in other axes; the matrix turns, shifts, and scales evenly.

    Raises:
        UsageError: it scales unevenly, or mirrors.
    """
    size = float(np.cbrt(abs(np.linalg.det(matrix[:3, :3]))))
    turn = matrix[:3, :3] / size if size > 0 else matrix[:3, :3]
    if np.linalg.det(turn) < 0 or not np.allclose(turn @ turn.T, np.eye(3), atol=_EVEN):
        raise UsageError("a node that mirrors its Gaussians or scales them unevenly", "nodes")
    means = gaussians.means.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
    quats = multiply(from_matrix(turn), gaussians.quats.astype(np.float64))
    scales = (gaussians.scales.astype(np.float64) * size).astype(np.float32)
    return Gaussians(means.astype(np.float32), unit(quats), scales, gaussians.opacities, gaussians.colors)


def _named(attribute: str) -> str:
    return f"{EXTENSION}:{attribute}"
