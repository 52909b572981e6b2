"""One frame of the theatre with all that is true of it: every layer whole, and what of it is seen.

Layers are drawn one by one, so that what one hides of another is known too. A pixel is covered or not; the frame is
the nearest layer at each pixel, and is put together from the layers' visible pixels without a remainder.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int16, Int32, UInt8

from diorama.core.camera import Cameras
from diorama.core.mesh import vertex_normals
from diorama.figures.codes import color_map
from diorama.geometry.raster import Fragments, rasterize
from diorama.theatre._shade_kernels import keep_nearest, move_pixels, shade, take_owned, turn_sky
from diorama.theatre.light import Light, shadow_camera
from diorama.theatre.surface import Role, Surface

SHADOW_SIZE = 256
"""Texels along a side of the light's depth map."""

SHADOW_STRENGTH = 0.75
"""The part of the direct light that a full shadow takes away."""

SKY = -1
"""The owner of pixels that no layer covers."""


@dataclass(frozen=True, eq=False)
class Layer:
    """Something that is drawn as a whole.

    Attributes:
        name: unique in a clip.
        role: the bare scene, an actor, an occluder before the actors, or an object they hold or kick.
        surface: its triangles.
        body: the naked body of an actor, for vertex codes: faces as in its figure.
        codes: RGB per vertex of `body`.
    """

    name: str
    role: Role
    surface: Surface
    body: Surface | None = None
    codes: UInt8[np.ndarray, "v 3"] | None = None


@dataclass(frozen=True, eq=False)
class LayerView:
    """A layer as it would be seen alone.

    Attributes:
        image: lit colours, 0 where it does not reach.
        alpha: where it is, whatever stands before it.
        depth: metres along z, inf beside it.
        parts: the part of each pixel, -1 beside it.
        codes: colour codes of the body's vertices, for actors; black beside it.
        flow: where each pixel's surface is in the next frame minus where it is here (x, y), pixels; not a number
            beside the layer and where it goes behind the camera.
    """

    image: UInt8[np.ndarray, "h w 3"]
    alpha: Bool[np.ndarray, "h w"]
    depth: Float32[np.ndarray, "h w"]
    parts: Int32[np.ndarray, "h w"]
    codes: UInt8[np.ndarray, "h w 3"] | None
    flow: Float32[np.ndarray, "h w 2"]


@dataclass(frozen=True, eq=False)
class FrameView:
    """A frame and the truth about it.

    Attributes:
        image: what the camera sees.
        background: the bare scene and the sky, without actors, objects, occluders and their shadows.
        depth: metres along z, inf in the sky.
        owner: the number of the layer at each pixel, `SKY` where there is none.
        flow: of the nearest layer; of the camera's turning in the sky.
        layers: one for each layer given, in that order.
    """

    image: UInt8[np.ndarray, "h w 3"]
    background: UInt8[np.ndarray, "h w 3"]
    depth: Float32[np.ndarray, "h w"]
    owner: Int16[np.ndarray, "h w"]
    flow: Float32[np.ndarray, "h w 2"]
    layers: tuple[LayerView, ...]

    def visible(self, layer: int) -> Bool[np.ndarray, "h w"]:
        """The pixels that show a layer."""
        return self.owner == layer


def render(
    layers: Sequence[Layer],
    cameras: Cameras,
    frame: int,
    *,
    light: Light,
    sky: UInt8[np.ndarray, "h w 3"],
    after: int | None = None,
) -> FrameView:
    """Draw one frame.

    Args:
        layers: what there is; "scene" layers make the background.
        cameras: one view a frame.
        frame: which one.
        light: sun and sky.
        sky: the picture behind everything.
        after: the frame that flow leads to; the next one by default, the same one at the end.
    """
    later = min(frame + 1, len(cameras) - 1) if after is None else after
    casting = [layer.surface for layer in layers if layer.role != "scene"]
    lamp = lamp_of(light, casting, frame)
    here, there = cameras[frame : frame + 1], projection(cameras, later)
    front, behind, views = _nothing(sky), _nothing(sky), []
    for number, layer in enumerate(layers):
        view, bare = _alone(layer, here, there, (frame, later), lamp)
        keep_nearest(*front, view.image, view.depth, number)
        if layer.role == "scene":
            keep_nearest(*behind, bare, view.depth, number)
        views.append(view)
    image, depth, owner = front
    return FrameView(image, behind[0], depth, owner, _nearest_flow(views, owner, cameras, frame, later), tuple(views))


