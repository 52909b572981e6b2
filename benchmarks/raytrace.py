"""A small ray tracer for stills with exact depth: boxes, balls and columns, sun and shadows, haze and defocus.

World: metres, x right, y up, z forward.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

SIZE = (180, 320)
FAR = 1e9
Rays = Float64[np.ndarray, "n 3"]
Lengths = Float64[np.ndarray, "n"]
Color = Float64[np.ndarray, "h w 3"]
Hit = tuple[Float64[np.ndarray, "n"], Rays, Rays]


@dataclass(frozen=True, eq=False)
class Still:
    """A picture and its inverse depth in 1/m along the optical axis (0: sky)."""

    name: str
    image: UInt8[np.ndarray, "h w 3"]
    inverse_depth: Float32[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class Paint:
    """Two colours (linear RGB) in a pattern of the given period in metres."""

    first: Float64[np.ndarray, "3"]
    second: Float64[np.ndarray, "3"]
    pattern: str
    period: float


@dataclass(frozen=True, eq=False)
class Solid:
    """A box, ball or upright column: centre, half sizes in metres, yaw in radians."""

    shape: str
    center: tuple[float, float, float]
    half: tuple[float, float, float]
    paint: Paint
    yaw: float = 0.0

    def hit(self, origin: Rays, ray: Rays) -> Hit:
        """Distance, local hit point and local normal; distance `FAR` on a miss."""
        turn = _yaw(self.yaw)
        o, d = (origin - np.array(self.center)) @ turn, ray @ turn
        t, normal = {"box": _hit_box, "ball": _hit_ball, "column": _hit_column}[self.shape](o, d, np.array(self.half))
        return t, o + np.where(t < FAR, t, 0)[:, None] * d, normal

    def out(self, local: Rays) -> Rays:
        """Local directions in the world's frame."""
        return local @ _yaw(self.yaw).T


@dataclass(frozen=True, eq=False)
class Scene:
    """Solids seen from a camera at `height` metres, `pitch` radians up, `focal` in picture widths."""

    solids: list[Solid]
    height: float
    pitch: float
    focal: float
    sun: Float64[np.ndarray, "3"]
    sky: tuple[Float64[np.ndarray, "3"], Float64[np.ndarray, "3"]]
    ambient: float = 0.4
    haze: float = 0.0
    focus: float | None = None
    extra: dict[str, float] = field(default_factory=dict)


def _yaw(angle: float) -> Float64[np.ndarray, "3 3"]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _hit_box(o: Rays, d: Rays, half: Float64[np.ndarray, "3"]) -> tuple[Float64[np.ndarray, "n"], Rays]:
    d = np.where(np.abs(d) < 1e-9, 1e-9, d)
    a, b = (-half - o) / d, (half - o) / d
    near, far = np.minimum(a, b), np.maximum(a, b)
    enter, leave = near.max(1), far.min(1)
    ok = (enter < leave) & (enter > 1e-4)
    normal = -np.sign(d) * (np.arange(3) == near.argmax(1)[:, None])
    return np.where(ok, enter, FAR), normal


def _quadratic(
    a: Float64[np.ndarray, "n"], b: Float64[np.ndarray, "n"], c: Float64[np.ndarray, "n"]
) -> Float64[np.ndarray, "n"]:
    root = b * b - a * c
    t = (-b - np.sqrt(np.maximum(root, 0))) / np.maximum(a, 1e-12)
    return np.where((root > 0) & (t > 1e-4), t, FAR)


def _hit_ball(o: Rays, d: Rays, half: Float64[np.ndarray, "3"]) -> tuple[Float64[np.ndarray, "n"], Rays]:
    p, v = o / half, d / half
    t = _quadratic((v * v).sum(1), (p * v).sum(1), (p * p).sum(1) - 1)
    normal = (p + np.where(t < FAR, t, 0)[:, None] * v) / half
    return t, normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)


def _hit_column(o: Rays, d: Rays, half: Float64[np.ndarray, "3"]) -> tuple[Float64[np.ndarray, "n"], Rays]:
    p, v = o[:, ::2] / half[0], d[:, ::2] / half[0]
    t = _quadratic((v * v).sum(1), (p * v).sum(1), (p * p).sum(1) - 1)
    y = o[:, 1] + np.where(t < FAR, t, 0) * d[:, 1]
    t = np.where(np.abs(y) <= half[1], t, FAR)
    q = p + np.where(t < FAR, t, 0)[:, None] * v
    return t, np.stack([q[:, 0], np.zeros(len(q)), q[:, 1]], 1)


def _noise(points: Rays) -> Float64[np.ndarray, "n"]:
    """Four octaves of value noise in [0, 1]."""
    total = np.zeros(len(points))
    for octave in range(4):
        p = points * 2**octave + 17.3 * octave
        cell = np.floor(p).astype(np.int64)
        f = p - cell
        f = f * f * (3 - 2 * f)
        value = np.zeros(len(p))
        for corner in range(8):
            bit = np.array([corner >> k & 1 for k in range(3)])
            value += _hash(cell + bit) * np.prod(np.where(bit, f, 1 - f), axis=1)
        total += value / 2**octave
    return total / 1.875


def _hash(cell: np.ndarray) -> Float64[np.ndarray, "n"]:
    h = (cell[:, 0] * 374761393 + cell[:, 1] * 668265263 + cell[:, 2] * 2147483647) & 0xFFFFFFFF
    h = (h ^ (h >> 13)) * 1274126177 & 0xFFFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFF) / 65535.0


