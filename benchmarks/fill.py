"""Filling against rendered truth: layered textured scenes whose right eye's view is known, still and moving.

Run: ``python benchmarks/fill.py``. Every scene is made here from a seed. The figure is the PSNR on hole pixels.
"""

from dataclasses import dataclass, fields

import cv2
import numpy as np

from diorama.geometry.warp import forward_warp
from diorama.perception.fill import Neighbour, borrow, fill
from table import show

HEIGHT, WIDTH = 360, 640
GAPS = (6, 12)
NOW = 14
SETS = {"two layers": [(s, 1) for s in range(6)], "3-5 layers": [(s, 2 + s % 3) for s in range(6, 16)]}
"""Scenes by their seed and number of objects."""


@dataclass(frozen=True)
class Layer:
    """A textured sheet: where it is opaque, how near, and how it moves (pixels a frame)."""

    texture: np.ndarray
    alpha: np.ndarray
    disparity: float
    speed: tuple[float, float]


@dataclass(frozen=True)
class Moment:
    """What the left camera sees at one time, the truth for the right one, and the scene's motion."""

    image: np.ndarray
    disparity: np.ndarray
    right: np.ndarray
    speed: np.ndarray


def texture(rng: np.random.Generator, kind: int, size: tuple[int, int]) -> np.ndarray:
    """A sheet of colour: clouds, masonry, planks, or foliage."""
    height, width = size
    octaves = [_noise(rng, height, width, cell) for cell in (96, 40, 16, 6, 3)]
    weight = ((5, 3, 2, 0.7, 0.3), (3, 2, 1, 0.8, 0.6), (3, 1, 1, 0.6, 0.4), (2, 2, 3, 2.5, 1.2))[kind]
    sheet = sum(w * (o - 0.5) for w, o in zip(weight, octaves, strict=True)) / 6
    y, x = np.mgrid[:height, :width]
    if kind == 1:
        row = y // 24
        sheet[((y % 24) < 3) | (((x + 25 * (row % 2)) % 50) < 3)] += 0.25
    if kind == 2:
        sheet += 0.18 * np.sin(x / 9 + 2 * octaves[0][..., 0])[..., None]
    base = rng.uniform(60, 190, 3)
    return np.clip(base + 170 * sheet, 0, 255).astype(np.float32)


