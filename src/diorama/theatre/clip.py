"""A clip of the theatre: who does what where, and how it is filmed; all of it from one seed.

The number of distinct clips is beyond counting: bodies, colours, styles and places are drawn from continuous ranges
with 53 random bits a number, of which a clip has several hundreds; the seeds alone give 2**64 (1.8e19).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8

from diorama.core.camera import Cameras
from diorama.errors import UsageError
from diorama.figures.cast import Cast, load_cast
from diorama.geometry.orbit import look_at
from diorama.theatre import props
from diorama.theatre.actor import Actor
from diorama.theatre.anatomy import leg_length
from diorama.theatre.cameras import KINDS, Kind, Track, beside, random_track
from diorama.theatre.choreography import perform, random_dance
from diorama.theatre.dressing import Dressed, dress
from diorama.theatre.light import Light
from diorama.theatre.moves import MOVES
from diorama.theatre.render import FrameView, Layer, render
from diorama.theatre.sky import sky_picture
from diorama.theatre.stage import Stage, random_stage
from diorama.theatre.surface import put_together
from diorama.theatre.wardrobe import random_outfit

EYES = 0.065
"""Metres between the eyes."""
MOST_ACTORS = 4
_TRIES = 24


@dataclass(frozen=True)
class Script:
    """What a clip may be.

    Attributes:
        frames: how many.
        fps: frames a second.
        height, width: pixels.
        actors: least and most of them.
        moves: what they may do.
        cameras: how it may be filmed.
        kind: "room", "open", or "" for either.
        occluders, objects: chances that things stand before the actors, that somebody holds something.
        stereo: metres to a second camera on the right; 0 for none.
    """

    frames: int = 24
    fps: float = 12.0
    height: int = 256
    width: int = 256
    actors: tuple[int, int] = (1, MOST_ACTORS)
    moves: tuple[str, ...] = tuple(MOVES)
    cameras: tuple[Kind, ...] = KINDS
    kind: Literal["", "room", "open"] = ""
    occluders: float = 0.6
    objects: float = 0.5
    stereo: float = 0.0

    def __post_init__(self) -> None:
        if self.frames < 1 or not (np.isfinite(self.fps) and self.fps > 0):
            raise UsageError(f"{self.frames} frames at {self.fps} a second", "Script", "give 1 or more, above 0")
        if not (16 <= self.height <= 4320 and 16 <= self.width <= 8192):
            raise UsageError(
                f"pictures of {self.width}x{self.height}", "Script", "give 16 to 8192 by 16 to 4320 pixels"
            )
        if not 1 <= self.actors[0] <= self.actors[1] <= MOST_ACTORS:
            raise UsageError(f"{self.actors[0]} to {self.actors[1]} actors", "Script", f"give 1 to {MOST_ACTORS}")
        unknown = [m for m in self.moves if m not in MOVES] + [c for c in self.cameras if c not in KINDS]
        if unknown or not self.moves or not self.cameras or self.kind not in ("", "room", "open"):
            given = repr(unknown[0]) if unknown else "no move, no camera or an unknown kind of stage"
            raise UsageError(given, "Script", f"moves: {', '.join(MOVES)}; cameras: {', '.join(KINDS)}")


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip ready to be drawn.

    Attributes:
        seed: what it was made from.
        layers: the scene first, then actors, objects and occluders.
        actors: in the order of their layers.
        views: cameras of each view, a frame each.
        light, sky: of the stage.
        filmed: how the camera moves.
        stage: "room" or "open".
        moves: of each actor.
        fps: frames a second.
    """

    seed: int
    layers: tuple[Layer, ...]
    actors: tuple[Actor, ...]
    views: tuple[Cameras, ...]
    light: Light
    sky: UInt8[np.ndarray, "h w 3"] = field(repr=False)
    filmed: Kind
    stage: str
    moves: tuple[tuple[str, ...], ...]
    fps: float

    def __len__(self) -> int:
        return len(self.views[0])

    def frame(self, number: int, view: int = 0) -> FrameView:
        """One frame of one view with all that is true of it."""
        cameras = self.views[view]
        sky = sky_picture(self.sky, cameras[number : number + 1])
        return render(self.layers, cameras, number, light=self.light, sky=sky)

    def of_role(self, role: str) -> list[int]:
        """The numbers of the layers of a role."""
        return [i for i, layer in enumerate(self.layers) if layer.role == role]


