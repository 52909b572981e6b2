"""Who plays whom: a character in an actor's place, with the actor's motion, light and look."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from diorama.core.actor import Actor
from diorama.core.camera import Cameras
from diorama.core.figure import Motion
from diorama.core.layers import LayeredVideo
from diorama.core.person import LANDMARKS
from diorama.errors import UsageError
from diorama.figures.harmonics import EVEN, Lighting
from diorama.figures.pose import animate
from diorama.figures.shade import Look, exposure_from_actor, light_of_actor, look_of
from diorama.figures.shadow import Ground
from diorama.figures.sight import Sight
from diorama.figures.stand_in import in_place_of, in_view_of
from diorama.figures.texture import Character, character_from_photos
from diorama.perception.shrink import eight_bits
from diorama.pipelines.animate_config import Shape

SIGHTS = 8
"""Frames that tell what an actor looks like."""
LIGHTS = 6
"""Frames that tell the light on it."""
COARSE = 0.015
"""Metres between texels that tell of light."""
VISIBLE, STANDS = 0.5, 0.3
"""Visibility of an ankle that is seen, and share of the frames in which one must be."""
SURE = 230
"""Coverage of 255 from which on a pixel tells of the actor."""


@dataclass(frozen=True, eq=False)
class Place:
    """Where somebody comes who was not there: what a film asks an `Actor` for.

    Attributes:
        name, layer, occluder: as of an `Actor`; nothing is before it.
        motion: of any body, that says where to stand.
        cameras: one a frame.
        frames: of the scene.
    """

    name: str
    motion: Motion
    cameras: Cameras
    frames: Int64[np.ndarray, " t"]
    occluder: str | None = None

    @property
    def layer(self) -> str:
        """Named as who comes."""
        return self.name


@dataclass(frozen=True, eq=False)
class Part:
    """A character that plays an actor.

    Attributes:
        actor: who is replaced, or the place where nobody was.
        character: who comes instead; its body in the shape that is played.
        motion: of the character's body, one pose a frame of the actor.
        light: on it, in the world of the actor's cameras.
        look: sharpness and grain of the scene.
        ground: on which its own shadow falls; None where the scene keeps that of the actor.
    """

    actor: Actor | Place
    character: Character
    motion: Motion
    light: Lighting
    look: Look
    ground: Ground | None = None

    @property
    def cameras(self) -> Cameras:
        """One a frame of the actor."""
        return self.actor.cameras


def cast(
    scene: LayeredVideo, actor: Actor, character: Character, *, shape: Shape = "character", relight: bool = True
) -> Part:
    """Put a character in an actor's place.

    Args:
        scene: that the actor is of.
        actor: who is replaced.
        character: who comes instead.
        shape: whose proportions are kept.
        relight: whether the character takes on the light, exposure, sharpness and grain of the scene.
    """
    if shape == "actor":
        character = replace(character, body=actor.figure)
    if stands_in_view(actor):
        motion = in_place_of(actor.motion, character.body)
    else:
        motion = in_view_of(actor.motion, character.body, actor.cameras.centers)
    light, look = (EVEN, Look()) if not relight else lit_as(scene, actor, character)
    return Part(actor, character, motion, light, look)


def stands_in_view(actor: Actor) -> bool:
    """Whether an actor's ankles are mostly seen, so that one can say where it stands."""
    ankles = actor.track.landmarks[:, [LANDMARKS.index(f"{side}_ankle") for side in ("left", "right")]]
    x, y, sure = np.moveaxis(ankles, -1, 0)
    within = (x >= 0) & (x < actor.cameras.width) & (y >= 0) & (y < actor.cameras.height)
    return bool((within & (sure > VISIBLE)).any(axis=1).mean() > STANDS)


def lit_as(scene: LayeredVideo, actor: Actor, character: Character) -> tuple[Lighting, Look]:
    """The light on an actor, for a character, and how the camera shows the actor; even light where little is seen."""
    sights = sights_of(scene, actor, SIGHTS)
    try:
        before = character_of_actor(actor, sights, spacing=COARSE)
        gain = exposure_from_actor(character, before)
        lights = [light_of_actor(before, sight).factors for sight in sights[:: max(1, len(sights) // LIGHTS)]]
    except UsageError:  # too little of the actor is seen
        return EVEN, Look()
    looks = [look_of(sight.photo, sight.person) for sight in sights]
    look = Look(*(float(np.median([getattr(one, part) for one in looks])) for part in ("blur", "grain")))
    return Lighting(np.median(np.stack(lights), axis=0).astype(np.float32)).scaled(gain), look


def character_of_actor(actor: Actor, sights: Sequence[Sight], *, spacing: float | None = None) -> Character:
    """What a scene shows of an actor, as a character; `spacing` as in `character_from_photos`.

    Raises:
        UsageError: no frame shows it.
    """
    return character_from_photos(actor.figure, sights, together=True, spacing=spacing)


def sights_of(scene: LayeredVideo, actor: Actor, count: int) -> list[Sight]:
    """Frames of an actor, spread over its way, with its masks and its posed body; fewer where it is hidden."""
    layer, seen = scene.layer(actor.layer), actor.track.frames
    chosen = seen[np.unique(np.linspace(0, len(seen) - 1, count).astype(int))]
    found = []
    for frame in chosen.tolist():
        image, alpha = next(iter(layer[frame : frame + 1].read()))
        mask = _plain(alpha, image.image) >= SURE
        if mask.any():
            place = frame - int(actor.frames[0])
            vertices: Float32[np.ndarray, "v 3"] = animate(actor.figure, actor.motion[place : place + 1])[0]
            found.append(Sight(eight_bits(image.image), mask, vertices, actor.cameras[place : place + 1]))
    return found


def _plain(alpha: np.ndarray | None, image: np.ndarray) -> UInt8[np.ndarray, "h w"]:
    if alpha is None:
        return np.full(image.shape[:2], 255, np.uint8)
    return eight_bits(alpha)
