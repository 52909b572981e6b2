"""Somebody alone before a scene in which nobody was: where to stand, in what light, with a shadow on the ground."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from diorama.core.camera import Cameras
from diorama.core.figure import Figure, Motion
from diorama.core.layers import Layer, LayeredVideo
from diorama.core.progress import Progress
from diorama.errors import UsageError
from diorama.figures.harmonics import EVEN, Lighting
from diorama.figures.observation import guessed_camera
from diorama.figures.pose import joint_positions
from diorama.figures.shade import Look, light_of_scene, look_of
from diorama.figures.shadow import Ground
from diorama.figures.texture import Character
from diorama.media.read import OpenedVideo
from diorama.perception.shrink import eight_bits
from diorama.pipelines.animate_cast import Part, Place
from diorama.pipelines.animate_config import AnimateConfig, PlayConfig
from diorama.pipelines.animate_motion import MARK, Driving, as_long, driving, on_the_spot, placed
from diorama.pipelines.animate_open import character_of, path_of, stage_of
from diorama.pipelines.animate_still import at_most, is_color, is_still, picture, plain, still_video, with_place
from diorama.pipelines.film import Stage

NAME = "person-1"
"""Of who comes, and of its layer."""
UP = np.array([0.0, 1.0, 0.0])
DANCE = 4.0
"""Seconds of a dance before a picture."""
PLAIN = (720, 1280)
"""Height and width of a scene of one colour."""
SIDE = 1920
"""Pixels of the longer side of a picture as a scene, at most."""


def standing_at(figure: Figure, camera: Cameras, at: tuple[float, float, float]) -> Motion:
    """One pose at ease that faces the camera.

    Args:
        figure: who stands.
        camera: level, at the origin (`guessed_camera`).
        at: feet from the left and from the top, and height, as parts of the picture's width, height and height.
    """
    low, high = figure.mesh.vertices[:, 1].min(), figure.mesh.vertices[:, 1].max()
    (focal, _, cx), (_, _, cy), _ = camera.Ks[0]
    far = focal * float(high - low) / (at[2] * camera.height)
    foot = np.array([(at[0] * camera.width - cx) * far / focal, -(at[1] * camera.height - cy) * far / focal, -far])
    skeleton = figure.skeleton
    turns = np.zeros((1, len(skeleton), 4), np.float32)
    turns[..., 0] = 1
    middle = figure.mesh.vertices.mean(axis=0)
    shift = foot - [middle[0], low, middle[2]]
    return Motion(skeleton, turns, shift.astype(np.float32)[None], 25.0)


def ground_under(figure: Figure, motion: Motion) -> Ground:
    """The level ground that the lowest foot of a motion meets."""
    sole = float(figure.skeleton.joints[:, 1].min() - figure.mesh.vertices[:, 1].min())
    return Ground(UP, float(joint_positions(motion)[..., 1].min()) - sole)


def alone(
    character: Character, found: Driving, stage: Stage, camera: Cameras, stood: Motion, *, light: Lighting, look: Look
) -> tuple[Stage, Part]:
    """A stage with somebody on it.

    Args:
        character: who comes.
        found: what it does; as many poses as the stage has frames.
        stage: in which nobody is.
        camera: that takes it, which stands still.
        stood: a pose that says where it begins, and which way it looks.
        light: on it.
        look: sharpness and grain.
    """
    count = len(stage.source)
    cameras = replace(camera, viewmats=camera.viewmats.repeat(count, axis=0), Ks=camera.Ks.repeat(count, axis=0))
    place = Place(NAME, stood, cameras, np.arange(count, dtype=np.int64))
    motion = placed(found, place, character.body)
    part = Part(place, character, motion, light, look, ground_under(character.body, motion))
    return replace(stage, layers=with_place(stage.layers, NAME)), part


def still_stage(image: UInt8[np.ndarray, "h w 3"], count: int, fps: float, path: Path) -> Stage:
    """A stage of one picture.

    Args:
        image: the picture.
        count, fps: frames, and how many a second.
        path: the file that it comes from.
    """
    video = still_video(image, count, fps)
    return Stage(LayeredVideo((Layer("scene", video),)), OpenedVideo(video, path))


def before_picture(config: PlayConfig, body: Figure, progress: Progress) -> Driving:
    """The motion of a body before a still picture, by the options of a command."""
    seconds = DANCE if config.seconds is None else config.seconds
    found = driving(config.motion, body, fps=config.fps, seconds=seconds, seed=config.seed, progress=progress)
    if config.seconds is not None:
        found = replace(found, motion=found.motion[: max(1, round(seconds * config.fps))])
    return found if config.travel else on_the_spot(found)


def before_nobody(scene: str, who: str, config: AnimateConfig, progress: Progress) -> tuple[Stage, list[Part]]:
    """A character put into a scene in which nobody is.

    Args:
        scene: a folder, a picture, or a colour.
        who: the character (`character_of`).
        config: what it does, and where.
        progress: told of steps.

    Raises:
        UsageError: no motion is given.
        DioramaError: as `character_of` and `driving`.
    """
    motion = config.motion or (who if MARK in who and not Path(who).exists() else "")
    if not motion:
        raise UsageError("nobody to follow in the scene", "--motion", "say what the character does, such as walk")
    if is_still(scene):
        image = plain(scene, *PLAIN) if is_color(scene) else at_most(picture(scene), SIDE)
        character = character_of(who, progress)
        found = before_picture(replace(config, motion=motion), character.body, progress)
        path = path_of(who) if is_color(scene) else Path(scene)
        stage = still_stage(image, len(found.motion), config.fps, path)
    else:
        stage, character = stage_of(Path(scene)), character_of(who, progress)
        count, rate = len(stage.source), float(stage.source.fps)
        found = driving(motion, character.body, fps=rate, seconds=count / rate, seed=config.seed, progress=progress)
        found = replace(found, motion=as_long(found.motion, count))
        image = eight_bits(next(iter(stage.source)).image)
        progress.note("nobody is in the scene: the camera is taken to stand still")
    camera = guessed_camera(*image.shape[:2])
    relit = config.relight and not is_color(scene)
    light, look = (light_of_scene(image, camera), look_of(image)) if relit else (EVEN, Look())
    stood = standing_at(character.body, camera, config.at)
    stage, part = alone(character, found, stage, camera, stood, light=light, look=look)
    return stage, [part]
