"""The ways two eyes are put into one picture, and what containers call them: one table."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from diorama.errors import UsageError
from diorama.media.tags import VR180_SPHERE, Layout, Pack, StereoTags, Vexu

FormatName = Literal["sbs", "half-sbs", "tb", "half-tb", "cross-eye", "anaglyph", "red-cyan", "vr180", "rgbd", "eyes"]
Arrangement = Literal["side", "over", "blend", "files"]

_LAYOUTS: dict[tuple[Arrangement, bool], Layout | None] = {
    ("side", False): "left-right",
    ("side", True): "right-left",
    ("over", False): "top-bottom",
    ("over", True): None,  # st3d has no value for the right eye on top
}
_MATROSKA = {
    ("side", False): "left_right",
    ("side", True): "right_left",
    ("over", False): "top_bottom",
    ("over", True): "bottom_top",
}
_SEI = {"side": 3, "over": 4}
_PACKS: dict[Arrangement, Pack] = {"side": "side", "over": "over"}


@dataclass(frozen=True)
class StereoFormat:
    """One output format.

    Attributes:
        name: the value of ``--format``.
        description: one line of help.
        suffixes: what the file name ends with before its extension, as VR players expect; two for separate eyes.
        arrangement: eyes beside or over each other, blended into one picture, or in two files.
        half: whether both eyes share the pixels of one frame (each loses half of its columns or rows).
        reversed: whether the right eye comes first.
        stereo: whether a player can tell the eyes apart from the arrangement, so that it is tagged.
        spherical: whether each eye is a half equirectangular picture (180 degrees).
        matroska: stereo mode where the arrangement does not already say it.
        chroma: subsampling that the picture survives; colour carries the depth in an anaglyph.
    """

    name: FormatName
    description: str
    suffixes: tuple[str, ...]
    arrangement: Arrangement
    half: bool = False
    reversed: bool = False
    stereo: bool = True
    spherical: bool = False
    matroska: str | None = None
    chroma: Literal["420", "444"] = "420"


_TABLE = (
    StereoFormat("sbs", "both eyes side by side, full width each", ("_LRF_Full_SBS",), "side"),
    StereoFormat("half-sbs", "side by side in one frame, half the columns each", ("_LR",), "side", half=True),
    StereoFormat("tb", "left eye over right eye, full height each", ("_TBF_fulltb",), "over"),
    StereoFormat("half-tb", "left over right in one frame, half the rows each", ("_TB",), "over", half=True),
    StereoFormat("cross-eye", "right eye on the left, to be seen by squinting", ("_RLF_cross",), "side", reversed=True),
    StereoFormat(
        "anaglyph",
        "red-cyan glasses, Dubois colours",
        ("_redcyan",),
        "blend",
        stereo=False,
        matroska="anaglyph_cyan_red",
        chroma="444",
    ),
    StereoFormat(
        "red-cyan",
        "red-cyan glasses, channels taken over as they are",
        ("_redcyan",),
        "blend",
        stereo=False,
        matroska="anaglyph_cyan_red",
        chroma="444",
    ),
    StereoFormat("vr180", "half spheres side by side, for headsets", ("_LR_180",), "side", spherical=True),
    StereoFormat("rgbd", "picture and its grey depth side by side", ("_RGBD",), "side", stereo=False),
    StereoFormat("eyes", "two files, one for each eye", ("_left", "_right"), "files", stereo=False),
)
FORMATS: MappingProxyType[str, StereoFormat] = MappingProxyType({entry.name: entry for entry in _TABLE})


def stereo_format(name: str) -> StereoFormat:
    """The format called `name`.

    Raises:
        UsageError: no such format; the message lists those there are.
    """
    try:
        return FORMATS[name]
    except KeyError:
        known = ", ".join(FORMATS)
        raise UsageError(f"unknown stereo format {name!r}", "--format", f"use one of {known}") from None


@dataclass(frozen=True)
class Rig:
    """The camera pair that Apple's players ask about; for a converted film these are chosen, not measured.

    Attributes:
        hfov: horizontal field of view of one eye in degrees, 1 to 180.
        baseline: distance between the eyes in metres.
        adjustment: shift of the eyes against each other for comfort, in 1/10000 of the picture width.
    """

    hfov: float = 60.0
    baseline: float = 0.063
    adjustment: int = 0


@dataclass(frozen=True)
class ContainerTags:
    """How each container says which eye is where; None where it has no way, or nothing to say.

    Attributes:
        mp4: for `boxes.inject`, after the file is complete.
        matroska: for ``stream.metadata["stereo_mode"]``, before the header is written.
        x264: joins the ``x264-params`` option of libx264 (H.264 frame-packing SEI).
    """

    mp4: StereoTags | None = None
    matroska: str | None = None
    x264: str | None = None


def container_tags(name: str, *, swap: bool = False, rig: Rig = Rig()) -> ContainerTags:
    """Tags of a file in format `name`; with `swap` they say that the eyes are exchanged.

    libx264 can only write "left first", so a file whose right eye is first gets no SEI: none is better than a
    wrong one. See H.264 annex D.2.26, Matroska StereoMode, Google's spherical video V2, Apple's vexu.
    """
    entry = stereo_format(name)
    if not entry.stereo:
        return ContainerTags(matroska=None if swap else entry.matroska)
    right_first = entry.reversed != swap
    key = (entry.arrangement, right_first)
    vexu = Vexu(
        pack=_PACKS[entry.arrangement],
        projection="hequ" if entry.spherical else "rect",
        reversed=right_first,
        hero="left",
        baseline=round(rig.baseline * 1e6),
        adjustment=rig.adjustment,
    )
    mp4 = StereoTags(
        layout=_LAYOUTS[key],
        sphere=VR180_SPHERE if entry.spherical else None,
        vexu=vexu,
        hfov=180_000 if entry.spherical else round(rig.hfov * 1000),
    )
    sei = None if right_first or entry.spherical else f"frame-packing={_SEI[entry.arrangement]}"
    return ContainerTags(mp4, _MATROSKA[key], sei)