def _albedo(paint: Paint, point: Rays, normal: Rays) -> Rays:
    p = point / paint.period
    flat = np.argmax(np.abs(normal), axis=1)
    u = np.where(flat == 0, p[:, 2], p[:, 0])
    v = np.where(flat == 1, p[:, 2], p[:, 1])
    grain = _noise(p * 2)
    if paint.pattern == "tiles":
        mix = (np.floor(u) + np.floor(v)) % 2 * 0.8
    elif paint.pattern == "bricks":
        row = np.floor(v * 2)
        mix = ((np.abs((u + row / 2) % 1 - 0.5) > 0.46) | (np.abs(v * 2 % 1 - 0.5) > 0.43)) * 0.9
    elif paint.pattern == "planks":
        mix = (u * 3 % 1 < 0.06) * 0.7 + 0.25 * _noise(p * [12, 1, 1])
    elif paint.pattern == "noise":
        mix = np.clip(grain * 2.4 - 0.7, 0, 1)
    else:
        mix = np.zeros(len(p))
    mix = np.clip(mix + 0.25 * (grain - 0.5), 0, 1)[:, None]
    return paint.first * (1 - mix) + paint.second * mix


def _first_hit(scene: Scene, origin: Rays, ray: Rays) -> tuple[Float64[np.ndarray, "n"], Rays, Rays]:
    """Distance, albedo and world normal of what each ray meets first."""
    best = np.full(len(ray), FAR)
    albedo, normal = np.zeros_like(ray), np.zeros_like(ray)
    for solid in scene.solids:
        t, point, local = solid.hit(origin, ray)
        nearer = t < best
        if nearer.any():
            best[nearer] = t[nearer]
            albedo[nearer] = _albedo(solid.paint, point[nearer], local[nearer])
            normal[nearer] = solid.out(local[nearer])
    return best, albedo, normal


def _shadowed(scene: Scene, point: Rays) -> Bool[np.ndarray, "n"]:
    dark = np.zeros(len(point), bool)
    ray = np.broadcast_to(scene.sun, point.shape)
    for solid in scene.solids:
        dark |= solid.hit(point, ray)[0] < scene.extra.get("sun_reach", FAR)
    return dark


def _rays(scene: Scene, scale: int) -> Rays:
    h, w = SIZE[0] * scale, SIZE[1] * scale
    y, x = np.mgrid[0:h, 0:w]
    x = (x + 0.5 - w / 2) / (scene.focal * w)
    y = -(y + 0.5 - h / 2) / (scene.focal * w)
    c, s = np.cos(scene.pitch), np.sin(scene.pitch)
    return np.stack([x, y * c + s, c - y * s], -1).reshape(-1, 3)


def render(scene: Scene, name: str, seed: int) -> Still:
    """Ray-trace with 2 x 2 samples a pixel; rays have unit z in the camera, so distances are depths."""
    ray = _rays(scene, 2)
    origin = np.broadcast_to(np.array([0.0, scene.height, 0.0]), ray.shape)
    depth, albedo, normal = _first_hit(scene, origin, ray)
    sky = depth >= FAR
    point = origin + np.where(sky, 0, depth)[:, None] * ray + 1e-3 * normal
    light = np.maximum(normal @ scene.sun, 0) * ~_shadowed(scene, point)
    color = albedo * (scene.ambient * (1 + 0.2 * normal[:, 1]) + (1 - scene.ambient) * light)[:, None]
    up = np.clip(ray[:, 1] / np.linalg.norm(ray, axis=1) * 2, 0, 1)[:, None]
    dome = scene.sky[0] * (1 - up) + scene.sky[1] * up
    veil = np.where(sky, 1, 1 - np.exp(-scene.haze * np.minimum(depth, 1e6)))[:, None]
    color = color * (1 - veil) + dome * veil
    h, w = SIZE
    picture = cv2.resize(color.reshape(2 * h, 2 * w, 3), (w, h), interpolation=cv2.INTER_AREA)
    inverse = (1 / depth * ~sky).reshape(2 * h, 2 * w)[::2, ::2].astype(np.float32)
    if scene.focus is not None:
        picture = _defocus(picture, inverse, scene)
    picture = picture + np.random.default_rng(seed).normal(0, 0.006, picture.shape)
    image = (np.clip(picture, 0, 1) ** (1 / 2.2) * 255 + 0.5).astype(np.uint8)
    return Still(name, image, inverse)


def _defocus(
    picture: Float64[np.ndarray, "h w 3"], inverse: Float32[np.ndarray, "h w"], scene: Scene
) -> Float64[np.ndarray, "h w 3"]:
    """Thin lens by a bank of blurs: the circle of confusion grows with the distance in inverse depth."""
    assert scene.focus is not None
    radius = np.minimum(np.abs(inverse - 1 / scene.focus) * scene.extra.get("aperture", 6.0), 5.0)
    radius = cv2.GaussianBlur(radius, (0, 0), 1.0)
    levels = np.linspace(0, 5, 11)
    bank = np.stack([picture] + [cv2.GaussianBlur(picture, (0, 0), s) for s in levels[1:]])
    slot = np.clip(radius * 2, 0, 9.999)
    low = slot.astype(int)
    f = (slot - low)[..., None]
    rows, cols = np.indices(low.shape)
    return bank[low, rows, cols] * (1 - f) + bank[low + 1, rows, cols] * f
