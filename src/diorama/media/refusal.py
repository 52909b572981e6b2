"""Why FFmpeg could not open a file, said so that a user can act on it."""

import logging
import re
from pathlib import Path

import av

from diorama.errors import DioramaError, LimitError, MediaError
from diorama.media.mp4 import find_moov, read_moov
from diorama.media.safe import CONTAINER_OPTIONS

log = logging.getLogger(__name__)

_REFUSED_SIZE = re.compile(r"Picture size (\d+x\d+) is invalid")
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")


def encrypted(path: Path) -> MediaError:
    """The error for protected video."""
    return MediaError("the video is encrypted (DRM)", path, "give an unprotected copy")


def is_protected(path: Path) -> bool:
    """Whether the header of an MP4 names a protected kind of video, where FFmpeg sees an unknown one."""
    try:
        with path.open("rb") as file:
            header = read_moov(file, find_moov(file, path.stat().st_size))
    except (DioramaError, OSError):
        return False
    return b"encv" in header or b"drmi" in header


def beyond_ffmpeg(path: Path) -> LimitError | None:
    """The error for a frame size that FFmpeg itself refuses, which it says in its log only; None if it did not."""
    level, skip = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as said, av.open(str(path.absolute()), options=dict(CONTAINER_OPTIONS)):
            pass
    except (av.error.FFmpegError, OSError, ValueError):
        log.debug("FFmpeg does not open %s", path)
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skip)
    sizes = [found[1] for _, _, text in said if (found := _REFUSED_SIZE.search(text))]
    if not sizes:
        return None
    return LimitError(f"a frame of {sizes[0]} is more than FFmpeg decodes", path, "give a smaller picture")


def unreadable(path: Path, error: Exception) -> DioramaError:
    """What it means that FFmpeg failed to open `path` with `error`, judged by the first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as problem:
        return MediaError(f"cannot be read ({problem.strerror})", path, "check the permissions")
    if head[4:8] in _MP4_BOXES:
        return MediaError("the header (moov) is missing: the file was cut off", path, "try to remux or re-copy it")
    if isinstance(error, av.error.EOFError):
        return MediaError("the file ends before its first frame", path, "check how it was made")
    beyond = beyond_ffmpeg(path)
    if beyond is not None:
        return beyond
    return MediaError(f"not a recognised video ({reason(error)})", path, "give MP4, MOV, MKV, WebM, AVI, ...")


def reason(error: Exception) -> str:
    """FFmpeg's or the system's words for an error, without its number."""
    return str(getattr(error, "strerror", "") or error)
