"""Still images, animated images and folders of numbered images as clips.

Images are recognised by their first bytes, sized from their header, and only then decoded: EXIF rotation applied,
palettes, CMYK and embedded colour profiles converted to sRGB, 16 bits kept in PNG and TIFF.
"""

import io
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from diorama.core.video import ColorTags, Frame, Pixels, Video
from diorama.errors import MediaError
from diorama.media.atomic import atomic_path
from diorama.media.safe import IMAGE_SUFFIXES, Limits, regular_file

SRGB = ColorTags(1, 13, 0, True)
MILLISECOND = Fraction(1, 1000)
STILL_MS = 1000
SEQUENCE_FPS = 25
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_DEEP = {"I;16", "I;16B", "I;16L", "I"}
ORIENTATION = 0x0112
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: np.rot90,
}
"""What brings the rows and columns of a picture upright, by its EXIF orientation."""


@dataclass(frozen=True)
class OpenedImages:
    """A clip made of images, with notes for the user."""

    video: Video
    notes: tuple[str, ...] = ()


def is_image(path: Path) -> bool:
    """Whether a regular file starts like an image of a supported kind; anything else is not opened, a FIFO hangs."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def open_images(path: Path, limits: Limits) -> OpenedImages:
    """Open an image, an animated image, or a folder of numbered images of one size.

    Raises:
        MediaError: an empty folder, images of different sizes, or an unreadable image.
        LimitError: over the pixel budget.
    """
    if path.is_dir():
        files = numbered_images(path)
        if not files:
            raise MediaError("a folder without images", path, "give a clip, or a folder of numbered images")
        pages = tuple((file, 0) for file in files)
        ticks = np.full(len(files), round(1000 / SEQUENCE_FPS), np.int64)
        notes: tuple[str, ...] = (
            f"{len(files)} images taken as a clip of {SEQUENCE_FPS} frames/s; change it with --fps",
        )
    else:
        regular_file(path)
        delays = _delays(path, limits)
        pages = tuple((path, page) for page in range(len(delays)))
        ticks = np.array(delays, np.int64)
        notes = ("a still image taken as a clip of one frame",) if len(delays) == 1 else ()
    pts = np.concatenate([[0], np.cumsum(ticks)[:-1]]).astype(np.int64)
    first = load_image(path if path.is_file() else pages[0][0], limits)
    height, width = first.shape[:2]
    bits = 8 if first.dtype == np.uint8 else 16
    source = ImageSource(pages, pts, ticks, limits, (height, width))
    video = Video(source, pts, ticks, MILLISECOND, height, width, bits, SRGB, has_alpha=bool(first.shape[2] == 4))
    return OpenedImages(video, notes)


def numbered_images(folder: Path) -> list[Path]:
    """The images of a folder, in the order of the last number in their names, then of their names."""

    def order(path: Path) -> tuple[int, str]:
        numbers = re.findall(r"\d+", path.stem)
        return (int(numbers[-1]) if numbers else -1, path.name)

    return sorted((p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and is_image(p)), key=order)


@dataclass(frozen=True, eq=False)
class ImageSource:
    """Decodes images one at a time; pages of an animated image in order."""

    pages: tuple[tuple[Path, int], ...]
    pts: np.ndarray
    durations: np.ndarray
    limits: Limits
    size: tuple[int, int] = field(default=(0, 0))

    def read(self, start: int, stop: int) -> Iterator[Frame]:
        """Yield frames ``start`` to ``stop - 1``."""
        for index in range(start, min(stop, len(self.pages))):
            path, page = self.pages[index]
            image = load_image(path, self.limits, page=page)
            if image.shape[:2] != self.size:
                height, width = self.size
                raise MediaError(
                    f"an image of {image.shape[1]}x{image.shape[0]} among images of {width}x{height}", path
                )
            alpha = np.ascontiguousarray(image[..., 3]) if image.shape[2] == 4 else None
            rgb = np.ascontiguousarray(image[..., :3])
            yield Frame(rgb, int(self.pts[index]), int(self.durations[index]), index, alpha)


def load_image(
    path: Path, limits: Limits | None = None, *, page: int = 0
) -> UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"]:
    """One image as sRGB with 3 channels, or 4 where it has transparency.

    Raises:
        MediaError: not an image, truncated, or of an unsupported kind.
        LimitError: over the pixel budget, found before decoding.
    """
    try:
        with _opened(path, limits or Limits()) as image:
            deep = _deep_pixels(path, image)
            if deep is not None:
                return deep
            image.seek(page)
            return _to_srgb(image)
    except (
        OSError,
        EOFError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as e:
        raise MediaError(f"the image cannot be decoded ({e})", path, "check or re-save the image") from e


def _opened(path: Path, limits: Limits) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        # Our own budget decides, from the header; Pillow's fixed one is lifted for the time of opening.
        ceiling, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(path)
        except UnidentifiedImageError as error:
            raise MediaError("not a recognised image", path, "give PNG, JPEG, WebP, GIF, TIFF or BMP") from error
        finally:
            Image.MAX_IMAGE_PIXELS = ceiling
    limits.check_size(*image.size, path)
    return image


def _delays(path: Path, limits: Limits) -> list[int]:
    """How long each page of an image is shown, in milliseconds."""
    with _opened(path, limits) as image:
        pages = getattr(image, "n_frames", 1)
        if pages == 1 or not getattr(image, "is_animated", False) or image.format == "TIFF":
            return [STILL_MS]
        limits.check_length(pages, 0.0, path)
        delays = []
        for page in range(pages):
            image.seek(page)
            image.load()  # the delay of a WebP page is known once it is decoded
            delays.append(max(10, round(float(image.info.get("duration", 100) or 100))))
        return delays


def _deep_pixels(path: Path, image: Image.Image) -> UInt16[np.ndarray, "h w c"] | None:
    """16-bit PNG and TIFF through OpenCV, since Pillow reduces 16-bit colour to 8."""
    if image.format not in ("PNG", "TIFF") or not (image.mode in _DEEP or _png_depth(path) == 16):
        return None
    data = np.frombuffer(path.read_bytes(), np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        return None
    if image.format == "PNG":
        pixels = _UPRIGHT.get(image.getexif().get(ORIENTATION, 1), np.asarray)(pixels)
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2)
    order = [2, 1, 0, 3][: pixels.shape[2]]
    return np.ascontiguousarray(pixels[..., order])


def _png_depth(path: Path) -> int:
    with path.open("rb") as file:
        head = file.read(26)
    return head[24] if head.startswith(b"\x89PNG") and len(head) == 26 else 0


def _to_srgb(image: Image.Image) -> UInt8[np.ndarray, "h w c"]:
    transparent = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    upright = ImageOps.exif_transpose(image)
    profile = image.info.get("icc_profile")
    if profile and upright.mode in ("RGB", "CMYK", "L"):
        upright = _apply_profile(upright, profile)
    return np.array(upright.convert("RGBA" if transparent else "RGB"))


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError):  # a broken profile leaves the colours as they are stored
        return image


def save_image(target: Path, image: Pixels, *, overwrite: bool = True, comment: str = "") -> None:
    """Write one RGB image under its final name, whole; 16 bits stay in PNG and TIFF, else 8 are kept.

    `comment` goes into PNG and JPEG files; other kinds carry none.

    Raises:
        UsageError: the folder is missing or not writable, or the file exists and `overwrite` is off.
        LimitError: the disk is full.
    """
    suffix = target.suffix.lower()
    if image.dtype == np.uint16 and suffix not in (".png", ".tif", ".tiff"):
        image = (image >> 8).astype(np.uint8)
    quality = {".jpg": cv2.IMWRITE_JPEG_QUALITY, ".jpeg": cv2.IMWRITE_JPEG_QUALITY, ".webp": cv2.IMWRITE_WEBP_QUALITY}
    settings = [quality[suffix], 95] if suffix in quality else []
    _, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), settings)
    with atomic_path(target, overwrite=overwrite) as partial:
        partial.write_bytes(_with_comment(data.tobytes(), comment.encode()))


def _with_comment(data: bytes, comment: bytes) -> bytes:
    """Put a text chunk behind a PNG's header, or a comment segment behind a JPEG's start mark."""
    if comment and data.startswith(b"\x89PNG"):
        body = b"iTXtComment\0\0\0\0\0" + comment
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        return data[:33] + chunk + data[33:]
    if comment and data.startswith(b"\xff\xd8"):
        return data[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + data[2:]
    return data


def image_comment(path: Path) -> str:
    """The comment of an image file; "" where it has none.

    Raises:
        MediaError: not an image.
    """
    with _opened(path, Limits()) as image:
        found = image.info.get("Comment", image.info.get("comment", ""))
    return found.decode(errors="replace") if isinstance(found, bytes) else str(found)
