"""Depth maps as stored: one array file, numbered pictures, or a grey video, read one map at a time."""

import itertools
import re
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Num, Shaped
from PIL import Image, UnidentifiedImageError

from diorama.core.video import Video
from diorama.errors import DamagedMediaError, LimitError, MediaError, UsageError
from diorama.media.atomic import DISK_FULL
from diorama.media.exr import read_depth, read_header
from diorama.media.npy import map_array, open_array
from diorama.media.read import ReadOptions, open_video
from diorama.media.safe import IMAGE_SUFFIXES, VIDEO_SUFFIXES, Limits, local_path, regular_file

Map = Num[np.ndarray, "dh dw"]
ARRAY_SUFFIXES = frozenset([".npy", ".npz"])
PICTURE_SUFFIXES = IMAGE_SUFFIXES | {".exr"}
SUFFIXES = ARRAY_SUFFIXES | PICTURE_SUFFIXES | VIDEO_SUFFIXES
COLOUR_TOLERANCE = 0.03
BAD_ARCHIVE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ValueError,
    EOFError,
    OverflowError,
    RuntimeError,  # encrypted, or packed in a way that this Python cannot undo
)
_AS_NPY = "save it as NPY, which needs no unpacking"


@dataclass(frozen=True, eq=False)
class IndexedMaps:
    """Maps that can be read in any order.

    Attributes:
        load: map number -> values as stored.
        count: how many maps.
        height, width: pixels of each.
    """

    load: Callable[[int], Map]
    count: int
    height: int
    width: int

    def read(self, start: int, stop: int) -> Iterator[Map]:
        """Yield maps ``start`` to ``stop - 1``."""
        for index in range(start, min(stop, self.count)):
            yield self.load(index)


@dataclass(frozen=True, eq=False)
class VideoMaps:
    """Maps out of a grey video: full-range code values, 0..255, or 0..65535 above 8 bits."""

    video: Video
    path: Path

    @property
    def count(self) -> int:
        return len(self.video)

    @property
    def height(self) -> int:
        return self.video.height

    @property
    def width(self) -> int:
        return self.video.width

    def read(self, start: int, stop: int) -> Iterator[Map]:
        """Yield maps ``start`` to ``stop - 1``, decoding from the key frame before `start`."""
        for frame in self.video.source.read(start, stop):
            if frame.index == start:
                refuse_colour(frame.image, self.path)
            yield np.ascontiguousarray(frame.image[..., 1])


DepthMaps = IndexedMaps | VideoMaps


def open_maps(given: str | Path, limits: Limits | None = None) -> DepthMaps:
    """Open depth maps: NPY or NPZ, a picture (PNG, TIFF, EXR), a folder of numbered pictures, or a grey video.

    Args:
        given: where they are.
        limits: pixels of a map and number of maps, None for the usual budget; the clock of depth does not count.

    Raises:
        MediaError: missing, empty or of no supported kind.
        DamagedMediaError: shorter than its header says.
        UsageError: an array that holds no depth maps, pictures in colour or of different sizes, a gap in the
            numbers.
        LimitError: over a budget, or an NPZ that unpacks to more than fits on the disk.
    """
    path, limits = local_path(given), replace(limits or Limits(), seconds=None)
    if path.is_dir():
        return _picture_maps(numbered_pictures(path), limits)
    regular_file(path)
    suffix = path.suffix.lower()
    if suffix in ARRAY_SUFFIXES:
        return array_maps(_member(path) if suffix == ".npz" else open_array(path), path, limits)
    if suffix in PICTURE_SUFFIXES - {".gif"}:
        return _picture_maps([path], limits)
    if suffix in VIDEO_SUFFIXES:
        return VideoMaps(open_video(path, ReadOptions(limits=limits)), path)
    raise MediaError(
        f"depth is not read from {suffix or 'files without a suffix'}",
        path,
        "give NPY, NPZ, PNG, TIFF, EXR, a video, or a folder of numbered pictures",
    )


def array_maps(array: Shaped[np.ndarray, "..."], where: object, limits: Limits | None = None) -> IndexedMaps:
    """Maps of an array "t h w" or "h w" of real numbers; an axis of length 1 for the channel is allowed.

    Raises:
        UsageError: another shape or kind of values.
        LimitError: over a budget.
    """
    if array.dtype.kind not in "fiu":
        raise UsageError(f"depth values of kind {array.dtype}, expected real numbers", where)
    shape = array.shape
    stack = array[None] if array.ndim == 2 else array
    if stack.ndim == 4 and 1 in (shape[1], shape[3]):
        stack = stack[:, 0] if shape[1] == 1 else stack[..., 0]
    if stack.ndim != 3 or 0 in stack.shape:
        raise UsageError(f"a depth array of shape {shape}, expected (frames, height, width)", where)
    count, height, width = stack.shape
    limits = limits or Limits()
    limits.check_size(width, height, where)
    limits.check_length(count, 0.0, where)

    def load(index: int) -> Map:
        chosen = np.asarray(stack[index])
        return chosen if chosen.dtype.isnative else chosen.astype(chosen.dtype.newbyteorder("="))

    return IndexedMaps(load, count, height, width)


