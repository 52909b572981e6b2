"""What upscale-s learns from: two frames before and their other eyes, with the true way from each to its neighbours.

Three frames of the left eye and two of the right, in the order `FRAMES`, and five maps in the order `PAIRS`: from a
pixel to the same surface in the neighbour. They come from the theatre, or from photographs that are moved and slanted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float16, Float32, Float64, UInt8
from torch.nn import functional

from diorama.core.extras import available
from diorama.errors import MediaError, UsageError
from diorama.media.atomic import atomic_folder
from diorama.theatre.clip import EYES, Clip, Script, random_clip
from diorama.theatre.render import FrameView, render
from diorama.theatre.sky import sky_picture
from diorama.train.codec_data import photographs
from diorama.train.draws import seed_of

FRAMES = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2))
"""Eye (0 left) and time of each picture."""
PAIRS = ((1, 0), (2, 1), (3, 1), (4, 3), (4, 2))
"""A picture and its neighbour: the frame before, or the left eye."""
SIZE = 256
RATES = (8.0, 12.0, 24.0, 30.0)
IMAGES, MAPS = "images.npy", "maps.npy"
REMEDY = "make them with write_clips"
NEAR_DEPTH, NEAR_COLOUR = 0.02, 40
"""Share of inverse depth, and 8-bit levels, in which two views of a surface may differ."""

Picture = UInt8[np.ndarray, "h w 3"]
Map = Float32[np.ndarray, "h w 2"]


@dataclass(frozen=True, eq=False)
class Takes:
    """Pictures of one moment and those around it.

    Attributes:
        images: in the order `FRAMES`, or the one asked for.
        maps: in the order `PAIRS`: columns and rows to the same surface in the neighbour, pixels; nan where it is not
            seen there.
    """

    images: UInt8[np.ndarray, "n h w 3"]
    maps: Float32[np.ndarray, "m h w 2"]


def takes(
    seed: int, size: int = SIZE, frames: Sequence[tuple[int, int]] = FRAMES, pairs: Sequence[tuple[int, int]] = PAIRS
) -> Takes:
    """Takes of a clip of the theatre, drawn at twice the size and averaged, so that edges are smooth.

    Args:
        seed: of the clip.
        size: pixels a side.
        frames: eye and time of each picture.
        pairs: of pictures, by their numbers; of one eye and neighbouring times, or of one time.
    """
    rng = np.random.default_rng(seed_of("upscale clip", seed))
    length = max(time for _, time in frames) + 1
    clip = random_clip(seed, Script(length, float(rng.choice(RATES)), 2 * size, 2 * size, stereo=EYES))
    seen = [_frame(clip, eye, time) for eye, time in frames]
    ways = [_way(clip, (*frames[here], *frames[there]), seen[here], seen[there]) for here, there in pairs]
    images = np.stack([view.image for view in seen]).reshape(len(seen), size, 2, size, 2, 3).mean((2, 4))
    maps = np.stack(ways)[:, ::2, ::2] / 2
    return Takes(np.rint(images).astype(np.uint8), np.ascontiguousarray(maps))


def _frame(clip: Clip, eye: int, time: int) -> FrameView:
    """A frame whose flow leads back in time."""
    cameras = clip.views[eye]
    sky = sky_picture(clip.sky, cameras[time : time + 1])
    return render(clip.layers, cameras, time, light=clip.light, sky=sky, after=max(time - 1, 0))


def _way(clip: Clip, which: tuple[int, int, int, int], view: FrameView, other: FrameView) -> Map:
    """From one picture to another, nan where the surface is hidden or out of sight there; `which` eyes and times."""
    eye, time, other_eye, other_time = which
    if eye == other_eye:
        assert other_time == max(time - 1, 0)  # where flow leads
        return np.where(_same(view, other, view.flow)[..., None], view.flow, np.nan)
    shift = clip.views[0].Ks[0, 0, 0] * EYES * (eye - other_eye) / view.depth
    way = np.stack([shift, np.zeros_like(shift)], -1).astype(np.float32)
    own = 1 / view.depth
    near = np.abs(own - 1 / _nearest(other.depth, way)) < NEAR_DEPTH * own + 1e-4
    return np.where((near & _same(view, other, way))[..., None], way, np.nan)


def _same(view: FrameView, other: FrameView, way: Map) -> np.ndarray:
    """Where a way leads within the picture, to the same layer and about the same colour."""
    height, width = view.owner.shape
    y, x = np.mgrid[:height, :width]
    x, y = x + way[..., 0], y + way[..., 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    apart = np.abs(view.image.astype(np.int16) - _nearest(other.image, way)).max(-1)
    found: np.ndarray = inside & (view.owner == _nearest(other.owner, way)) & (apart < NEAR_COLOUR)
    return found


def _nearest(values: np.ndarray, way: Map) -> np.ndarray:
    height, width = way.shape[:2]
    y, x = np.mgrid[:height, :width]
    with np.errstate(invalid="ignore"):
        rows = np.nan_to_num(y + way[..., 1], nan=0, posinf=0, neginf=0).round().astype(int).clip(0, height - 1)
        columns = np.nan_to_num(x + way[..., 0], nan=0, posinf=0, neginf=0).round().astype(int).clip(0, width - 1)
    found: np.ndarray = values[rows, columns]
    return found


@lru_cache(1)
def _photos() -> tuple[Picture, ...]:
    """Photographs at full size; none without scikit-image."""
    if not available("skimage"):
        return ()
    return tuple(np.ascontiguousarray(picture) for name, picture in photographs() if name.endswith("-100"))


def moved(rng: np.random.Generator, size: int, photo: Picture) -> Takes:
    """Takes of a photograph that moves as a plane, slanted against the eyes.

    Args:
        rng: the source of chance.
        size: of the result, pixels a side.
        photo: at least `size` pixels a side.
    """
    planes = _planes(rng, size, photo.shape[:2])
    grain = torch.from_numpy(photo).permute(2, 0, 1).float()
    if rng.random() < 0.5:
        grain = grain[rng.permutation(3).tolist()]
    gain = torch.from_numpy(rng.uniform(0.75, 1.15, 3).astype(np.float32))[:, None, None]
    grain = ((grain - 128) * gain + 128 + float(rng.uniform(-30, 30))).clamp(0, 255)
    images = [_through(plane, grain, size) for plane in planes]
    y, x = np.mgrid[:size, :size].astype(np.float64)
    places = np.stack([x, y, np.ones_like(x)], -1)
    maps = []
    for here, there in PAIRS:
        way = (places @ (np.linalg.inv(planes[there]) @ planes[here]).T)[..., :2]
        inside = ((way >= 0) & (way <= size - 1)).all(-1, keepdims=True)
        maps.append(np.where(inside, way - places[..., :2], np.nan))
    return Takes(np.stack(images), np.stack(maps).astype(np.float32))


def _planes(rng: np.random.Generator, size: int, sides: tuple[int, int]) -> list[Float64[np.ndarray, "3 3"]]:
    """For each picture, its pixels to those of the photograph."""
    scale = min(float(rng.uniform(1.0, 2.2)), min(sides) / (1.25 * size))
    free = [max(1.0, side - scale * size) for side in sides]
    corner = [float(rng.uniform(0, room)) for room in free]
    turn = float(rng.uniform(-0.4, 0.4))
    middle = (size - 1) / 2
    speed, spin = rng.normal(0, 2.5, 2), float(rng.normal(0, 0.01))
    zoom = float(rng.normal(0, 0.01))
    slant = np.array([rng.normal(0, 0.01), rng.normal(0, 0.01), 0.0])
    slant[2] = rng.uniform(-3, 12) - slant[:2].sum() * middle
    found = []
    for eye, time in FRAMES:
        angle, grown = turn + spin * time, scale * (1 + zoom) ** time
        c, s = grown * np.cos(angle), grown * np.sin(angle)
        home = np.array([corner[1], corner[0]]) + scale * middle + scale * speed * time
        plane = np.array([[c, -s, home[0] - (c - s) * middle], [s, c, home[1] - (s + c) * middle], [0, 0, 1.0]])
        beside = np.eye(3)
        beside[0] += slant
        found.append(plane @ beside if eye else plane)
    return found


def _through(
    plane: Float64[np.ndarray, "3 3"], photo: Float[torch.Tensor, "3 h w"], size: int
) -> UInt8[np.ndarray, "s s 3"]:
    """The photograph seen through a plane, the mean of 2 x 2 looks a pixel."""
    height, width = photo.shape[1:]
    steps = (np.arange(2 * size) - 0.5) / 2
    places = np.stack([*np.meshgrid(steps, steps), np.ones((2 * size, 2 * size))], -1) @ plane.T
    unit = (2 * places[..., :2] + 1) / np.array([width, height]) - 1
    look = torch.from_numpy(unit.astype(np.float32))[None]
    seen = functional.grid_sample(photo[None], look, mode="bicubic", padding_mode="reflection", align_corners=False)
    mean = functional.avg_pool2d(seen, 2)[0].clamp(0, 255).round()
    return np.ascontiguousarray(mean.permute(1, 2, 0).byte().numpy())


def write_clips(folder: Path, seed: int, count: int) -> None:
    """Draw takes of the theatre into ``images.npy`` and ``maps.npy`` of a new folder, which then serves as --data.

    About 1 s and 2.3 MB each.

    Raises:
        UsageError: fewer than one, or the folder is there already.
    """
    if count < 1:
        raise UsageError(f"{count} clips", "count", "give 1 or more")
    with atomic_folder(folder, overwrite=False) as partial:
        shape = (count, 5, SIZE, SIZE)
        images = np.lib.format.open_memmap(partial / IMAGES, mode="w+", dtype=np.uint8, shape=(*shape, 3))
        maps = np.lib.format.open_memmap(partial / MAPS, mode="w+", dtype=np.float16, shape=(*shape, 2))
        for number in range(count):
            made = takes(seed_of("upscale take", seed, number), SIZE)
            images[number], maps[number] = made.images, made.maps
        images.flush()
        maps.flush()


@dataclass(frozen=True, eq=False)
class Stock:
    """Takes by number.

    Attributes:
        images, maps: of `write_clips`; empty to draw what is asked for.
        photo_share: of samples that are photographs in motion, where there are any.
        seed: of all choices.
    """

    images: UInt8[np.ndarray, "n 5 h w 3"] | None
    maps: Float16[np.ndarray, "n 5 h w 2"] | None
    photo_share: float
    seed: int
    photos: tuple[Picture, ...] = field(default_factory=_photos, repr=False)

    def take(self, number: int, size: int) -> Takes:
        """Some take, cut to `size` pixels a side at a random place; the same for the same number."""
        rng = np.random.default_rng(seed_of("upscale stock", self.seed, number))
        if self.photos and rng.random() < self.photo_share:
            return moved(rng, size, self.photos[int(rng.integers(len(self.photos)))])
        whole = self._theatre(int(rng.integers(2**31)))
        top, left = (int(rng.integers(SIZE - size + 1)) for _ in range(2))
        rows, columns = slice(top, top + size), slice(left, left + size)
        return Takes(whole.images[:, rows, columns], whole.maps[:, rows, columns])

    def _theatre(self, number: int) -> Takes:
        if self.images is None or self.maps is None:
            return _drawn(seed_of("upscale take", self.seed, number % 2**20))
        index = number % len(self.images)
        return Takes(self.images[index], self.maps[index].astype(np.float32))


@lru_cache(8)
def _drawn(seed: int) -> Takes:
    return takes(seed, SIZE)


@lru_cache(1)
def open_stock(data: str, seed: int, photo_share: float = 0.5) -> Stock:
    """Where the takes of a run come from.

    Args:
        data: folder of `write_clips`; none to draw what is asked for.
        seed: of the run.
        photo_share: see `Stock`.

    Raises:
        UsageError: no folder.
        MediaError: arrays that are not those of `write_clips`.
    """
    if not data:
        return Stock(None, None, photo_share, seed)
    folder = Path(data)
    if not folder.is_dir():
        raise UsageError("no such folder", folder, REMEDY)
    try:
        images = np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)
        maps = np.load(folder / MAPS, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise MediaError(f"clips cannot be read ({error})", folder, REMEDY) from error
    shape = (len(images), 5, SIZE, SIZE)
    if not len(images) or (images.shape, maps.shape) != ((*shape, 3), (*shape, 2)):
        raise MediaError(f"clips of shapes {images.shape} and {maps.shape}", folder, REMEDY)
    if (images.dtype, maps.dtype) != (np.uint8, np.float16):
        raise MediaError(f"clips of types {images.dtype} and {maps.dtype}", folder, REMEDY)
    return Stock(images, maps, photo_share, seed)
