"""Depth that someone else made: from an array, pictures or a video, on one scale over the whole file."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args, no_type_check

import numpy as np
from jaxtyping import Float32, Num
from numba import njit

from diorama.core.parallel import bands
from diorama.core.video import Video
from diorama.errors import UsageError
from diorama.media.safe import Limits
from diorama.perception.base import Tracked
from diorama.perception.depth_maps import DepthMaps, IndexedMaps, Map, open_maps
from diorama.perception.map_reader import MapReader

DepthKind = Literal["inverse", "metric"]
ASPECT_TOLERANCE = 0.02
EXACT_PIXELS = 16_000_000
GRID_ROWS = 96
CONSTANT = 0.5
_KERNEL_KINDS = ("float32", "float64", "uint8", "uint16")


def ignore(message: str) -> None:
    """Drops a note."""


@dataclass(frozen=True)
class DepthRange:
    """What a file's values mean: the nearest and the farthest surface, in the file's own units.

    Attributes:
        near, far: values that become 1 and 0; equal in a file without depth.
        metric: whether values are distances (smaller is nearer) rather than inverse depth or disparity.
    """

    near: float
    far: float
    metric: bool = False

    @property
    def constant(self) -> bool:
        """Whether there is nothing to tell near from far (float32 cannot, either)."""
        return abs(self.near - self.far) <= 1e-6 * max(abs(self.near), abs(self.far))


@dataclass(frozen=True)
class Extremes:
    """Extreme values of one map or many.

    Attributes:
        lowest, highest: of the usable values (finite; above 0 in metric files), infinite where there are none.
        bad: first map with values that mean nothing (NaN; infinity, unless metric), or None.
        empty: whether unusable but permitted values were met (metric: 0, negative, infinite; inverse: negative).
    """

    lowest: float = np.inf
    highest: float = -np.inf
    bad: int | None = None
    empty: bool = False

    def __or__(self, other: "Extremes") -> "Extremes":
        bad = [index for index in (self.bad, other.bad) if index is not None]
        return Extremes(
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
            min(bad, default=None),
            self.empty or other.empty,
        )


@dataclass(frozen=True, eq=False)
class FileDepth:
    """Answers with the maps of a file; map number n belongs to frame number n of the source clip.

    Attributes:
        path: NPY, NPZ, PNG, TIFF, EXR, a video, or a folder of numbered pictures.
        kind: "inverse" (larger is nearer: disparity, relative depth) or "metric" (distance in any unit).
        near, far: values of the nearest and farthest surface in the file's units; both, or none. Without them
            the range is the exact minimum and maximum over every map: of all pixels in small files, of a grid
            of at least `GRID_ROWS` rows in large ones.
        note: receives what the user should know.
        limits: pixels of a map, and number of maps.

    Raises:
        UsageError: `kind` is unknown, or `near` and `far` contradict it.
    """

    name = "file"
    path: Path
    kind: DepthKind = "inverse"
    near: float | None = None
    far: float | None = None
    note: Callable[[str], None] = ignore
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if self.kind not in get_args(DepthKind):
            raise UsageError(f"depth of kind {self.kind!r}, expected {' or '.join(get_args(DepthKind))}")
        if (self.near is None) != (self.far is None):
            raise UsageError("only one of near and far is given", fix="give both, or none")
        if self.near is None or self.far is None:
            return
        fits = 0 < self.near < self.far if self.kind == "metric" else self.near > self.far
        if not (fits and np.isfinite([self.near, self.far]).all()):
            rule = "0 < near < far in distances" if self.kind == "metric" else "near > far, since larger is nearer"
            raise UsageError(f"near {self.near} and far {self.far}, expected {rule}")

    @cached_property
    def maps(self) -> DepthMaps:
        """The opened file."""
        return open_maps(self.path, self.limits)

    @cached_property
    def reader(self) -> MapReader:
        """Reads it; goes on where the shot before ended."""
        return MapReader(self.maps)

    @cached_property
    def range(self) -> DepthRange:
        """The one scale of the whole file; reads it once where `near` and `far` are not given.

        Raises:
            UsageError: a map holds NaN or infinity (infinity is far away in metric files).
        """
        metric = self.kind == "metric"
        if self.near is not None and self.far is not None:
            return DepthRange(self.near, self.far, metric)
        found = extremes(self.maps, metric=metric)
        if found.bad is not None:
            raise _meaningless(found.bad, self.path)
        if found.empty:
            rule = "distances that are not above 0 or not finite count as farthest" if metric else "negative values"
            self.note(f"depth {self.path}: {rule}")
        if found.lowest > found.highest:
            span = DepthRange(0.0, 0.0, metric)
        else:
            ends = (found.lowest, found.highest)
            span = DepthRange(*(ends if metric else ends[::-1]), metric)
        if span.constant:
            self.note(f"depth {self.path}: the same everywhere, so the picture stays flat")
        return span

    def check(self, video: Video) -> None:
        """Compare the file with the clip before anything runs; reads the file once for its range.

        Raises:
            UsageError: too few maps, another aspect (more than 2 %), NaN or infinity.
            MediaError, DamagedMediaError, LimitError: the file cannot be read.
        """
        needed, count = video.start + len(video), self.maps.count
        if count < needed:
            raise UsageError(f"depth has {count} maps, expected {needed}, one for each frame of the clip", self.path)
        if count > needed:
            self.note(f"depth {self.path}: {count} maps for {needed} frames, the rest is not used")
        height, width = self.maps.height, self.maps.width
        wanted = height * video.width / video.height
        if abs(width - wanted) > max(ASPECT_TOLERANCE * wanted, 1.0):
            raise UsageError(
                f"depth of {width}x{height}, expected {video.width}x{video.height} or the same aspect",
                self.path,
                "make depth from the same frames",
            )
        _ = self.range

    def __call__(self, shot: Iterable[Tracked]) -> Iterator[Float32[np.ndarray, "dh dw"]]:
        """One map a frame in the file's resolution; see `diorama.perception.base.DepthEstimator`.

        Raises:
            UsageError: the file ends before the shot, or a map holds NaN or infinity.
        """
        for tracked in shot:
            index = tracked.frame.index
            stored = self.reader.at(index)
            if stored is None:
                raise UsageError(f"depth ends before frame {index}", self.path, "give one map for each frame")
            scaled = rescale(stored, self.range)
            if scaled is None:
                raise _meaningless(index, self.path)
            yield scaled

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        if "reader" in vars(self):
            self.reader.close()
        for opened in ("reader", "maps"):
            vars(self).pop(opened, None)


def _meaningless(index: int, path: Path) -> UsageError:
    return UsageError(f"depth map {index} (counted from 0) holds NaN or infinity", path, "mend or fill the map")


def extremes(maps: DepthMaps, *, metric: bool) -> Extremes:
    """Extreme values over all maps, on a grid where there are more than `EXACT_PIXELS` values in all."""
    few = maps.count * maps.height * maps.width <= EXACT_PIXELS
    step = 1 if few else max(1, min(maps.height, maps.width) // GRID_ROWS)
    first = step // 2

    def of(index: int, stored: Map) -> Extremes:
        return _extremes(np.asarray(stored[first::step, first::step]), index, metric=metric)

    total = Extremes()
    if isinstance(maps, IndexedMaps):
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            for found in pool.map(lambda index: of(index, maps.load(index)), range(maps.count)):
                total |= found
        return total
    for index, stored in enumerate(maps.read(0, maps.count)):
        total |= of(index, stored)
    return total


def _extremes(values: Num[np.ndarray, "gh gw"], index: int, *, metric: bool) -> Extremes:
    lowest, highest = float(values.min()), float(values.max())  # NaN anywhere shows in both
    if lowest != lowest or (not metric and not np.isfinite([lowest, highest]).all()):
        return Extremes(bad=index)
    if not metric or (lowest > 0 and highest < np.inf):
        return Extremes(lowest, highest, empty=lowest < 0)
    usable = values[(values > 0) & (values < np.inf)]
    if usable.size == 0:
        return Extremes(empty=True)
    return Extremes(float(usable.min()), float(usable.max()), empty=True)


def rescale(stored: Map, span: DepthRange) -> Float32[np.ndarray, "dh dw"] | None:
    """Values as stored -> inverse depth in [0, 1], 1 nearest; None where there are NaN, or infinity and not metric.

    A constant range gives 0.5 everywhere. In metric files values not above 0 become 0 (farthest).
    """
    if stored.dtype.name not in _KERNEL_KINDS:
        stored = stored.astype(np.float64 if stored.dtype.kind == "i" or stored.itemsize > 4 else np.float32)
    out = np.empty(stored.shape, np.float32)
    if span.constant:
        offset, factor = 0.0, 0.0
    elif span.metric:
        offset, factor = 1 / span.far, 1 / (1 / span.near - 1 / span.far)
    else:
        offset, factor = span.far, 1 / (span.near - span.far)
    bad = np.zeros(1, np.bool_)
    kernel = _metric_rows if span.metric else _inverse_rows

    def band(first: int, last: int) -> None:
        if kernel(stored[first:last], np.float32(offset), np.float32(factor), out[first:last]):
            bad[0] = True

    bands(stored.shape[0], band)
    if bad[0]:
        return None
    if span.constant:
        out.fill(CONSTANT)
    return out


@njit(nogil=True, cache=True)
@no_type_check
def _inverse_rows(stored, offset, factor, out):
    """out = clip((stored - offset) * factor, 0, 1); True where a value is not finite."""
    bad = 0
    for y in range(stored.shape[0]):
        for x in range(stored.shape[1]):
            value = np.float32(stored[y, x])
            bad |= not (abs(value) <= np.float32(3.4028235e38))
            out[y, x] = min(max((value - offset) * factor, np.float32(0)), np.float32(1))
    return bad != 0


@njit(nogil=True, cache=True)
@no_type_check
def _metric_rows(stored, offset, factor, out):
    """out = clip((1 / stored - offset) * factor, 0, 1), 0 where stored <= 0; True where a value is NaN."""
    bad = 0
    for y in range(stored.shape[0]):
        for x in range(stored.shape[1]):
            value = np.float32(stored[y, x])
            bad |= value != value
            inverse = np.float32(1) / max(value, np.float32(1e-30))
            near = min(max((inverse - offset) * factor, np.float32(0)), np.float32(1))
            out[y, x] = near if value > np.float32(0) else np.float32(0)
    return bad != 0
