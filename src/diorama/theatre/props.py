"""Things in front of the actors, and things they hold, kick or sit on."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Float32

from diorama.core.mesh import Mesh
from diorama.core.rotations import from_axis_angle, to_matrix
from diorama.figures.pose import Bones, global_transforms
from diorama.theatre import palette, shapes, textures
from diorama.theatre.actor import Actor
from diorama.theatre.anatomy import Side
from diorama.theatre.render import Layer
from diorama.theatre.surface import put_together
from diorama.theatre.textures import Texture

BALL = 0.11
"""Radius of a football, metres."""
GRAVITY = 9.81
BOUNCE = 0.6
"""The share of its upward speed that a ball keeps."""
KICK_SPEED = 2.0
"""Metres a second of a foot that kicks."""
PALM = 0.09
"""From the wrist to the middle of the palm, metres."""


def random_occluder(rng: np.random.Generator, name: str, place: tuple[float, float]) -> Layer:
    """Something that stands at (x, z) before the actors."""
    make = OCCLUDERS[int(rng.integers(len(OCCLUDERS)))]
    heading = float(rng.uniform(-0.5, 0.5))
    meshes = [shapes.moved(shapes.turned(mesh, heading), (place[0], 0.0, place[1])) for mesh in make(rng)]
    return Layer(name, "occluder", put_together(meshes))


def random_held(rng: np.random.Generator, name: str, actor: Actor) -> Layer:
    """Something in an actor's hand, moving with it."""
    side: Side = "left" if rng.random() < 0.5 else "right"
    make = HELD[int(rng.integers(len(HELD)))]
    meshes = make(rng) if side == "left" else [shapes.mirrored(mesh) for mesh in make(rng)]
    places = held_places(actor, side, np.concatenate([mesh.vertices for mesh in meshes]))
    ends = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    moving = [np.ascontiguousarray(places[:, a:b]) for a, b in pairwise(ends)]
    return Layer(name, "object", put_together(meshes, moving))


def held_places(actor: Actor, side: Side, vertices: Float32[np.ndarray, "v 3"]) -> Float32[np.ndarray, "t v 3"]:
    """Where a thing is that a hand holds, metres on the stage.

    Args:
        actor: whose hand.
        side: which.
        vertices: about the middle of the palm: y to the thumb's side, z along the fingers, x out of the back of a
            left hand and out of the palm of a right one.
    """
    motion, skeleton, end = actor.motion, actor.motion.skeleton, ".L" if side == "left" else ".R"
    wrist = skeleton.index(f"wrist{end}")
    ahead = skeleton.joints[skeleton.index(f"finger3-1{end}")] - skeleton.joints[wrist]
    upwards = skeleton.joints[skeleton.index(f"finger2-1{end}")] - skeleton.joints[skeleton.index(f"finger5-1{end}")]
    z = ahead / np.linalg.norm(ahead)
    y = upwards - (upwards @ z) * z
    y /= np.linalg.norm(y)
    axes = np.stack([np.cross(y, z), y, z])
    palm = vertices @ axes + PALM * z  # about the wrist, in the rest pose
    bones = Bones.of(skeleton)
    joints = global_transforms(bones, torch.from_numpy(motion.rotations), torch.from_numpy(motion.root))
    turns = joints[:, wrist].numpy()
    turned = np.einsum("tij,vj->tvi", turns[:, :3, :3] @ skeleton.rest[wrist, :3, :3].T, palm)
    return actor.stand((turned + turns[:, None, :3, 3]).astype(np.float32))