@dataclass(frozen=True, eq=False)
class Lamp:
    """A light as the shading kernel takes it: colours, its 3x4 camera, and what it sees of the casting layers."""

    sun: Float32[np.ndarray, "3"]
    sun_color: Float32[np.ndarray, "3"]
    sky: Float32[np.ndarray, "3"]
    ground: Float32[np.ndarray, "3"]
    project: Float32[np.ndarray, "3 4"]
    depth: Float32[np.ndarray, "s s"]
    strength: np.float32

    @property
    def numbers(self) -> tuple[object, ...]:
        """The kernel's argument."""
        return self.sun, self.sun_color, self.sky, self.ground, self.project, self.depth, self.strength


def lamp_of(light: Light, casting: Sequence[Surface], frame: int) -> Lamp:
    """The light with the shadows of some surfaces; without any for none."""
    if casting:
        places = [surface.at(frame) for surface in casting]
        camera = shadow_camera(light, np.concatenate(places), SHADOW_SIZE)
        depth = np.full((SHADOW_SIZE, SHADOW_SIZE), np.inf, np.float32)
        for surface, vertices in zip(casting, places, strict=True):
            depth = np.minimum(depth, rasterize(vertices, surface.faces, camera).depth)
        project, strength = projection(camera, 0).astype(np.float32), np.float32(SHADOW_STRENGTH)
    else:
        depth, project, strength = np.full((1, 1), np.inf, np.float32), np.zeros((3, 4), np.float32), np.float32(0)
    sun, sky, ground = (np.array(c, np.float32) for c in (light.color, light.sky_color, light.ground_color))
    return Lamp(light.towards, sun, sky, ground, project, depth, strength)


def projection(cameras: Cameras, view: int) -> Float64[np.ndarray, "3 4"]:
    """World to homogeneous pixels."""
    return cameras.Ks[view].astype(np.float64) @ cameras.viewmats[view, :3].astype(np.float64)


def draw(
    surface: Surface,
    vertices: Float32[np.ndarray, "v 3"],
    found: Fragments,
    lamp: Lamp,
    camera: Cameras,
    bare: UInt8[np.ndarray, "h w 3"] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """The lit colours of fragments of a surface; those without shadows go into `bare`."""
    image = np.zeros((*found.depth.shape, 3), np.uint8)
    shade(
        image,
        np.zeros((0, 0, 3), np.uint8) if bare is None else bare,
        found.face_ids,
        found.barycentrics,
        vertices,
        vertex_normals(vertices, surface.faces),
        surface.skin,
        lamp.numbers,
        camera.centers[0].astype(np.float32),
        np.float32(camera.Ks[0, 0, 0]),
    )
    return image


def _nothing(
    sky: UInt8[np.ndarray, "h w 3"],
) -> tuple[UInt8[np.ndarray, "h w 3"], Float32[np.ndarray, "h w"], Int16[np.ndarray, "h w"]]:
    """Colour, depth and owner before anything is drawn."""
    return sky.copy(), np.full(sky.shape[:2], np.inf, np.float32), np.full(sky.shape[:2], SKY, np.int16)


def _alone(
    layer: Layer, camera: Cameras, there: Float64[np.ndarray, "3 4"], times: tuple[int, int], lamp: Lamp
) -> tuple[LayerView, UInt8[np.ndarray, "h w 3"]]:
    """A layer by itself, and without shadows where it is of the scene."""
    surface, (frame, later) = layer.surface, times
    vertices = surface.at(frame)
    found = rasterize(vertices, surface.faces, camera)
    alpha = found.face_ids >= 0
    parts = np.where(alpha, surface.face_parts[found.face_ids], -1).astype(np.int32)
    flow = np.full((*alpha.shape, 2), np.nan, np.float32)
    move_pixels(flow, found.face_ids, found.barycentrics, surface.faces, surface.at(later), there)
    bare = np.zeros((*alpha.shape, 3), np.uint8) if layer.role == "scene" else None
    image = draw(surface, vertices, found, lamp, camera, bare)
    view = LayerView(image, alpha, found.depth, parts, _codes(layer, camera, frame), flow)
    return view, image if bare is None else bare


def _codes(layer: Layer, camera: Cameras, frame: int) -> UInt8[np.ndarray, "h w 3"] | None:
    if layer.body is None or layer.codes is None:
        return None
    return color_map(rasterize(layer.body.at(frame), layer.body.faces, camera), layer.body.faces, layer.codes)


def _nearest_flow(
    views: Sequence[LayerView], owner: Int16[np.ndarray, "h w"], cameras: Cameras, frame: int, later: int
) -> Float32[np.ndarray, "h w 2"]:
    flow = np.empty((*owner.shape, 2), np.float32)
    turn = cameras.viewmats[later, :3, :3] @ cameras.viewmats[frame, :3, :3].T  # only turning moves the sky
    turn_sky(flow, owner, SKY, cameras.Ks[later] @ turn @ np.linalg.inv(cameras.Ks[frame]))
    for number, view in enumerate(views):
        take_owned(flow, owner, number, view.flow)
    return flow
