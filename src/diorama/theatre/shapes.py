"""Simple solids with texture coordinates, from which stages and props are built. Metres, Y up."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Float32, Int32

from diorama.core.mesh import Mesh
from diorama.theatre.textures import Texture

Vector = tuple[float | int, float | int, float | int]

_FACES = (  # of a box: the axis a face looks along, with its sign, and the axes of its texture (u, v)
    *((0, 1, (2, -1), (1, -1)), (0, -1, (2, 1), (1, -1))),
    *((1, 1, (0, 1), (2, 1)), (1, -1, (0, 1), (2, -1))),
    *((2, 1, (0, 1), (1, -1)), (2, -1, (0, -1), (1, -1))),
)


def box(middle: Vector, size: Vector, texture: Texture, repeat: float, *, inside: bool = False) -> Mesh:
    """A box whose faces are covered with a texture that repeats.

    Args:
        middle: its centre.
        size: its edges along x, y and z.
        texture: what covers it.
        repeat: metres after which the texture repeats; 0 fits it to each face once.
        inside: seen from within, as a room is.
    """
    half = np.array(size) / 2
    vertices: list[np.ndarray] = []
    uvs: list[tuple[float, float]] = []
    faces: list[tuple[int, int, int]] = []
    for axis, sign, (u_axis, u_sign), (v_axis, v_sign) in _FACES:
        u_vector, v_vector = np.zeros(3), np.zeros(3)
        u_vector[u_axis], v_vector[v_axis] = u_sign * half[u_axis], v_sign * half[v_axis]
        center = np.array(middle, float)
        center[axis] += sign * half[axis]
        start = len(vertices)
        wide, high = (1.0, 1.0) if repeat == 0 else (size[u_axis] / repeat, size[v_axis] / repeat)
        for a, b in ((-1, -1), (-1, 1), (1, 1), (1, -1)):
            vertices.append(center + a * u_vector + b * v_vector)
            uvs.append(((a + 1) / 2 * wide, (b + 1) / 2 * high))
        faces += [(start, start + 1, start + 2), (start, start + 2, start + 3)]
    triangles = np.array(faces, np.int32)
    return _mesh(np.array(vertices), triangles[:, ::-1] if inside else triangles, np.array(uvs), texture)


def ground(half: float, texture: Texture, repeat: float, *, cells: int = 8) -> Mesh:
    """A level square on y = 0, `half` metres to each side, in cells as large triangles lose digits."""
    line = np.linspace(-half, half, cells + 1)
    x, z = np.meshgrid(line, line)
    vertices = np.stack([x, np.zeros_like(x), z], axis=-1).reshape(-1, 3)
    return _mesh(vertices, grid_faces(cells + 1, cells + 1), vertices[:, [0, 2]] / repeat, texture)


def panel(middle: Vector, size: tuple[float, float], texture: Texture, *, heading: float = 0.0) -> Mesh:
    """An upright rectangle that looks along +Z turned by `heading` radians, with its texture once."""
    wide, high = size[0] / 2, size[1] / 2
    corners = np.array([(-wide, high, 0), (-wide, -high, 0), (wide, -high, 0), (wide, high, 0)])
    uvs = np.array([(0, 0), (0, 1), (1, 1), (1, 0)], float)
    mesh = _mesh(corners, np.array([(0, 1, 2), (0, 2, 3)], np.int32), uvs, texture)
    return moved(turned(mesh, heading), middle)


def lathe(
    base: Vector, profile: Sequence[tuple[float, float]], texture: Texture, *, around: int = 14, repeat: float = 0.5
) -> Mesh:
    """A solid of revolution about the vertical: columns, pots, bottles, trunks.

    Args:
        base: its lowest point on the axis.
        profile: pairs of radius and height from the bottom up; radius 0 closes it.
        texture: wrapped around.
        around: corners.
        repeat: metres after which the texture repeats upwards; around it repeats a whole number of times.
    """
    radii, heights = np.array([p[0] for p in profile], float), np.array([p[1] for p in profile], float)
    angles = np.linspace(0, 2 * np.pi, around + 1)
    x, z = radii[:, None] * np.sin(angles), radii[:, None] * np.cos(angles)
    y = np.repeat(heights[:, None], around + 1, axis=1)
    vertices = np.stack([x, y, z], axis=-1).reshape(-1, 3) + np.array(base)
    times = max(round(2 * np.pi * float(radii.max()) / repeat), 1)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(radii), np.diff(heights)))])
    u = np.tile(np.linspace(0, times, around + 1), (len(radii), 1))
    uvs = np.stack([u, np.repeat(-along[:, None] / repeat, around + 1, axis=1)], axis=-1).reshape(-1, 2)
    return _mesh(vertices, grid_faces(len(radii), around + 1)[:, ::-1], uvs, texture)


def column(base: Vector, radius: float, height: float, texture: Texture, *, around: int = 14) -> Mesh:
    """An upright cylinder with a lid."""
    return lathe(base, ((radius, 0.0), (radius, height), (0.0, height)), texture, around=around)


def ball(middle: Vector, radius: float, texture: Texture, *, around: int = 14) -> Mesh:
    """A sphere."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, around // 2 + 1)
    profile = [(max(radius * float(np.cos(a)), 0.0), radius * float(np.sin(a))) for a in angles]
    return lathe(middle, profile, texture, around=around, repeat=2 * np.pi * radius)