def random_clip(seed: int, script: Script = Script(), cast: Cast | None = None) -> Clip:
    """The clip of a seed.

    Args:
        seed: 0 or more.
        script: what it may be.
        cast: who may play; the one that comes with the package by default.

    Raises:
        UsageError: a negative seed.
    """
    if seed < 0:
        raise UsageError(f"seed {seed}", "--seed", "give 0 or more")
    rng = np.random.default_rng(seed)
    people = load_cast() if cast is None else cast
    stage = random_stage(rng, script.kind or None)
    count = int(rng.integers(script.actors[0], script.actors[1] + 1))
    played = _placed(rng, [_random_actor(rng, people, f"actor{i}", script) for i in range(count)])
    actors, moves = [actor for actor, _ in played], tuple(moves for _, moves in played)
    cameras, filmed = _filmed(rng, script, stage, actors)
    layers = [Layer("scene", "scene", put_together(stage.meshes)), *(actor.layer() for actor in actors)]
    layers += _objects(rng, script, played)
    layers += _occluders(rng, script, actors, cameras)
    views = _eyes(cameras, script)
    return Clip(
        seed, tuple(layers), tuple(actors), views, stage.light, stage.sky, filmed, stage.kind, moves, script.fps
    )


def _eyes(cameras: Cameras, script: Script) -> tuple[Cameras, ...]:
    """The views of a clip: one, or the left and the right eye."""
    return (cameras, beside(cameras, script.stereo)) if script.stereo else (cameras,)


Played = tuple[Actor, tuple[str, ...]]


def random_person(rng: np.random.Generator, cast: Cast) -> Dressed:
    """Somebody of the cast, or between two of them, in an outfit."""
    first, second = (cast.people[i] for i in rng.choice(len(cast.people), 2, replace=False))
    share = 0.0 if first.age != second.age or rng.random() < 0.4 else float(rng.uniform(0, 0.5))
    figure = cast.figure((1 - share) * cast.person(first.name) + share * cast.person(second.name))
    outfit = random_outfit(rng, child=first.age == "child", female=first.sex == "female")
    return dress(cast, figure, outfit)


def _random_actor(rng: np.random.Generator, cast: Cast, name: str, script: Script) -> Played:
    """Somebody doing something."""
    dressed = random_person(rng, cast)
    dance = random_dance(rng, script.frames / script.fps, script.moves)
    motion = perform(dance, dressed.body, script.frames, script.fps)
    return Actor(name, dressed, motion, heading=float(rng.uniform(-np.pi, np.pi))), dance.moves


def _placed(rng: np.random.Generator, played: Sequence[Played]) -> list[Played]:
    """Actors spread over the middle of the stage; those who travel do so across it, and may cross each other."""
    found = []
    spots = _spots(rng, len(played))
    for (actor, moves), spot in zip(played, spots, strict=True):
        path = actor.motion.root[:, [0, 2]].astype(np.float64)
        heading = actor.heading
        if np.ptp(path, axis=0).max() > 1.0:
            heading = float(rng.choice([-1, 1])) * float(rng.uniform(0.9, 2.2))
        elif rng.random() < 0.6:
            heading = 0.5 * heading  # towards the camera rather than away from it
        c, s = np.cos(heading), np.sin(heading)
        middle = (path.min(axis=0) + path.max(axis=0)) / 2 @ np.array([[c, -s], [s, c]])
        place = spot[0] - float(middle[0]), spot[1] - float(middle[1])
        found.append((Actor(actor.name, actor.dressed, actor.motion, place, heading), moves))
    return found


def _spots(rng: np.random.Generator, count: int) -> Float[np.ndarray, "n 2"]:
    """Where the middles of paths are: some apart, side by side or one before the other."""
    wide = 0.0 if count == 1 else float(rng.uniform(0.9, 1.5)) * (count - 1) / 2
    x = np.linspace(-wide, wide, count)
    z = rng.uniform(-0.8, 0.8, count)
    for i in range(1, count):  # no two in the same place where paths cross
        if abs(z[i] - z[i - 1]) < 0.35:
            z[i] += 0.5
    return np.stack([rng.permutation(x) + rng.normal(0, 0.1, count), z], axis=1)


