"""The pages stand alone, show what they are given, and take every text as text."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diorama.errors import UsageError
from diorama.pipelines.comfort import FrameComfort
from diorama.pipelines.gallery import Row, write_gallery
from diorama.pipelines.page import animation, drawing, from_file, photo
from diorama.pipelines.report import Report, Sample, colored, marked, write_report

EVIL = "<script>alert(1)</script>&\"'"
VOID = {"meta", "img", "source", "!doctype"}


class Reader(HTMLParser):
    """Collects tags, checks that they nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "srcset", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(path: Path) -> tuple[str, Reader]:
    text = path.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert all(link.startswith("data:") for link in reader.links)
    assert "http://" not in text
    assert "https://" not in text
    assert "script" not in reader.seen
    return text, reader


def picture(seed: int = 0, shape: tuple[int, int] = (48, 64), dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (*shape, 3), dtype=dtype)


def sample(dtype: type = np.uint8) -> Sample:
    known = np.ones((48, 64), bool)
    known[:, -4:] = False
    return Sample(1.5, picture(0, dtype=dtype), picture(1, dtype=dtype), picture(2, dtype=dtype),
                  np.linspace(0, 1, 12 * 16, dtype=np.float32).reshape(12, 16), known)  # fmt: skip


def records(count: int) -> list[FrameComfort]:
    return [FrameComfort(i, i / 25, i // 10, (-1.0, -0.5, 0.0, 0.5, 1.0), 0.2, 0.5) for i in range(count)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_report_stands_alone(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "out.html"
    report = Report("clip_sbs.mp4", [sample(dtype)], records(30), settings={"divergence": 2.5}, timings={"decode": 1.2})
    write_report(path, report)
    text, reader = read(path)
    assert reader.seen.count("img") == 6  # chart, wiggle, anaglyph, source, depth, holes
    for words in ("clip_sbs.mp4", "comfortable", "At 1.50 s", "6.25 % filled in", "shot 3", "divergence", "decode"):
        assert words in text
    for link in reader.links:
        Image.open(io.BytesIO(base64.b64decode(link.partition(",")[2]))).load()


def test_a_report_of_nothing(tmp_path: Path) -> None:
    write_report(tmp_path / "out.html", Report("empty", [], []))
    read(tmp_path / "out.html")


def test_texts_are_escaped(tmp_path: Path) -> None:
    report = Report(
        EVIL, [sample()], records(2), settings={EVIL: EVIL}, timings={EVIL: 1.0}, notes=[EVIL, "lone \ud800"]
    )
    write_report(tmp_path / "out.html", report)
    row = Row(EVIL, EVIL, photo(picture(), EVIL), [animation([picture(), picture(1)], EVIL)], EVIL)
    write_gallery(tmp_path / "gallery.html", [row], title=EVIL)
    for name in ("out.html", "gallery.html"):
        text, _ = read(tmp_path / name)
        assert "&lt;script&gt;" in text


def test_an_unwritable_place_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write_report(tmp_path / "missing" / "out.html", Report("x", [], []))


def test_depth_colours_run_from_dark_to_bright() -> None:
    light = colored(np.linspace(0, 1, 64, dtype=np.float32)[None]).astype(int).sum(axis=2)[0]
    assert np.all(np.diff(light) >= -2)
    assert light[-1] > light[0] + 400
    hostile = np.array([[np.nan, np.inf, -np.inf, 2.0]], np.float32)
    assert colored(hostile).shape == (1, 4, 3)


def test_holes_are_marked_and_nothing_else() -> None:
    known = np.ones((48, 64), bool)
    known[3:5, 7:9] = False
    shown = marked(picture(), known)
    magenta = (shown.astype(int) == (236, 72, 153)).all(axis=2)
    assert np.array_equal(magenta, ~known)


def test_a_wiggle_has_both_eyes() -> None:
    wiggle = animation([np.zeros((20, 20, 3), np.uint8), np.full((20, 20, 3), 200, np.uint8)], "w")
    image = Image.open(io.BytesIO(wiggle.data))
    assert getattr(image, "n_frames", 1) == 2
    assert image.info["loop"] == 0


def test_pictures_are_reduced_but_never_enlarged() -> None:
    for width, expected in ((64, 64), (1000, 720)):
        media = photo(np.zeros((10, width, 3), np.uint8), "x")
        assert Image.open(io.BytesIO(media.data)).width == expected


def test_drawings_are_exact() -> None:
    image = picture()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(drawing(image, "x").data))), image)


def test_gallery_takes_files_and_clips(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"not really")
    with pytest.raises(UsageError, match="cannot be shown"):
        from_file(tmp_path / "a.txt", "x")
    row = Row("stereo", "look", photo(picture(), "before"), [from_file(tmp_path / "a.mp4", "after")], "diorama stereo")
    write_gallery(tmp_path / "gallery.html", [row, row])
    text, reader = read(tmp_path / "gallery.html")
    assert reader.seen.count("video") == 2
    assert len(re.findall("<section>", text)) == 2
