"""Views of an object as a folder of plain pictures: written, read, and refused where they are not sound."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from diorama.errors import DamagedMediaError, DioramaError, LimitError, UsageError
from diorama.media.images import save_image
from diorama.pipelines.part_views import NAME, PartViews, is_views, read_views, write_views

AZIMUTHS = np.array([0, 120, 240], np.float32)


def _views(**changes: object) -> PartViews:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 2, 16, 16, 3)).astype(np.uint8)
    labels = rng.integers(-1, 4, (3, 2, 16, 16)).astype(np.int16)
    fields = {"images": images, "colored": images[::-1].copy(), "labels": labels, "inside": labels >= 0, **changes}
    return PartViews(AZIMUTHS, 10.0, 0.7, 12.0, **fields)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_views(tmp_path / "a", _views())
    return tmp_path / "a"


def test_everything_comes_back(folder: Path) -> None:
    views, again = _views(), read_views(folder)
    assert is_views(folder)
    for name in ("images", "colored", "labels", "inside", "azimuths"):
        assert np.array_equal(getattr(again, name), getattr(views, name)), name
    assert (again.elevation, again.radius, again.fps, again.shape) == (10, pytest.approx(0.7), 12, (3, 2, 16))
    assert (folder / "sheet.png").is_file()
    assert np.allclose(again.cameras.viewmats, views.cameras.viewmats, atol=1e-6)


def test_an_existing_folder_stays(folder: Path) -> None:
    with pytest.raises(UsageError, match="exists"):
        write_views(folder, _views())


def test_silhouettes_alone_are_views(tmp_path: Path) -> None:
    inside = np.zeros((3, 1, 16, 16), bool)
    inside[:, :, 4:12, 4:12] = True
    write_views(tmp_path / "s", PartViews(AZIMUTHS, 0.0, 1.0, 25.0, inside=inside))
    again = read_views(tmp_path / "s")
    assert again.images is None
    assert again.labels is None
    assert again.inside is not None
    assert np.array_equal(again.inside, inside)


def _deep() -> np.ndarray:
    """Depths of 2 to 3 metres, here and there unknown."""
    rng = np.random.default_rng(1)
    depth = rng.uniform(2, 3, (3, 2, 16, 16)).astype(np.float32)
    return np.where(rng.random(depth.shape) < 0.3, 0, depth).astype(np.float32)


@pytest.mark.parametrize("guessed", [False, True])
def test_depth_comes_back_to_a_step_of_sixteen_bits(tmp_path: Path, guessed: bool) -> None:
    depth = _deep()
    write_views(tmp_path / "d", _views(depth=depth, guessed=guessed))
    again = read_views(tmp_path / "d")
    assert again.guessed == guessed
    assert again.depth is not None
    assert np.array_equal(again.depth == 0, depth == 0)
    assert np.abs(again.depth - depth).max() < 1.0 / 65534
    near, far = json.loads((tmp_path / "d" / NAME).read_text())["depth_range"]
    assert (near, far) == (pytest.approx(depth[depth > 0].min()), pytest.approx(depth.max()))


@pytest.mark.parametrize("metres", [0.0, 2.5])
def test_depth_that_is_the_same_everywhere_comes_back(tmp_path: Path, metres: float) -> None:
    write_views(tmp_path / "d", _views(depth=np.full((3, 2, 16, 16), metres, np.float32)))
    again = read_views(tmp_path / "d")
    assert again.depth is not None
    assert np.allclose(again.depth, metres)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"depth_range": None}, "a list"),
        ({"depth_range": [2]}, "depth_range"),
        ({"depth_range": [1, 2, 3]}, "over the limit"),
        ({"depth_range": [3, 2]}, "first below the second"),
        ({"depth_range": [2, 2]}, "first below the second"),
        ({"depth_range": [0, 2]}, "outside"),
        ({"depth_range": [-1, 2]}, "outside"),
        ({"depth_range": [1, 1e30]}, "outside"),
        ({"depth_range": [1, float("nan")]}, "NaN is not a number"),
        ({"depth_range": [1, "2"]}, "a number"),
        ({"depth_guessed": 1}, "true or false"),
    ],
)
def test_ranges_of_depth_that_are_none(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    write_views(tmp_path / "d", _views(depth=_deep()))
    _told(tmp_path / "d", **changes)
    with pytest.raises(DamagedMediaError, match=said):
        read_views(tmp_path / "d")


def _with_alpha(grey: int) -> np.ndarray:
    picture = np.full((16, 16, 4), grey, np.uint8)
    picture[:8, :, 3] = 0
    return picture


@pytest.mark.parametrize("kind", ["labels", "mask"])
@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(np.full((16, 16, 3), 3, np.uint16), id="16 bits, of which 8 would be dropped"),
        pytest.param(np.tile(np.uint8([3, 0, 0]), (16, 16, 1)), id="colours, of which one would be read"),
        pytest.param(_with_alpha(3), id="coverage that would be laid on white"),
    ],
)
def test_numbers_that_would_be_misread(tmp_path: Path, kind: str, bad: np.ndarray) -> None:
    labels = np.zeros((3, 2, 16, 16), np.int16)
    write_views(tmp_path / "d", _views(labels=labels, inside=labels == 0))
    assert read_views(tmp_path / "d").labels is not None
    cv2.imwrite(str(tmp_path / "d" / kind / "view01" / "frame0001.png"), bad[..., [2, 1, 0, 3][: bad.shape[2]]])
    with pytest.raises(DamagedMediaError, match="no opaque grey picture of 8 bits"):
        read_views(tmp_path / "d")


@pytest.mark.parametrize("number", [-2, 255])
def test_parts_that_no_picture_can_number(number: int) -> None:
    with pytest.raises(UsageError, match="number parts from 0 to 254"):
        _views(labels=np.full((3, 2, 16, 16), number, np.int16))


def test_depth_pictures_that_are_none(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    write_views(folder, _views(depth=_deep()))
    picture = folder / "depth" / "view02" / "frame0000.png"
    for bad, said in [
        (np.zeros((16, 16, 3), np.uint8), "16 bits"),
        (np.arange(768, dtype=np.uint16).reshape(16, 16, 3), "no opaque grey picture"),
        (np.zeros((16, 32, 3), np.uint16), "32x16"),
    ]:
        save_image(picture, bad)
        with pytest.raises(DamagedMediaError, match=said):
            read_views(folder)
    picture.unlink()
    with pytest.raises(DamagedMediaError, match="a picture is missing"):
        read_views(folder)
    told = json.loads((folder / NAME).read_text())
    del told["depth_range"]
    (folder / NAME).write_text(json.dumps(told))
    with pytest.raises(DamagedMediaError, match="without depth_range"):
        read_views(folder)


@pytest.mark.parametrize(
    ("depth", "said"),
    [
        (np.full((3, 2, 16, 16), np.nan), "0 where it is not known"),
        (np.full((3, 2, 16, 16), np.inf), "0 where it is not known"),
        (np.full((3, 2, 16, 16), -1.0), "0 where it is not known"),
    ],
)
def test_depth_that_is_none(depth: np.ndarray, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        _views(depth=depth.astype(np.float32))
    with pytest.raises(UsageError, match="one shape"):
        PartViews(AZIMUTHS, 0.0, 1.0, 25.0, depth=np.ones((3, 2, 16, 16), np.float32))


def _told(folder: Path, **changes: object) -> None:
    told = json.loads((folder / NAME).read_text())
    (folder / NAME).write_text(json.dumps({**told, **changes}))


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"azimuths": [0, 120, 480]}, UsageError, "two views from 120"),
        ({"azimuths": [0, 120]}, None, ""),  # a view that is not spoken of is not read
        ({"azimuths": [0, 90, 180, 270]}, DamagedMediaError, "a picture is missing"),
        ({"azimuths": []}, DioramaError, "azimuth"),
        ({"azimuths": [0, 120, 1e9]}, DamagedMediaError, "outside"),
        ({"frames": 3}, DamagedMediaError, "a picture is missing"),
        ({"frames": 0}, DamagedMediaError, "outside"),
        ({"size": 32}, DamagedMediaError, "expected 32x32"),
        ({"size": 2048, "frames": 9000}, LimitError, "9000 frames"),
        ({"radius": -1}, DamagedMediaError, "radius"),
        ({"elevation": 90}, DamagedMediaError, "elevation"),
        ({"fps": 0}, DamagedMediaError, "fps"),
        ({"version": 2}, DamagedMediaError, "version 1"),
        ({"diorama": "scene"}, DamagedMediaError, "version 1"),
        ({"extra": 1}, DamagedMediaError, "unknown key"),
    ],
)
def test_descriptions_that_do_not_fit(
    folder: Path, changes: dict[str, object], error: type[Exception] | None, said: str
) -> None:
    _told(folder, **changes)
    if error is None:
        assert read_views(folder).shape[0] == 2
        return
    with pytest.raises(error, match=said):
        read_views(folder)


def test_no_json_no_pictures_and_a_picture_of_another_size(folder: Path, tmp_path: Path) -> None:
    picture = folder / "rgb" / "view01" / "frame0001.png"
    save_image(picture, np.zeros((8, 16, 3), np.uint8))
    with pytest.raises(DamagedMediaError, match="16x8"):
        read_views(folder)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / NAME).write_text((folder / NAME).read_text())
    with pytest.raises(UsageError, match="no folder"):
        read_views(tmp_path / "b")
    (tmp_path / "b" / NAME).write_text("{")
    with pytest.raises(DamagedMediaError, match="JSON"):
        read_views(tmp_path / "b")


def test_no_picture_at_all_and_wide_pictures() -> None:
    with pytest.raises(UsageError, match="one shape"):
        PartViews(AZIMUTHS, 0.0, 1.0, 25.0)
    with pytest.raises(UsageError, match="square"):
        PartViews(AZIMUTHS, 0.0, 1.0, 25.0, inside=np.ones((3, 1, 8, 9), bool))