def blob(rng: np.random.Generator, middle: Vector, size: Vector, texture: Texture, *, rough: float = 0.5) -> Mesh:
    """A bumpy ellipsoid: bushes, crowns of trees, rocks.

    Args:
        rng: the source of chance.
        middle: its centre.
        size: half axes.
        texture: wrapped around it.
        rough: bumps, of the half axes.
    """
    mesh = ball((0.0, 0.0, 0.0), 1.0, texture, around=20)
    waves = rng.normal(size=(6, 3)) * np.array([2.0, 2.5, 3, 4, 5, 7])[:, None] / np.sqrt(3)
    height = np.sin(mesh.vertices @ waves.T + rng.uniform(0, 6, 6)) @ np.array([0.3, 0.25, 0.2, 0.2, 0.2, 0.15])
    places = mesh.vertices * (1 + rough * height)[:, None] * np.array(size) + np.array(middle)
    return replace(mesh, vertices=places.astype(np.float32))


def leaves(
    rng: np.random.Generator, middle: Vector, size: Vector, texture: Texture, *, count: int = 150, leaf: float = 0.12
) -> Mesh:
    """Many small leaves within an ellipsoid, more of them near its surface.

    Args:
        rng: the source of chance.
        middle, size: of the ellipsoid; half axes.
        texture: of which each leaf shows a piece.
        count: leaves.
        leaf: half their length.
    """
    way = rng.normal(size=(count, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    centers = way * rng.uniform(0.25, 1, (count, 1)) ** 0.5 * np.array(size) + np.array(middle)
    along = rng.normal(size=(count, 3)) + 0.8 * way
    along *= leaf / np.linalg.norm(along, axis=1, keepdims=True)
    across = np.cross(along, rng.normal(size=(count, 3)))
    across *= 0.45 * leaf / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    corners = np.stack([centers - along, centers + across, centers + along, centers - across], axis=1)
    spots = rng.random((count, 1, 2)) + 0.12 * np.array([(0, 0), (0, 1), (1, 1), (1, 0)])
    first = 4 * np.arange(count)[:, None]
    faces = np.concatenate([first + np.array([0, 1, 2]), first + np.array([0, 2, 3])]).astype(np.int32)
    return _mesh(corners.reshape(-1, 3), faces, spots.reshape(-1, 2), texture)


def turned(mesh: Mesh, heading: float) -> Mesh:
    """The mesh turned about the vertical axis through the origin; +Z turns towards +X."""
    c, s = np.cos(heading), np.sin(heading)
    matrix = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    return replace(mesh, vertices=(mesh.vertices @ matrix).astype(np.float32))


def moved(mesh: Mesh, by: Vector) -> Mesh:
    """The mesh elsewhere."""
    return replace(mesh, vertices=(mesh.vertices + np.array(by)).astype(np.float32))


def mirrored(mesh: Mesh) -> Mesh:
    """The mesh mirrored about x = 0."""
    faces = np.ascontiguousarray(mesh.faces[:, ::-1])
    uv_faces = None if mesh.uv_faces is None else np.ascontiguousarray(mesh.uv_faces[:, ::-1])
    return replace(mesh, vertices=mesh.vertices * np.array([-1, 1, 1], np.float32), faces=faces, uv_faces=uv_faces)


def stretched(mesh: Mesh, by: Vector) -> Mesh:
    """The mesh scaled along x, y and z about the origin."""
    return replace(mesh, vertices=(mesh.vertices * np.array(by)).astype(np.float32))


def grid_faces(rows: int, columns: int) -> Int32[np.ndarray, "f 3"]:
    """Triangles over a grid of vertices, seen from +Y when rows go along +Z and columns along +X."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns - 1), indexing="ij")
    a = (i * columns + j).reshape(-1, 1)
    corners = a + np.array([0, columns, columns + 1, 1])
    return np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]]).astype(np.int32)


def _mesh(
    vertices: Float[np.ndarray, "v 3"], faces: Int32[np.ndarray, "f 3"], uvs: Float[np.ndarray, "v 2"], texture: Texture
) -> Mesh:
    triangles = np.ascontiguousarray(faces)
    floats: Float32[np.ndarray, "v 3"] = vertices.astype(np.float32)
    return Mesh(floats, triangles, uvs.astype(np.float32), triangles, texture=texture)
