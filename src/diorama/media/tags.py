"""What an MP4 says about its eyes, as a value and as the boxes of a sample description.

Google's Spherical Video V2 (`st3d`, `sv3d`: what YouTube and VR players read) and Apple's `vexu` and `hfov`
(QuickTime File Format, stereo video extensions).
"""

import struct
from dataclasses import dataclass
from typing import Literal, get_args

from diorama.errors import MediaError, UsageError
from diorama.media.mp4 import Box, box, children, entry_children, full_box

Layout = Literal["mono", "top-bottom", "left-right", "right-left"]
Pack = Literal["side", "over"]
Projection = Literal["rect", "equi", "hequ", "fish"]
Hero = Literal["left", "right"]

_LAYOUT_CODES: dict[str, int] = {"mono": 0, "top-bottom": 1, "left-right": 2, "right-left": 4}
_HERO_CODES: dict[str, int] = {"left": 1, "right": 2}
KINDS = frozenset({b"st3d", b"sv3d", b"vexu", b"hfov"})
"""The boxes that this module writes, so also those it replaces."""
_BOTH_EYES, _REVERSED = 0b0011, 0b1000


def _check_range(name: str, value: int | None, low: int, high: int) -> None:
    if value is not None and not low <= value <= high:
        raise UsageError(f"{name} {value}, expected {low} to {high}", "stereo tags")


@dataclass(frozen=True)
class Sphere:
    """The part of the sphere that an equirectangular picture covers (sv3d).

    Attributes:
        top, bottom, left, right: what is missing at each side, as a fraction of the whole sphere in 1/2**32.
        software: who made the metadata; without NUL, at most 255 bytes.
    """

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0
    software: str = "Diorama"

    def __post_init__(self) -> None:
        for name in ("top", "bottom", "left", "right"):
            _check_range(f"sphere {name}", getattr(self, name), 0, 2**32 - 1)
        if "\0" in self.software or len(self.software.encode()) > 255:
            raise UsageError("software name with NUL or above 255 bytes", "sv3d")


VR180_SPHERE = Sphere(left=0x4000_0000, right=0x4000_0000)
"""The front half of the sphere: a quarter is missing at the left and at the right."""


@dataclass(frozen=True)
class Vexu:
    """Apple's description of a picture that holds two eyes.

    Attributes:
        pack: eyes side by side or one over the other; None where they are separate layers.
        projection: of each eye: rectilinear, equirectangular, half equirectangular, fish-eye.
        reversed: whether the right eye comes first.
        hero: the eye to show where only one can be.
        baseline: distance between the cameras in micrometres.
        adjustment: horizontal shift of the eyes against each other in 1/10000 of the width, -10000 to 10000.
    """

    pack: Pack | None = "side"
    projection: Projection | None = "rect"
    reversed: bool = False
    hero: Hero | None = None
    baseline: int | None = None
    adjustment: int | None = None

    def __post_init__(self) -> None:
        _check_range("baseline in micrometres", self.baseline, 0, 2**32 - 1)
        _check_range("disparity adjustment", self.adjustment, -10_000, 10_000)


@dataclass(frozen=True)
class StereoTags:
    """What a file says about its eyes; None means that the box is absent.

    Attributes:
        layout: where the eyes are (st3d).
        sphere: what part of the sphere each eye covers (sv3d, equirectangular); None for flat pictures.
        vexu: Apple's description.
        hfov: horizontal field of view of one eye in 1/1000 degree (Apple), 1 to 360000.
    """

    layout: Layout | None = None
    sphere: Sphere | None = None
    vexu: Vexu | None = None
    hfov: int | None = None

    def __post_init__(self) -> None:
        _check_range("field of view in 1/1000 degree", self.hfov, 1, 360_000)


def tag_boxes(tags: StereoTags) -> bytes:
    """`tags` as boxes for a visual sample entry.

    st3d and sv3d stand first: FFmpeg refuses them where vexu has already described the stream.
    """
    parts = []
    if tags.layout is not None:
        parts.append(full_box(b"st3d", bytes([_LAYOUT_CODES[tags.layout]])))
    if tags.sphere is not None:
        parts.append(_sv3d(tags.sphere))
    if tags.vexu is not None:
        parts.append(_vexu(tags.vexu))
    if tags.hfov is not None:
        parts.append(box(b"hfov", struct.pack(">I", tags.hfov)))
    return b"".join(parts)


