"""Painting an outfit on the skin of the cast: a colour for every texel, from what the texel covers of the body."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8

from diorama.core.camera import Cameras
from diorama.core.mesh import vertex_normals
from diorama.figures.cast import Cast
from diorama.geometry.raster import interpolate, rasterize
from diorama.theatre.wardrobe import Cloth, Color, Outfit

LIMBS = {"arm": ("upperarm01", "wrist"), "leg": ("upperleg01", "foot")}
"""The joints between which a sleeve or a leg is measured."""


SOLE = 0.012
"""Metres up to which shoes have a sole."""


@dataclass(frozen=True, eq=False)
class Texels:
    """What each texel of the cast's texture covers; all on the mean body, so that patterns suit every body.

    Attributes:
        used: whether it covers anything.
        regions: an index of the cast's region names.
        places: metres.
        normals: unit vectors.
        limbs: how far along the arm or leg it is, 0 at the shoulder or hip, 1 at the wrist or ankle; -1 elsewhere.
    """

    used: Bool[np.ndarray, "s s"]
    regions: Int32[np.ndarray, "s s"]
    places: Float32[np.ndarray, "s s 3"]
    normals: Float32[np.ndarray, "s s 3"]
    limbs: Float32[np.ndarray, "s s"]


@lru_cache(maxsize=4)
def texels_of(cast: Cast, size: int) -> Texels:
    """The texels of a square texture of `size`; the charts are drawn with a wide margin against seams."""
    flat = np.concatenate([cast.uvs * size, np.ones((len(cast.uvs), 1), np.float32)], axis=1)
    view = Cameras(np.eye(4)[None], np.eye(3)[None], size, size)
    found = rasterize(flat.astype(np.float32), cast.uv_faces, view)
    ids = _spread(found.face_ids)
    places = interpolate(found, cast.faces, cast.template)
    normals = interpolate(found, cast.faces, vertex_normals(cast.template, cast.faces))
    margin = (found.face_ids < 0) & (ids >= 0)
    places[margin] = cast.template[cast.faces[ids[margin]]].mean(axis=1)
    regions = np.where(ids >= 0, cast.regions[ids], 0).astype(np.int32)
    return Texels(ids >= 0, regions, places, normals, _along(cast, regions, places))


def paint(cast: Cast, outfit: Outfit, size: int = 256) -> UInt8[np.ndarray, "s s 3"]:
    """The texture of somebody in an outfit."""
    t = texels_of(cast, size)
    image = np.empty((size, size, 3), np.float32)
    image[:] = outfit.skin
    _face(cast, t, outfit, image)
    _put(image, covers_bottom(cast, t, outfit), outfit.bottom, t)
    odd = outfit.odd_leg
    if odd:
        _fill(image, covers_bottom(cast, t, outfit) & _side(t, odd) & (t.limbs > 0.25), outfit.accent)
    shod = _in(cast, t, "foot") | (_in(cast, t, "shin") & (t.limbs > 1 - outfit.boots))
    _put(image, shod, outfit.shoes, t)
    _fill(image, shod & (t.places[..., 1] < SOLE), (235, 235, 230))
    top = covers_top(cast, t, outfit)
    _put(image, top, outfit.top, t)
    if outfit.odd_sleeve:
        arm = (t.limbs > 0.12) & (t.limbs < (outfit.sleeves or 0.3)) & _arms(cast, t)
        _fill(image, arm & _side(t, outfit.odd_sleeve), outfit.accent)
    if outfit.back:
        panel = top & (np.abs(t.places[..., 0]) < 0.1) & (t.normals[..., 2] < -0.2) & _in(cast, t, "chest", "abdomen")
        _fill(image, panel, outfit.accent)
    _fill(image, top & _logo(cast, t, outfit) & (t.normals[..., 2] > 0.2), outfit.accent)
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8)


def covers_top(cast: Cast, t: Texels, outfit: Outfit) -> Bool[np.ndarray, "s s"]:
    """Where the top is."""
    trunk = _in(cast, t, "chest", "abdomen", "shoulder") | (_in(cast, t, "hips") & (t.places[..., 1] > _hem(cast)))
    return trunk | (_arms(cast, t) & (t.limbs < max(outfit.sleeves, 0.06)))


def covers_bottom(cast: Cast, t: Texels, outfit: Outfit) -> Bool[np.ndarray, "s s"]:
    """Where trousers are, or the shorts under a skirt."""
    reach = 0.25 if outfit.skirt else outfit.legs
    return _in(cast, t, "hips") | (_in(cast, t, "thigh", "shin") & (t.limbs < reach))


def _hem(cast: Cast) -> float:
    """The height of the hips' middle: tops end there."""
    return float(cast.joints[cast.joint_names.index("upperleg01.L"), 1]) + 0.02


def _in(cast: Cast, t: Texels, *names: str) -> Bool[np.ndarray, "s s"]:
    wanted = [cast.region_names.index(name) for name in names]
    return t.used & np.isin(t.regions, wanted)


def _arms(cast: Cast, t: Texels) -> Bool[np.ndarray, "s s"]:
    return _in(cast, t, "shoulder", "upper_arm", "lower_arm")


def _side(t: Texels, side: str) -> Bool[np.ndarray, "s s"]:
    return t.places[..., 0] > 0 if side == "left" else t.places[..., 0] < 0


