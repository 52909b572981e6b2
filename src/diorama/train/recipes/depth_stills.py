"""Stills with true depth by number, rendered when asked for or read from a folder of ready ones."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from diorama.core.camera import Cameras
from diorama.errors import MediaError, UsageError
from diorama.media.atomic import atomic_folder
from diorama.train.draws import seed_of
from diorama.train.recipes.depth_scenes import FRAMES, Scene, aimed, random_scene, take
from diorama.train.sources import Shards, open_shards

IMAGES, INVERSE = "images.npy", "inverse.npy"
REMEDY = "make them with write_stills"
HEIGHT, WIDTH = 240, 320
VIEWS = 12
"""Pictures of a scene."""
TOGETHER = 16
"""Scenes whose pictures are mixed, so that a batch shows many."""
TRIES = 6
LEAST_RANGE = 1.25
"""How many times farther than the near parts the far parts of a picture must be."""


@dataclass(frozen=True, eq=False)
class Still:
    """A picture and its truth.

    Attributes:
        image: RGB.
        inverse: inverse depth in 1/m, 0 in the sky.
    """

    image: UInt8[np.ndarray, "h w 3"]
    inverse: Float32[np.ndarray, "h w"]


def still(seed: int, number: int) -> Still:
    """The still of a number; those of a scene are 16 apart."""
    block, within = divmod(number, TOGETHER * VIEWS)
    view, scene = divmod(within, TOGETHER)
    return _seen(_scene(seed_of("still scene", seed, block * TOGETHER + scene)), seed_of("view", seed, number), view)


@lru_cache(TOGETHER + 2)
def _scene(seed: int) -> Scene:
    return random_scene(seed, HEIGHT, WIDTH)


def _seen(scene: Scene, seed: int, view: int) -> Still:
    """The first of a few tries that shows near and far; the last one where none does."""
    rng = np.random.default_rng(seed)
    for _ in range(TRIES):
        frame = int(rng.integers(FRAMES))
        image, inverse = take(scene, _camera(rng, scene, frame, own=view % 4 != 3), frame)
        if _worth(inverse):
            break
    return Still(image, inverse)


def _worth(inverse: Float32[np.ndarray, "h w"]) -> bool:
    low, high = np.percentile(inverse, [5, 95])
    return bool((inverse > 0).mean() > 0.15 and inverse.max() < 8 and high > LEAST_RANGE * low)


def _camera(rng: np.random.Generator, scene: Scene, frame: int, *, own: bool) -> Cameras:
    """A camera: of the clip itself, aimed at something from anywhere, or before a world of blocks."""
    focal = float(np.exp(rng.uniform(np.log(0.6), np.log(1.7)))) * WIDTH
    roll = float(rng.normal(0, 0.03))
    size = {"height": HEIGHT, "width": WIDTH}
    if scene.clip is None:
        height, pitch = scene.viewpoint
        place = np.array([rng.normal(0, 0.3), max(0.15, height * float(rng.uniform(0.7, 1.3))), rng.normal(0, 0.3)])
        return aimed(place, (float(rng.normal(0, 0.25)), pitch + float(rng.normal(0, 0.1)), roll), focal, **size)
    if own:
        return scene.clip.views[0][frame : frame + 1]
    middle = scene.clip.views[0].centers[frame]
    target = _target(rng, scene, frame)
    place = target + np.exp(rng.uniform(np.log(0.25), np.log(1.6))) * (middle - target)
    place = place + rng.normal(0, 0.35, 3) * np.linalg.norm(place - target) * np.array([1, 0.5, 1])
    place[1] = float(np.clip(place[1], 0.12, 3.5))
    if np.linalg.norm((place - target)[[0, 2]]) < 0.3:
        place[2] += 0.6
    away = target - place
    yaw, pitch = float(np.arctan2(away[0], -away[2])), float(np.arctan2(away[1], np.hypot(away[0], away[2])))
    turn = float(rng.normal(0, 0.2))
    return aimed(place, (yaw + turn, float(np.clip(pitch + rng.normal(0, 0.12), -1.1, 0.6)), roll), focal, **size)


def _target(rng: np.random.Generator, scene: Scene, frame: int) -> Float64[np.ndarray, "3"]:
    """A point of an actor or thing, or of the stage around."""
    layers = [layer for layer in scene.layers if layer.role != "scene"] if rng.random() < 0.65 else scene.layers[:1]
    vertices = layers[int(rng.integers(len(layers)))].surface.at(frame)
    point = vertices[int(rng.integers(len(vertices)))].astype(np.float64)
    return np.clip(point, [-8, 0, -10], [8, 3, 8])


def write_stills(folder: Path, seed: int, count: int, *, first: int = 0) -> None:
    """Render stills into ``images.npy`` and ``inverse.npy`` of a new folder, which then serves as --data.

    Raises:
        UsageError: fewer than one still, or the folder is there already.
    """
    if count < 1:
        raise UsageError(f"{count} stills", "count", "give 1 or more")
    with atomic_folder(folder, overwrite=False) as partial:
        shape = (count, HEIGHT, WIDTH)
        images = np.lib.format.open_memmap(partial / IMAGES, mode="w+", dtype=np.uint8, shape=(*shape, 3))
        inverse = np.lib.format.open_memmap(partial / INVERSE, mode="w+", dtype=np.float16, shape=shape)
        for i in range(count):
            made = still(seed, first + i)
            images[i], inverse[i] = made.image, made.inverse
        images.flush()
        inverse.flush()


@runtime_checkable
class Stills(Protocol):
    """Stills by number, the same every time, without end."""

    def still(self, number: int) -> Still:
        """The still of a number from 0 on."""
        ...


@dataclass(frozen=True)
class Rendered:
    """Stills rendered when they are asked for, each once.

    Attributes:
        seed: of all of them.
    """

    seed: int

    def still(self, number: int) -> Still:
        """See `still`."""
        return still(self.seed, number)


@dataclass(frozen=True, eq=False)
class Ready:
    """Stills that lie in a folder, in another order each time all were seen.

    Attributes:
        images, inverse: of `write_stills`.
        seed: of the order.
    """

    images: UInt8[np.ndarray, "n h w 3"]
    inverse: Float[np.ndarray, "n h w"]
    seed: int

    def still(self, number: int) -> Still:
        """One of them."""
        epoch, place = divmod(number, len(self.images))
        index = int(_order(seed_of("order", self.seed, epoch), len(self.images))[place])
        return Still(np.array(self.images[index]), self.inverse[index].astype(np.float32))


@lru_cache(2)
def _order(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(count)


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames of the clips in shards of ``diorama data``: one of each clip, another one each time.

    Attributes:
        shards: with the arrays "image" and "depth".
        seed: of the choice of frames.
    """

    shards: Shards
    seed: int

    def still(self, number: int) -> Still:
        """A frame of a clip."""
        arrays = self.shards.sample(number, ("image", "depth")).arrays
        images, depths = arrays["image"], arrays["depth"]
        if images.ndim != 5 or depths.shape != images.shape[:4] or images.dtype != np.uint8:
            shapes = f"image {images.shape} and depth {depths.shape}"
            raise UsageError(shapes, "--data", "give shards of the recipes person, scene or stereo")
        rng = np.random.default_rng(seed_of("frame", self.seed, number))
        view, frame = int(rng.integers(images.shape[0])), int(rng.integers(images.shape[1]))
        depth = depths[view, frame].astype(np.float32)
        seen = np.isfinite(depth) & (depth > 0)
        return Still(images[view, frame], np.where(seen, 1 / np.where(seen, depth, 1), 0).astype(np.float32))


@lru_cache(1)
def open_stills(data: str, seed: int) -> Stills:
    """Where the stills of a run come from.

    Args:
        data: folder of `write_stills`, or of shards of ``diorama data``; none to render what is asked for.
        seed: of the run.

    Raises:
        MediaError: arrays that are not those of `write_stills`.
        UsageError: no folder, or nothing of use in it.
    """
    if not data:
        return Rendered(seed_of("stills", seed))
    folder = Path(data)
    if not (folder / IMAGES).is_file():
        return Frames(open_shards(folder, part="train", seed=seed), seed)
    try:
        images = np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)
        inverse = np.load(folder / INVERSE, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise MediaError(f"stills cannot be read ({error})", folder, REMEDY) from error
    shape = (len(images), HEIGHT, WIDTH)
    if not len(images) or (images.shape, inverse.shape) != ((*shape, 3), shape):
        raise MediaError(f"stills of shapes {images.shape} and {inverse.shape}", folder, REMEDY)
    if (images.dtype, inverse.dtype) != (np.uint8, np.float16):
        raise MediaError(f"stills of types {images.dtype} and {inverse.dtype}", folder, REMEDY)
    return Ready(images, inverse, seed)