def kicked_ball(rng: np.random.Generator, name: str, actor: Actor) -> Layer | None:
    """A ball that lies before a foot until that foot is fastest, and flies off then; None where nobody kicks."""
    motion, fps = actor.motion, actor.motion.fps
    toes = actor.joints()[:, [motion.skeleton.index("toes.L"), motion.skeleton.index("toes.R")]].astype(np.float64)
    ways = np.stack([_way(actor, frame) for frame in range(len(toes))])
    steps = np.gradient(toes, axis=0) * fps if len(toes) > 1 else np.zeros_like(toes)
    speed = np.einsum("tkc,tc->tk", steps, ways)
    met, which = (int(i) for i in np.unravel_index(speed.argmax(), speed.shape))
    if speed[met, which] < KICK_SPEED:
        return None
    ahead = ways[met]
    start = toes[met, which] + ahead * (BALL + 0.04)
    start[1] = BALL
    velocity = ahead * float(rng.uniform(3.5, 7)) + np.array([0.0, float(rng.uniform(1.0, 3.5)), 0.0])
    time = np.maximum(np.arange(len(toes)) - met, 0) / fps
    path = start + np.stack([velocity[0] * time, _bounces(velocity[1], time), velocity[2] * time], axis=1)
    ball = shapes.ball((0.0, 0.0, 0.0), BALL, _football(rng), around=16)
    spun = to_matrix(from_axis_angle(np.cross([0.0, 1, 0], ahead) * 6 * time[:, None]))
    places = np.einsum("tij,vj->tvi", spun, ball.vertices) + path[:, None]
    return Layer(name, "object", put_together([ball], [places.astype(np.float32)]))


def seat(rng: np.random.Generator, name: str, actor: Actor) -> Layer:
    """A stool below where an actor's hips are at the end."""
    hips = actor.joints()[-1, [actor.motion.skeleton.index(f"upperleg01{end}") for end in (".L", ".R")]]
    way = _way(actor, -1)
    x, height, z = (hips.mean(axis=0) - 0.1 * way).tolist()
    top = max(height - 0.1, 0.12)
    stool = shapes.box((0.0, top / 2, 0.0), (0.42, top, 0.36), textures.wood(rng, palette.paint(rng)), 0.6)
    mesh = shapes.moved(shapes.turned(stool, float(np.arctan2(way[0], way[2]))), (x, 0.0, z))
    return Layer(name, "object", put_together([mesh]))


def _way(actor: Actor, frame: int) -> Float[np.ndarray, "3"]:
    """Where the hips look, level, on the stage."""
    motion = actor.motion
    ahead = to_matrix(motion.rotations[frame, 0].astype(np.float64))[:, 2]
    c, s = np.cos(actor.heading), np.sin(actor.heading)
    level = np.array([c * ahead[0] + s * ahead[2], 0.0, c * ahead[2] - s * ahead[0]])
    length = float(np.linalg.norm(level))
    return level / length if length > 1e-6 else np.array([s, 0.0, c])


def _bounces(upward: float, time: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """Height above where it lay of a ball that bounces, metres."""
    height, begun, speed = np.zeros_like(time), 0.0, upward
    for _ in range(12):
        lasts = 2 * speed / GRAVITY
        now = (time >= begun) & (time < begun + lasts)
        s = time - begun
        height = np.where(now, speed * s - GRAVITY * s * s / 2, height)
        begun, speed = begun + lasts, speed * BOUNCE
    return height


def _plain(rng: np.random.Generator) -> Texture:
    return textures.plaster(rng, palette.paint(rng))


def _football(rng: np.random.Generator) -> Texture:
    return textures.tiles(rng, palette.paint(rng))


Maker = Callable[[np.random.Generator], list[Mesh]]


def _pillar(rng: np.random.Generator) -> list[Mesh]:
    return [shapes.column((0.0, 0.0, 0.0), float(rng.uniform(0.08, 0.22)), 3.5, _plain(rng))]


def _bush(rng: np.random.Generator) -> list[Mesh]:
    size = (float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.25, 0.7)), float(rng.uniform(0.3, 0.5)))
    green = textures.foliage(rng, palette.green(rng))
    middle = (0.0, 0.8 * size[1], 0.0)
    return [shapes.blob(rng, middle, size, green), shapes.leaves(rng, middle, size, green, count=100)]


def _crate(rng: np.random.Generator) -> list[Mesh]:
    size = (float(rng.uniform(0.4, 1.0)), float(rng.uniform(0.3, 1.0)), float(rng.uniform(0.3, 0.6)))
    return [shapes.box((0.0, size[1] / 2, 0.0), size, textures.wood(rng, palette.paint(rng)), 0.8)]


