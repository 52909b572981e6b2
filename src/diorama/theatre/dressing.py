"""A dressed body: the painted skin, and shells over it for hair, loose tops and skirts, all on one skeleton."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, UInt8

from diorama.core.figure import Figure
from diorama.core.mesh import Mesh, vertex_normals
from diorama.figures.cast import Cast
from diorama.theatre.paint import covers_top, paint, texels_of
from diorama.theatre.wardrobe import Outfit

AROUND, DOWN = 40, 10
"""Vertices of a skirt around and down."""

HAIR = {"short": 0.008, "full": 0.022, "long": 0.02, "cap": 0.018}
"""Metres that hair of a style, or a cap, stands off the scalp."""


@dataclass(frozen=True, eq=False)
class Dressed:
    """Somebody in an outfit.

    Attributes:
        body: the body with its painted texture.
        shells: what is worn off the skin, bound to the same skeleton.
    """

    body: Figure
    shells: tuple[Figure, ...]

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All that is drawn."""
        return (self.body, *self.shells)


def dress(cast: Cast, figure: Figure, outfit: Outfit, *, size: int = 256) -> Dressed:
    """Put an outfit on a figure of the cast; the texture has `size` texels a side."""
    texture = paint(cast, outfit, size)
    body = replace(figure, mesh=replace(figure.mesh, texture=texture))
    shells: list[Figure] = []
    if outfit.hair_style != "bald":
        shells.append(_hair(cast, body, outfit))
    if outfit.loose:
        shells.append(_loose_top(cast, body, outfit, size))
    if outfit.skirt:
        shells.append(_skirt(cast, body, outfit))
    return Dressed(body, tuple(shells))


def _off(
    figure: Figure, chosen: Bool[np.ndarray, " f"], distance: Callable[[Float32[np.ndarray, "v 3"]], np.ndarray]
) -> Figure:
    """Some faces of a figure, moved outwards by metres that depend on their vertices' places."""
    mesh = figure.mesh
    assert mesh.uv_faces is not None
    kept, faces = np.unique(mesh.faces[chosen], return_inverse=True)
    places = mesh.vertices[kept]
    off = np.asarray(distance(places), np.float32)[:, None] * vertex_normals(mesh.vertices, mesh.faces)[kept]
    shell = Mesh(
        (places + off).astype(np.float32),
        faces.reshape(-1, 3).astype(np.int32),
        mesh.uvs,
        mesh.uv_faces[chosen],
        texture=mesh.texture,
    )
    return replace(figure, mesh=shell, skin_joints=figure.skin_joints[kept], skin_weights=figure.skin_weights[kept])


def _hair(cast: Cast, figure: Figure, outfit: Outfit) -> Figure:
    """The scalp, raised; long hair hangs down behind and beside the face to the shoulders."""
    scalp = cast.regions == cast.region_names.index("scalp")
    thick = HAIR[outfit.hair_style]
    places = figure.mesh.vertices[np.unique(figure.mesh.faces[scalp])]
    low, high = places[:, 1].min(), places[:, 1].max()

    def distance(at: Float32[np.ndarray, "v 3"]) -> np.ndarray:
        share = (at[:, 1] - low) / (high - low)
        waves = 0.003 * np.sin(60 * at[:, 0]) * np.sin(50 * at[:, 2])
        return thick * (0.35 + 0.65 * np.minimum(share * 2, 1)) + (waves if outfit.hair_style == "full" else 0)

    shell = _off(figure, scalp, distance)
    return _with_lengths(figure, shell, places) if outfit.hair_style == "long" else shell


