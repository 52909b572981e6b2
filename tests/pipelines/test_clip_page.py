"""The page of a stereo film: it stands alone, and shows each eye, both, and their mix as the library mixes them."""

import base64
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from select import select
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diorama.errors import MediaError, UsageError
from diorama.media.anaglyph import dubois
from diorama.media.boxes import StereoTags, inject
from diorama.media.tags import VR180_SPHERE, Sphere
from diorama.pipelines import clip_page as module
from diorama.pipelines.clip_page import Film, clip_page
from diorama.pipelines.view_film import film_of

EVIL = '</script><img src=x onerror="document.title=1">&amp;{{film}}'
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--hide-scrollbars", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-component-update"),
)
SIZE = 720, 420
PATIENCE = 60
"""Seconds; software draws slowly where much else runs."""
TROUBLE = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


class Browser:
    """Chromium with one page, driven over a pair of pipes by its own protocol."""

    def __init__(self, folder: Path, *flags: str) -> None:
        assert CHROMIUM is not None
        (hear, self._out), (self._in, tell) = os.pipe(), os.pipe()
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", *flags, "about:blank"]
        script = f"import os,sys; os.dup2({hear},103); os.dup2({tell},104); os.dup2(103,3); os.dup2(104,4); "
        script += "[os.set_inheritable(n, True) for n in (3, 4)]; os.execv(sys.argv[1], sys.argv[1:])"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen([sys.executable, "-c", script, *command], pass_fds=(hear, tell), **quiet)
        os.close(hear)
        os.close(tell)
        self._text, self._count, self._session, self.events = b"", 0, {}, list[dict[str, Any]]()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        still = [{"name": "prefers-reduced-motion", "value": "reduce"}]
        self.call("Emulation.setEmulatedMedia", features=still)
        width, height = SIZE
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": params, **self._session}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._text:
                assert select([self._in], [], [], PATIENCE)[0], f"no answer to {method}"
                got = os.read(self._in, 1 << 20)
                assert got, "the browser has gone"
                self._text += got
            text, _, self._text = self._text.partition(b"\0")
            answer = json.loads(text)
            if answer.get("id") == message["id"]:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def do(self, code: str) -> Any:
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def open(self, url: str) -> None:
        """Go to a page, and wait until it has read what it shows."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.wait(f"location.href === {json.dumps(url)} && document.documentElement?.dataset.state")

    def wait(self, code: str) -> None:
        until = time.monotonic() + PATIENCE
        while not self.do(code):
            assert time.monotonic() < until, code
            time.sleep(0.02)

    def seen(self) -> np.ndarray:
        """The picture, once it no longer changes."""
        before = b""
        for _ in range(200):
            self.do(
                "new Promise((done) => requestAnimationFrame(() => setTimeout(() => requestAnimationFrame(done), 30)))"
            )
            after = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
            if after == before:
                return np.asarray(Image.open(io.BytesIO(after)).convert("RGB")).astype(int)
            before = after
        raise AssertionError("the picture goes on changing")

    def put(self, name: str, value: object, event: str = "change") -> None:
        """As if somebody had set a slider or a list."""
        part = f"document.getElementById({name!r})"
        self.do(f"{part}.value = {json.dumps(value)}; {part}.dispatchEvent(new Event({event!r}))")

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def troubles(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event.get("method") in TROUBLE]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._out)
        os.close(self._in)


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    found = Browser(tmp_path_factory.mktemp("profile"), "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
    yield found
    found.close()


LEFT, RIGHT = (200, 60, 40), (50, 90, 210)


def eyes(index: int, height: int, width: int) -> np.ndarray:
    """The left half red, the right half blue; greener from top to bottom."""
    image = np.empty((height, width, 3), np.uint8)
    image[:, : width // 2], image[:, width // 2 :] = LEFT, RIGHT
    image[height // 2 :, :, 1] += 80
    return image


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path]) -> Path:
    path = tmp_path_factory.mktemp("film") / "a_LRF_Full_SBS.webm"
    options = {"lossless": "1"}
    return make_clip(path, codec="libvpx-vp9", size=(64, 192), frames=6, image=eyes, codec_options=options)


def test_the_page_stands_alone_and_takes_texts_as_text() -> None:
    page = clip_page(Film("video/mp4", told=EVIL), title=EVIL, data=b"film")
    assert page.count("<img") == 0
    assert page.count("</script") == 1
    assert "://" not in page
    assert "media-src data:" in page
    assert base64.b64encode(b"film").decode() in page
    assert "media-src 'self'" in clip_page(Film("video/mp4"), title="x")
    assert page == clip_page(Film("video/mp4", told=EVIL), title=EVIL, data=b"film")


@pytest.mark.parametrize("address", ["", "../a", "a/b", "http:a", '"x', "a\n"])
def test_addresses_that_lead_elsewhere_are_refused(address: str) -> None:
    with pytest.raises(UsageError, match="address"):
        clip_page(Film("video/mp4"), title="x", beside=address)


def test_what_is_no_film_or_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="kind"):
        Film("text/html")
    monkeypatch.setattr(module, "MOST_INSIDE", 3)
    with pytest.raises(UsageError, match="without --save"):
        clip_page(Film("video/mp4"), title="x", data=b"film")


@pytest.mark.parametrize(
    ("name", "size", "layout", "swapped"),
    [
        ("a_LRF_Full_SBS.mp4", (32, 128), "sbs", False),
        ("a_LR.mp4", (32, 64), "half-sbs", False),
        ("a_TBF_fulltb.mp4", (64, 64), "tb", False),
        ("a_TB.mp4", (32, 64), "half-tb", False),
        ("a_RLF_cross.mp4", (32, 128), "sbs", True),
        ("a_redcyan.mp4", (32, 64), "one", False),
        ("wide.mp4", (32, 128), "sbs", False),
        ("plain.mp4", (32, 64), "one", False),
    ],
)
def test_the_name_tells_the_layout(
    name: str, size: tuple[int, int], layout: str, swapped: bool, tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    found = film_of(make_clip(tmp_path / name, size=size, frames=2))
    assert (found.kind, found.layout, found.swapped) == ("video/mp4", layout, swapped)


def test_tags_come_before_names(tmp_path: Path, make_clip: Callable[..., Path]) -> None:
    inject(make_clip(tmp_path / "raw.mp4", size=(36, 64), frames=2), tmp_path / "tagged.mp4", StereoTags("right-left"))
    found = film_of(tmp_path / "tagged.mp4")
    assert (found.layout, found.swapped) == ("half-sbs", True)
    assert "by its tags" in found.told
    assert film_of(tmp_path / "tagged.mp4", "tb").layout == "tb"
    (tmp_path / "text.mp4").write_text("no film at all")
    with pytest.raises(MediaError):
        film_of(tmp_path / "text.mp4")
    with pytest.raises(MediaError, match="browsers do not play"):
        film_of(make_clip(tmp_path / "a.avi", frames=2))


@pytest.mark.parametrize(
    ("place", "size", "layout"),
    [
        ("left-right", (36, 128), "sbs"),  # 16:9
        ("left-right", (36, 64), "half-sbs"),
        ("left-right", (48, 128), "sbs"),  # 4:3
        ("left-right", (48, 64), "half-sbs"),
        ("left-right", (64, 128), "sbs"),  # square
        ("left-right", (64, 72), "sbs"),  # 9:16
        ("left-right", (64, 96), "sbs"),  # 3:4
        ("left-right", (40, 96), "half-sbs"),  # cinema
        ("left-right", (40, 192), "sbs"),
        ("top-bottom", (72, 64), "tb"),
        ("top-bottom", (36, 64), "half-tb"),
        ("top-bottom", (128, 64), "tb"),
    ],
)
def test_tagged_eyes_are_whole_where_that_is_their_usual_shape(
    place: str, size: tuple[int, int], layout: str, tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    inject(make_clip(tmp_path / "raw.mp4", size=size, frames=2), tmp_path / "a.mp4", StereoTags(place))  # type: ignore[arg-type]
    assert film_of(tmp_path / "a.mp4").layout == layout


@pytest.mark.parametrize(
    ("place", "size", "sphere", "layout"),
    [
        ("left-right", (64, 64), VR180_SPHERE, "half-sbs"),
        ("left-right", (64, 128), VR180_SPHERE, "sbs"),
        ("left-right", (32, 128), Sphere(), "sbs"),
        ("left-right", (32, 64), Sphere(), "half-sbs"),
        ("top-bottom", (64, 64), Sphere(), "tb"),
        ("top-bottom", (32, 64), Sphere(), "half-tb"),
    ],
)
def test_spheres_tell_the_shape_of_their_eyes(
    place: str, size: tuple[int, int], sphere: Sphere, layout: str, tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    tags = StereoTags(place, sphere)  # type: ignore[arg-type]
    inject(make_clip(tmp_path / "raw.mp4", size=size, frames=2), tmp_path / "a.mp4", tags)
    assert film_of(tmp_path / "a.mp4").layout == layout


def test_wide_pixels_make_whole_eyes(tmp_path: Path, make_clip: Callable[..., Path]) -> None:
    make_clip(tmp_path / "raw.mp4", size=(36, 64), frames=2, sar=Fraction(2))
    inject(tmp_path / "raw.mp4", tmp_path / "a.mp4", StereoTags("left-right"))
    assert film_of(tmp_path / "a.mp4").layout == "sbs"  # browsers show it 128 wide


def test_another_layout_leaves_the_order_of_the_eyes(tmp_path: Path, make_clip: Callable[..., Path]) -> None:
    inject(make_clip(tmp_path / "raw.mp4", frames=2), tmp_path / "tagged.mp4", StereoTags("right-left"))
    found = film_of(tmp_path / "tagged.mp4", "half-sbs")
    assert (found.layout, found.swapped) == ("half-sbs", True)
    assert "as asked" in found.told
    named = film_of(make_clip(tmp_path / "a_RLF_cross.mp4", frames=2), "half-sbs")
    assert (named.layout, named.swapped) == ("half-sbs", True)


@needs_chromium
def test_each_eye_both_and_their_mix_are_shown(browser: Browser, film: Path, tmp_path: Path) -> None:
    found = film_of(film)
    assert (found.kind, found.layout) == ("video/webm", "sbs")
    (tmp_path / "page.html").write_text(clip_page(found, title="Eyes", data=film.read_bytes()), encoding="utf-8")
    browser.open((tmp_path / "page.html").as_uri())
    rows, middle = (150, 260), SIZE[0] // 2  # above and below the middle of the picture
    alone = {}
    for way, color in (("left", LEFT), ("right", RIGHT)):
        browser.put("way", way)
        seen = browser.seen()
        alone[way] = np.array([seen[row, middle] for row in rows], np.uint8)
        assert alone[way][0] == pytest.approx(np.array(color), abs=25)
        assert alone[way][1] == pytest.approx(np.add(color, (0, 80, 0)), abs=25)
    for way, first, second in (("parallel", LEFT, RIGHT), ("cross", RIGHT, LEFT)):
        browser.put("way", way)
        seen = browser.seen()
        assert seen[190, middle - 60] == pytest.approx(np.array(first), abs=25)
        assert seen[190, middle + 60] == pytest.approx(np.array(second), abs=25)
    browser.put("way", "anaglyph")
    seen = browser.seen()
    expected = dubois(alone["left"][None], alone["right"][None])[0]
    assert np.array([seen[row, middle] for row in rows]) == pytest.approx(expected.astype(int), abs=3)
    browser.put("way", "left")
    browser.do("document.getElementById('swap').click()")
    assert browser.seen()[150, middle] == pytest.approx(np.array(RIGHT), abs=25)
    browser.put("layout", "one")
    assert browser.do("document.getElementById('way').disabled")
    assert browser.seen()[190, middle - 60] == pytest.approx(np.array(LEFT), abs=25)
    assert browser.troubles() == []


@needs_chromium
def test_eyes_take_turns_and_the_film_plays(browser: Browser, film: Path, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(clip_page(film_of(film), title="Eyes", data=film.read_bytes()))
    browser.open((tmp_path / "page.html").as_uri())
    browser.put("way", "wiggle")
    shown = set()
    until = time.monotonic() + PATIENCE
    while len(shown) < 2 and time.monotonic() < until:
        data = base64.b64decode(browser.call("Page.captureScreenshot", format="png")["data"])
        red, _, blue = Image.open(io.BytesIO(data)).convert("RGB").getpixel((360, 150))
        shown.add(red > blue)
    assert shown == {True, False}
    browser.press(" ")
    browser.wait("document.getElementById('film').currentTime > 0.05")
    assert browser.do("document.getElementById('play').getAttribute('aria-label')") == "Pause"
    assert browser.troubles() == []


@needs_chromium
def test_the_page_says_that_it_loads_until_a_picture_is_there(browser: Browser, film: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(clip_page(film_of(film), title="Eyes", data=film.read_bytes()), encoding="utf-8")
    waiting = "{ const now = requestAnimationFrame; requestAnimationFrame = (act) => { window.go = () => now(act); }; }"
    script = browser.call("Page.addScriptToEvaluateOnNewDocument", source=waiting)["identifier"]
    try:
        browser.call("Page.navigate", url=path.as_uri())
        browser.wait(
            f"location.href === {json.dumps(path.as_uri())} && document.getElementById('film')?.readyState > 1"
        )
        assert browser.do("document.documentElement.dataset.state") is None
        assert "Loading" in browser.do("document.getElementById('loading').innerText")
        browser.wait("(window.go?.(), document.documentElement.dataset.state === 'ready')")
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    assert browser.do("document.getElementById('loading').hidden")


@needs_chromium
def test_where_nothing_loads_before_play_the_page_does_not_say_so(browser: Browser, film: Path, tmp_path: Path) -> None:
    page = clip_page(film_of(film), title="Eyes", data=film.read_bytes())
    assert page.count('preload="auto"') == 1
    (tmp_path / "page.html").write_text(page.replace('preload="auto"', 'preload="none"'), encoding="utf-8")
    url = (tmp_path / "page.html").as_uri()
    browser.call("Page.navigate", url=url)
    browser.wait(f"location.href === {json.dumps(url)} && document.getElementById('loading')?.hidden")
    assert browser.do("document.documentElement.dataset.state") is None, "no picture yet"
    browser.press(" ")
    browser.wait("document.documentElement.dataset.state === 'ready'")


@needs_chromium
def test_hostile_texts_are_text_and_damage_is_told(browser: Browser, tmp_path: Path) -> None:
    page = clip_page(Film("video/webm", told=EVIL), title=EVIL, data=b"no film")
    (tmp_path / "evil.html").write_text(page, encoding="utf-8")
    browser.open((tmp_path / "evil.html").as_uri())
    assert browser.do("document.title") == EVIL
    assert browser.do("document.querySelectorAll('img').length") == 0
    assert "cannot play" in browser.do("document.getElementById('notice').textContent")
    assert browser.do("document.getElementById('loading').hidden")
