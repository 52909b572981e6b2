"""Laws of packing two eyes into one picture."""

import math
from itertools import pairwise

import numpy as np
import pytest

from diorama.errors import UsageError
from diorama.media.stereo import FORMATS, VR180, Rig, container_tags, even, pack, packed_size, stereo_format
from diorama.media.vr180 import half_sphere

PACKED = [name for name in FORMATS if name != "eyes"]
FLAT = [name for name in PACKED if name != "vr180"]
SMALL = VR180(size=64)


def noise(seed: int, height: int, width: int, dtype: type = np.uint8) -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top, (height, width, 3), dtype=dtype, endpoint=True)


def eyes(height: int = 6, width: int = 10, dtype: type = np.uint8) -> tuple[np.ndarray, np.ndarray]:
    return noise(1, height, width, dtype), noise(2, height, width, dtype)


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(6, 10), (7, 11), (1, 1)])
def test_size_and_type_are_as_announced(name: str, dtype: type, size: tuple[int, int]) -> None:
    left, right = eyes(*size, dtype)
    kept = left.copy(), right.copy()
    made = pack(left, right, name, depth=left[..., 0], vr180=SMALL)
    assert made.shape == (*packed_size(*size, name, vr180=SMALL), 3)
    assert made.dtype == dtype
    assert (left == kept[0]).all()
    assert (right == kept[1]).all()
    assert not np.shares_memory(made, left)


def test_full_formats_keep_every_pixel() -> None:
    left, right = eyes()
    beside, over = pack(left, right, "sbs"), pack(left, right, "tb")
    assert (beside[:, :10] == left).all()
    assert (beside[:, 10:] == right).all()
    assert (over[:6] == left).all()
    assert (over[6:] == right).all()


@pytest.mark.parametrize("name", [name for name in PACKED if name != "rgbd"])
def test_swap_exchanges_the_eyes(name: str) -> None:
    left, right = eyes(20, 30)
    swapped = pack(left, right, name, swap=True, vr180=SMALL)
    assert (swapped == pack(right, left, name, vr180=SMALL)).all()
    assert (swapped != pack(left, right, name, vr180=SMALL)).any()


def test_cross_eye_is_swapped_side_by_side() -> None:
    left, right = eyes()
    assert (pack(left, right, "cross-eye") == pack(left, right, "sbs", swap=True)).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("width", [10, 11, 1])
