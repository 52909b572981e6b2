"""The clothes beyond the body: a naked body is moved out along its normals until it fills the silhouette of a person.

Where the body's outline lies within the mask, the gap between them is measured at the outline's vertices; a smooth
field over the mesh is then drawn through these measures (Laplacian smoothing, Taubin 1995, as one linear system).
The front and the back of the trunk take what its sides show.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

from diorama.core.figure import Figure
from diorama.core.mesh import vertex_normals
from diorama.errors import UsageError
from diorama.figures._texel_kernels import relax
from diorama.figures.names import SIDES, roles_of
from diorama.figures.sight import Sight
from diorama.geometry.raster import rasterize

OUT, IN = 0.09, 0.015
"""Metres that cloth or hair may stand off the body, and that a body which is too large may shrink."""
ROUNDS = 4
SMOOTH = 0.6
"""Pull between neighbouring vertices, against 1 for each measured one."""
STIFF = {"hand": 0.08, "foot": 0.35, "toes": 0.35, "face": 0.1}
"""Share of `OUT` that such parts may move."""


def offsets_to_fill(figure: Figure, sights: Sequence[Sight]) -> Float32[np.ndarray, " v"]:
    """How far each vertex of a body stands off along its normal so that the body fills the masks.

    Args:
        figure: the naked body.
        sights: photos with that body in them.

    Returns:
        Metres, from -`IN` to `OUT`; least at hands, feet and face.

    Raises:
        UsageError: no photo, or one with another number of vertices.
    """
    check_sights(figure, sights)
    faces, give = figure.mesh.faces, give_of(figure)
    edges, count = edges_of(faces), len(figure.mesh.vertices)
    offset = np.zeros((count, 1))
    for _ in range(ROUNDS):
        total, trust = np.zeros(count), np.zeros(count)
        for sight in sights:
            missing, sure = _gaps(sight, faces, offset[:, 0].astype(np.float32))
            total += sure * (offset[:, 0] + missing)
            trust += sure
        target = np.clip(total / np.maximum(trust, 1e-9), -IN * give, OUT * give)
        held = np.minimum(trust, 1) * give + 0.02 * (1 - give)  # stiff parts are drawn to 0 themselves
        wanted = np.where(trust > 0, target, 0)[:, None]
        relax(offset, wanted, held, edges, np.full(len(edges), SMOOTH), 200)
        offset = np.clip(offset, -IN * give[:, None], OUT * give[:, None])
    return offset[:, 0].astype(np.float32)


def worn(figure: Figure, offset: Float32[np.ndarray, " v"]) -> Figure:
    """The figure with its vertices moved along their normals, metres.

    Raises:
        UsageError: an offset for other vertices, or one that is not finite.
    """
    mesh = figure.mesh
    if offset.shape != (len(mesh.vertices),) or not np.isfinite(offset).all():
        raise UsageError(f"offsets {offset.shape} for {len(mesh.vertices)} vertices", "offset", "give a number each")
    vertices = mesh.vertices + offset[:, None] * vertex_normals(mesh.vertices, mesh.faces)
    return replace(figure, mesh=replace(mesh, vertices=vertices.astype(np.float32)))


def moved_out(
    vertices: Float32[np.ndarray, "v 3"], faces: Int32[np.ndarray, "f 3"], offset: Float32[np.ndarray, " v"]
) -> Float32[np.ndarray, "v 3"]:
    """Posed vertices of the naked body, moved along their normals as posed."""
    return vertices + offset[:, None] * vertex_normals(vertices, faces)


def check_sights(figure: Figure, sights: Sequence[Sight]) -> None:
    """Refuse no photos, and photos of another body.

    Raises:
        UsageError: says which.
    """
    if not sights:
        raise UsageError("no photo", "sights", "give one or more")
    for number, sight in enumerate(sights):
        if len(sight.vertices) != len(figure.mesh.vertices):
            given = f"{len(sight.vertices)} vertices for a figure of {len(figure.mesh.vertices)}"
            raise UsageError(given, f"sights[{number}]", "give the posed vertices of this figure")


def edges_of(faces: Int32[np.ndarray, "f 3"]) -> Int64[np.ndarray, "e 2"]:
    """Each edge once, the lower vertex first."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    pairs.sort(axis=1)
    return np.unique(pairs, axis=0)


def give_of(figure: Figure) -> Float32[np.ndarray, " v"]:
    """How freely cloth or hair may stand off each vertex, 0..1; from the roles of the joints that move it."""
    shares = np.ones((len(figure.skeleton), 1), np.float32)
    roles = roles_of(figure.skeleton)
    for side in SIDES:
        for role, joints in roles.items():
            kind = role.removeprefix(f"{side}_")
            if role.startswith(side):
                shares[list(joints)] = STIFF.get(kind, STIFF["hand"] if kind[-1].isdigit() else 1.0)
    give = (figure.dense_weights @ shares)[:, 0]
    return np.where(face_of(figure), STIFF["face"], give).astype(np.float32)


def face_of(figure: Figure) -> Bool[np.ndarray, " v"]:
    """The vertices of the face: the front of the head below the hairline. Hair is all of the head that is not."""
    head = head_of(figure)
    _, up, forward = within(figure, head).T
    return head & (forward > 0.5) & (up < 0.8)


