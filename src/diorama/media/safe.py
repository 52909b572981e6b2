"""What is allowed in: local regular files of listed formats, within a budget of pixels.

FFmpeg opens far more than a converter should: URLs, playlists that name other files, synthetic endless sources. The
whitelists here close all of it (formats by content, protocol `file` only), and sizes are checked before any frame is
allocated.
"""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from diorama.errors import LimitError, MediaError, UsageError

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,nut,mxf,ivf,"
    "h264,hevc,av1,obu,m4v,vc1,rm,yuv4mpegpipe,gif,dv"
)
CONTAINER_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
VIDEO_SUFFIXES = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".ts",
        ".m2ts",
        ".mts",
        ".mpg",
        ".mpeg",
        ".flv",
        ".wmv",
        ".ogv",
        ".nut",
        ".mxf",
        ".3gp",
        ".ivf",
        ".y4m",
        ".dv",
    ]
)
_PROTOCOL = re.compile(r"([A-Za-z][\w+.-]+)(,\S*)?:(?=\S)")  # two characters or more, for the sake of C:\\films
IMAGE_SUFFIXES = frozenset([".png", ".jpg", ".jpeg", ".webp", ".gif", ".apng", ".bmp", ".tif", ".tiff"])


@dataclass(frozen=True)
class Limits:
    """Budgets checked before memory is taken; None means no limit.

    Attributes:
        frame_pixels: pixels in one frame.
        frames: frames in a clip.
        seconds: length of a clip.
    """

    frame_pixels: int = 64_000_000
    frames: int | None = None
    seconds: float | None = None

    def check_size(self, width: int, height: int, where: object) -> None:
        """Raise `LimitError` for a frame above the pixel budget."""
        if width * height > self.frame_pixels:
            raise LimitError(
                f"a frame of {width}x{height} = {width * height / 1e6:.0f} Mpx is over the limit of "
                f"{self.frame_pixels / 1e6:.0f} Mpx",
                where,
                "make it smaller; diorama stereo takes it with --max-pixels, if you trust the file",
            )

    def check_length(self, frames: int, seconds: float, where: object) -> None:
        """Raise `LimitError` for a clip that is too long."""
        if self.frames is not None and frames > self.frames:
            raise LimitError(f"{frames} frames are over the limit of {self.frames}", where, "raise --max-frames")
        if self.seconds is not None and seconds > self.seconds:
            raise LimitError(f"{seconds:.1f} s are over the limit of {self.seconds} s", where, "raise --max-seconds")


def local_path(given: str | Path) -> Path:
    """A path as given, refused where it is a URL or an FFmpeg pseudo-protocol rather than a path.

    Raises:
        UsageError: `given` is empty, names a protocol (``http:``, ``concat:``, ``subfile,,start,0:``), holds NUL, is
            too long, or leads through a folder that may not be entered.
    """
    text = str(given)
    if "\0" in text or not text:
        raise UsageError("a path with a NUL character" if text else "an empty path", repr(text[:80]), "name a file")
    if any(len(os.fsencode(part)) > 255 for part in Path(text).parts):
        raise UsageError("a file name of more than 255 bytes", text[:80] + "...", "rename the file")
    try:
        there = Path(text).exists()
    except OSError as error:
        raise UsageError(f"not a usable path ({error.strerror})", text[:80], "check it") from error
    protocol = _PROTOCOL.match(text)
    if protocol and not there:
        raise UsageError(f"{protocol[1]!r} is a protocol, only local files are used", text[:200], "download it first")
    return Path(text)


def beside(given: str | Path, ending: str) -> Path:
    """The default place of an output: beside the input, by its name without suffix; ``.`` and ``..`` have one too.

    Raises:
        UsageError: no path, or one without a name.
    """
    source = local_path(given)
    source = source.resolve() if source.name in ("", "..") else source
    if not source.name:
        raise UsageError("an input without a name, to name the output by", source, "name the output by -o")
    return source.with_name(source.stem + ending)


def regular_file(given: str | Path) -> Path:
    """A path to a non-empty regular file; symbolic links to one are followed.

    Raises:
        UsageError: not a path at all.
        MediaError: missing, a folder, a device, FIFO or socket, unreadable, or empty.
    """
    path = local_path(given)
    try:
        status = path.stat()
    except FileNotFoundError:
        raise MediaError("no such file", path, "check the path") from None
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror})", path, "check the permissions") from error
    if stat.S_ISDIR(status.st_mode):
        raise MediaError("a folder, where a file is expected", path, "name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise MediaError("not a regular file (a device, FIFO or socket)", path, "copy the media into a file first")
    if status.st_size == 0:
        raise MediaError("empty file", path, "check how it was made; it holds 0 bytes")
    return path
