"""Pictures to train a codec on: frames of the theatre, and freely licensed photographs.

A folder holds `theatre-*.npy` and `held-*.npy` (frames of clips of other seeds, for scores), "n h w 3" uint8, and
`photo-*.npy`, "h w 3" uint8. `write_pictures` fills one; drawing 4,000 frames takes ten minutes on two cores.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from diorama.core.extras import available, need
from diorama.errors import MediaError, UsageError
from diorama.theatre.actor import canonical_picture
from diorama.theatre.clip import random_clip
from diorama.theatre.dataset import DatasetConfig, script

logger = logging.getLogger(__name__)

SIZE = 256
TRAIN, HELD = 4242, 99001
"""Seeds of the two sets of clips."""
PER_CLIP = 4
CLIPS = 50
"""In a file."""
CROP_MIN = 128
STRIPED = 0.1
"""Crops with stripes in them."""
SCALES = (1.0, 0.7, 0.5, 0.35, 0.25)

# All CC0 or in the public domain, see the docstrings of skimage.data. Kept out for scores: astronaut (public domain).
# Never trained on: the Middlebury pair, whose terms are not stated.
PHOTOS: Mapping[str, float] = {
    "coffee": 1.0,
    "chelsea": 1.0,
    "rocket": 1.0,
    "retina": 1.0,
    "camera": 1.0,
    "clock": 1.0,
    "hubble_deep_field": 0.3,
    "moon": 0.3,
    "coins": 0.3,
    "brick": 0.3,
    "grass": 0.3,
    "gravel": 0.3,
}
"""Names in skimage.data, and how often each is drawn, for its size."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """What a codec is trained and scored on.

    Attributes:
        theatre: frames of a side of `SIZE`; memory-mapped.
        photos: of any size, with how often each is drawn; sums to 1, or empty.
        held: frames of the theatre for scores.
    """

    theatre: tuple[UInt8[np.ndarray, "_ _ _ 3"], ...]
    photos: tuple[tuple[float, UInt8[np.ndarray, "_ _ 3"]], ...]
    held: UInt8[np.ndarray, "_ _ _ 3"]

    def crop(self, rng: np.random.Generator, size: int, photo_share: float) -> Float32[np.ndarray, "3 s s"]:
        """A random square of `size` pixels in [0, 1]: mirrored, photographs also turned and recoloured."""
        if self.photos and rng.random() < photo_share:
            weights = [weight for weight, _ in self.photos]
            picture = _cut(rng, self.photos[int(rng.choice(len(weights), p=weights))][1], size)
            picture = _recoloured(rng, np.rot90(picture, int(rng.integers(4))))
        else:
            block = self.theatre[int(rng.choice(len(self.theatre), p=self._shares()))]
            picture = _cut(rng, block[int(rng.integers(len(block)))], size).astype(np.float32)
        picture = striped(rng, picture) if rng.random() < STRIPED else picture
        picture = picture[:, ::-1] if rng.random() < 0.5 else picture
        return np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32) / 255

    def _shares(self) -> list[float]:
        counts = [len(block) for block in self.theatre]
        return [count / sum(counts) for count in counts]


def read_pictures(folder: Path, size: int) -> Pictures:
    """The pictures in a folder that `write_pictures` made.

    Args:
        folder: see above.
        size: of the crops; smaller photographs are left out.

    Raises:
        MediaError: no frames of the theatre, none to score on, or an array of another form.
    """
    theatre = tuple(_array(path, 4) for path in sorted(folder.glob("theatre-*.npy")))
    held = [_array(path, 4) for path in sorted(folder.glob("held-*.npy"))]
    if not theatre or not held or min(theatre[0].shape[1:3]) < size:
        what = f"no theatre-*.npy and held-*.npy of {size} pixels a side or more"
        raise MediaError(what, folder, "make them with diorama.train.codec_data.write_pictures")
    found = [(path.stem.split("-")[1], _array(path, 3)) for path in sorted(folder.glob("photo-*.npy"))]
    kept = [
        (PHOTOS.get(name, 1.0) * float(np.sqrt(a[..., 0].size)), a) for name, a in found if min(a.shape[:2]) >= size
    ]
    total = sum(weight for weight, _ in kept)
    return Pictures(theatre, tuple((weight / total, a) for weight, a in kept), np.concatenate(held))


@dataclass(frozen=True)
class _Block:
    """Clips of one file."""

    path: Path
    seed: int
    numbers: range
    per_clip: int


def write_pictures(folder: Path, clips: int = 1000, held_clips: int = 60, *, workers: int = 1) -> None:
    """Draw the theatre and cut the photographs into a folder; files that are there already are not made again.

    Photographs need scikit-image (``pip install 'diorama[samples]'``); without it there are none.

    Args:
        folder: made where it is missing.
        clips, held_clips: how many of each.
        workers: processes that draw.
    """
    if clips < 1 or held_clips < 1:
        raise UsageError(f"{clips} and {held_clips} clips", "write_pictures", "give 1 or more of each")
    folder.mkdir(parents=True, exist_ok=True)
    blocks = [
        _Block(folder / f"{name}-{first:05d}.npy", seed, range(first, min(first + CLIPS, count)), per_clip)
        for name, seed, count, per_clip in (("theatre", TRAIN, clips, PER_CLIP), ("held", HELD, held_clips, 2))
        for first in range(0, count, CLIPS)
    ]
    missing = [block for block in blocks if not block.path.exists()]
    if workers > 1 and len(missing) > 1:
        with ProcessPoolExecutor(min(workers, len(missing)), get_context("spawn")) as pool:
            list(pool.map(_draw, missing))
    else:
        for block in missing:
            _draw(block)
    for name, photo in photographs() if available("skimage") else ():
        _save(folder / f"photo-{name}.npy", photo)


def _draw(block: _Block) -> None:
    if parent_process() is not None:
        torch.set_num_threads(1)
    frames = [frame for number in block.numbers for frame in clip_frames(block.seed, number, block.per_clip)]
    _save(block.path, np.stack(frames))
    logger.info("%s: %d pictures", block.path, len(frames))


def clip_frames(seed: int, number: int, count: int) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Frames of a clip, spread over it; of each fourth clip that gives many also an actor alone and one on white."""
    config = DatasetConfig(recipe="person" if number % 2 else "scene", size=SIZE, frames=24)
    drawn = int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0])
    clip, rng = random_clip(drawn, script(config)), np.random.default_rng(drawn)
    times = [min(23, int((i + rng.random()) * 24 / count)) for i in range(count)]
    frames = [clip.frame(time).image for time in times]
    if count > 2 and number % 4 == 0:
        layers = clip.frame(times[-1]).layers
        frames.append(next(layer.image for layer in layers if layer.codes is not None))
        frames.append(canonical_picture(clip.actors[0].dressed, SIZE, "front" if number % 8 else "back")[0])
    return frames