def within(figure: Figure, group: Bool[np.ndarray, " v"]) -> Float32[np.ndarray, "v 3"]:
    """Where vertices lie at rest in the box of some of them: 0..1 to the left, up and forwards."""
    places = figure.mesh.vertices
    chosen = places[group] if group.any() else places
    low, high = chosen.min(axis=0), chosen.max(axis=0)
    return (places - low) / np.maximum(high - low, 1e-6)


def head_of(figure: Figure) -> Bool[np.ndarray, " v"]:
    """The vertices that follow the head's joints most."""
    joints = roles_of(figure.skeleton).get("head", ())
    below = set(joints)
    for joint, parent in enumerate(figure.skeleton.parents):
        if parent in below:
            below.add(joint)
    weights = figure.dense_weights
    return weights[:, sorted(below)].sum(axis=1) > 0.5 if below else np.zeros(len(weights), bool)


def hands_of(figure: Figure) -> list[Bool[np.ndarray, " v"]]:
    """The vertices of the left and of the right hand, fingers too."""
    roles, weights, found = roles_of(figure.skeleton), figure.dense_weights, []
    for side in SIDES:
        kinds = [role for role in roles if role == f"{side}_hand" or (role.startswith(side) and role[-1].isdigit())]
        joints = sorted({joint for kind in kinds for joint in roles[kind]})
        found.append(weights[:, joints].sum(axis=1) > 0.5)
    return found


def _gaps(
    sight: Sight, faces: Int32[np.ndarray, "f 3"], offset: Float32[np.ndarray, " v"]
) -> tuple[Float32[np.ndarray, " v"], Float32[np.ndarray, " v"]]:
    """Metres from the outline of the moved body to the mask's, outwards, and how sure: 0 off the outline."""
    vertices = moved_out(sight.vertices, faces, offset)
    normals, camera = vertex_normals(vertices, faces), sight.camera
    body = rasterize(vertices, faces, camera).face_ids >= 0
    local = camera.viewmats[0, :3, :3].astype(np.float32)
    places = vertices @ local.T + camera.viewmats[0, :3, 3].astype(np.float32)
    turned = normals @ local.T
    facing = -(turned * places).sum(axis=1) / np.maximum(np.linalg.norm(places, axis=1), 1e-6)
    focal, z = float(camera.Ks[0, 0, 0]), np.maximum(places[:, 2], 1e-3)
    flat = turned[:, :2] / np.maximum(np.linalg.norm(turned[:, :2], axis=1, keepdims=True), 1e-6)
    at = places @ camera.Ks[0].T.astype(np.float32)
    pixels = at[:, :2] / np.maximum(at[:, 2:], 1e-3)
    rim = (np.abs(facing) < 0.35) & (places[:, 2] > 0.05) & ~_covered(body, pixels + 1.5 * flat, outside=True)
    gap, sure = np.zeros(len(vertices), np.float32), np.zeros(len(vertices), np.float32)
    chosen = np.flatnonzero(rim)
    metres = z[chosen] / focal
    steps, known = _march(sight.person, body, pixels[chosen], flat[chosen], int(np.ceil(OUT / metres.min(initial=1))))
    gap[chosen], sure[chosen] = np.clip(steps * metres, -OUT, OUT), known
    return gap, sure


def _march(
    mask: Bool[np.ndarray, "h w"],
    body: Bool[np.ndarray, "h w"],
    start: Float32[np.ndarray, "n 2"],
    way: Float32[np.ndarray, "n 2"],
    most: int,
) -> tuple[Float32[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
    """Pixels from each start until the mask ends outwards, or begins inwards (below 0), and whether that is known.

    A way that meets another part of the body shares the gap with it.
    """
    inside = _covered(mask, start, outside=False)
    found, known = np.zeros(len(start), np.float32), np.zeros(len(start), np.float32)
    open_ = np.ones(len(start), bool)
    for step in range(1, min(most, 200) + 1):
        out, back = start + step * way, start - step * way
        ended = inside & ~_covered(mask, out, outside=False)
        met = inside & (step > 2) & _covered(body, out, outside=False)
        begun = ~inside & _covered(mask, back, outside=False)
        here = open_ & (ended | met | begun)
        # the edge lies half a step back
        found[here] = np.where(met & ~ended, 0.5, 1.0)[here] * (step - 0.5) * np.where(inside, 1, -1)[here]
        known[here] = 1.0
        open_ &= ~here
    height, width = mask.shape
    framed = ((start > 2) & (start < [width - 3, height - 3])).all(axis=1)  # the picture's edge is no outline
    return found, np.where(framed, known, 0).astype(np.float32)


def _covered(
    mask: Bool[np.ndarray, "h w"], pixels: Float32[np.ndarray, "n 2"], *, outside: bool
) -> Bool[np.ndarray, " n"]:
    """The mask at pixels; `outside` beyond the picture."""
    column, row = np.floor(np.clip(pixels, -1, 1 << 20)).astype(np.int64).T
    within = (column >= 0) & (row >= 0) & (column < mask.shape[1]) & (row < mask.shape[0])
    return np.where(within, mask[np.where(within, row, 0), np.where(within, column, 0)], outside)
