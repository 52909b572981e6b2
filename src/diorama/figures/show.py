"""Characters drawn: in any pose, lit, with soft edges, frame by frame in bounded memory.

Each frame is drawn with `samples` x `samples` points a pixel, in the box of the figure only. Colours are means over the
points that the figure covers, and alpha is their share, so that a picture laid over any background has no dark rim.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8

from diorama.core.camera import Cameras
from diorama.core.figure import Figure, Motion
from diorama.core.mesh import vertex_normals
from diorama.errors import UsageError
from diorama.figures._texel_kernels import draw_texels
from diorama.figures.harmonics import EVEN, Lighting
from diorama.figures.pose import Bones, Skin, global_transforms, skin_vertices
from diorama.figures.texture import Character
from diorama.geometry.raster import rasterize

SAMPLES = 2
CHUNK = 8
"""Frames that are posed at once."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A character in one frame.

    Attributes:
        image: its colours, black where alpha is 0; not multiplied by alpha.
        alpha: coverage, 0..1.
        depth: metres along z of the nearest point in each pixel, inf beside it.
    """

    image: UInt8[np.ndarray, "h w 3"]
    alpha: Float32[np.ndarray, "h w"]
    depth: Float32[np.ndarray, "h w"]

    def over(self, background: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        """The picture before a background; the same bits where alpha is 0.

        Raises:
            UsageError: a background of another size.
        """
        if background.shape != self.image.shape:
            raise UsageError(f"a background of {background.shape[:2]}", "over", f"give {self.image.shape[:2]}")
        share = self.alpha[..., None]
        mixed = np.rint(self.image * share + background * (1 - share)).astype(np.uint8)
        return np.where(share > 0, mixed, background)


def show(
    character: Character,
    vertices: Iterable[Float32[np.ndarray, "v 3"]],
    cameras: Cameras,
    *,
    light: Lighting = EVEN,
    samples: int = SAMPLES,
) -> Iterator[Shown]:
    """A character at each frame.

    Args:
        character: what is drawn.
        vertices: of `character.figure` as it is posed in each frame, metres in the world.
        cameras: a view for each frame, or one for all.
        light: on it, in the axes of the world.
        samples: points along a pixel's side, 1 to 4.

    Raises:
        UsageError: vertices of another mesh or not finite, more frames than cameras, samples out of range.
    """
    if not 1 <= samples <= 4:
        raise UsageError(f"{samples} points along a pixel", "samples", "give 1 to 4")
    for frame, places in enumerate(vertices):
        if len(cameras) != 1 and frame >= len(cameras):
            raise UsageError(f"frame {frame} of {len(cameras)} cameras", "show", "give one camera, or one a frame")
        view = 0 if len(cameras) == 1 else frame
        yield show_one(character, places, cameras[view : view + 1], light=light, samples=samples)


def show_one(
    character: Character,
    vertices: Float32[np.ndarray, "v 3"],
    camera: Cameras,
    *,
    light: Lighting = EVEN,
    samples: int = SAMPLES,
) -> Shown:
    """`show` for one frame."""
    mesh, texels = character.body.mesh, character.texels
    if len(vertices) != len(mesh.vertices) or not np.isfinite(vertices).all():
        given = f"{len(vertices)} vertices, all finite: {bool(np.isfinite(vertices).all())}"
        raise UsageError(given, "vertices", f"give {len(mesh.vertices)} posed ones")
    height, width = camera.height, camera.width
    image, alpha = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.float32)
    depth = np.full((height, width), np.inf, np.float32)
    box = box_of(vertices, camera)
    if box is not None:
        left, top, right, bottom = box
        fine = cropped(camera, box).scaled((bottom - top) * samples, (right - left) * samples)
        found = rasterize(vertices, mesh.faces, fine)
        out = np.empty((bottom - top, right - left, 4), np.float32)
        skin = mesh.faces, texels.starts, texels.steps, character.colors, samples
        draw_texels(found.face_ids, found.barycentrics, skin, vertex_normals(vertices, mesh.faces), light.factors, out)
        here = np.s_[top:bottom, left:right]
        image[here] = np.rint(out[..., :3] / np.maximum(out[..., 3:], 1)).astype(np.uint8)
        alpha[here] = out[..., 3] / samples**2
        starts = [(i, j) for i in range(samples) for j in range(samples)]
        depth[here] = np.minimum.reduce([found.depth[i::samples, j::samples] for i, j in starts])
    return Shown(image, alpha, depth)


def posed(
    figure: Figure, motion: Motion, stand: Float[np.ndarray, "4 4"] | None = None, *, chunk: int = CHUNK
) -> Iterator[Float32[np.ndarray, "v 3"]]:
    """The figure's surface at each frame of a motion of its own skeleton, metres.

    Args:
        figure: for a character, `Character.figure`.
        motion: of that skeleton.
        stand: the figure's own space to the world.
        chunk: frames posed at once.

    Raises:
        UsageError: a motion of another skeleton.
    """
    if motion.skeleton.names != figure.skeleton.names:
        raise UsageError("the motion is of another skeleton", "motion", "retarget it first")
    skin, bones = Skin.of(figure), Bones.of(figure.skeleton)
    frame = torch.eye(4) if stand is None else torch.from_numpy(stand.astype(np.float32))
    for start in range(0, len(motion), chunk):
        part = motion[start : start + chunk]
        with torch.inference_mode():
            turns = frame @ global_transforms(bones, torch.from_numpy(part.rotations), torch.from_numpy(part.root))
            yield from skin_vertices(skin, turns).numpy()


def box_of(vertices: Float32[np.ndarray, "v 3"], camera: Cameras) -> tuple[int, int, int, int] | None:
    """The pixels that may show the vertices: left, top, right, bottom; None where none does."""
    (pixels,), (depth,) = camera.project(vertices.astype(np.float64))
    if not (depth > 0.01).any():
        return None
    if (depth <= 0.01).any():  # it reaches behind the camera
        return 0, 0, camera.width, camera.height
    low, high = np.floor(pixels.min(axis=0)) - 1, np.ceil(pixels.max(axis=0)) + 1
    left, top = (int(np.clip(low[i], 0, size)) for i, size in enumerate((camera.width, camera.height)))
    right, bottom = (int(np.clip(high[i], 0, size)) for i, size in enumerate((camera.width, camera.height)))
    return (left, top, right, bottom) if right > left and bottom > top else None


def cropped(camera: Cameras, box: tuple[int, int, int, int]) -> Cameras:
    """The same camera for a part of its picture."""
    left, top, right, bottom = box
    Ks = camera.Ks.copy()
    Ks[:, 0] -= left * Ks[:, 2]
    Ks[:, 1] -= top * Ks[:, 2]
    return Cameras(camera.viewmats, Ks, bottom - top, right - left)