def _noise(rng: np.random.Generator, height: int, width: int, cell: int) -> np.ndarray:
    """Smooth noise with features of about `cell` pixels, mostly grey with some colour."""
    coarse = rng.random((height // cell + 2, width // cell + 2, 3))
    grey = coarse.mean(2, keepdims=True) * 1.7 - 0.35
    return cv2.resize(grey + 0.35 * (coarse - grey), (width, height), interpolation=cv2.INTER_CUBIC)


def shape(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """The outline of an object somewhere in the picture: a smooth blob or a polygon."""
    height, width = size
    centre = np.array([rng.uniform(0.25, 0.75) * width, rng.uniform(0.3, 0.8) * height])
    angle = np.sort(rng.uniform(0, 2 * np.pi, 14))
    radius = rng.uniform(0.10, 0.24) * height * (1 + 0.35 * rng.standard_normal(14).clip(-1.5, 1.5))
    points = centre + radius[:, None] * np.stack([np.cos(angle), 1.5 * np.sin(angle)], 1)
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [points.astype(np.int32)], 255)
    return cv2.GaussianBlur(mask, (0, 0), 3) > 127


def scene(seed: int, objects: int) -> list[Layer]:
    """A background and `objects` sheets in front of it, far to near."""
    rng = np.random.default_rng(seed)
    size = (HEIGHT + 80, WIDTH + 240)
    pan = tuple(rng.uniform(-1, 1, 2) * (1.5, 0.4))
    layers = [Layer(texture(rng, seed % 4, size), np.ones(size, bool), float(rng.integers(2, 8)), pan)]
    inverse_depth = np.sort(rng.uniform(12, 42, objects))
    for i, disparity in enumerate(inverse_depth):
        speed = tuple(rng.choice([-1, 1]) * rng.uniform(1.5, 3.5, 2) * (1, 0.15))
        sheet = texture(rng, (seed + i + 1) % 4, size)
        layers.append(Layer(sheet, shape(rng, size), float(np.round(disparity)), speed))
    return layers


def see(layers: list[Layer], time: float, shift: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colour, disparity and speed as seen by a camera `shift` of the way to the right eye."""
    colour = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    disparity, speed = np.zeros((HEIGHT, WIDTH), np.float32), np.zeros((HEIGHT, WIDTH, 2), np.float32)
    for layer in layers:
        dx = 120 - layer.speed[0] * time + shift * layer.disparity
        dy = 40 - layer.speed[1] * time
        move = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        sheet = cv2.warpAffine(layer.texture, move, (WIDTH, HEIGHT), flags=flags, borderMode=cv2.BORDER_REFLECT)
        cover = cv2.warpAffine(
            layer.alpha.astype(np.float32), move, (WIDTH, HEIGHT), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )[..., None]
        colour += cover * (sheet - colour)
        inside = cover[..., 0] > 0.5
        disparity[inside], speed[inside] = layer.disparity, layer.speed
    return colour, disparity, speed


def moment(layers: list[Layer], time: float) -> Moment:
    """Both eyes' views at `time`."""
    left, disparity, speed = see(layers, time, 0)
    right, _, _ = see(layers, time, 1)
    return Moment(_bytes(left), disparity, _bytes(right), speed)


def _bytes(colour: np.ndarray) -> np.ndarray:
    return np.floor(colour + 0.5).clip(0, 255).astype(np.uint8)


def neighbours_of(layers: list[Layer], now: Moment) -> tuple[Neighbour, ...]:
    """The frames 6 and 12 before, with the flow to them at two fifths of the size."""
    small = (WIDTH * 2 // 5, HEIGHT * 2 // 5)
    found = []
    for gap in GAPS:
        then = moment(layers, NOW - gap)
        flow = cv2.resize(-gap * now.speed, small, interpolation=cv2.INTER_AREA) * np.float32(0.4)
        found.append(Neighbour(then.image, then.disparity, flow))
    return tuple(found)


def psnr(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Decibels over the pixels of `mask`, peak 255."""
    error = (image[mask].astype(np.float64) - truth[mask]) ** 2
    return float(10 * np.log10(255**2 / error.mean()))


@dataclass(frozen=True)
class Score:
    """Hole-pixel PSNR of one scene, and the part of the hole that was borrowed."""

    telea: float
    edge: float
    borrowing: float
    borrowed: float


def measure(seed: int, objects: int) -> Score:
    """Fill the right eye's view of a scene in all ways."""
    layers = scene(seed, objects)
    now = moment(layers, NOW)
    warped, known = forward_warp(now.image, now.disparity)
    others = neighbours_of(layers, now)
    _, done = borrow(warped, known, now.disparity, neighbours=others)
    return Score(
        telea=psnr(fill(warped, known, method="telea"), now.right, ~known),
        edge=psnr(fill(warped, known), now.right, ~known),
        borrowing=psnr(fill(warped, known, disparity=now.disparity, neighbours=others), now.right, ~known),
        borrowed=float(done[~known].mean()),
    )


def main() -> list[dict[str, object]]:
    """Means over all scenes, as rows for the table."""
    scores = {name: [measure(s, n) for s, n in scenes] for name, scenes in SETS.items()}
    rows: list[dict[str, object]] = []
    for name, found in scores.items():
        telea, edge, borrowing, part = (np.mean([getattr(s, f.name) for s in found]) for f in fields(Score))
        rows += [
            row(f"{name}: INPAINT_TELEA, hole pixels", telea, ""),
            row(f"{name}: fast, edge", edge, telea + 1),
            row(f"{name}: fast, borrowing {part:.0%}", borrowing, telea + 1),
        ]
    return rows


def row(figure: str, measured: float, least: float | str) -> dict[str, object]:
    """One line of the table, in decibels."""
    if isinstance(least, str):
        return {"figure": figure, "measured": f"{measured:.2f} dB", "goal": "", "ok": None}
    return {
        "figure": figure,
        "measured": f"{measured:.2f} dB",
        "goal": f">= {least:.2f} dB",
        "ok": bool(measured >= least),
    }


if __name__ == "__main__":
    show(main())
