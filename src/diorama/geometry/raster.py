"""Triangles to pixels: which face each pixel shows, where on it, and how far away.

A pixel shows the nearest face at its centre. Faces are seen from both sides; what lies before the near plane is drawn
also of faces that cross it. Visibility is never differentiated; `interpolate` is, in the attributes.
"""

from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int32, Int64

from diorama.core.camera import Cameras
from diorama.errors import UsageError
from diorama.geometry._raster_kernels import GRID, blend, draw_faces, project, read_faces
from diorama.geometry._raster_torch import keys_to_faces, nearest_faces, to_tensor

NEAR = 0.01
"""Metres before the camera where drawing begins."""


@dataclass(frozen=True, eq=False)
class Fragments:
    """What each pixel shows.

    Attributes:
        face_ids: -1 where there is nothing.
        barycentrics: weights of the face's corners, perspective-correct, summing to 1; 0 where there is nothing.
        depth: metres along z, inf where there is nothing.
    """

    face_ids: Int32[np.ndarray, "h w"]
    barycentrics: Float32[np.ndarray, "h w 3"]
    depth: Float32[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class Projected:
    """Vertices as a camera sees them.

    Attributes:
        local: in camera axes, metres.
        snapped: on the grid of 1/1024 pixel.
        inverse: 1 / z, and 0 where a vertex is not before the near plane.
    """

    local: Float64[np.ndarray, "v 3"]
    snapped: Int64[np.ndarray, "v 2"]
    inverse: Float64[np.ndarray, " v"]


def rasterize(
    vertices: Float32[np.ndarray, "v 3"],
    faces: Int32[np.ndarray, "f 3"],
    camera: Cameras,
    *,
    near: float | int = NEAR,
) -> Fragments:
    """Find the nearest face at the centre of each pixel; of equally near ones the one with the lower number.

    Args:
        vertices: in the world, metres.
        faces: indices of vertices, either way round; those without area are skipped.
        camera: one view.
        near: metres before the camera where drawing begins, above 0.

    Raises:
        UsageError: vertices that are not finite, faces out of range, no or several views, or `near` not above 0.
    """
    seen, crossing = _prepared(vertices, faces, camera, near)
    face_ids = np.full((camera.height, camera.width), -1, np.int32)
    nearest = np.zeros(face_ids.shape, np.float32)
    draw_faces(faces, np.empty(0, np.int32), seen.snapped, seen.inverse, nearest, face_ids)
    if crossing is not None:
        pieces, numbers, cut = crossing
        draw_faces(pieces, numbers, cut.snapped, cut.inverse, nearest, face_ids)
    return _read(faces, seen, camera, face_ids)


def rasterize_torch(
    vertices: Float32[np.ndarray, "v 3"],
    faces: Int32[np.ndarray, "f 3"],
    camera: Cameras,
    *,
    near: float | int = NEAR,
    device: torch.device | str = "cuda",
) -> Fragments:
    """`rasterize` with the search for the nearest face on a device; the same faces, bit for bit."""
    seen, crossing = _prepared(vertices, faces, camera, near)
    best = torch.zeros(camera.height * camera.width, dtype=torch.int64, device=device)
    batches = [(faces, np.arange(len(faces)), seen)] + ([crossing] if crossing is not None else [])
    for corners, numbers, points in batches:
        triangles, owners = to_tensor(corners, device), to_tensor(numbers, device)
        places, inverse = to_tensor(points.snapped, device), to_tensor(points.inverse, device)
        nearest_faces(triangles, owners, places, inverse, best, camera.width)
    face_ids = keys_to_faces(best).to(torch.int32).cpu().numpy().reshape(camera.height, camera.width)
    return _read(faces, seen, camera, face_ids)


@overload
def interpolate(
    fragments: Fragments, faces: Int32[np.ndarray, "f 3"], attributes: Float32[np.ndarray, "v c"]
) -> Float32[np.ndarray, "h w c"]: ...
@overload
def interpolate(
    fragments: Fragments, faces: Int32[np.ndarray, "f 3"], attributes: Float[torch.Tensor, "v c"]
) -> Float[torch.Tensor, "h w c"]: ...
def interpolate(
    fragments: Fragments,
    faces: Int32[np.ndarray, "f 3"],
    attributes: Float32[np.ndarray, "v c"] | Float[torch.Tensor, "v c"],
) -> Float32[np.ndarray, "h w c"] | Float[torch.Tensor, "h w c"]:
    """Vertex attributes at each pixel, "h w c", 0 where there is nothing.

    Args:
        fragments: of these faces.
        faces: as they were drawn.
        attributes: an array, or a tensor, in which the result is then differentiable.
    """
    if isinstance(attributes, torch.Tensor):
        return _interpolate_tensor(fragments, faces, attributes)
    out = np.zeros((*fragments.face_ids.shape, attributes.shape[1]), np.float32)
    blend(fragments.face_ids, fragments.barycentrics, faces, np.ascontiguousarray(attributes), out)
    return out


def _interpolate_tensor(
    fragments: Fragments, faces: Int32[np.ndarray, "f 3"], attributes: Float[torch.Tensor, "v c"]
) -> Float[torch.Tensor, "h w c"]:
    covered = np.flatnonzero(fragments.face_ids.ravel() >= 0)
    corners = torch.from_numpy(faces[fragments.face_ids.ravel()[covered]].astype(np.int64)).to(attributes.device)
    weights = torch.from_numpy(fragments.barycentrics.reshape(-1, 3)[covered]).to(attributes)
    values = (attributes[corners] * weights[..., None]).sum(dim=1)
    height, width = fragments.face_ids.shape
    flat = attributes.new_zeros((height * width, attributes.shape[1]))
    places = torch.from_numpy(covered).to(attributes.device)
    return flat.index_copy(0, places, values).view(height, width, -1)


def _prepared(
    vertices: Float32[np.ndarray, "v 3"], faces: Int32[np.ndarray, "f 3"], camera: Cameras, near: float | int
) -> tuple[Projected, tuple[Int32[np.ndarray, "n 3"], Int32[np.ndarray, " n"], Projected] | None]:
    """The vertices as the camera sees them, and the pieces of faces that cross the near plane."""
    if len(camera) != 1:
        raise UsageError(f"{len(camera)} views", "camera", "draw one at a time: cameras[i : i + 1]")
    if not near > 0:
        raise UsageError(f"near is {near}", "near", "give metres above 0")
    if len(faces) and not (faces.min() >= 0 and faces.max() < len(vertices)):
        raise UsageError(f"a face beyond the {len(vertices)} vertices", "faces")
    seen, behind = _projected(vertices, camera, near)
    if not np.isfinite(seen.local).all():
        raise UsageError("a vertex is not finite", "vertices", "mend or drop it")
    crossing = None
    if behind:
        before = (seen.inverse[faces] > 0).sum(axis=1)
        cut = np.flatnonzero((before > 0) & (before < 3))
        if len(cut):
            crossing = _cut(seen.local, faces[cut], cut.astype(np.int32), camera, near)
    return seen, crossing


def _projected(vertices: Float[np.ndarray, "v 3"], camera: Cameras, near: float | int) -> tuple[Projected, int]:
    local, snapped = np.empty((len(vertices), 3)), np.zeros((len(vertices), 2), np.int64)
    inverse = np.empty(len(vertices))
    viewmat, K = camera.viewmats[0].astype(np.float64), camera.Ks[0].astype(np.float64)
    behind = project(np.ascontiguousarray(vertices), viewmat, K, float(near), local, snapped, inverse)
    return Projected(local, snapped, inverse), behind


def _cut(
    local: Float64[np.ndarray, "v 3"],
    faces: Int32[np.ndarray, "n 3"],
    numbers: Int32[np.ndarray, " n"],
    camera: Cameras,
    near: float | int,
) -> tuple[Int32[np.ndarray, "m 3"], Int32[np.ndarray, " m"], Projected]:
    """Faces cut off at the near plane: triangles, the faces they are of, and their corners."""
    corners: list[np.ndarray] = []
    pieces: list[tuple[int, int, int]] = []
    owners: list[int] = []
    edge = near * (1 + 1e-9)  # corners must lie before the plane
    for face, number in zip(faces, numbers.tolist(), strict=True):
        polygon = []
        for i in range(3):
            a, b = local[face[i]], local[face[(i + 1) % 3]]
            if a[2] > near:
                polygon.append(a)
            if (a[2] > near) != (b[2] > near):
                polygon.append(np.append((a + (b - a) * ((edge - a[2]) / (b[2] - a[2])))[:2], edge))
        first = len(corners)
        corners += polygon
        fans = [(first, first + i, first + i + 1) for i in range(1, len(polygon) - 1)]
        pieces += fans
        owners += [number] * len(fans)
    here = Cameras(np.eye(4)[None], camera.Ks, camera.height, camera.width)
    seen, _ = _projected(np.array(corners), here, near)
    return np.array(pieces, np.int32), np.array(owners, np.int32), seen


def _read(
    faces: Int32[np.ndarray, "f 3"], seen: Projected, camera: Cameras, face_ids: Int32[np.ndarray, "h w"]
) -> Fragments:
    weights = np.zeros((*face_ids.shape, 3), np.float32)
    depth = np.full(face_ids.shape, np.inf, np.float32)
    rays = np.ascontiguousarray(np.linalg.inv(camera.Ks[0].astype(np.float64))[:2])
    read_faces(faces, seen.local, rays, face_ids, weights, depth)
    return Fragments(face_ids, weights, depth)


def rasterize_reference(
    vertices: Float32[np.ndarray, "v 3"],
    faces: Int32[np.ndarray, "f 3"],
    camera: Cameras,
    *,
    near: float | int = NEAR,
) -> Fragments:
    """`rasterize` in plain numpy, face by face: the readable twin of the kernels."""
    seen, crossing = _prepared(vertices, faces, camera, near)
    face_ids = np.full((camera.height, camera.width), -1, np.int32)
    nearest = np.zeros(face_ids.shape, np.float32)
    ys, xs = np.mgrid[: camera.height, : camera.width] * GRID + GRID // 2
    batches = [(faces, np.arange(len(faces)), seen)] + ([crossing] if crossing is not None else [])
    for corners, numbers, points in batches:
        for face, number in zip(corners, numbers, strict=True):
            inverse, places = points.inverse[face], points.snapped[face]
            (ax, ay), (bx, by), (cx, cy) = places
            area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
            if area == 0 or not inverse.all():
                continue
            if area < 0:
                places, inverse, area = places[[0, 2, 1]], inverse[[0, 2, 1]], -area
            edges = [_edge(places[(i + 1) % 3], places[(i + 2) % 3], xs, ys) for i in range(3)]
            depth = sum(e * z for e, z in zip(edges, inverse, strict=True)) / area
            shown = np.all([e >= 0 for e in edges], axis=0) & (depth.astype(np.float32) > nearest)
            nearest[shown], face_ids[shown] = depth[shown], number
    return _read(faces, seen, camera, face_ids)


def _edge(
    a: Int64[np.ndarray, "2"], b: Int64[np.ndarray, "2"], xs: Int64[np.ndarray, "h w"], ys: Int64[np.ndarray, "h w"]
) -> Int64[np.ndarray, "h w"]:
    """Twice the area that a centre spans with an edge; below 0 outside, and on lines that belong to the neighbour."""
    owned = b[1] < a[1] or (b[1] == a[1] and b[0] > a[0])
    return (b[0] - a[0]) * (ys - a[1]) - (b[1] - a[1]) * (xs - a[0]) - (0 if owned else 1)
