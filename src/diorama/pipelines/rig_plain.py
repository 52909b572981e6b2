"""The parts of a mesh of which nothing but its looks are known: the generator is shown it from all around."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from diorama.core.camera import Cameras
from diorama.core.mesh import Mesh
from diorama.core.progress import Progress
from diorama.diffusion.parts_generate import SIZE, VIEWS, load_parts, parts_of_views
from diorama.errors import UsageError
from diorama.geometry.orbit import around
from diorama.geometry.raster import rasterize
from diorama.pipelines.parts import ELEVATION, is_own, own_weights, sampling
from diorama.pipelines.parts_config import PartsConfig
from diorama.pipelines.rig_refine import refiner
from diorama.pipelines.rig_views import labelled
from diorama.rigging.decode import decode
from diorama.theatre.light import Light
from diorama.theatre.render import draw, lamp_of
from diorama.theatre.surface import put_together


def parts_of_mesh(mesh: Mesh, config: PartsConfig, progress: Progress) -> Int64[np.ndarray, " n"]:
    """The part of each vertex, as the generator sees them; that they are its guesses is told.

    Raises:
        UsageError: the generator finds no parts, or the model is none for views that are known.
    """
    if not is_own(config.model):
        fix = "leave it out: the network that ships tells the parts of a mesh"
        raise UsageError("a model that makes views of one picture", "--model", fix)
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    centred = replace(mesh, vertices=((mesh.vertices - (low + high) / 2) / max(float((high - low).max()), 1e-9)))
    radius = float(np.linalg.norm(centred.vertices, axis=1).max())
    azimuths = (np.arange(VIEWS) * 360 / VIEWS).astype(np.float32)
    cameras = around(azimuths, ELEVATION, radius, SIZE)
    images, inside = pictures_of(centred, cameras)
    network = load_parts(own_weights(config.model))
    colored = parts_of_views(network, images, config=sampling(config), progress=progress)
    found = decode(colored[:, None], inside[:, None])
    refine = refiner(config.segmenter, progress, progress.note)
    seen = found.labels if refine is None else refine(colored[:, None], found.labels)
    labels, _ = labelled(centred, seen[:, 0], cameras, len(found.colors))
    count = int(labels.max()) + 1
    said = f"nothing says which parts the mesh has: a small network guesses {count}, look at them (--parts, --edit)"
    progress.note(said)
    return labels


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
