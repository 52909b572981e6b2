"""Small ray-traced stills with exact depth, to judge depth estimation on pictures nobody has tuned against.

World: metres, x right, y up, z forward, the ground at y = 0. Every scene follows from its kind and number alone.
The last three kinds are unfavourable to a ground-plane prior: no ground in sight, a camera that looks up, a wall
that recedes to one side.
"""

from collections.abc import Callable

import numpy as np

from raytrace import Paint, Scene, Solid, Still, render


class _Maker:
    """Draws the random parts of a scene from one generator."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def paint(self, patterns: str = "tiles bricks planks noise plain", period: float = 0.8) -> Paint:
        first = self.rng.uniform(0.04, 0.75) * (0.35 + 0.65 * self.rng.random(3))
        second = self.rng.uniform(0.02, 0.8) * (0.35 + 0.65 * self.rng.random(3))
        return Paint(first, second, str(self.rng.choice(patterns.split())), period * self.between(0.6, 1.6))

    def ground(self) -> Solid:
        return Solid("box", (0, -0.5, 0), (500, 0.5, 500), self.paint("tiles planks noise noise", 1.2))

    def standing(self, x: float, z: float, tall: float) -> Solid:
        """A box, ball or column standing on the ground, roughly `tall` metres high."""
        shape = str(self.rng.choice(["box", "ball", "column"]))
        wide = tall * self.between(0.15, 0.5)
        half = {"box": (wide, tall / 2, wide * self.between(0.5, 1.5)), "ball": (tall / 2,) * 3}.get(
            shape, (wide / 2, tall / 2, wide / 2)
        )
        return Solid(shape, (x, tall / 2, z), half, self.paint(), self.between(-0.8, 0.8))

    def scatter(self, count: int, near: float, far: float, tall: float = 1.6) -> list[Solid]:
        solids = []
        for z in np.exp(self.rng.uniform(np.log(near), np.log(far), count)):
            solids.append(self.standing(float(z) * self.between(-0.5, 0.5), float(z), tall * self.between(0.4, 1.5)))
        return solids

    def scene(self, solids: list[Solid], height: float, pitch: float, **more: float) -> Scene:
        sun = np.array([self.between(-1, 1), self.between(0.6, 1.5), self.between(-1, 0.3)])
        blue = np.array([0.25, 0.45, 0.8]) * self.between(0.5, 1.1)
        pale = np.array([0.7, 0.75, 0.8]) * self.between(0.7, 1.1)
        known = {key: more.pop(key) for key in ("ambient", "haze", "focus") if key in more}
        sky = (pale, blue if self.rng.random() < 0.7 else pale * 0.9)
        focal = self.between(0.75, 1.2)
        return Scene(solids, height, pitch, focal, sun / np.linalg.norm(sun), sky, extra=more, **known)


def _field(m: _Maker) -> Scene:
    solids = [m.ground(), *m.scatter(int(m.between(4, 10)), 3, 30)]
    return m.scene(solids, m.between(1.0, 2.2), m.between(-0.22, 0.0), haze=m.between(0, 0.02))


def _street(m: _Maker) -> Scene:
    side = m.between(3, 6)
    solids = [m.ground()]
    for sign in (-1, 1):
        z = m.between(-2, 2)
        while z < 60:
            long, tall = m.between(4, 12), m.between(4, 12)
            solids.append(
                Solid(
                    "box",
                    (sign * (side + 3), tall / 2, z + long / 2),
                    (3, tall / 2, long / 2),
                    m.paint("bricks plain noise", 2),
                )
            )
            z += long + m.between(0, 2)
    solids += m.scatter(int(m.between(2, 6)), 3, 25)
    return m.scene(solids, m.between(1.2, 2.5), m.between(-0.12, 0.1), haze=m.between(0, 0.015))


def _shell(m: _Maker, wide: float, tall: float, deep: float) -> list[Solid]:
    """Floor, ceiling, two side walls and a back wall."""
    walls = m.paint("plain noise bricks plain", 1.0)
    side = Solid("box", (-wide / 2 - 0.1, tall / 2, 0), (0.1, tall, deep + 5), walls)
    other = Solid("box", (wide / 2 + 0.1, tall / 2, 0), (0.1, tall, deep + 5), walls)
    back = Solid("box", (0, tall / 2, deep + 0.1), (wide, tall, 0.1), m.paint("plain noise bricks", 1.0))
    ceiling = Solid("box", (0, tall + 0.1, 0), (wide, 0.1, deep + 5), m.paint("plain tiles plain", 1.0))
    return [m.ground(), side, other, back, ceiling]


def _indoor(m: _Maker, solids: list[Solid], height: float, pitch: float, **more: float) -> Scene:
    return m.scene(solids, height, pitch, ambient=m.between(0.55, 0.75), sun_reach=1.0, **more)


def _room(m: _Maker) -> Scene:
    deep = m.between(4, 8)
    solids = _shell(m, m.between(4, 7), m.between(2.4, 3.2), deep)
    solids += m.scatter(int(m.between(3, 7)), 2, deep - 0.6, 0.9)
    return _indoor(m, solids, m.between(1.2, 1.8), m.between(-0.3, 0.0))


def _corridor(m: _Maker) -> Scene:
    solids = _shell(m, m.between(1.8, 3), m.between(2.3, 3), m.between(12, 30))
    solids += m.scatter(int(m.between(0, 3)), 3, 10, 0.8)
    return _indoor(m, solids, m.between(1.2, 1.8), m.between(-0.12, 0.05))


def _table(m: _Maker) -> Scene:
    solids = [m.ground(), *m.scatter(int(m.between(5, 10)), 0.8, 2.5, 0.3)]
    focus = {"focus": m.between(1.0, 2.0), "aperture": 4.0} if m.rng.random() < 0.5 else {}
    return _indoor(m, solids, m.between(0.9, 1.6), m.between(-0.9, -0.5), **focus)


def _upward(m: _Maker) -> Scene:
    solids = [m.ground()]
    for z in m.rng.uniform(4, 25, int(m.between(4, 9))):
        tall = m.between(4, 14)
        shape = str(m.rng.choice(["column", "box"]))
        solids.append(
            Solid(shape, (float(z) * m.between(-0.6, 0.6), tall / 2, float(z)), (0.8, tall / 2, 0.8), m.paint())
        )
    return m.scene(solids, m.between(0.8, 1.6), m.between(0.12, 0.35))


def _closeup(m: _Maker) -> Scene:
    solids = [
        Solid("box", (0, 2, m.between(3, 6)), (10, 10, 0.1), m.paint("bricks noise planks", 1.0), m.between(-0.3, 0.3))
    ]
    for _ in range(int(m.between(1, 4))):
        z, size = m.between(0.9, 2.0), m.between(0.12, 0.35)
        shape = str(m.rng.choice(["box", "ball"]))
        where = (z * m.between(-0.4, 0.4), 1.5 + z * m.between(-0.2, 0.2), z)
        solids.append(Solid(shape, where, (size, size, size), m.paint(period=0.2), m.between(-0.8, 0.8)))
    return _indoor(m, solids, 1.5, m.between(-0.05, 0.05), focus=m.between(1.0, 1.6), aperture=m.between(4, 8))


def _receding(m: _Maker) -> Scene:
    turn = m.between(0.6, 1.1) * (1 if m.rng.random() < 0.5 else -1)
    solids = [m.ground(), Solid("box", (0, 4, 4.5), (40, 8, 0.2), m.paint("bricks tiles planks", 1.2), turn)]
    return m.scene(solids, m.between(1.5, 3.0), m.between(0.0, 0.15))


KINDS: dict[str, Callable[[_Maker], Scene]] = {
    "field": _field,
    "street": _street,
    "room": _room,
    "corridor": _corridor,
    "table": _table,
    "upward": _upward,
    "closeup": _closeup,
    "receding": _receding,
}


def stills(each: int = 4, *, first: int = 0) -> list[Still]:
    """`each` scenes of every kind, numbered from `first`: develop on other numbers than those reported."""
    return [
        render(make(_Maker(1000 * k + n)), f"{kind}{n}", n)
        for k, (kind, make) in enumerate(KINDS.items())
        for n in range(first, first + each)
    ]