def _filmed(rng: np.random.Generator, script: Script, stage: Stage, actors: Sequence[Actor]) -> tuple[Cameras, Kind]:
    """Cameras that are free and see the actors; a plain static one where none is found in many tries."""
    roots = np.stack([actor.joints()[:, 0] for actor in actors])
    target = roots.mean(axis=0).astype(np.float64)
    target[:, 1] = 0.95 * np.mean([leg_length(actor.motion.skeleton) for actor in actors]) * 1.15
    focal = float(rng.uniform(0.95, 1.5)) * max(script.height, script.width)
    spread = float(np.abs(roots[..., [0, 2]] - target[:, [0, 2]]).max())
    fit = focal * max(1.9, 2 * spread + 0.9) / min(script.height, script.width)
    for attempt in range(_TRIES):
        kind = script.cameras[int(rng.integers(len(script.cameras)))]
        distance = fit * float(rng.uniform(0.85, 1.6)) * (1 - 0.5 * attempt / _TRIES)
        place, look = random_track(rng, kind, target, script.fps, distance=distance)
        cameras = look_at(place, look, height=script.height, width=script.width, focal=focal)
        sixth = max(len(place) // 6, 1)
        seen = all(_sees(stage, a, b) for a, b in zip(place[::sixth], look[::sixth], strict=True))
        if seen and all(stage.free(eye) for view in _eyes(cameras, script) for eye in view.centers):
            return cameras, kind
    middle = np.repeat(target.mean(axis=0)[None], len(target), axis=0)
    place = middle + np.array([0.02, 0.35, _freest(stage, middle[0], fit)])
    return look_at(place, middle, height=script.height, width=script.width, focal=focal), "static"


def _sees(stage: Stage, place: Float[np.ndarray, "3"], target: Float[np.ndarray, "3"]) -> bool:
    """Whether nothing stands between a free place and (nearly) its target."""
    return all(stage.free(place + share * (target - place)) for share in np.linspace(0, 0.8, 9))


def _freest(stage: Stage, target: Float[np.ndarray, "3"], fit: float) -> float:
    """How far straight in front of the target a camera can stand, metres: up to `fit`, at least in the free middle."""
    far = np.linspace(fit, 1.2, 24)
    free = [d for d in far if stage.free(target + np.array([0.02, 0.35, d]))]
    return float(free[0]) if free else 1.2


def _objects(rng: np.random.Generator, script: Script, played: Sequence[Played]) -> list[Layer]:
    """Seats below those who sit, balls before those who kick, and things in hands."""
    found: list[Layer] = []
    for actor, moves in played:
        if moves[-1] == "sit":
            found.append(props.seat(rng, f"{actor.name}_seat", actor))
        elif "kick" in moves:
            ball = props.kicked_ball(rng, f"{actor.name}_ball", actor)
            found += [] if ball is None else [ball]
        if rng.random() < script.objects and not set(moves) & {"cartwheel", "floor_roll"}:
            found.append(props.random_held(rng, f"{actor.name}_held", actor))
    return found


def _occluders(rng: np.random.Generator, script: Script, actors: Sequence[Actor], cameras: Cameras) -> list[Layer]:
    """Things between the camera and an actor."""
    if rng.random() >= script.occluders:
        return []
    found = []
    for i in range(int(rng.integers(1, 3))):
        actor = actors[int(rng.integers(len(actors)))]
        goal = actor.joints()[:, 0].mean(axis=0)
        eye: Track = cameras.centers
        share = float(rng.uniform(0.25, 0.55))
        middle = goal + share * (eye[len(eye) // 2] - goal)
        place = float(middle[0] + rng.normal(0, 0.25)), float(middle[2])
        if np.linalg.norm(eye[:, [0, 2]] - np.array(place), axis=1).min() > 0.9:  # never in the lens
            found.append(props.random_occluder(rng, f"occluder{i}", place))
    return found
