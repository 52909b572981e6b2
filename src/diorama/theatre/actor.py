"""An actor on the stage: a dressed figure, its motion, where it stands, and its canonical picture."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8

from diorama.core.camera import Cameras
from diorama.core.figure import Motion
from diorama.errors import UsageError
from diorama.figures.canonical import canonical_view
from diorama.figures.codes import position_colors
from diorama.figures.pose import Bones, Skin, global_transforms, joint_positions, skin_vertices
from diorama.geometry.raster import rasterize
from diorama.theatre.dressing import Dressed
from diorama.theatre.light import Light
from diorama.theatre.render import Layer, draw, lamp_of
from diorama.theatre.surface import put_together

CANONICAL_LIGHTS = {"front": Light((0.3, 0.6, 1.0)), "back": Light((-0.3, 0.6, -1.0))}


@dataclass(frozen=True, eq=False)
class Actor:
    """A figure that moves on the stage.

    Attributes:
        name: unique in a clip.
        dressed: body and clothes.
        motion: of the body's skeleton, looking along +Z.
        place: where its origin stands, metres (x, z).
        heading: radians about Y by which it is turned; 0 looks along +Z.
    """

    name: str
    dressed: Dressed
    motion: Motion
    place: tuple[float, float] = (0.0, 0.0)
    heading: float = 0.0

    def __post_init__(self) -> None:
        if self.motion.skeleton.names != self.dressed.body.skeleton.names:
            raise UsageError("the motion is of another skeleton", self.name, "retarget it first")

    def stand(self, points: Float[np.ndarray, "t n 3"]) -> Float32[np.ndarray, "t n 3"]:
        """Points of the figure's own space on the stage."""
        frame = self._stage_frame()
        return (points @ frame[:3, :3].T + frame[:3, 3]).astype(np.float32)

    def _stage_frame(self) -> Float32[np.ndarray, "4 4"]:
        """The figure's own space to the stage."""
        c, s = np.cos(self.heading), np.sin(self.heading)
        frame = [[c, 0, s, self.place[0]], [0, 1, 0, 0], [-s, 0, c, self.place[1]], [0, 0, 0, 1]]
        return np.array(frame, np.float32)

    def joints(self) -> Float32[np.ndarray, "t j 3"]:
        """Its joints on the stage, metres."""
        return self.stand(joint_positions(self.motion))

    def layer(self) -> Layer:
        """What is drawn of it: clothes and body, with the naked body for its vertex codes."""
        figures = self.dressed.figures
        bones = Bones.of(self.motion.skeleton)
        with torch.inference_mode():
            turns = torch.from_numpy(self.motion.rotations), torch.from_numpy(self.motion.root)
            frames = torch.from_numpy(self._stage_frame()) @ global_transforms(bones, *turns)
            moved = [skin_vertices(Skin.of(figure), frames).numpy() for figure in figures]
        whole = put_together([f.mesh for f in figures], moved, [f.face_parts for f in figures])
        body = put_together([replace(self.dressed.body.mesh, texture=None)], moved[:1])  # for its codes only
        return Layer(self.name, "actor", whole, body, position_colors(self.dressed.body.mesh))


def canonical_camera(dressed: Dressed, size: int = 256, side: Literal["front", "back"] = "front") -> Cameras:
    """The camera of a figure's canonical picture: from far in front or behind, the dressed figure fills the height."""
    vertices = np.concatenate([figure.mesh.vertices for figure in dressed.figures])
    return canonical_view(vertices, size, side)


def canonical_picture(
    dressed: Dressed, size: int = 256, side: Literal["front", "back"] = "front"
) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """A figure in its rest pose (the cast's is an A-pose) on white, filling the height, and where it is.

    It is a function of the dressed figure alone: nothing of a clip's pose, light or camera enters it.

    Args:
        dressed: body and clothes.
        size: pixels a side.
        side: from where.
    """
    surface = put_together([figure.mesh for figure in dressed.figures])
    vertices = surface.at(0)
    camera = canonical_camera(dressed, size, side)
    found = rasterize(vertices, surface.faces, camera)
    image = draw(surface, vertices, found, lamp_of(CANONICAL_LIGHTS[side], (), 0), camera)
    alpha = found.face_ids >= 0
    image[~alpha] = 255
    return image, alpha