def _fill(image: Float32[np.ndarray, "s s 3"], mask: Bool[np.ndarray, "s s"], color: Color) -> None:
    image[mask] = color


def _put(image: Float32[np.ndarray, "s s 3"], mask: Bool[np.ndarray, "s s"], cloth: Cloth, t: Texels) -> None:
    """Cloth with its pattern."""
    x, y, z = (t.places[mask][:, i] / cloth.period for i in range(3))
    limb = t.limbs[mask]
    down = np.where(limb >= 0, limb * 0.6 / cloth.period, y)  # a sleeve's bands run around the arm
    second = {
        "plain": lambda: np.zeros(len(x), bool),
        "bands": lambda: down % 1 < 0.4,
        "stripes": lambda: (x + 0.35 * z) % 1 < 0.35,
        "checks": lambda: (np.floor(2 * x) + np.floor(2 * down)) % 2 == 0,
        "dots": lambda: ((x % 1) - 0.5) ** 2 + ((down % 1) - 0.5) ** 2 < 0.07,
        "halves": lambda: t.places[mask][:, 0] > 0,
        "blotches": lambda: np.sin(5 * x + 3 * np.sin(4 * y)) + np.sin(4 * y + 2 * np.sin(5 * z)) > 0.3,
    }[cloth.pattern]()
    image[mask] = np.where(second[:, None], np.array(cloth.second), np.array(cloth.color))


def _logo(cast: Cast, t: Texels, outfit: Outfit) -> Bool[np.ndarray, "s s"]:
    """Something on the chest, 12 cm wide."""
    shoulder = cast.joints[cast.joint_names.index("upperarm01.L"), 1]
    x, y = t.places[..., 0] / 0.06, (t.places[..., 1] - shoulder + 0.11) / 0.06
    radius = np.hypot(x, y)
    return {
        "none": np.zeros(x.shape, bool),
        "disc": radius < 1,
        "ring": (radius < 1.1) & (radius > 0.6),
        "bar": (np.abs(y) < 0.45) & (np.abs(x) < 1.6),
        "cross": (np.minimum(np.abs(x), np.abs(y)) < 0.35) & (np.maximum(np.abs(x), np.abs(y)) < 1.1),
        "triangle": (y > -0.8) & (np.abs(x) < (1 - y) * 0.6) & (y < 1),
    }[outfit.logo]


def _face(cast: Cast, t: Texels, outfit: Outfit, image: Float32[np.ndarray, "s s 3"]) -> None:
    """Lips, brows, eyes, hair on the head and on the chin; a little red in the skin."""
    skin = np.array(outfit.skin, np.float32)
    image[_in(cast, t, "hand", "ear")] = skin * (0.97, 0.93, 0.92)
    image[_in(cast, t, "mouth")] = skin * (0.86, 0.62, 0.62)
    image[_in(cast, t, "socket")] = skin * 0.9
    image[_in(cast, t, "eye")] = (240, 240, 238)
    image[_in(cast, t, "iris")] = outfit.iris
    eye = cast.landmark_names.index("left_eye")
    eyes = (cast.template[cast.landmark_vertices[eye]] * cast.landmark_weights[eye][:, None]).sum(axis=0)
    x, y = np.abs(t.places[..., 0]), t.places[..., 1]
    front = _in(cast, t, "face", "socket") & (t.normals[..., 2] > 0.2)
    brows = front & (np.abs(y - eyes[1] - 0.02) < 0.005) & (x > 0.012) & (x < 0.052)
    image[brows] = np.array(outfit.hair) * 0.8
    if outfit.beard:
        low = _in(cast, t, "face") & (y < eyes[1] - 0.06) & (t.places[..., 2] > t.places[..., 2][front].mean() - 0.08)
        image[low] = (1 - 0.8 * outfit.beard) * image[low] + 0.8 * outfit.beard * np.array(outfit.hair, np.float32)
    if outfit.hair_style != "bald":
        image[_in(cast, t, "scalp")] = outfit.accent if outfit.hair_style == "cap" else outfit.hair


def _along(
    cast: Cast, regions: Int32[np.ndarray, "s s"], places: Float32[np.ndarray, "s s 3"]
) -> Float32[np.ndarray, "s s"]:
    """How far along its limb each texel is."""
    along = np.full(regions.shape, -1, np.float32)
    members = {"arm": ("shoulder", "upper_arm", "lower_arm", "hand"), "leg": ("thigh", "shin", "foot")}
    for limb, (start, end) in LIMBS.items():
        inside = np.isin(regions, [cast.region_names.index(name) for name in members[limb]])
        for side, sign in (("L", 1), ("R", -1)):
            a, b = (cast.joints[cast.joint_names.index(f"{name}.{side}")] for name in (start, end))
            here = inside & (places[..., 0] * sign > 0)
            along[here] = np.clip((places[here] - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
    return along


def _spread(ids: Int32[np.ndarray, "s s"], steps: int = 4) -> Int32[np.ndarray, "s s"]:
    """Faces carried over the border of their charts, so that bilinear reading never meets bare texels."""
    out = ids.copy()
    for _ in range(steps):
        for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
            out = np.where(out < 0, np.roll(out, shift, axis), out)
    return out
