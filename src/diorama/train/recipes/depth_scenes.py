"""Scenes for stills with true depth: clips of the theatre, and worlds of blocks that no stage has.

The theatre is filmed at eye level with somebody in the middle. A world of blocks has neither habit: things of any size
at any distance, on the ground or not, walls on any side, a camera that looks up or down. Metres, Y up.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from diorama.core.camera import Cameras
from diorama.core.mesh import Mesh
from diorama.geometry.raster import rasterize
from diorama.theatre import palette, shapes, textures
from diorama.theatre._shade_kernels import keep_nearest
from diorama.theatre.clip import Clip, Script, random_clip
from diorama.theatre.light import Light, random_light
from diorama.theatre.render import Layer, draw, lamp_of
from diorama.theatre.sky import sky_picture
from diorama.theatre.stage import random_stage
from diorama.theatre.surface import put_together

BLOCKS = 0.3
"""Share of the scenes that are worlds of blocks."""
FRAMES, FPS = 6, 1.5
"""Moments of a clip, far enough apart to look different."""
FAR = 400.0
"""Metres from which on a surface counts as sky."""
Picture = tuple[UInt8[np.ndarray, "h w 3"], Float32[np.ndarray, "h w"]]
_MATERIALS: tuple[textures.Material, ...] = (
    *(textures.plaster, textures.wood, textures.tiles, textures.wallpaper, textures.carpet, textures.foliage),
    *(textures.windows, textures.brick, textures.grass, textures.gravel),
)


@dataclass(frozen=True, eq=False)
class Scene:
    """Something to take pictures of.

    Attributes:
        layers, light, sky: as in a clip of the theatre.
        clip: the clip that it is, None for a world of blocks.
        viewpoint: of a world of blocks: the camera's height and pitch (radians, up is above 0).
    """

    layers: tuple[Layer, ...]
    light: Light
    sky: UInt8[np.ndarray, "h w 3"]
    clip: Clip | None = None
    viewpoint: tuple[float, float] = (1.5, 0.0)


def random_scene(seed: int, height: int, width: int) -> Scene:
    """The scene of a seed; its cameras are made for pictures of this size."""
    rng = np.random.default_rng([seed, 1])
    if rng.random() < BLOCKS:
        return _blocks(rng)
    clip = random_clip(seed, Script(FRAMES, FPS, height, width))
    return Scene(clip.layers, clip.light, clip.sky, clip)


def take(scene: Scene, cameras: Cameras, frame: int) -> Picture:
    """A picture by the first camera, and inverse depth in 1/m (0: sky)."""
    image = sky_picture(scene.sky, cameras[:1])
    depth, owner = np.full(image.shape[:2], np.inf, np.float32), np.full(image.shape[:2], -1, np.int16)
    lamp = lamp_of(scene.light, [layer.surface for layer in scene.layers if layer.role != "scene"], frame)
    for number, layer in enumerate(scene.layers):
        vertices = layer.surface.at(frame)
        found = rasterize(vertices, layer.surface.faces, cameras[:1])
        keep_nearest(image, depth, owner, draw(layer.surface, vertices, found, lamp, cameras), found.depth, number)
    return image, np.where(depth < FAR, 1 / depth, 0).astype(np.float32)


def _blocks(rng: np.random.Generator) -> Scene:
    """A world of blocks before a camera at the origin's height that looks along -Z."""
    kind = str(rng.choice(["shell", "street", "open", "wall", "table", "heap"], p=[0.27, 0.13, 0.15, 0.15, 0.15, 0.15]))
    indoors = kind in ("shell", "table", "heap")
    light, sky = random_light(rng, indoors=indoors), random_stage(rng, "open").sky
    height = float(np.exp(rng.uniform(np.log(0.35), np.log(2.6))))
    pitch = float(np.clip(rng.normal(-0.06, 0.18), -0.7, 0.45))
    near, far, tall = 1.2, 25.0, 1.2
    scene: list[Mesh] = []
    if kind == "table":
        height, pitch, near, far, tall = float(rng.uniform(0.5, 1.5)), float(rng.uniform(-0.95, -0.25)), 0.6, 3.0, 0.35
    if kind == "heap":
        near, far, tall = 0.5, 3.5, 0.5
    if kind != "heap" or rng.random() < 0.5:
        floor = _texture(rng, palette.earthy if indoors else palette.grey)
        scene.append(shapes.ground(60.0, floor, float(rng.uniform(0.6, 3)), cells=24))
    if kind == "shell" or (indoors and rng.random() < 0.7):
        scene += _shell(rng, height)
    if kind == "street":
        scene += _street(rng)
    if kind == "wall" or (kind == "heap" and rng.random() < 0.7):
        scene.append(_wall(rng))
    count = int(rng.integers(0, 16))
    things = [_thing(rng, near, far, tall=tall, height=height, loose=kind == "heap") for _ in range(count)]
    layers = [Layer("scene", "scene", put_together(scene or [_wall(rng)]))]
    layers += [Layer("things", "object", put_together(things))] if things else []
    return Scene(tuple(layers), light, sky, None, (height, pitch))


def _texture(rng: np.random.Generator, color: Callable[[np.random.Generator], textures.Rgb]) -> textures.Texture:
    """A material, a photograph, or next to nothing."""
    chance = rng.random()
    if chance < 0.12:
        return textures.poster(rng)
    if chance < 0.3:
        shade = np.clip(color(rng), 0, 255)
        return textures.mixed(textures.noise(rng, 2, 2) * float(rng.uniform(0, 0.5)), shade, 0.8 * shade)
    return _MATERIALS[int(rng.integers(len(_MATERIALS)))](rng, np.clip(color(rng), 0, 255))


