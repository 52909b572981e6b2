"""The contact sheet of a scene: every layer, the fitted body over the frame, and what it took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from diorama.core.actor import Actor
from diorama.figures.codes import color_map, position_colors
from diorama.figures.pose import animate
from diorama.geometry.raster import rasterize
from diorama.perception.shots import reduce
from diorama.pipelines.decompose_layers import LayerFrame
from diorama.pipelines.page import Media, grid, pairs, photo, section, write_page

COUNT = 5
"""Moments that are shown."""
SIDE = 560
GREY = (205, 211)
"""Squares that show through where a layer covers nothing."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Frames kept for the page.

    Attributes:
        length: frames of the scene.
        actors: of the scene.
        shown: pictures of each moment with their labels.
    """

    length: int
    actors: Sequence[Actor]
    shown: dict[int, list[Media]] = field(default_factory=dict)

    def see(self, number: int, done: LayerFrame) -> None:
        """Keep the frame if it is one of those that are shown."""
        if number in {self.length * (2 * i + 1) // (2 * COUNT) for i in range(COUNT)}:
            self.shown[number] = _moment(number, done, self.actors)


def write_contact_sheet(path: Path, moments: Moments, seconds: Mapping[str, float]) -> None:
    """Write the page as one HTML file."""
    names = ", ".join(actor.name for actor in moments.actors) or "nobody"
    head = f"<header><h1>Scene</h1><p class='faint'>{moments.length} frames, {escape(names)}</p></header>"
    body = "".join(section(f"Frame {number}", grid(found)) for number, found in sorted(moments.shown.items()))
    facts: dict[str, object] = {f"{stage}, s": round(spent, 2) for stage, spent in seconds.items()}
    for actor in moments.actors:
        error = actor.error[np.isfinite(actor.error)]
        facts[f"{actor.name}: frames"] = f"{actor.frames[0]} to {actor.frames[-1]}, {int(actor.guessed.sum())} guessed"
        facts[f"{actor.name}: landmarks off the body, pixels"] = round(float(error.mean()), 1) if len(error) else "-"
    write_page(path, "Scene", head + body + section("Facts", pairs(facts)))


def _moment(number: int, done: LayerFrame, actors: Sequence[Actor]) -> list[Media]:
    image = reduce(done.frame.image, SIDE)
    found = [photo(image, "the clip", width=SIDE), photo(reduce(done.scene, SIDE), "scene", width=SIDE)]
    for actor in actors:
        if actor.number not in done.parts:
            continue
        person, before = (
            cv2.resize(a, image.shape[1::-1], interpolation=cv2.INTER_AREA) for a in done.parts[actor.number]
        )
        found.append(photo(over_squares(image, person), actor.layer, width=SIDE))
        if done.parts[actor.number][1].any():
            found.append(photo(over_squares(image, before), str(actor.occluder), width=SIDE))
        found.append(photo(body_over(image, actor, number), f"{actor.name}: the fitted body", width=SIDE))
    return found


def over_squares(image: UInt8[np.ndarray, "h w 3"], alpha: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """What a layer shows, over grey squares."""
    rows, columns = np.indices(alpha.shape) // max(8, alpha.shape[0] // 45)
    ground = np.where((rows + columns) % 2, GREY[0], GREY[1]).astype(np.float32)[..., None]
    share = alpha[..., None] / np.float32(255)
    return np.rint(image * share + ground * (1 - share)).astype(np.uint8)


def body_over(image: UInt8[np.ndarray, "h w 3"], actor: Actor, frame: int) -> UInt8[np.ndarray, "h w 3"]:
    """The fitted body over the frame at any size, as its motion map colours it."""
    small = reduce(image, SIDE)
    place = frame - int(actor.frames[0])
    if not 0 <= place < len(actor.frames):
        return small
    camera = actor.cameras[place : place + 1].scaled(*small.shape[:2])
    vertices: Float32[np.ndarray, "v 3"] = animate(actor.figure, actor.motion[place : place + 1])[0]
    found = rasterize(vertices, actor.figure.mesh.faces, camera)
    colors = color_map(found, actor.figure.mesh.faces, position_colors(actor.figure.mesh))
    mixed = (small.astype(np.uint16) + colors) // 2
    return np.where((found.face_ids >= 0)[..., None], mixed, small).astype(np.uint8)
