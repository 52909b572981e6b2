"""Laws of the tag values: they survive their boxes, and hold only what the formats can say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diorama.errors import MediaError, UsageError
from diorama.media.mp4 import Box, box, full_box
from diorama.media.tags import Sphere, StereoTags, Vexu, parse_tags, tag_boxes

eyes = st.sampled_from(["left", "right", None])
u32 = st.integers(0, 2**32 - 1)
tag_values = st.builds(
    StereoTags,
    layout=st.sampled_from(["mono", "top-bottom", "left-right", "right-left", None]),
    sphere=st.none() | st.builds(Sphere, u32, u32, u32, u32, st.sampled_from(["", "Diorama", "für alle"])),
    vexu=st.none()
    | st.builds(
        Vexu,
        pack=st.sampled_from(["side", "over", None]),
        projection=st.sampled_from(["rect", "equi", "hequ", "fish", None]),
        reversed=st.booleans(),
        hero=eyes,
        baseline=st.none() | u32,
        adjustment=st.none() | st.integers(-10_000, 10_000),
    ),
    hfov=st.none() | st.integers(1, 360_000),
)


def parsed(boxes: bytes) -> StereoTags | None:
    """The tags of a visual sample entry that holds `boxes`."""
    data = box(b"avc1", bytes(78), boxes)
    return parse_tags(data, Box(b"avc1", 0, 8, len(data)))


@given(tag_values)
def test_tags_survive_their_boxes(tags: StereoTags) -> None:
    assert parsed(tag_boxes(tags)) == (None if tags == StereoTags() else tags)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Sphere(top=-1),
        lambda: Sphere(left=2**32),
        lambda: Sphere(software="a\0b"),
        lambda: Vexu(baseline=-1),
        lambda: Vexu(adjustment=10_001),
        lambda: StereoTags(hfov=0),
        lambda: StereoTags(hfov=360_001),
    ],
)
def test_values_out_of_range_are_usage_errors(make) -> None:
    with pytest.raises(UsageError):
        make()


def test_boxes_are_the_published_bytes() -> None:
    tags = StereoTags(
        "left-right", Sphere(left=1, right=2, software="D"), Vexu("over", "hequ", True, "right", 5, -6), 7
    )
    plain = b"\0\0\0\x0dst3d\0\0\0\0\2"
    svhd, prhd = b"\0\0\0\x0esvhd\0\0\0\0D\0", b"\0\0\0\x18prhd" + bytes(16)
    equi = b"\0\0\0\x1cequi" + bytes(12) + b"\0\0\0\1\0\0\0\2"
    sphere = b"\0\0\0\x52sv3d" + svhd + b"\0\0\0\x3cproj" + prhd + equi
    eyes = b"\0\0\0\x0dstri\0\0\0\0\x0b" + b"\0\0\0\x0dhero\0\0\0\0\2"
    eyes += b"\0\0\0\x18cams\0\0\0\x10blin\0\0\0\0\0\0\0\5"
    eyes += b"\0\0\0\x18cmfy\0\0\0\x10dadj\0\0\0\0\xff\xff\xff\xfa"
    rest = b"\0\0\0\x18proj\0\0\0\x10prji\0\0\0\0hequ" + b"\0\0\0\x18pack\0\0\0\x10pkin\0\0\0\0over"
    apple = b"\0\0\0\x8avexu\0\0\0\x52eyes" + eyes + rest
    assert tag_boxes(tags) == plain + sphere + apple + b"\0\0\0\x0chfov\0\0\0\7"


def test_unknown_values_are_left_out() -> None:
    assert parsed(full_box(b"st3d", b"\x09")) == StereoTags()
    vexu = box(b"vexu", box(b"proj", full_box(b"prji", b"flat")), box(b"pack", full_box(b"pkin", b"temp")))
    assert parsed(vexu) == StereoTags(vexu=Vexu(pack=None, projection=None))


@pytest.mark.parametrize(
    "boxes",
    [
        box(b"st3d", b"\0\0"),
        box(b"hfov", b"\0\0"),
        box(b"hfov", bytes(4)),
        box(b"sv3d", box(b"proj", full_box(b"equi", bytes(8)))),
        box(b"vexu", box(b"eyes", box(b"cmfy", full_box(b"dadj", b"\x7f\0\0\0")))),
        box(b"vexu", b"\0\0\0\x09eyes"),
    ],
)
def test_damaged_boxes_are_media_errors(boxes: bytes) -> None:
    with pytest.raises(MediaError, match="damaged"):
        parsed(boxes)