def test_half_side_by_side_is_the_mean_of_two_columns(dtype: type, width: int) -> None:
    left, right = eyes(6, width, dtype)
    made = pack(left, right, "half-sbs").astype(int)
    for eye, half in ((left, made[:, : made.shape[1] // 2]), (right, made[:, made.shape[1] // 2 :])):
        pairs = even(eye)[:6].astype(int)
        mean = (pairs[:, ::2] + pairs[:, 1::2] + 1) // 2
        assert np.abs(half - mean).max() <= (dtype == np.uint16)  # 16 bits: half to even


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("height", [10, 11, 1])
def test_half_top_bottom_is_the_mean_of_two_rows(dtype: type, height: int) -> None:
    left, right = eyes(height, 6, dtype)
    made = pack(left, right, "half-tb").astype(int)
    for eye, half in ((left, made[: made.shape[0] // 2]), (right, made[made.shape[0] // 2 :])):
        pairs = even(eye)[:, :6].astype(int)
        assert (half == (pairs[::2] + pairs[1::2] + 1) // 2).all()


def test_half_formats_turn_the_finest_stripes_grey() -> None:
    stripes = np.zeros((8, 8, 3), np.uint8)
    stripes[:, ::2] = 255
    assert (pack(stripes, stripes, "half-sbs") == 128).all()
    flat = np.ascontiguousarray(stripes.transpose(1, 0, 2))
    assert (pack(flat, flat, "half-tb") == 128).all()


def test_even_pads_by_repeating_and_leaves_even_pictures_alone() -> None:
    image = noise(3, 5, 7)
    padded = even(image)
    assert padded.shape == (6, 8, 3)
    assert (padded[:5, :7] == image).all()
    assert (padded[5, :7] == image[4]).all()
    assert (padded[:5, 7] == image[:, 6]).all()
    assert even(padded) is padded


@pytest.mark.parametrize("name", PACKED)
def test_even_eyes_give_even_pictures(name: str) -> None:
    assert all(side % 2 == 0 for side in packed_size(358, 638, name))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_rgbd_holds_picture_and_grey_depth(dtype: type) -> None:
    left, _ = eyes(6, 10, dtype)
    top = np.iinfo(dtype).max
    depth = np.linspace(-0.5, 1.5, 60, dtype=np.float32).reshape(6, 10)
    made = pack(left, left, "rgbd", depth=depth)
    assert (made[:, :10] == left).all()
    assert (made[:, 10:, 0] == np.rint(np.clip(depth, 0, 1) * top)).all()
    assert np.ptp(made[:, 10:], axis=2).max() == 0
    assert (pack(left, left, "rgbd", depth=left[..., 1])[:, 10:, 2] == left[..., 1]).all()


def test_depth_without_a_value_is_far() -> None:
    left, _ = eyes()
    depth = np.full((6, 10), np.nan, np.float32)
    assert (pack(left, left, "rgbd", depth=depth)[:, 10:] == 0).all()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"right": noise(2, 6, 8)}, "one size and type"),
        ({"right": noise(2, 6, 10, np.uint16)}, "one size and type"),
        ({"name": "imax"}, "unknown stereo format"),
        ({"name": "eyes"}, "its own file"),
        ({"name": "rgbd"}, "without depth"),
        ({"name": "rgbd", "depth": np.zeros((6, 8), np.float32)}, "picture's size"),
        ({"name": "rgbd", "depth": np.zeros((6, 10), np.uint16)}, "picture's type"),
        ({"name": "rgbd", "depth": np.zeros((6, 10), np.float32), "swap": True}, "no eyes to exchange"),
    ],
)
def test_what_cannot_be_packed_is_a_usage_error(change: dict, match: str) -> None:
    left, right = eyes()
    with pytest.raises(UsageError, match=match):
        pack(**{"left": left, "right": right, "name": "sbs", **change})


@pytest.mark.parametrize("options", [{"hfov": 5.0}, {"hfov": 179.0}, {"size": 63}, {"size": 8}, {"size": 1 << 14}])
def test_sphere_options_are_checked(options: dict) -> None:
    with pytest.raises(UsageError, match="vr180"):
        VR180(**options)


def ramp(height: int, width: int) -> np.ndarray:
    """Red is the column, green the row, as 16-bit fractions of the sides; blue marks the picture."""
    image = np.empty((height, width, 3), np.uint16)
    image[..., 0] = np.rint((np.arange(width) + 0.5) / width * 60000)
    image[..., 1] = np.rint((np.arange(height) + 0.5) / height * 60000)[:, None]
    image[..., 2] = 65535
    return image


@pytest.mark.parametrize("side", [720, 360])  # the smaller one smooths the picture first
def test_each_ray_of_the_sphere_meets_its_own_pixel(side: int) -> None:
    height, width, hfov = 200, 320, 80.0
    options = VR180(hfov=hfov, size=side)
    square = half_sphere(ramp(height, width), options).astype(float)
    focal = width / 2 / math.tan(math.radians(hfov) / 2)
    inside = 0
    for row in range(side // 4, 3 * side // 4, side // 23):
        for column in range(side // 4, 3 * side // 4, side // 23):
            longitude = math.radians(((column + 0.5) / side - 0.5) * 180)
            latitude = math.radians((0.5 - (row + 0.5) / side) * 180)
            ray = (
                math.cos(latitude) * math.sin(longitude),
                -math.sin(latitude),
                math.cos(latitude) * math.cos(longitude),
            )
            x, y = focal * ray[0] / ray[2] + width / 2, focal * ray[1] / ray[2] + height / 2
            red, green, blue = square[row, column]
            if 4 <= x <= width - 4 and 4 <= y <= height - 4:
                inside += 1
                assert blue == 65535
                assert red / 60000 * width == pytest.approx(x, abs=0.05)
                assert green / 60000 * height == pytest.approx(y, abs=0.05)
            elif not (-4 <= x <= width + 4 and -4 <= y <= height + 4):
                assert blue == 0
    assert inside > 40


@pytest.mark.parametrize("hfov", [40.0, 90.0, 120.0])
def test_the_picture_covers_its_field_of_view(hfov: float) -> None:
    square = half_sphere(np.full((90, 160, 3), 255, np.uint8), VR180(hfov=hfov, size=720))
    lit = square[360, :, 0] > 127
    assert lit.sum() / 720 * 180 == pytest.approx(hfov, abs=0.6)
    assert (square == square[:, ::-1]).all()
    assert (square == square[::-1]).all()


def test_sphere_keeps_mirror_symmetry_and_agrees_over_bit_depths() -> None:
    image = noise(5, 60, 100)
    options = VR180(size=128)
    square = half_sphere(image, options)
    assert np.abs(half_sphere(image[:, ::-1], options)[:, ::-1].astype(int) - square).max() <= 8  # 1/32 pixel steps
    wide = half_sphere(image.astype(np.uint16) * 257, options)
    assert np.abs(wide / 257 - square).max() <= 1.5


def test_fine_stripes_are_averaged_when_the_sphere_is_small() -> None:
    stripes = np.zeros((90, 160, 3), np.uint8)
    stripes[:, ::2] = 255
    square = half_sphere(stripes, VR180(hfov=90.0, size=64)).astype(int)
    assert np.abs(square[28:36, 20:44] - 128).max() < 40


def test_sphere_eyes_stand_side_by_side() -> None:
    left, right = eyes(40, 60)
    made = pack(left, right, "vr180", vr180=SMALL)
    assert (made[:, :64] == half_sphere(left, SMALL)).all()
    assert (made[:, 64:] == half_sphere(right, SMALL)).all()


def test_default_sphere_keeps_the_centre_resolution_up_to_a_decodable_size() -> None:
    assert VR180().side(1920) == 2048
    assert VR180(hfov=90.0).side(640) == pytest.approx(320 * math.pi, abs=1)
    assert VR180(hfov=90.0, size=1440).side(1920) == 1440


def test_the_table_names_every_format_once() -> None:
    assert [entry.name for entry in FORMATS.values()] == list(FORMATS)
    assert len(FORMATS) == 10
    assert all(len(entry.suffixes) == (2 if entry.arrangement == "files" else 1) for entry in FORMATS.values())
    with pytest.raises(UsageError, match="cross-eye"):
        stereo_format("side")


@pytest.mark.parametrize(
    ("name", "swap", "layout", "matroska", "x264"),
    [
        ("sbs", False, "left-right", "left_right", "frame-packing=3"),
        ("half-sbs", False, "left-right", "left_right", "frame-packing=3"),
        ("sbs", True, "right-left", "right_left", None),
        ("cross-eye", False, "right-left", "right_left", None),
        ("cross-eye", True, "left-right", "left_right", "frame-packing=3"),
        ("tb", False, "top-bottom", "top_bottom", "frame-packing=4"),
        ("half-tb", True, None, "bottom_top", None),
        ("vr180", False, "left-right", "left_right", None),
    ],
)
def test_tags_say_where_the_eyes_are(
    name: str, swap: bool, layout: str | None, matroska: str, x264: str | None
) -> None:
    tags = container_tags(name, swap=swap)
    assert tags.mp4 is not None
    assert tags.mp4.vexu is not None
    assert (tags.mp4.layout, tags.matroska, tags.x264) == (layout, matroska, x264)
    assert tags.mp4.vexu.pack == ("over" if "tb" in name else "side")
    assert tags.mp4.vexu.reversed == (matroska in ("right_left", "bottom_top"))
    assert (tags.mp4.sphere is not None) == (name == "vr180")


@pytest.mark.parametrize("name", ["anaglyph", "red-cyan", "rgbd", "eyes"])
def test_pictures_that_are_not_two_eyes_are_not_called_so(name: str) -> None:
    tags = container_tags(name)
    assert tags.mp4 is None
    assert tags.x264 is None
    assert tags.matroska == ("anaglyph_cyan_red" if name in ("anaglyph", "red-cyan") else None)
    assert container_tags(name, swap=True).matroska is None


def test_the_rig_reaches_the_tags() -> None:
    tags = container_tags("sbs", rig=Rig(hfov=63.4, baseline=0.0192, adjustment=-150)).mp4
    assert tags is not None
    assert tags.vexu is not None
    assert (tags.hfov, tags.vexu.baseline, tags.vexu.adjustment) == (63_400, 19_200, -150)


def test_larger_fields_of_view_reach_further_on_the_sphere() -> None:
    squares = [half_sphere(np.full((90, 160, 3), 9, np.uint8), VR180(hfov=h, size=200)) for h in (30.0, 60.0, 110.0)]
    assert all((a <= b).all() for a, b in pairwise(squares))