def _sv3d(sphere: Sphere) -> bytes:
    pose = full_box(b"prhd", struct.pack(">3i", 0, 0, 0))
    bounds = full_box(b"equi", struct.pack(">4I", sphere.top, sphere.bottom, sphere.left, sphere.right))
    return box(b"sv3d", full_box(b"svhd", sphere.software.encode() + b"\0"), box(b"proj", pose, bounds))


def _vexu(vexu: Vexu) -> bytes:
    flags = _BOTH_EYES | (_REVERSED if vexu.reversed else 0)
    eyes = [full_box(b"stri", bytes([flags]))]
    if vexu.hero is not None:
        eyes.append(full_box(b"hero", bytes([_HERO_CODES[vexu.hero]])))
    if vexu.baseline is not None:
        eyes.append(box(b"cams", full_box(b"blin", struct.pack(">I", vexu.baseline))))
    if vexu.adjustment is not None:
        eyes.append(box(b"cmfy", full_box(b"dadj", struct.pack(">i", vexu.adjustment))))
    parts = [box(b"eyes", *eyes)]
    if vexu.projection is not None:
        parts.append(box(b"proj", full_box(b"prji", vexu.projection.encode())))
    if vexu.pack is not None:
        parts.append(box(b"pack", full_box(b"pkin", vexu.pack.encode())))
    return box(b"vexu", *parts)


def parse_tags(data: bytes, entry: Box) -> StereoTags | None:
    """The tags in the sample description `entry` of the moov `data`, or None where it has none.

    Values that no version of the formats knows are left out.

    Raises:
        MediaError: a box is too short for what it should hold, or holds a value out of range.
    """
    found = {item.kind: item for item in entry_children(data, entry) if item.kind in KINDS}
    if not found:
        return None
    try:
        return StereoTags(
            layout=_named(_LAYOUT_CODES, _number(data, found.get(b"st3d"), ">4xB")),  # type: ignore[arg-type]
            sphere=_parse_sphere(data, found.get(b"sv3d")),
            vexu=_parse_vexu(data, found.get(b"vexu")),
            hfov=_number(data, found.get(b"hfov"), ">I"),
        )
    except UsageError as error:
        raise MediaError(f"damaged stereo tags: {error.what}") from error


def _parse_sphere(data: bytes, sv3d: Box | None) -> Sphere | None:
    equi = _find(data, sv3d, b"proj", b"equi")
    if equi is None:
        return None
    top, bottom, left, right = _unpack(data, equi, ">4x4I")
    svhd = _find(data, sv3d, b"svhd")
    software = b"" if svhd is None else data[svhd.body + 4 : svhd.end].split(b"\0")[0][:255]
    return Sphere(top, bottom, left, right, software.decode("utf-8", "ignore"))


def _parse_vexu(data: bytes, vexu: Box | None) -> Vexu | None:
    if vexu is None:
        return None
    flags = _number(data, _find(data, vexu, b"eyes", b"stri"), ">4xB") or 0
    return Vexu(
        pack=_code(data, _find(data, vexu, b"pack", b"pkin"), get_args(Pack)),  # type: ignore[arg-type]
        projection=_code(data, _find(data, vexu, b"proj", b"prji"), get_args(Projection)),  # type: ignore[arg-type]
        reversed=bool(flags & _REVERSED),
        hero=_named(_HERO_CODES, _number(data, _find(data, vexu, b"eyes", b"hero"), ">4xB")),  # type: ignore[arg-type]
        baseline=_number(data, _find(data, vexu, b"eyes", b"cams", b"blin"), ">4xI"),
        adjustment=_number(data, _find(data, vexu, b"eyes", b"cmfy", b"dadj"), ">4xi"),
    )


def _find(data: bytes, parent: Box | None, *path: bytes) -> Box | None:
    for kind in path:
        if parent is None:
            return None
        parent = next((item for item in children(data, parent.body, parent.end) if item.kind == kind), None)
    return parent


def _unpack(data: bytes, item: Box, layout: str) -> tuple[int, ...]:
    """The numbers at the start of a box, in the notation of `struct`."""
    if item.end - item.body < struct.calcsize(layout):
        raise MediaError(f"damaged stereo tags: {item.kind!r} of {item.end - item.start} bytes")
    return struct.unpack_from(layout, data, item.body)


def _number(data: bytes, item: Box | None, layout: str) -> int | None:
    return None if item is None else _unpack(data, item, layout)[0]


def _named(codes: dict[str, int], code: int | None) -> str | None:
    return next((name for name, number in codes.items() if number == code), None)


def _code(data: bytes, item: Box | None, known: tuple[str, ...]) -> str | None:
    if item is None:
        return None
    text = bytes(_unpack(data, item, ">4x4B")).decode("latin-1")
    return text if text in known else None
