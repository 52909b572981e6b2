"""Large holes of one picture, filled with parts of the rest of it, from coarse to fine.

Every patch that touches the hole looks for a known one that is like it, and all patches over a pixel vote for its
colour (Wexler, Shechtman and Irani, "Space-Time Completion of Video", 2007), with PatchMatch (Barnes et al. 2009) as
search and a bias for each channel, so that light may change over the picture (Darabi et al., "Image Melding", 2012).
Above the working size the details come from the full picture, by the shifts that were found.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, UInt8, UInt64

from diorama.errors import UsageError
from diorama.perception._background_box import spread
from diorama.perception._completion_kernels import REACH, exhaust, peel, relax, settle, sweep, vote

COARSE = 48
"""Pixels of the longer side of the smallest picture."""
STEP = 1.5
"""From one size to the next."""
SOURCES = 64
"""Patches there must be to choose from at the smallest size."""
DISTRUST = 2
"""Pixels around a hole that may show some of what was in it: never copied, never matched."""
UPRIGHT = 80.0
"""Levels of 255 that a source costs for each side of the picture by which it is lower or higher."""
FADE = 1.3
"""One pixel farther from the rim, a vote counts so many times less (Wexler et al. 2007, section 3.2)."""
ROUNDS = (12, 3)
"""Searches and votes at the smallest size, and at the largest."""
HOLD = (0.005, 0.3)
"""Weight of voted colours against voted differences, in smooth parts (where a seam shows) and in rich ones."""
RICH = 10.0
"""Levels from pixel to pixel in rich parts."""
TURNS = 30
"""Turns of the solver; what reaches farther was solved at smaller sizes."""
FULL = 2
"""Rounds at the smallest size in which every source is tried for every patch."""
TRIED = 3_000_000
"""Pairs of patches that are compared at most where all sources are tried: seconds, whatever the hole."""
SMOOTH = 64
"""Pixels of the longer side at which smooth colours are made, where there are no patches."""

Mask = Bool[np.ndarray, "h w"]
Plane = Float32[np.ndarray, "h w"]
Picture = Float32[np.ndarray, "h w 3"]
Packed = Float32[np.ndarray, "ph pw 4"]
Shrunk = Float32[np.ndarray, "sh sw 4"]
Places = Int64[np.ndarray, "n 2"]
Field = Int32[np.ndarray, "h w 2"]
State = UInt64[np.ndarray, "1"]


@dataclass(frozen=True, eq=False)
class Size:
    """The picture at one size.

    Attributes:
        picture: levels of 255; anything in the hole.
        known: its known pixels.
        valid: centres of patches that are all known.
    """

    picture: Picture
    known: Mask
    valid: Mask

    @property
    def sources(self) -> Places:
        """Places of the valid patches."""
        return np.argwhere(self.valid)

    @property
    def everything(self) -> Mask:
        """Nothing left unknown: what the kernels take once the hole is filled."""
        return np.ones_like(self.known)

    @property
    def centres(self) -> Places:
        """Places of the patches that touch the hole, in reading order."""
        return np.argwhere(_grown(~self.known, REACH))

    @property
    def upright(self) -> np.float32:
        """Levels for each pixel of height between a patch and its source."""
        return np.float32(UPRIGHT / max(self.known.shape))


@dataclass(frozen=True, eq=False)
class Filled:
    """A size with its hole filled.

    Attributes:
        picture: levels of 255.
        field: of each centre its source (row, column).
        shifts: of each pixel in the hole (rows, columns) to where it is copied from.
    """

    picture: Picture
    field: Field
    shifts: Field


def completed(
    image: UInt8[np.ndarray, "h w 3"], hole: Bool[np.ndarray, "h w"], *, side: int = 512, seed: int = 0
) -> UInt8[np.ndarray, "h w 3"]:
    """A picture with its hole filled; all pixels outside of the hole come back as they are.

    Args:
        image: RGB.
        hole: what has to be filled, and is looked at by nobody.
        side: pixels of the longer side at which it is filled; larger pictures get their details afterwards.
        seed: of the search; the same one gives the same picture.

    Raises:
        UsageError: the hole is the whole picture, or not of its size; a side below 16.
    """
    if hole.shape != image.shape[:2]:
        raise UsageError(f"a hole of {hole.shape}, a picture of {image.shape[:2]}", "hole", "give both the same size")
    if side < 16:
        raise UsageError(f"side is {side}, expected at least 16", "side", "512 does for most pictures")
    if not hole.any():
        return image.copy()
    if hole.all():
        raise UsageError("the hole is the whole picture", "hole", "leave something known to fill it with")
    known = ~_grown(hole, DISTRUST)
    if not known.any():
        known = ~hole
    sizes = _sizes(image, known, side)
    if not sizes:
        return _written(image, hole, _plain(image, known))
    state = np.array([seed % 2**64], np.uint64)
    filled = _start(sizes[0])
    for number, size in enumerate(sizes):
        if number:
            filled = _finer(filled, size, state)
        share = number / max(1, len(sizes) - 1)
        rounds = round(ROUNDS[0] * (1 - share) + ROUNDS[1] * share)
        filled = _refined(size, filled, rounds, state, full=FULL if number == 0 else 0)
    return _written(image, hole, _detailed(image, known, filled))


def _grown(mask: Mask, reach: int) -> Mask:
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), kernel) > 0


def _sizes(image: UInt8[np.ndarray, "h w 3"], known: Mask, side: int) -> list[Size]:
    """The picture from its smallest size to the working size; none where too little is known."""
    packed = _packed(image, known, side)
    sizes: list[Size] = []
    longest = max(packed.shape[:2])
    now = float(longest)
    while True:
        size = _size(_shrunk(packed, now / longest))
        if size.valid.sum() < (SOURCES if sizes else 1):
            break
        sizes.append(size)
        if now <= COARSE:
            break
        now /= STEP
    return sizes[::-1]


def _packed(image: UInt8[np.ndarray, "h w 3"], known: Mask, side: int) -> Shrunk:
    """Known colours with their weight, reduced to `side` pixels where larger."""
    weights = known.astype(np.float32)[..., None]
    return _shrunk(np.concatenate([image * weights, weights], axis=-1), min(1.0, side / max(known.shape)))


def _shrunk(packed: Packed, share: float) -> Shrunk:
    shape = max(1, round(packed.shape[1] * share)), max(1, round(packed.shape[0] * share))
    return np.asarray(cv2.resize(packed, shape, interpolation=cv2.INTER_AREA), np.float32)


def _size(packed: Packed) -> Size:
    """A pixel is known where all that it is made of is: nothing of the hole may show in it."""
    known = packed[..., 3] > 0.999
    framed = np.pad(known, REACH)
    valid = ~_grown(~framed, REACH)[REACH:-REACH, REACH:-REACH]
    return Size(packed[..., :3] / np.maximum(packed[..., 3:], 1e-6), known, valid)


def _plain(image: UInt8[np.ndarray, "h w 3"], known: Mask) -> Picture:
    """Smooth colours from what is known, where there are no patches."""
    packed = _packed(image, known, SMOOTH)
    colors = spread(packed[..., :3] / np.maximum(packed[..., 3:], 1e-6), packed[..., 3])
    full = cv2.resize(colors, known.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(full.reshape(image.shape), np.float32)


def _written(image: UInt8[np.ndarray, "h w 3"], hole: Mask, picture: Picture) -> UInt8[np.ndarray, "h w 3"]:
    out = image.copy()
    out[hole] = np.rint(picture[hole]).clip(0, 255).astype(np.uint8)
    return out


def _start(size: Size) -> Filled:
    """The smallest size filled from the rim inwards."""
    picture, done = size.picture.copy(), size.known.copy()
    depth = _depth(size.known)
    order = np.argwhere(~size.known)
    order = order[np.argsort(depth[~size.known], kind="stable")]
    sources = size.sources
    peel(picture, done, order, sources[:: 1 + len(order) * len(sources) // TRIED], size.upright)
    nothing = np.zeros((*size.known.shape, 2), np.int32)
    return Filled(picture, nothing, nothing)


def _depth(known: Mask) -> Plane:
    """Pixels from the rim."""
    return np.asarray(cv2.distanceTransform((~known).astype(np.uint8), cv2.DIST_L2, 5), np.float32)


def _refined(size: Size, filled: Filled, rounds: int, state: State, *, full: int) -> Filled:
    """So many searches and votes; in the first `full` of them every source is tried for every patch."""
    done, centres, sources, valid, upright = size.everything, size.centres, size.sources, size.valid, size.upright
    picture, field, shifts = filled.picture, filled.field.copy(), filled.shifts
    costs = np.full(size.known.shape, -1, np.float32)
    if len(centres) * len(sources) > TRIED:
        full = 0
    for turn in range(rounds):
        if turn < full:
            exhaust(picture, done, centres, sources, field, costs, upright)
        else:
            settle(picture, done, centres, sources, valid, field, costs, upright, state)
            for back in (False, True):
                sweep(picture, done, centres, valid, field, costs, upright, back, state)
        picture, shifts = _voted(size, picture, field, centres, costs)
    return Filled(picture, field, shifts)


def _voted(size: Size, picture: Picture, field: Field, centres: Places, costs: Plane) -> tuple[Picture, Field]:
    """The picture that the patches vote for, and each pixel's shift."""
    places = centres[:, 0], centres[:, 1]
    own = costs[places]
    spread_of_costs = max(1.0, 2 * float(np.quantile(own, 0.75)))  # Wexler et al. 2007, section 3.1
    weights = FADE ** -np.minimum(_depth(size.known)[places], 150) * np.exp(-own / spread_of_costs)
    sums = np.zeros((3, *size.known.shape, 4), np.float32)
    shifts = np.zeros((*size.known.shape, 2), np.int32)
    weights = np.maximum(weights, 1e-30).astype(np.float32)
    vote(picture, size.everything, centres, weights, field, sums, shifts)
    return _joined(size, sums[..., :3] / np.maximum(sums[..., 3:], 1e-35)), shifts


