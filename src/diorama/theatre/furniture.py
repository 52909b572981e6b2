"""What stands on a stage: furniture in rooms, and trees, rocks and fences outdoors."""

import numpy as np

from diorama.core.mesh import Mesh
from diorama.theatre import palette, shapes, textures
from diorama.theatre.shapes import Vector
from diorama.theatre.textures import Texture


def furniture(rng: np.random.Generator, place: Vector) -> list[Mesh]:
    """A cupboard, shelf, table, chair, lamp or plant that stands at a place."""
    x, _, z = place
    texture = (textures.wood, textures.plaster)[int(rng.integers(2))](rng, palette.earthy(rng))
    kind = int(rng.integers(6))
    if kind == 0:
        w, h, d = (float(rng.uniform(*r)) for r in ((0.5, 1.4), (0.7, 2.2), (0.4, 0.7)))
        return [shapes.box((x, h / 2, z), (w, h, d), texture, 0.8)]
    if kind == 1:
        return _shelf(rng, x, z, texture)
    if kind == 2:
        return _table(x, z, float(rng.uniform(0.8, 1.6)), float(rng.uniform(0.6, 0.8)), texture)
    if kind == 3:
        return _chair(x, z, float(rng.uniform(0.42, 0.5)), texture)
    if kind == 4:
        shade = np.full((4, 4, 3), rng.integers(150, 255, 3), np.uint8)
        pole = shapes.column((x, 0.0, z), 0.03, 1.5, texture, around=8)
        return [pole, shapes.lathe((x, 1.45, z), ((0.24, 0.0), (0.13, 0.32)), shade, around=12)]
    pot = shapes.lathe((x, 0.0, z), ((0.14, 0.0), (0.2, 0.35), (0.0, 0.34)), textures.plaster(rng, palette.earthy(rng)))
    high = float(rng.uniform(0.8, 1.5))
    green = textures.foliage(rng, palette.green(rng))
    return [pot, shapes.leaves(rng, (x, 0.2 + high / 2, z), (0.35, high / 2, 0.35), green, count=90, leaf=0.14)]


def _shelf(rng: np.random.Generator, x: float, z: float, texture: Texture) -> list[Mesh]:
    w, rows = float(rng.uniform(0.7, 1.5)), int(rng.integers(2, 6))
    boards = [shapes.box((x, 0.02 + 0.38 * i, z), (w, 0.04, 0.3), texture, 0.8) for i in range(rows + 1)]
    sides = [
        shapes.box((x + s * w / 2, 0.19 * rows, z), (0.04, 0.38 * rows + 0.04, 0.3), texture, 0.8) for s in (-1, 1)
    ]
    goods = []
    for row in range(rows):
        at = -w / 2 + 0.08
        while at < w / 2 - 0.15:
            size = float(rng.uniform(0.04, 0.16)), float(rng.uniform(0.12, 0.3))
            if rng.random() < 0.75:
                paint = np.full((4, 4, 3), rng.integers(10, 245, 3), np.uint8)
                middle = (x + at + size[0] / 2, 0.04 + 0.38 * row + size[1] / 2, z)
                goods.append(shapes.box(middle, (size[0], size[1], 0.2), paint, 0.5))
            at += size[0] + 0.015
    return [*boards, *sides, *goods]


def _table(x: float, z: float, wide: float, high: float, texture: Texture) -> list[Mesh]:
    top = shapes.box((x, high, z), (wide, 0.05, 0.7), texture, 0.8)
    legs = [
        shapes.box((x + a * (wide / 2 - 0.06), high / 2, z + b * 0.29), (0.06, high, 0.06), texture, 0.8)
        for a in (-1, 1)
        for b in (-1, 1)
    ]
    return [top, *legs]


def _chair(x: float, z: float, seat: float, texture: Texture) -> list[Mesh]:
    legs = [
        shapes.box((x + a * 0.19, seat / 2, z + b * 0.19), (0.04, seat, 0.04), texture, 0.8)
        for a in (-1, 1)
        for b in (-1, 1)
    ]
    back = shapes.box((x, seat + 0.27, z - 0.2), (0.42, 0.5, 0.04), texture, 0.8)
    return [shapes.box((x, seat, z), (0.44, 0.05, 0.44), texture, 0.8), back, *legs]


def outdoors(rng: np.random.Generator, place: Vector) -> list[Mesh]:
    """A tree, bush, rock, crate, column or fence that stands at a place."""
    x, _, z = place
    kind = int(rng.integers(6))
    if kind == 0:
        high, wide = float(rng.uniform(2.0, 4.0)), float(rng.uniform(0.8, 1.8))
        trunk = shapes.lathe((x, 0.0, z), ((0.2, 0.0), (0.13, high)), textures.wood(rng, palette.earthy(rng)), around=9)
        green = textures.foliage(rng, palette.green(rng))
        crown, size = (x, high + 0.4 * wide, z), (wide, 0.9 * wide, wide)
        inner = shapes.blob(rng, crown, (0.75 * wide, 0.65 * wide, 0.75 * wide), green)
        return [trunk, inner, shapes.leaves(rng, crown, size, green, count=260, leaf=0.2)]
    if kind == 1:
        size = _triple(rng, 0.3, 0.9)
        green = textures.foliage(rng, palette.green(rng))
        middle = (x, 0.7 * size[1], z)
        return [shapes.blob(rng, middle, size, green), shapes.leaves(rng, middle, size, green, count=120, leaf=0.11)]
    if kind == 2:
        size = _triple(rng, 0.2, 0.8)
        return [shapes.blob(rng, (x, 0.5 * size[1], z), size, textures.plaster(rng, palette.grey(rng)), rough=0.35)]
    if kind == 3:
        edge = _triple(rng, 0.4, 1.2)
        return [shapes.box((x, edge[1] / 2, z), edge, textures.wood(rng, palette.earthy(rng)), 1.0)]
    if kind == 4:
        paint = textures.plaster(rng, palette.pale(rng))
        return [shapes.column((x, 0.0, z), float(rng.uniform(0.1, 0.3)), float(rng.uniform(2, 4)), paint)]
    wide, texture = float(rng.uniform(1.5, 3.5)), textures.wood(rng, palette.earthy(rng))
    posts = [shapes.box((x + wide * s, 0.5, z), (0.08, 1.0, 0.08), texture, 0.6) for s in np.linspace(-0.5, 0.5, 4)]
    return [*posts, *(shapes.box((x, y, z), (wide, 0.1, 0.03), texture, 0.6) for y in (0.4, 0.8))]


def _triple(rng: np.random.Generator, low: float, high: float) -> Vector:
    x, y, z = rng.uniform(low, high, 3).tolist()
    return x, y, z
