"""The films of a study as raters get them: pictures alone, and nothing about them that tells whose they are."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av

from diorama.errors import DamagedMediaError, UsageError
from diorama.media.probe import Probe, open_container, probe

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".webm": "webm"}
"""Containers by suffix."""
BARE = {"fflags": "+bitexact"}
"""No name of the program that wrote the file."""
APART = 0.1
"""Seconds by which films of one clip may differ in length."""


def check_alike(paths: Sequence[Path]) -> None:
    """Refuse films of one clip that a rater would tell apart by their size or their length.

    Raises:
        UsageError: they differ, or one is stored turned.
        MediaError: one cannot be read.
    """
    found = [probe(path) for path in paths]
    for each in found:
        if each.rotation:
            raise UsageError("a film that is stored turned", each.path, "encode it upright")
        if (each.width, each.height, each.sar) != (found[0].width, found[0].height, found[0].sar):
            sizes = f"{each.width}x{each.height}, {found[0].path} {found[0].width}x{found[0].height}"
            raise UsageError(f"films of one clip that differ in size: {sizes}", each.path, "encode them alike")
        if abs(_seconds(each) - _seconds(found[0])) > APART:
            lengths = f"{_seconds(each):.2f} s, {found[0].path} {_seconds(found[0]):.2f} s"
            raise UsageError(f"films of one clip that differ in length: {lengths}", each.path, "cut them alike")


def copy_bare(source: Path, target: Path) -> None:
    """Copy the pictures of a film, not encoded anew, without sound, tags, dates and names.

    Args:
        source: a film that was probed.
        target: with the suffix of `source`.

    Raises:
        MediaError: it cannot be read.
    """
    number = probe(source).stream
    try:
        with open_container(source) as given, av.open(str(target), "w", FORMATS[target.suffix], options=BARE) as made:
            stream = given.streams[number]
            copy = made.add_stream_from_template(stream, opaque=True)  # else AV1's decoder is asked to encode
            copy.metadata.clear()
            made.metadata.clear()
            for packet in given.demux(stream):
                if packet.dts is not None:
                    packet.stream = copy
                    made.mux(packet)
    except (av.error.FFmpegError, ValueError) as error:
        raise DamagedMediaError(f"it cannot be copied ({error})", source, "encode it anew") from error


def _seconds(film: Probe) -> float:
    if not len(film.scan.pts):
        return 0.0
    ticks = int(film.scan.pts[-1] - film.scan.pts[0] + film.scan.durations[-1])
    return float(Fraction(ticks) * film.time_base)