def _joined(size: Size, votes: Float32[np.ndarray, "3 h w 3"]) -> Picture:
    """Colours and differences made one picture, which goes on in the known one without seams."""
    colors, across, down = votes
    picture = np.where(size.known[..., None], size.picture, colors)
    texture = np.sqrt((across**2 + down**2).mean(axis=-1))
    texture = cv2.blur(texture, (2 * REACH + 1, 2 * REACH + 1))
    hold = (HOLD[0] + (HOLD[1] - HOLD[0]) * np.minimum(1, texture / RICH)).astype(np.float32)
    relax(picture, colors, across, down, hold, np.argwhere(~size.known), TURNS, np.float32(1.7))
    return picture


def _finer(filled: Filled, size: Size, state: State) -> Filled:
    """The start of the next size: the same shifts, and what they vote for."""
    (high, wide), (low, narrow) = size.known.shape, filled.picture.shape[:2]
    rows, columns = np.arange(high) * low // high, np.arange(wide) * narrow // wide
    own = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
    here = np.stack(np.meshgrid(np.arange(high), np.arange(wide), indexing="ij"), axis=-1)
    moved = (filled.field[rows[:, None], columns] - own) * np.array([high / low, wide / narrow])
    most = np.array([high - 1 - REACH, wide - 1 - REACH])
    field = np.clip(here + np.rint(moved).astype(int), REACH, np.maximum(most, REACH)).astype(np.int32)
    blown = cv2.resize(filled.picture, (wide, high), interpolation=cv2.INTER_CUBIC)
    picture = np.where(size.known[..., None], size.picture, blown)
    costs, centres = np.full(size.known.shape, -1, np.float32), size.centres
    settle(picture, size.everything, centres, size.sources, size.valid, field, costs, size.upright, state)
    picture, shifts = _voted(size, picture, field, centres, costs)
    return Filled(picture, field, shifts)


def _detailed(image: UInt8[np.ndarray, "h w 3"], known: Mask, filled: Filled) -> Picture:
    """The filled picture at full size, with the details that its shifts lead to."""
    height, width = known.shape
    high, wide = filled.picture.shape[:2]
    base = cv2.resize(filled.picture, (width, height), interpolation=cv2.INTER_CUBIC)
    if (high, wide) == (height, width):
        return base
    y, x = np.nonzero(~known)
    rows, columns = (y * high) // height, (x * wide) // width
    shift = filled.shifts[rows, columns] * np.array([height / high, width / wide])
    sy, sx = (np.rint(v).astype(int) for v in (y + shift[:, 0], x + shift[:, 1]))
    sy, sx = sy.clip(0, height - 1), sx.clip(0, width - 1)
    detail = (image[sy, sx] - base[sy, sx]) * known[sy, sx][:, None]
    base[y, x] += detail
    return base