def _with_lengths(figure: Figure, shell: Figure, places: Float32[np.ndarray, "v 3"]) -> Figure:
    """A curtain of hair around the back of the head, added to the shell of the scalp."""
    names = figure.skeleton.names
    neck = figure.skeleton.joints[names.index("neck01")]
    middle, width = (places.min(axis=0) + places.max(axis=0)) / 2, np.ptp(places, axis=0)
    angles = np.linspace(-0.62 * np.pi, 0.62 * np.pi, AROUND // 2)  # 0 is straight behind
    rows = np.linspace(0, 1, DOWN)[:, None]
    bottom = neck[1] - 0.05
    radius = 1.04 + 0.1 * rows
    x = middle[0] + radius * 0.5 * width[0] * np.sin(angles)
    z = middle[2] - radius * 0.5 * width[2] * np.cos(angles) * (1 - 0.1 * rows)
    y = middle[1] + (bottom - middle[1]) * rows + 0 * angles
    sheet = np.stack([x, y, z], axis=-1).reshape(-1, 3).astype(np.float32)
    mesh, count = shell.mesh, len(shell.mesh.vertices)
    assert mesh.uvs is not None
    assert mesh.uv_faces is not None
    faces = _grid(DOWN, AROUND // 2, closed=False)
    spot = mesh.uvs[mesh.uv_faces[0]].mean(axis=0, keepdims=True).astype(np.float32)  # any texel of the scalp
    joints, weights = np.zeros((len(sheet), 4), np.int32), np.zeros((len(sheet), 4), np.float32)
    share = np.repeat(rows[:, 0], AROUND // 2).astype(np.float32) * 0.6
    joints[:, 0], joints[:, 1] = names.index("head"), names.index("spine01")
    weights[:, 0], weights[:, 1] = 1 - share, share
    longer = replace(
        mesh,
        vertices=np.concatenate([mesh.vertices, sheet]),
        faces=np.concatenate([mesh.faces, faces + count]),
        uvs=np.concatenate([mesh.uvs, spot]),
        uv_faces=np.concatenate([mesh.uv_faces, np.full_like(faces, len(mesh.uvs))]),
    )
    return replace(
        shell,
        mesh=longer,
        skin_joints=np.concatenate([shell.skin_joints, joints]),
        skin_weights=np.concatenate([shell.skin_weights, weights]),
    )


def _loose_top(cast: Cast, figure: Figure, outfit: Outfit, size: int) -> Figure:
    """The top off the skin, further at its hem."""
    t = texels_of(cast, size)
    covered = covers_top(cast, t, outfit)
    middle = (cast.uvs[cast.uv_faces].mean(axis=1) * size).astype(int).clip(0, size - 1)
    chosen = covered[middle[:, 1], middle[:, 0]]
    chest = figure.skeleton.joints[figure.skeleton.names.index("spine01"), 1]

    def distance(at: Float32[np.ndarray, "v 3"]) -> np.ndarray:
        return outfit.loose * np.clip(0.5 + 2.5 * (chest - at[:, 1]), 0.4, 1.6)

    return _off(figure, chosen, distance)


def _skirt(cast: Cast, figure: Figure, outfit: Outfit) -> Figure:
    """A cone from the waist down, that follows the hips above and the nearer thigh below."""
    names, joints = figure.skeleton.names, figure.skeleton.joints
    hip, knee = joints[names.index("upperleg01.L")], joints[names.index("lowerleg01.L")]
    ankle = joints[names.index("foot.L")]
    top = hip[1] + 0.1 * (hip[1] - knee[1])
    bottom = max(hip[1] + outfit.legs * (ankle[1] - hip[1]), ankle[1] + 0.05)
    angles = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    rows = np.linspace(0, 1, DOWN)[:, None]
    trunk = figure.mesh.vertices[
        _bound(figure, ("root", "upperleg01.L", "upperleg01.R", "lowerleg01.L", "lowerleg01.R"))
    ]
    belt = trunk[np.abs(trunk[:, 1] - hip[1]) < 0.12 * (hip[1] - knee[1])]
    middle, half = (belt.min(axis=0) + belt.max(axis=0)) / 2, np.ptp(belt, axis=0) / 2 + 0.012
    flare = 1 + 0.5 * rows * (top - bottom) / 0.6
    fold = 1 + 0.05 * rows * np.sin(9 * angles)
    wide = np.maximum.accumulate(np.maximum(flare * half[[0, 2]], _girth(trunk, middle, top + (bottom - top) * rows)))
    x, z = middle[0] + wide[:, :1] * fold * np.cos(angles), middle[2] + wide[:, 1:] * fold * np.sin(angles)
    y = top + (bottom - top) * rows + 0 * angles
    vertices = np.stack([x, y, z], axis=-1).reshape(-1, 3).astype(np.float32)
    left = 1 / (1 + np.exp(-np.clip(vertices[:, 0] / (0.35 * half[0]), -30, 30)))
    legs = np.repeat(np.clip(rows[:, 0] * 1.2, 0, 0.85), AROUND)
    weights = np.stack([1 - legs, legs * left, legs * (1 - left), np.zeros_like(legs)], axis=1).astype(np.float32)
    order = [names.index(name) for name in ("root", "upperleg01.L", "upperleg01.R")] + [0]
    bound = np.where(weights > 0, np.array(order, np.int32), 0).astype(np.int32)
    mesh = Mesh(vertices, _grid(DOWN, AROUND, closed=True), colors=_skirt_colors(outfit, rows, angles))
    return replace(figure, mesh=mesh, skin_joints=bound, skin_weights=weights)


def _girth(
    legs: Float32[np.ndarray, "v 3"], middle: Float[np.ndarray, "3"], heights: Float[np.ndarray, "n 1"]
) -> Float[np.ndarray, "n 2"]:
    """How far the legs reach from the middle, to the side and to the front or back, at each height; a little more."""
    reach = np.zeros((len(heights), 2))
    for i, height in enumerate(heights[:, 0]):
        near = legs[np.abs(legs[:, 1] - height) < 0.05]
        if len(near):
            reach[i] = 1.1 * np.abs(near - middle).max(axis=0)[[0, 2]] + 0.02
    return reach


def _skirt_colors(
    outfit: Outfit, rows: Float[np.ndarray, "n 1"], angles: Float[np.ndarray, " m"]
) -> UInt8[np.ndarray, "v 3"]:
    bands = (rows + 0 * angles) % 0.4 < 0.15
    folds = (0 * rows + angles / (2 * np.pi) * 10) % 1 < 0.4
    second = {"plain": bands & False, "bands": bands, "stripes": folds}.get(outfit.bottom.pattern, bands ^ folds)
    table = np.array([outfit.bottom.color, outfit.bottom.second], np.uint8)
    return table[second.ravel().astype(int)]


def _bound(figure: Figure, names: tuple[str, ...]) -> Bool[np.ndarray, " v"]:
    """Vertices that follow some joints most."""
    return np.isin(figure.skin_joints[:, 0], [figure.skeleton.names.index(name) for name in names])


def _grid(rows: int, columns: int, *, closed: bool) -> Int32[np.ndarray, "f 3"]:
    """Two triangles for each cell of a sheet, outwards for one that runs down and then against the clock."""
    number = np.arange(rows * columns).reshape(rows, columns)
    right = np.roll(number, -1, axis=1) if closed else number[:, 1:]
    left = number if closed else number[:, :-1]
    a, b, c, d = left[:-1].ravel(), right[:-1].ravel(), right[1:].ravel(), left[1:].ravel()
    return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