def _member(path: Path) -> Shaped[np.ndarray, "..."]:
    """The depth array of an NPZ archive, unpacked to an unnamed temporary file and mapped from there."""
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryFile() as plain:
            with archive.open(_chosen(archive, path)) as packed:
                shutil.copyfileobj(packed, plain, 1 << 20)
            return map_array(plain, path)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise LimitError("the NPZ unpacks to more than the temporary folder holds", path, _AS_NPY) from error
        raise DamagedMediaError(f"the NPZ archive cannot be read ({error})", path, "copy or save it again") from error
    except BAD_ARCHIVE as error:
        raise DamagedMediaError(f"the NPZ archive is damaged ({error})", path, "copy or save it again") from error


def _chosen(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    """The archive's depth array, where it can be unpacked here."""
    arrays = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
    names = [name for name in ("depth", "depths", "disparity", "arr_0") if name in arrays]
    if not names and len(arrays) != 1:
        raise UsageError(f"an NPZ with the arrays {', '.join(sorted(arrays)) or 'none'}", path, "call one 'depth'")
    entry = arrays[names[0]] if names else next(iter(arrays.values()))
    if entry.flag_bits & 1:
        raise MediaError("the NPZ archive is encrypted", path, _AS_NPY)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise MediaError(f"the NPZ archive is packed by method {entry.compress_type}", path, _AS_NPY)
    room = shutil.disk_usage(tempfile.gettempdir()).free
    if entry.file_size > 0.9 * room:
        needed = f"{entry.file_size / 1e9:.1f} GB"
        raise LimitError(f"the NPZ unpacks to {needed}, more than the temporary folder holds", path, _AS_NPY)
    return entry


def numbered_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder by the last number in their names, which must leave no gap.

    Raises:
        MediaError: none found.
        UsageError: a number is missing or there twice.
    """
    files = [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES]
    digits = {path: re.findall(r"\d+", path.stem) for path in files}
    numbered = sorted((int(found[-1]), path.name, path) for path, found in digits.items() if found)
    if not numbered:
        raise MediaError("no numbered pictures in the depth folder", folder, "name them like depth_0001.png")
    for (number, _, path), (following, _, after) in itertools.pairwise(numbered):
        if following != number + 1:
            what = "is there twice" if following == number else "is followed by"
            names = f"{path.name} {what} {after.name}" if following != number else f"{path.name}, {after.name}"
            raise UsageError(f"depth pictures are not numbered in steps of one: {names}", folder)
    return [path for _, _, path in numbered]


def _picture_maps(files: list[Path], limits: Limits) -> IndexedMaps:
    limits.check_length(len(files), 0.0, files[0].parent)
    sizes = [_picture_size(path, limits) for path in files]
    width, height = sizes[0]
    for path, size in zip(files, sizes, strict=True):
        if size != sizes[0]:
            raise UsageError(f"a depth picture of {size[0]}x{size[1]} among pictures of {width}x{height}", path)
    return IndexedMaps(lambda index: read_picture(files[index], limits), len(files), height, width)


def _picture_size(path: Path, limits: Limits) -> tuple[int, int]:
    """Width and height from the header, within the pixel budget."""
    regular_file(path)
    if path.suffix.lower() == ".exr":
        header = read_header(path, limits)
        return header.width, header.height
    # Our own budget decides, from the header; Pillow's fixed one is lifted for the time of opening.
    ceiling, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(path) as image:
            width, height = image.size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise MediaError(f"not a recognised picture ({error})", path) from error
    finally:
        Image.MAX_IMAGE_PIXELS = ceiling
    limits.check_size(width, height, path)
    return width, height


def read_picture(path: Path, limits: Limits | None = None) -> Map:
    """One depth picture, values as stored (8 or 16 bits, or float).

    Raises:
        DamagedMediaError: it does not decode.
        UsageError: it is in colour.
        LimitError: an EXR over the pixel budget.
    """
    if path.suffix.lower() == ".exr":
        return read_depth(path, limits)
    try:
        pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise DamagedMediaError("the depth picture does not decode", path, "write it again") from error
    if pixels is None:
        raise DamagedMediaError("the depth picture does not decode", path, "write it again")
    if pixels.ndim == 2:
        return pixels
    refuse_colour(pixels[..., :3], path)
    return np.ascontiguousarray(pixels[..., min(1, pixels.shape[2] - 1)])


def refuse_colour(image: Num[np.ndarray, "h w c"], where: object) -> None:
    """Raise `UsageError` for a picture whose channels differ: a colour map drawn over depth is not depth."""
    if image.shape[2] < 3:
        return
    sample = image[::8, ::8].astype(np.float64)
    spread = float((sample.max(axis=2) - sample.min(axis=2)).mean())
    if spread > COLOUR_TOLERANCE * max(float(sample.max()), 1e-12):
        raise UsageError("depth in colour; expected grey, one value a pixel", where, "save depth without a colour map")
