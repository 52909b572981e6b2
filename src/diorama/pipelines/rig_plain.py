"""The parts of a mesh of which nothing but its looks are known: the generator is shown it from all around."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from diorama.core.camera import Cameras
from diorama.core.mesh import Mesh
from diorama.core.progress import Progress
from diorama.diffusion.parts_generate import SIZE, VIEWS, PartsSampleConfig, load_parts, parts_of_views
from diorama.geometry.orbit import around
from diorama.geometry.raster import rasterize
from diorama.pipelines.parts import ELEVATION, own_weights
from diorama.pipelines.parts_config import PartsConfig
from diorama.pipelines.rig_refine import refiner
from diorama.pipelines.rig_views import labelled
from diorama.rigging.decode import decode
from diorama.theatre.light import Light
from diorama.theatre.render import draw, lamp_of
from diorama.theatre.surface import put_together


def parts_of_mesh(
    mesh: Mesh, config: PartsConfig, progress: Progress
) -> tuple[Int64[np.ndarray, " n"], tuple[str, ...]]:
    """The part of each vertex, and what is to be known of it.

    Raises:
        UsageError: the generator finds no parts.
    """
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    centred = replace(mesh, vertices=((mesh.vertices - (low + high) / 2) / max(float((high - low).max()), 1e-9)))
    radius = float(np.linalg.norm(centred.vertices, axis=1).max())
    azimuths = (np.arange(VIEWS) * 360 / VIEWS).astype(np.float32)
    cameras = around(azimuths, ELEVATION, radius, SIZE)
    images, inside = pictures_of(centred, cameras)
    how = (
        PartsSampleConfig(seed=config.seed)
        if config.steps is None
        else PartsSampleConfig(config.steps, seed=config.seed)
    )
    colored = parts_of_views(load_parts(own_weights(config.model)), images, config=how, progress=progress)
    found = decode(colored[:, None], inside[:, None])
    refine = refiner(config.segmenter, progress, progress.note)
    seen = found.labels if refine is None else refine(colored[:, None], found.labels)
    labels, _ = labelled(centred, seen[:, 0], cameras, len(found.colors))
    count = int(labels.max()) + 1
    return labels, (f"nothing said which parts the mesh has: the generator found {count}, see --parts and --edit",)


def pictures_of(mesh: Mesh, cameras: Cameras) -> tuple[UInt8[np.ndarray, "v h w 3"], np.ndarray]:
    """A mesh on white from some cameras, and its silhouettes."""
    surface = put_together([mesh])
    vertices: Float32[np.ndarray, "n 3"] = surface.at(0)
    lamp = lamp_of(Light((-0.4, 0.8, 0.6)), [surface], 0)
    images = np.full((len(cameras), cameras.height, cameras.width, 3), 255, np.uint8)
    inside = np.zeros(images.shape[:3], bool)
    for view in range(len(cameras)):
        found = rasterize(vertices, surface.faces, cameras[view : view + 1])
        inside[view] = found.face_ids >= 0
        images[view][inside[view]] = draw(surface, vertices, found, lamp, cameras[view : view + 1])[inside[view]]
    return images, inside
