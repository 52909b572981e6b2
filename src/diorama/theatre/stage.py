"""Where a clip is played: rooms and open places made at random, with what stands around the actors.

The middle of the stage is free: actors are within `FREE` metres of the origin, cameras look at it from the front (+Z).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from diorama.core.camera import Cameras
from diorama.core.mesh import Mesh
from diorama.errors import UsageError
from diorama.theatre import palette, shapes, textures
from diorama.theatre.furniture import furniture, outdoors
from diorama.theatre.light import Light, random_light
from diorama.theatre.textures import Material, Rgb

FREE = 2.2
"""Metres around the origin in which nothing stands."""
MOST_BLOCKS = 9

Box = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True, eq=False)
class Stage:
    """A set without anybody in it.

    Attributes:
        kind: "room" or "open".
        meshes: all of it.
        solids: the boxes that cameras must not be in: lowest and highest corner, metres.
        bounds: the box that cameras must not leave.
        light: sun or lamp.
        sky: the picture all around, rows from straight up to straight down, columns once around; RGB.
    """

    kind: str
    meshes: tuple[Mesh, ...]
    solids: tuple[Box, ...]
    bounds: Box
    light: Light
    sky: UInt8[np.ndarray, "h w 3"]

    def free(self, place: Float[np.ndarray, "3"], margin: float = 0.15) -> bool:
        """Whether a camera may be there."""
        low, high = np.array(self.bounds[0]) + margin, np.array(self.bounds[1]) - margin
        if (place < low).any() or (place > high).any():
            return False
        inside = [(place > np.array(a) - margin).all() and (place < np.array(b) + margin).all() for a, b in self.solids]
        return not any(inside)


def check_cameras(stage: Stage, cameras: Cameras) -> None:
    """Refuse cameras that are inside of something or outside of the room.

    Raises:
        UsageError: names the first such frame.
    """
    for frame, place in enumerate(cameras.centers):
        if not stage.free(place, 0.0):
            where = ", ".join(f"{v:.2f}" for v in place)
            raise UsageError(f"the camera of frame {frame} at ({where}) is inside of something", "cameras", "move it")


def random_stage(rng: np.random.Generator, kind: str | None = None) -> Stage:
    """A stage; "room", "open", or either.

    Raises:
        UsageError: another kind.
    """
    chosen = kind or ("room" if rng.random() < 0.5 else "open")
    if chosen not in ("room", "open"):
        raise UsageError(f"no kind of stage called {chosen!r}", "kind", "give room or open")
    return _room(rng) if chosen == "room" else _open(rng)


def _room(rng: np.random.Generator) -> Stage:
    wide, deep, high = float(rng.uniform(6, 10)), float(rng.uniform(8, 12)), float(rng.uniform(2.6, 3.6))
    middle = (0.0, high / 2, deep / 2 - FREE - float(rng.uniform(0.8, 2.2)))
    paper, floor = _one(rng, _WALLS), _one(rng, _FLOORS)
    walls = shapes.box(
        middle, (wide, high, deep), paper(rng, palette.pale(rng)), float(rng.uniform(0.8, 2.0)), inside=True
    )
    below = shapes.ground(max(wide, deep), floor(rng, palette.earthy(rng)), float(rng.uniform(0.8, 1.8)))
    above = shapes.box(
        (0.0, high + 0.02, middle[2]), (wide, 0.05, deep), textures.plaster(rng, palette.pale(rng) + 20), 1.5
    )
    half = np.array((wide, high, deep)) / 2
    low, top = np.array(middle) - half, np.array(middle) + half
    meshes = [walls, shapes.moved(below, (0.0, 0.004, 0.0)), above]
    solids: list[Box] = []
    meshes += _on_the_wall(rng, wide, high, float(low[2]))
    for _ in range(int(rng.integers(3, MOST_BLOCKS))):
        along = float(rng.uniform(-wide / 2 + 0.5, wide / 2 - 0.5))
        place = (along, 0.0, float(low[2]) + 0.5)
        if rng.random() < 0.35:  # along a side wall instead
            side = float(rng.choice([-1, 1]))
            place = (side * (wide / 2 - 0.45), 0.0, float(rng.uniform(low[2] + 0.5, low[2] + 0.6 * deep)))
        _put(meshes, solids, furniture(rng, place), (_triple(low), _triple(top)))
    light = random_light(rng, indoors=True)
    return Stage("room", tuple(meshes), tuple(solids), (_triple(low), _triple(top)), light, _sky(rng, light))


def _open(rng: np.random.Generator) -> Stage:
    floor = _one(rng, _GROUNDS)
    light = random_light(rng)
    meshes: list[Mesh] = [
        shapes.ground(60.0, floor(rng, _ground_color(rng, floor)), float(rng.uniform(0.9, 2.0)), cells=24)
    ]
    solids: list[Box] = []
    back = -float(rng.uniform(5, 14))
    if rng.random() < 0.6:
        meshes += _buildings(rng, back, solids)
    for _ in range(int(rng.integers(4, 2 * MOST_BLOCKS))):
        angle = float(rng.uniform(0.55 * np.pi, 1.45 * np.pi))  # behind and beside; 0 is towards the camera
        far = float(rng.uniform(FREE + 1.2, 9))
        place = (far * float(np.sin(angle)), 0.0, far * float(np.cos(angle)))
        _put(meshes, solids, outdoors(rng, place), ((-60.0, -5.0, -60.0), (60.0, 30.0, 60.0)))
    bounds = ((-25.0, 0.05, back + 0.5), (25.0, 12.0, 25.0))
    return Stage("open", tuple(meshes), tuple(solids), bounds, light, _sky(rng, light))


def _put(meshes: list[Mesh], solids: list[Box], found: list[Mesh], bounds: Box) -> None:
    """Add a thing of several pieces, moved off the walls, unless it would stand in the free middle."""
    places = np.concatenate([mesh.vertices for mesh in found])
    low, high = places.min(axis=0), places.max(axis=0)
    shift = np.maximum(np.array(bounds[0]) - low, 0) + np.minimum(np.array(bounds[1]) - high, 0)
    shift[1] = 0
    nearest = np.maximum(np.maximum(low + shift, -(high + shift)), 0)[[0, 2]]
    if np.linalg.norm(nearest) < FREE:
        return
    for mesh in (shapes.moved(mesh, _triple(shift)) for mesh in found):
        meshes.append(mesh)
        solids.append((_triple(mesh.vertices.min(axis=0)), _triple(mesh.vertices.max(axis=0))))


def _buildings(rng: np.random.Generator, back: float, solids: list[Box]) -> list[Mesh]:
    found, at = [], -16.0
    while at < 16:
        wide, high, deep = float(rng.uniform(4, 9)), float(rng.uniform(3, 9)), float(rng.uniform(3, 5))
        shift = back - deep / 2 - float(rng.uniform(0, 2))
        skin = _one(rng, (textures.windows, textures.windows, textures.brick))(rng, palette.pale(rng))
        mesh = shapes.box((at + wide / 2, high / 2, shift), (wide, high, deep), skin, float(rng.uniform(2.5, 4)))
        found.append(mesh)
        solids.append((_triple(mesh.vertices.min(axis=0)), _triple(mesh.vertices.max(axis=0))))
        at += wide + (0.0 if rng.random() < 0.6 else float(rng.uniform(0.5, 4)))
    return found


def _on_the_wall(rng: np.random.Generator, wide: float, high: float, back: float) -> list[Mesh]:
    found, at = [], -wide / 2 + 0.5
    while at < wide / 2 - 0.8:
        size = float(rng.uniform(0.4, 1.0))
        if rng.random() < 0.6 and at + size < wide / 2 - 0.2:
            middle = (at + size / 2, float(min(rng.uniform(1.4, 1.8), high - 0.6)), back + 0.02)
            found.append(shapes.panel(middle, (size, size * float(rng.uniform(0.8, 1.2))), textures.poster(rng)))
        at += size + float(rng.uniform(0.2, 1.2))
    return found


def _sky(rng: np.random.Generator, light: Light) -> UInt8[np.ndarray, "h w 3"]:
    """Blue to haze with clouds, in the colour of the light, and ground below the horizon."""
    rows, columns = 64, 128
    up = np.cos(np.linspace(0, np.pi, rows))[:, None]
    clouds = np.clip((textures.noise(rng, 4, 4, size=128)[:rows] - rng.uniform(0.35, 0.8)) * 3, 0, 1) * np.clip(
        6 * up, 0, 1
    )
    zenith = np.array([70, 120, 200]) * rng.uniform(0.6, 1.1) + rng.normal(0, 12, 3)
    haze = np.array([205, 215, 225]) * np.array(light.color) / max(light.color)
    share = np.clip(up, 0, 1)[..., None] ** 0.5
    picture = (1 - share) * haze + share * np.clip(zenith, 0, 255)
    picture = (1 - clouds[..., None]) * picture + clouds[..., None] * np.array([240, 240, 242])
    below = np.where(up[..., None] < 0, haze * 0.55, picture)
    return np.rint(np.clip(np.broadcast_to(below, (rows, columns, 3)), 0, 255)).astype(np.uint8)


_WALLS: tuple[Material, ...] = (textures.plaster, textures.wallpaper, textures.brick, textures.wood)
_FLOORS: tuple[Material, ...] = (textures.wood, textures.tiles, textures.carpet, textures.plaster)
_GROUNDS: tuple[Material, ...] = (textures.grass, textures.gravel, textures.plaster, textures.tiles, textures.wood)


def _one(rng: np.random.Generator, choices: tuple[Material, ...]) -> Material:
    return choices[int(rng.integers(len(choices)))]


def _ground_color(rng: np.random.Generator, material: Material) -> Rgb:
    return 0.8 * palette.green(rng) if material is textures.grass else palette.grey(rng)


def _triple(values: Float[np.ndarray, "3"]) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