def _rail(rng: np.random.Generator) -> list[Mesh]:
    wide, texture = float(rng.uniform(1.2, 2.6)), _plain(rng)
    posts = [shapes.box((wide * s, 0.45, 0.0), (0.06, 0.9, 0.06), texture, 0.6) for s in (-0.5, -0.17, 0.17, 0.5)]
    return [*posts, *(shapes.box((0.0, y, 0.0), (wide, 0.06, 0.04), texture, 0.6) for y in (0.45, 0.85))]


def _leafy(rng: np.random.Generator) -> list[Mesh]:
    green = textures.foliage(rng, palette.green(rng))
    high = float(rng.uniform(0.8, 1.6))
    return [
        shapes.lathe((0.0, 0.0, 0.0), ((0.14, 0.0), (0.2, 0.35), (0.0, 0.34)), _plain(rng)),
        shapes.leaves(rng, (0.0, 0.2 + high / 2, 0.0), (0.32, high / 2, 0.32), green, count=80, leaf=0.15),
    ]


def _screen(rng: np.random.Generator) -> list[Mesh]:
    size = (float(rng.uniform(0.5, 1.1)), float(rng.uniform(0.9, 1.6)), 0.05)
    return [shapes.box((0.0, size[1] / 2, 0.0), size, textures.wallpaper(rng, palette.paint(rng)), 0.7)]


def _stick(rng: np.random.Generator) -> list[Mesh]:
    long = float(rng.uniform(0.5, 1.3))
    stick = shapes.column((0.0, 0.0, 0.0), float(rng.uniform(0.012, 0.025)), long, _plain(rng), around=8)
    return [shapes.moved(stick, (0.0, -float(rng.uniform(0.2, 0.5)) * long, 0.0))]


def _bag(rng: np.random.Generator) -> list[Mesh]:
    size = (float(rng.uniform(0.08, 0.14)), float(rng.uniform(0.24, 0.38)), float(rng.uniform(0.2, 0.34)))
    body = shapes.box((0.0, 0.0, 0.12 + size[2] / 2), size, textures.wallpaper(rng, palette.paint(rng)), 0.3)
    strap = shapes.box((0.0, 0.0, 0.06), (0.02, 0.12, 0.12), _plain(rng), 0.2)
    return [body, strap]


def _bottle(rng: np.random.Generator) -> list[Mesh]:
    profile = ((0.0, 0.0), (0.035, 0.0), (0.035, 0.16), (0.013, 0.22), (0.013, 0.26), (0.0, 0.26))
    return [shapes.moved(shapes.lathe((0.0, 0.0, 0.0), profile, _plain(rng), around=10), (0.0, -0.1, 0.0))]


def _parcel(rng: np.random.Generator) -> list[Mesh]:
    a, b, c = rng.uniform(0.12, 0.3, 3).tolist()
    return [shapes.box((0.0, 0.0, 0.02), (a, b, c), textures.wood(rng, palette.paint(rng)), 0.4)]


def _held_ball(rng: np.random.Generator) -> list[Mesh]:
    return [shapes.ball((-0.06, 0.0, 0.0), float(rng.uniform(0.07, 0.13)), _football(rng))]


def _racket(rng: np.random.Generator) -> list[Mesh]:
    grip = shapes.column((0.0, -0.1, 0.0), 0.016, 0.32, _plain(rng), around=8)
    head = shapes.ball((0.0, 0.0, 0.0), 1.0, textures.tiles(rng, palette.paint(rng)), around=14)
    return [grip, shapes.moved(shapes.stretched(head, (0.02, 0.16, 0.12)), (0.0, 0.36, 0.0))]


OCCLUDERS: tuple[Maker, ...] = (_pillar, _bush, _crate, _rail, _leafy, _screen)
HELD: tuple[Maker, ...] = (_stick, _bag, _bottle, _parcel, _held_ball, _racket)
