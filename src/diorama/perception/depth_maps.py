"""Depth maps as stored: one array file, numbered pictures, or a grey video, read one map at a time."""

import itertools
import re
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from jaxtyping import Num
from PIL import Image, UnidentifiedImageError

from diorama.core.video import Video
from diorama.errors import DamagedMediaError, LimitError, MediaError, UsageError
from diorama.media.exr import read_depth, read_header
from diorama.media.read import open_video
from diorama.media.safe import IMAGE_SUFFIXES, VIDEO_SUFFIXES, Limits, local_path, regular_file

Map = Num[np.ndarray, "dh dw"]
ARRAY_SUFFIXES = frozenset([".npy", ".npz"])
PICTURE_SUFFIXES = IMAGE_SUFFIXES | {".exr"}
SUFFIXES = ARRAY_SUFFIXES | PICTURE_SUFFIXES | VIDEO_SUFFIXES
COLOUR_TOLERANCE = 0.03


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


def open_maps(given: str | Path) -> DepthMaps:
    """Open depth maps: NPY or NPZ, a picture (PNG, TIFF, EXR), a folder of numbered pictures, or a grey video.

    Raises:
        MediaError: missing, empty or of no supported kind.
        DamagedMediaError: shorter than its header says.
        UsageError: an array that holds no depth maps, pictures in colour or of different sizes, a gap in the
            numbers.
        LimitError: maps above the pixel budget.
    """
    path = local_path(given)
    if path.is_dir():
        return _picture_maps(numbered_pictures(path))
    regular_file(path)
    suffix = path.suffix.lower()
    if suffix in ARRAY_SUFFIXES:
        return array_maps(_array(path), path)
    if suffix in PICTURE_SUFFIXES - {".gif"}:
        return _picture_maps([path])
    if suffix in VIDEO_SUFFIXES:
        return VideoMaps(open_video(path), path)
    raise MediaError(
        f"depth is not read from {suffix or 'files without a suffix'}",
        path,
        "give NPY, NPZ, PNG, TIFF, EXR, a video, or a folder of numbered pictures",
    )


def array_maps(array: Num[np.ndarray, "..."], where: object) -> IndexedMaps:
    """Maps of an array "t h w" or "h w" of real numbers; an axis of length 1 for the channel is allowed.

    Raises:
        UsageError: another shape or kind of values.
        LimitError: maps above the pixel budget.
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
    Limits().check_size(width, height, where)

    def load(index: int) -> Map:
        chosen = np.asarray(stack[index])
        return chosen if chosen.dtype.isnative else chosen.astype(chosen.dtype.newbyteorder("="))

    return IndexedMaps(load, count, height, width)


def _array(path: Path) -> Num[np.ndarray, "..."]:
    """The array of an NPY (mapped, not read) or NPZ file; pickled objects are never loaded."""
    try:
        if path.suffix.lower() == ".npz":
            return _member(path)
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except zipfile.BadZipFile as error:
        raise DamagedMediaError(f"the NPZ archive is damaged ({error})", path) from error
    except (ValueError, EOFError, SyntaxError) as error:
        if "larger than" in str(error) or "greater than" in str(error):
            raise DamagedMediaError("the NPY file is shorter than its header says", path) from error
        raise MediaError(f"not a plain NPY array ({error})", path, "save it with numpy.save") from error


def _member(path: Path) -> Num[np.ndarray, "..."]:
    """The depth array of an NPZ archive, unpacked to an unnamed temporary file and mapped from there."""
    with zipfile.ZipFile(path) as archive:
        arrays = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        names = [name for name in ("depth", "depths", "disparity", "arr_0") if name in arrays]
        if not names and len(arrays) != 1:
            raise UsageError(f"an NPZ with the arrays {', '.join(sorted(arrays)) or 'none'}", path, "call one 'depth'")
        entry = arrays[names[0]] if names else next(iter(arrays.values()))
        room = shutil.disk_usage(tempfile.gettempdir()).free
        if entry.file_size > 0.9 * room:
            raise LimitError(
                f"the NPZ unpacks to {entry.file_size / 1e9:.1f} GB, more than the temporary folder holds",
                path,
                "save it as NPY, which needs no unpacking",
            )
        with tempfile.TemporaryFile() as plain:
            with archive.open(entry) as packed:
                shutil.copyfileobj(packed, plain, 1 << 20)
            return _mapped(plain)


def _mapped(file: IO[bytes]) -> Num[np.ndarray, "..."]:
    """An open NPY file as a read-only mapped array; the map outlives the file's closing."""
    file.seek(0)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects")
    order = "F" if fortran else "C"
    return np.memmap(file, dtype, "r", file.tell(), shape, order)  # type: ignore[call-overload]


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


def _picture_maps(files: list[Path]) -> IndexedMaps:
    sizes = [_picture_size(path) for path in files]
    width, height = sizes[0]
    for path, size in zip(files, sizes, strict=True):
        if size != sizes[0]:
            raise UsageError(f"a depth picture of {size[0]}x{size[1]} among pictures of {width}x{height}", path)
    return IndexedMaps(lambda index: read_picture(files[index]), len(files), height, width)


def _picture_size(path: Path) -> tuple[int, int]:
    """Width and height from the header, within the pixel budget."""
    if path.suffix.lower() == ".exr":
        header = read_header(path)
        return header.width, header.height
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                width, height = image.size
    except Image.DecompressionBombError as error:
        raise LimitError(str(error), path) from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise MediaError(f"not a recognised picture ({error})", path) from error
    Limits().check_size(width, height, path)
    return width, height


def read_picture(path: Path) -> Map:
    """One depth picture, values as stored (8 or 16 bits, or float).

    Raises:
        DamagedMediaError: it does not decode.
        UsageError: it is in colour.
    """
    if path.suffix.lower() == ".exr":
        return read_depth(path)
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
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