def _shell(rng: np.random.Generator, height: float) -> list[Mesh]:
    """Walls, and mostly a ceiling, around a camera that may stand near any of them."""
    wide, deep = float(np.exp(rng.uniform(0.5, 2.4))), float(np.exp(rng.uniform(1.0, 3.2)))
    high = max(height + 0.4, float(rng.uniform(2.2, 4.5)))
    side, behind = float(rng.uniform(-0.4, 0.4)) * wide, 0.6
    walls = shapes.box(
        (0.0, high / 2, 0.0), (wide, high, deep), _texture(rng, palette.pale), float(rng.uniform(0.6, 3)), inside=True
    )
    turn = float(rng.normal(0, 0.45))
    found = [shapes.turned(shapes.moved(walls, (side, 0.0, behind - deep / 2)), turn)]
    if rng.random() < 0.5:  # a wall of its own at the end
        end = shapes.box((side, high / 2, behind - deep + 0.1), (wide, high, 0.1), _texture(rng, palette.paint), 1.0)
        found.append(shapes.turned(end, turn))
    return found


def _street(rng: np.random.Generator) -> list[Mesh]:
    """Buildings along both sides, or one."""
    found, half = [], float(rng.uniform(2.0, 7.0))
    sides = (-1, 1) if rng.random() < 0.7 else (int(rng.choice([-1, 1])),)
    for sign in sides:
        at = float(rng.uniform(-3, 3))
        while at < 70:
            long, high = float(rng.uniform(3, 14)), float(rng.uniform(2.5, 14))
            place = (sign * (half + 3.0), high / 2, -at - long / 2)
            skin = _texture(rng, palette.pale)
            found.append(shapes.box(place, (6.0, high, long), skin, float(rng.uniform(1.5, 4))))
            at += long + (0.0 if rng.random() < 0.5 else float(rng.uniform(0.5, 5)))
    turn = float(rng.normal(0, 0.15))
    return [shapes.turned(mesh, turn) for mesh in found]


def _wall(rng: np.random.Generator) -> Mesh:
    """A large wall that recedes to one side."""
    away, turn = float(np.exp(rng.uniform(0.4, 2.3))), float(rng.uniform(-1.2, 1.2))
    mesh = shapes.box((0.0, 3.0, 0.0), (60.0, 14.0, 0.2), _texture(rng, palette.pale), float(rng.uniform(0.5, 3)))
    return shapes.moved(shapes.turned(mesh, turn), (0.0, 0.0, -away))


def _thing(rng: np.random.Generator, near: float, far: float, *, tall: float, height: float, loose: bool) -> Mesh:
    """A solid somewhere in sight, standing on the ground or, where things are loose, anywhere."""
    z = float(np.exp(rng.uniform(np.log(near), np.log(far))))
    x = float(rng.uniform(-0.7, 0.7)) * z
    size = tall * float(np.exp(rng.normal(0, 0.5)))
    size = min(size, 0.9 * z)
    skin, kind = _texture(rng, palette.paint), int(rng.integers(6))
    wide = size * float(rng.uniform(0.2, 1.2))
    if kind == 0:
        mesh = shapes.box((0.0, size / 2, 0.0), (wide, size, size * float(rng.uniform(0.2, 1.2))), skin, 0.0)
        mesh = shapes.turned(mesh, float(rng.uniform(-np.pi, np.pi)))
    elif kind == 1:
        mesh = shapes.ball((0.0, size / 2, 0.0), size / 2, skin, around=20)
    elif kind == 2:
        mesh = shapes.column((0.0, 0.0, 0.0), wide / 3, size * float(rng.uniform(1, 2)), skin)
    elif kind == 3:
        mesh = shapes.blob(rng, (0.0, size / 2, 0.0), (wide / 2, size / 2, wide / 2), skin)
    elif kind == 4:
        mesh = shapes.leaves(rng, (0.0, size / 2, 0.0), (wide / 2, size / 2, wide / 2), skin, leaf=0.08 * size)
    else:
        profile = [(wide / 2 * float(rng.uniform(0.1, 1)), size * k / 5) for k in range(6)]
        mesh = shapes.lathe((0.0, 0.0, 0.0), [*profile, (0.0, size)], skin)
    base = 0.0
    if loose or rng.random() < 0.1:
        base = max(0.0, height + float(rng.uniform(-0.5, 0.4)) * z - size / 2)
    return shapes.moved(mesh, (x, base, -z))


def aimed(
    place: Float64[np.ndarray, "3"], angles: tuple[float, float, float], focal: float, *, height: int, width: int
) -> Cameras:
    """One camera at a place, turned by (yaw, pitch, roll) radians from looking along -Z; `focal` in pixels."""
    yaw, pitch, roll = angles
    forward = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), -np.cos(yaw) * np.cos(pitch)])
    level = np.array([np.cos(yaw), 0.0, np.sin(yaw)])
    down = np.cross(forward, level)
    right = np.cos(roll) * level + np.sin(roll) * down
    viewmat = np.eye(4)
    viewmat[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    viewmat[:3, 3] = -viewmat[:3, :3] @ place
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    return Cameras(viewmat[None], K[None], height, width)