def photographs() -> Iterator[tuple[str, UInt8[np.ndarray, "h w 3"]]]:
    """The photographs in several sizes, as name-percent; needs scikit-image."""
    data = need("skimage.data")
    for name in PHOTOS:
        picture = np.atleast_3d(getattr(data, name)())[..., :3]
        picture = np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture
        for scale in SCALES:
            height, width = (round(side * scale) for side in picture.shape[:2])
            if min(height, width) >= CROP_MIN:
                yield f"{name}-{round(100 * scale)}", shrunk(picture, height, width)


def shrunk(picture: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    """A smaller picture, by the mean over each new pixel's area."""
    rows, columns = _areas(picture.shape[0], height), _areas(picture.shape[1], width)
    mean = np.einsum("yh,hwc,xw->yxc", rows, picture.astype(np.float32), columns, optimize=True)
    return np.rint(mean).clip(0, 255).astype(np.uint8)


@cache
def _areas(old: int, new: int) -> Float32[np.ndarray, "new old"]:
    """How much each of `old` pixels belongs to each of `new` ones; rows sum to 1."""
    edges, pixels = np.linspace(0, old, new + 1), np.arange(old)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.clip(covered, 0, 1) * new / old).astype(np.float32)


def _cut(rng: np.random.Generator, picture: UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "s s 3"]:
    top, left = (int(rng.integers(side - size + 1)) for side in picture.shape[:2])
    return picture[top : top + size, left : left + size]


def _recoloured(rng: np.random.Generator, picture: UInt8[np.ndarray, "s s 3"]) -> Float32[np.ndarray, "s s 3"]:
    """Channels swapped, contrast and brightness changed, each a little on its own: a few photographs for many."""
    chosen = picture[..., rng.permutation(3)] if rng.random() < 0.5 else picture
    gain = (rng.uniform(0.7, 1.2, 3) * rng.uniform(0.7, 1.3)).astype(np.float32)
    shift = rng.uniform(-40, 40, 3).astype(np.float32)
    return ((chosen.astype(np.float32) - 128) * gain + 128 + shift).clip(0, 255)


def striped(rng: np.random.Generator, picture: Float32[np.ndarray, "s s 3"]) -> Float32[np.ndarray, "s s 3"]:
    """Part of a picture under stripes of two colours, as fine as pixels allow: few pictures have any, clothes do."""
    size = len(picture)
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    turn, period = rng.uniform(0, np.pi), rng.uniform(2.2, 9) / size
    wave = np.sin(2 * np.pi * ((x * np.cos(turn) + y * np.sin(turn)) / period + rng.random()))
    share = np.clip(wave * rng.uniform(1, 4), -1, 1)[..., None] / 2 + 0.5
    first, second = rng.uniform(0, 255, (2, 3)) if rng.random() < 0.5 else np.repeat(rng.uniform(0, 255, (2, 1)), 3, 1)
    middle, reach = rng.random(2), rng.uniform(0.1, 0.7, 2)
    inside = (((x - middle[0]) / reach[0]) ** 2 + ((y - middle[1]) / reach[1]) ** 2 < 1)[..., None]
    return np.where(inside, share * first + (1 - share) * second, picture).astype(np.float32)


def _array(path: Path, axes: int) -> UInt8[np.ndarray, "..."]:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise MediaError(f"no array of pictures ({str(error)[:100]})", path, "make it again") from error
    if found.dtype != np.uint8 or found.ndim != axes or found.shape[-1] != 3 or not found.size:
        raise MediaError(f"an array {found.shape} of {found.dtype}", path, "make it again")
    return found


def _save(path: Path, array: UInt8[np.ndarray, "..."]) -> None:
    """Under the final name only when complete."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, array)
    partial.replace(path)


def patches_of(pictures: Sequence[Float32[np.ndarray, "3 h w"]], factor: int) -> Float32[np.ndarray, "n p"]:
    """The patches of pictures in the order of torch's pixel_unshuffle: channel, row, column."""
    stack = np.stack(pictures)
    n, _, height, width = stack.shape
    cut = stack.reshape(n, 3, height // factor, factor, width // factor, factor)
    return cut.transpose(0, 2, 4, 1, 3, 5).reshape(-1, 3 * factor * factor)
