"""Stereo films for the page: what kind of file it is, and how it holds the two eyes."""

from pathlib import Path

from diorama.errors import DioramaError, MediaError
from diorama.media.boxes import read_tags
from diorama.media.formats import FORMATS, StereoFormat
from diorama.media.probe import open_container
from diorama.media.safe import regular_file
from diorama.media.tags import Sphere
from diorama.pipelines.clip_page import LAYOUTS, Film, Layout

SUFFIXES = (".mp4", ".m4v", ".mov", ".webm", ".mkv")
"""Of films that browsers may play."""
_USUAL: tuple[float, ...] = (16 / 9, 4 / 3, 3 / 2, 1.0, 3 / 4, 9 / 16, 1.85, 2.0, 2.39)
"""Width over height of what people look at."""
_NEAR = 0.03
_FULL = 2.4
"""Width over height above which eyes of no usual shape that stand beside each other are whole."""
_TALL = 1.25
"""Width over height below which such eyes over each other are whole."""
_MATROSKA = {
    "left_right": ("sbs", False),
    "right_left": ("sbs", True),
    "top_bottom": ("tb", False),
    "bottom_top": ("tb", True),
}


def film_of(path: Path, layout: Layout | None = None) -> Film:
    """What a film is, by its container and its name.

    Args:
        path: of the film.
        layout: how it holds the eyes; None: found out, first by its tags, then by how its name ends. Which eye comes
            first is found out in any case.

    Raises:
        MediaError: no film, or of a kind that browsers do not play.
    """
    path = regular_file(path)
    with open_container(path) as container:
        if not container.streams.video:
            raise MediaError("no pictures in it", path, "give a film")
        name, stream = container.format.name, container.streams.video[0]
        width, height, codec = stream.codec_context.width, stream.codec_context.height, stream.codec_context.name
        pixel = float(stream.codec_context.sample_aspect_ratio or 1)
        mode = stream.metadata.get("stereo_mode") or container.metadata.get("stereo_mode") or ""
    mp4 = "mp4" in name.split(",")
    if not mp4 and "matroska" not in name and "webm" not in name:
        raise MediaError(f"a film in the format {name[:40]}, which browsers do not play", path, "convert it to MP4")
    if width < 1 or height < 1:
        raise MediaError("the header states no frame size", path, "re-encode it")
    found, swapped, how = _told(path, mode, mp4=mp4, wide=pixel * width / height)
    if layout is not None:
        found, how = layout, "as asked"
    told = f"{width} × {height} · {codec} · {LAYOUTS[found].lower()}, {how}"
    return Film("video/mp4" if mp4 else "video/webm", found, swapped, told)


def _told(path: Path, mode: str, *, mp4: bool, wide: float) -> tuple[Layout, bool, str]:
    """Layout, whether the right eye comes first, and how that is known; `wide` as browsers show the film."""
    named, usual = _by_name(path), _USUAL
    if mode in _MATROSKA:
        base, swapped = _MATROSKA[mode]
    elif mp4 and (tagged := _by_boxes(path)) is not None:
        base, swapped, usual = tagged
    elif named is not None:
        if named.arrangement not in ("side", "over") or not named.stereo:
            return "one", False, f"{named.name} by its name"
        base, swapped = "sbs" if named.arrangement == "side" else "tb", named.reversed
        return _halved(base, half=named.half), swapped, "by its name"
    elif wide > _FULL:
        return "sbs", False, "by its shape"
    else:
        return "one", False, "no other eye is told of"
    half = named.half if named is not None else _squeezed(base, wide, usual)
    return _halved(base, half=half), swapped, "by its tags"


def _squeezed(base: str, wide: float, usual: tuple[float, ...]) -> bool:
    """Whether eyes lost half of a side: whole ones of a usual shape are believed first, then squeezed ones."""
    whole = wide / 2 if base == "sbs" else 2 * wide
    for eye, half in ((whole, False), (wide, True)):
        if any(abs(eye / shape - 1) < _NEAR for shape in usual):
            return half
    return wide < _FULL if base == "sbs" else wide > _TALL


def _halved(base: str, *, half: bool) -> Layout:
    if base == "sbs":
        return "half-sbs" if half else "sbs"
    return "half-tb" if half else "tb"


def _by_boxes(path: Path) -> tuple[str, bool, tuple[float, ...]] | None:
    """How the eyes stand, whether the right one comes first, and the shapes they may have."""
    try:
        tags = read_tags(path)
    except DioramaError:
        return None  # a film without tags that can be read is told by its name
    if tags is None:
        return None
    layouts = {"left-right": ("sbs", False), "right-left": ("sbs", True), "top-bottom": ("tb", False)}
    usual = _USUAL if tags.sphere is None else _of_sphere(tags.sphere)
    if tags.layout in layouts:
        return (*layouts[tags.layout], usual)
    if tags.vexu is not None and tags.vexu.pack is not None:
        return "sbs" if tags.vexu.pack == "side" else "tb", tags.vexu.reversed, usual
    return None


def _of_sphere(sphere: Sphere) -> tuple[float, ...]:
    """The shape of an eye that covers this part of the sphere, of which the whole is twice as wide as high."""
    width, height = 2**32 - sphere.left - sphere.right, 2**32 - sphere.top - sphere.bottom
    return (2 * width / height,) if min(width, height) > 0 else _USUAL


def _by_name(path: Path) -> StereoFormat | None:
    """The format whose suffix the name ends with, the longest."""
    stem = path.stem.lower()
    fits = [(len(end), entry) for entry in FORMATS.values() for end in entry.suffixes if stem.endswith(end.lower())]
    return max(fits, key=lambda fit: fit[0])[1] if fits else None
