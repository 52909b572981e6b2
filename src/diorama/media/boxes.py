"""Stereo and sphere tags of MP4: written into a finished file, and read back.

FFmpeg's muxer writes them only from stream side data that PyAV cannot set, so they are put into the sample
description afterwards.
"""

import os
from io import BufferedIOBase
from pathlib import Path

from diorama.errors import DioramaError, MediaError, UsageError
from diorama.media.atomic import atomic_path
from diorama.media.mp4 import Box, find_moov, read_moov, sample_entries, tracks, video_of
from diorama.media.mp4_edit import replace_in_entries
from diorama.media.tags import KINDS, VR180_SPHERE, Sphere, StereoTags, Vexu, parse_tags, tag_boxes

__all__ = ["VR180_SPHERE", "Sphere", "StereoTags", "Vexu", "inject", "read_tags"]

_CHUNK = 1 << 20


def inject(source: Path, target: Path, tags: StereoTags) -> None:
    """Copy MP4 `source` to `target` with `tags` in its video track, in place of any that are there.

    Pictures and sound are copied as they are; memory is bounded by the header, not by the film. `target` appears
    only when it is complete, and replaces a file of that name.

    Raises:
        MediaError: not an MP4, damaged, fragmented, encrypted, or without video.
        LimitError: a header too large to be one, or no space left for `target`.
        UsageError: `target` is `source`, or its folder cannot be written to.
    """
    if _same(source, target):
        raise UsageError("tags cannot be written into the file that is read", target, "name another output")
    with _opened(source) as file:
        moov, data = _header(file, source)
        try:
            new = replace_in_entries(data, moov.end, new=tag_boxes(tags), drop=KINDS)
        except DioramaError as error:
            raise _located(error, source) from error
        _write(file, target, moov, new)


def read_tags(path: Path) -> StereoTags | None:
    """The tags of the first video track of an MP4, or None where it has none.

    Raises:
        MediaError: not an MP4, damaged, fragmented, encrypted, or without video.
    """
    with _opened(path) as file:
        _, data = _header(file, path)
    try:
        return parse_tags(data, sample_entries(data, video_of(tracks(data)))[0])
    except DioramaError as error:
        raise _located(error, path) from error


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _opened(path: Path) -> BufferedIOBase:
    try:
        if not path.is_file():
            raise MediaError("not a regular file" if path.exists() else "no such file", path)
        return path.open("rb")
    except OSError as error:
        raise MediaError(f"cannot be read: {error.strerror}", path) from error


def _header(file: BufferedIOBase, path: Path) -> tuple[Box, bytes]:
    try:
        moov = find_moov(file, os.fstat(file.fileno()).st_size)
        return moov, read_moov(file, moov)
    except DioramaError as error:
        raise _located(error, path) from error


def _located(error: DioramaError, path: Path) -> DioramaError:
    where = f"{path}, {error.where}" if error.where else str(path)
    return type(error)(error.what, where, error.fix)


def _write(file: BufferedIOBase, target: Path, moov: Box, new: bytes) -> None:
    with atomic_path(target) as partial, partial.open("wb") as out:
        _copy(file, out, 0, moov.start)
        out.write(new)
        _copy(file, out, moov.end, os.fstat(file.fileno()).st_size)


def _copy(file: BufferedIOBase, out: BufferedIOBase, start: int, end: int) -> None:
    file.seek(start)
    while start < end:
        chunk = file.read(min(_CHUNK, end - start))
        if not chunk:
            raise MediaError("the file became shorter while it was read")
        out.write(chunk)
        start += len(chunk)
