"""A turntable of a rigged model: its looks, its parts and its skeleton, while it moves and the camera goes round."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, UInt8

from diorama.core.camera import Cameras
from diorama.core.figure import Figure, Motion
from diorama.core.progress import Progress
from diorama.figures.part_colors import part_centers, part_colors
from diorama.figures.pose import Skin, global_transforms, skin_vertices
from diorama.geometry.orbit import around
from diorama.geometry.raster import rasterize
from diorama.media.atomic import write_bytes
from diorama.media.encoding import Encoding
from diorama.media.write import FrameWriter, StreamSpec
from diorama.theatre.light import Light
from diorama.theatre.render import draw, lamp_of
from diorama.theatre.surface import Surface, put_together

SIZE, SECONDS, FPS = 384, 6.0, 24
ELEVATION = 12.0
MANY = 40
"""Joints beyond which their dots are drawn small."""
LINE, DOT = (20, 20, 20), (255, 255, 255)


@dataclass(frozen=True, eq=False)
class Turn:
    """What is drawn: two looks of one figure in motion, from cameras that go round it.

    All lies in the unit ball, so that neither light nor cameras know its size. Frames are posed when they are drawn:
    those of a large mesh would fill the memory.

    Attributes:
        looks: the figure at rest, in its own looks and in those of its parts.
        cameras: of the frames.
        joints: where they are in each frame.
        parents: of the joints.
        skin: of the figure, in its own axes.
        moves: of the joints in each frame (`global_transforms`).
        middle, radius: of the ball in those axes, metres.
    """

    looks: tuple[Surface, Surface]
    cameras: Cameras
    joints: Float32[np.ndarray, "t j 3"]
    parents: Int32[np.ndarray, " j"]
    skin: Skin
    moves: Float[torch.Tensor, "t j 4 4"]
    middle: Float32[np.ndarray, "3"]
    radius: float

    def at(self, number: int) -> Float32[np.ndarray, "v 3"]:
        """The surface in one frame."""
        return ((_posed(self.skin, self.moves, number) - self.middle) / self.radius).astype(np.float32)


def turn_of(figure: Figure, motion: Motion, *, size: int = SIZE, seconds: float = SECONDS) -> Turn:
    """A turn around a figure that goes through a motion, there and back without a jump where it is shorter."""
    count = max(2, round(seconds * FPS))
    steps, last = np.round(np.arange(count) * motion.fps / FPS).astype(np.int64), max(len(motion) - 1, 1)
    times = np.minimum(last - np.abs(steps % (2 * last) - last), len(motion) - 1)
    upwards = motion.root[times] * np.array([0, 1, 0], np.float32)  # whoever walks stays in the middle
    skin = Skin.of(figure)
    moves = global_transforms(skin.bones, torch.from_numpy(motion.rotations[times]), torch.from_numpy(upwards))
    middle, radius = _ball(skin, moves, np.unique(times, return_index=True)[1].tolist())
    owners = figure.face_parts
    mesh = replace(figure.mesh, vertices=((figure.mesh.vertices - middle) / radius).astype(np.float32))
    parts = replace(mesh, uvs=None, uv_faces=None, texture=None, colors=_part_look(figure, owners))
    looks = put_together([mesh], face_parts=[owners]), put_together([parts], face_parts=[owners])
    azimuths = (np.arange(count) * 360 / count).astype(np.float32)
    cameras = around(azimuths, ELEVATION, 1.0, size)
    joints = ((moves[..., :3, 3].numpy() - middle) / radius).astype(np.float32)
    return Turn(looks, cameras, joints, figure.skeleton.parents, skin, moves, middle, radius)


def _posed(skin: Skin, moves: Float[torch.Tensor, "t j 4 4"], number: int) -> Float32[np.ndarray, "v 3"]:
    """The surface in one frame, metres."""
    return np.asarray(skin_vertices(skin, moves[number : number + 1])[0].numpy(), np.float32)


def _ball(
    skin: Skin, moves: Float[torch.Tensor, "t j 4 4"], frames: Sequence[int]
) -> tuple[Float32[np.ndarray, "3"], float]:
    """The middle of the box that a surface moves in, and how far it ever is from there, metres."""
    low, high = np.full(3, np.inf, np.float32), np.full(3, -np.inf, np.float32)
    for number in frames:
        places = _posed(skin, moves, number)
        low, high = np.minimum(low, places.min(axis=0)), np.maximum(high, places.max(axis=0))
    middle = (low + high) / 2
    away = (float(np.linalg.norm(_posed(skin, moves, number) - middle, axis=1).max()) for number in frames)
    return middle, max(1e-12, *away)


def _part_look(figure: Figure, owners: Int32[np.ndarray, " f"]) -> UInt8[np.ndarray, "v 3"]:
    mesh, count = figure.mesh, len(figure.parts)
    centers = part_centers(mesh.vertices, mesh.faces, owners, count)
    palette = part_colors(centers, mesh.vertices.min(axis=0), mesh.vertices.max(axis=0))
    weights = np.zeros((len(mesh.vertices), count), np.float32)
    np.add.at(weights, (np.arange(len(weights))[:, None], figure.joint_parts[figure.skin_joints]), figure.skin_weights)
    return np.rint(weights @ palette.astype(np.float32)).clip(0, 255).astype(np.uint8)


def frame_of(turn: Turn, number: int) -> UInt8[np.ndarray, "h w 3"]:
    """One frame: the looks at the left, parts and skeleton at the right."""
    camera = turn.cameras[number : number + 1]
    vertices = turn.at(number)
    looks = [replace(look, positions=vertices[None]) for look in turn.looks]
    found = rasterize(vertices, looks[0].faces, camera)
    seen, lamp = found.face_ids >= 0, lamp_of(Light((-0.4, 0.8, 0.6)), looks[:1], 0)
    pictures = []
    for look in looks:
        image = np.full((camera.height, camera.width, 3), 255, np.uint8)
        image[seen] = draw(look, vertices, found, lamp, camera)[seen]
        pictures.append(image)
    _skeleton(pictures[1], turn, number)
    return np.concatenate(pictures, axis=1)


def _skeleton(image: UInt8[np.ndarray, "h w 3"], turn: Turn, number: int) -> None:
    pixels = turn.cameras[number : number + 1].project(turn.joints[number].astype(np.float64))[0][0]
    dots = [tuple(round(float(v) * 8) for v in pixel) for pixel in np.clip(pixels, -1e4, 1e4)]
    for joint, parent in enumerate(turn.parents):
        if parent >= 0:
            cv2.line(image, dots[parent], dots[joint], LINE, 1, cv2.LINE_AA, 3)
    size = 24 if len(dots) <= MANY else 12
    for dot in dots:
        cv2.circle(image, dot, size, LINE, -1, cv2.LINE_AA, 3)
        cv2.circle(image, dot, size * 7 // 12, DOT, -1, cv2.LINE_AA, 3)


def write_turn(path: Path, turn: Turn, progress: Progress) -> int:
    """Write the clip; returns how many frames it has."""
    count = len(turn.cameras)
    height, width = turn.cameras.height, 2 * turn.cameras.width
    spec = StreamSpec(width, height, Fraction(1, FPS), Fraction(FPS))
    progress.begin("turntable", count)
    with TemporaryDirectory() as folder:  # containers go by the suffix, which a partial file lacks
        made = Path(folder) / f"turn{path.suffix}"
        with FrameWriter(made, spec, Encoding().resolved(path.suffix, 8)) as writer:
            for number in range(count):
                writer.write(frame_of(turn, number), number)
                progress.advance()
        write_bytes(path, made.read_bytes())
    return count
