"""The page of a scene: it stands alone, and draws what the formulas say, over time, from all sides, for two eyes."""

import base64
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from select import select
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diorama.core.camera import Cameras
from diorama.core.gaussians import Gaussians, MovingGaussians, cubic
from diorama.core.rotations import normalize, to_matrix
from diorama.errors import UsageError
from diorama.media.anaglyph import dubois
from diorama.media.splat import Scene4d, SplatSequence
from diorama.pipelines import scene_page_data as data
from diorama.pipelines.scene_page import SCRIPTS, scene_page
from diorama.pipelines.web_page import source

EVIL = '</script><img src=x onerror="document.title=1">&amp;{{scene}}'
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


CLEAR = np.s_[112:340, :]
"""Rows of the page that no bar covers."""


def camera() -> Cameras:
    K = np.array([[90.0, 0, 48], [0, 90, 30], [0, 0, 1]])
    viewmat = np.eye(4)
    viewmat[:3, :3] = to_matrix(normalize(np.array([1, 0.05, -0.1, 0.02])))
    viewmat[:3, 3] = 0.1, -0.2, 0.3
    return Cameras(viewmat[None], K[None], 64, 96)


def blobs(count: int = 9, seed: int = 1) -> Gaussians:
    """Before the camera, of all shapes, and overlapping."""
    rng = np.random.default_rng(seed)
    pixels = np.stack([rng.uniform(25, 71, count), rng.uniform(20, 46, count)], axis=1)
    means = camera().unproject(pixels[None], rng.uniform(2, 4, count)[None])[0]
    shares = rng.random((count, 4))
    scales = rng.uniform(0.03, 0.25, (count, 3)).astype(np.float32)
    quats = normalize(rng.normal(size=(count, 4))).astype(np.float32)
    opacities = (0.4 + 0.6 * shares[:, 3]).astype(np.float32)
    return Gaussians(means.astype(np.float32), quats, scales, opacities, shares[:, :3].astype(np.float32))


def moving(rest: Gaussians | None = None) -> MovingGaussians:
    """Two seconds; some follow a node that shifts and turns, some both, and one comes and goes.

    The nodes' turns stand on opposite sides: q and -q turn alike, but sum to nothing.
    """
    rest = blobs() if rest is None else rest
    count, times = len(rest), np.array([0, 0.5, 1.25, 2], np.float32)
    nodes = np.array([[0, 0, 3], [0.4, 0.2, 2.5]], np.float32)
    shifts, turns = np.zeros((4, 2, 3), np.float32), np.zeros((4, 2, 4))
    shifts[:, 1] = [(0, 0, 0), (0.5, -0.1, 0.1), (-0.3, 0.2, 0.3), (0, 0.1, 0)]
    turns[..., 0], turns[:, 1, 1:] = 1, [(0, 0, 0), (0, 0.4, 0.2), (0.3, 0, -0.2), (0, 0, 0.5)]
    turns = normalize(turns).astype(np.float32)
    turns[:, 1] *= -1
    share = np.linspace(0, 1, count, dtype=np.float32)
    there = np.full((count, 2), np.inf, np.float32)
    there[:, 0], there[-1] = 1, (1.2, 0.3)
    links = np.tile(np.array([0, 1], np.int32), (count, 1))
    weights = np.stack([1 - share, share], axis=1)
    return MovingGaussians(rest, times, nodes, shifts, turns, links, weights, there)


def scene() -> Scene4d:
    return Scene4d(moving(), camera(), 24.0)


def drawn(gaussians: Gaussians, eye: Cameras, ground: tuple[float, ...] = (0, 0, 0)) -> np.ndarray:
    """What the canvas shows of Gaussians: each an ellipse, the nearest over the others (Zwicker et al. 2001)."""
    width, height = SIZE
    fit = min(width / eye.width, height / eye.height)
    f, c = eye.Ks[0].diagonal()[:2] * fit, (np.array(SIZE) - fit * np.array([eye.width, eye.height])) / 2
    c = c + fit * eye.Ks[0, :2, 2]
    rotation, shift = eye.viewmats[0, :3, :3], eye.viewmats[0, :3, 3]
    local = gaussians.means @ rotation.T + shift
    pixels = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
    color, left = np.zeros((height, width, 3)), np.ones((height, width, 1))
    for i in np.argsort(local[:, 2]):
        x, y, z = local[i]
        J = np.array([[f[0] / z, 0, -f[0] * x / z**2], [0, f[1] / z, -f[1] * y / z**2]])
        axes = J @ rotation @ to_matrix(gaussians.quats[i].astype(float)) @ np.diag(gaussians.scales[i])
        away = pixels - (f * local[i, :2] / z + c)
        form = np.einsum("hwi,ij,hwj->hw", away, np.linalg.inv(axes @ axes.T + 0.3 * max(1, fit**2) * np.eye(2)), away)
        alpha = np.minimum(0.999, gaussians.opacities[i] * np.exp(-form / 2))[..., None]
        alpha[alpha < 1 / 255] = 0
        color += left * alpha * gaussians.colors[i]
        left *= 1 - alpha
    return 255 * (color + left * ground)


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 40, 30)).save(file, "PNG")
    return file.getvalue()


def test_the_page_stands_alone_and_takes_texts_as_text() -> None:
    page = scene_page(scene(), title=EVIL, facts={EVIL: EVIL, "half a letter": "\ud800"}, poster=picture())
    reader = Reader()
    reader.feed(page)
    tags = [tag for tag, _ in reader.tags]
    assert tags.count("img") == 1  # the poster
    assert tags.count("script") == page.count("</script") == 2
    assert reader.text.count(EVIL) == 4  # title, heading, a fact's name and value
    assert not [attrs for _, attrs in reader.tags if {"href", "onclick", "onload", "style"} & attrs.keys()]
    (policy,) = [a["content"] for t, a in reader.tags if t == "meta" and a.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "http" not in policy
    assert "://" not in page.replace(EVIL, "")
    assert page == scene_page(scene(), title=EVIL, facts={EVIL: EVIL, "half a letter": "\ud800"}, poster=picture())
    for name in SCRIPTS:
        assert len(source(name).splitlines()) <= 250, name


def test_what_a_page_cannot_show_is_refused() -> None:
    with pytest.raises(UsageError, match="no Gaussians"):
        scene_page(blobs(0), title="x")
    with pytest.raises(UsageError, match="poster"):
        scene_page(scene(), title="x", poster=b"<svg>")
    many = moving()
    nodes = np.zeros((data.MOST_NODES + 1, 3), np.float32)
    still = np.zeros((1, len(nodes), 4), np.float32)
    still[..., 0] = 1
    far = replace(many, nodes=nodes, times=np.zeros(1, np.float32), shifts=still[..., 1:], turns=still)
    with pytest.raises(UsageError, match="65537 nodes"):
        scene_page(far, title="x")


def test_the_least_seen_are_left_out_of_what_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "MOST_INSIDE", 5 * data.STILL * 16 + 8)
    whole = blobs()
    found = data.page_scene(whole)
    assert (len(found.table), found.left_out) == (5, 4)
    area = whole.opacities * np.sort(whole.scales, axis=1)[:, 1:].prod(axis=1)
    kept = [i for i, mean in enumerate(whole.means) if mean.tobytes() in found.table.tobytes()]
    assert sorted(area[kept]) == sorted(area)[4:]
    frames = data.page_scene(SplatSequence((whole, whole[:4])))
    assert frames.starts == (0, 3, 4)


def test_nodes_that_nothing_follows_do_not_travel() -> None:
    small, more = moving(), 50
    far = np.full((more, 3), 9, np.float32)
    turns = np.zeros((4, more, 4), np.float32)
    turns[..., 0] = 1
    large = replace(  # the two nodes that are followed stand last and first
        small,
        nodes=np.concatenate([small.nodes[1:], far, small.nodes[:1]]),
        shifts=np.concatenate([small.shifts[:, 1:], turns[..., 1:], small.shifts[:, :1]], axis=1),
        turns=np.concatenate([small.turns[:, 1:], turns, small.turns[:, :1]], axis=1),
        links=np.where(small.links == 0, more + 1, 0).astype(np.int32),
    )
    ready, kept = data.page_scene(Scene4d(large, camera())), data.page_scene(Scene4d(small, camera()))
    assert ready.moving is not None
    assert len(ready.moving.nodes) == 2
    for moment in (0, 0.7, 1.9):
        assert ready.moving.at(moment).means == pytest.approx(small.at(moment).means, abs=1e-5)
    assert len(data.page_bytes(ready)) == len(data.page_bytes(kept))


def test_a_page_is_as_large_as_it_may_be_and_never_of_nodes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rest, keys = blobs(), 60
    nodes = np.zeros((9, 3), np.float32)
    turns = np.zeros((keys, 9, 4), np.float32)
    turns[..., 0] = 1
    links, weights = np.arange(9, dtype=np.int32)[:, None], np.ones((9, 1), np.float32)
    own = MovingGaussians(rest, np.arange(keys, dtype=np.float32), nodes, turns[..., 1:], turns, links, weights)
    size, row = 9 * (12 + keys * 28), data.MOVING * 16
    monkeypatch.setattr(data, "MOST_INSIDE", 2 * size - 2)
    with pytest.raises(UsageError, match="9 nodes with 60 keys"):
        data.page_scene(own)
    monkeypatch.setattr(data, "MOST_INSIDE", 2 * size)
    assert len(data.page_scene(own).table) == 9
    many = replace(own, rest=blobs(900), links=np.tile(links, (100, 1)), weights=np.tile(weights, (100, 1)))
    found = data.page_scene(many)
    assert 0.98 * size < len(found.table) * row <= size
    assert found.left_out == 900 - len(found.table)


def test_an_empty_moment_in_the_middle_is_passed_over() -> None:
    whole = blobs()
    found = data.page_scene(SplatSequence((whole[:3], blobs(0), blobs(0), whole), (0.0, 1.0, 2.0, 3.0)))
    assert found.starts == (0, 3, 3, 3, 12)
    assert found.depth == data.page_scene(whole).depth
    assert data.page_scene(SplatSequence((whole, blobs(0)))).starts == (0, 9, 9)


def test_bytes_hold_what_they_say() -> None:
    ready = data.page_scene(scene())
    raw = data.page_bytes(ready)
    length = int.from_bytes(raw[:4], "little")
    note = json.loads(raw[4 : 4 + length])
    assert (4 + length) % 16 == 0
    count, nodes, keys = note["count"], note["nodes"], len(note["times"])
    assert len(raw) == 4 + length + 16 * note["texels"] * count + 4 * nodes * (3 + keys * 7)
    table = np.frombuffer(raw, "<u4", count * 12, 4 + length).reshape(count, 12)
    assert np.array_equal(np.ascontiguousarray(table[:, :3]).view("<f4"), blobs().means)
    assert np.ascontiguousarray(table[:, 6:8]).view("<f2")[:, :3] == pytest.approx(np.log(blobs().scales), abs=2e-3)


def soft(means: np.ndarray, scale: float = 0.02, opacity: float = 0.9) -> Gaussians:
    count = len(means)
    turns, ones = np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)), np.ones((count, 3), np.float32)
    shares = np.full(count, opacity, np.float32)
    return Gaussians(means.astype(np.float32), turns, np.float32(scale) * ones, shares, 0.8 * ones)


def joined(*parts: Gaussians) -> Gaussians:
    names = ("means", "quats", "scales", "opacities", "colors")
    return Gaussians(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def ball(count: int = 400, stretch: tuple[float, float, float] = (1, 1, 1)) -> np.ndarray:
    """Points on an ellipsoid away from the origin."""
    away = np.random.default_rng(4).normal(size=(count, 3))
    return away / np.linalg.norm(away, axis=1, keepdims=True) * stretch + [7, -3, 20]


def seen_from_a_camera() -> np.ndarray:
    """What a camera at the origin sees of a floor, a wall and something near."""
    y, x = np.mgrid[:36, :64] + 0.5
    z = np.where((x < 20) & (y > 12), 1.0, np.where(y > 24, 40 / (y - 20), 10))
    return np.stack([(x - 32) / 88 * z, (y - 18) / 88 * z, z], axis=-1).reshape(-1, 3)


FRAMED: dict[str, tuple[Gaussians, int]] = {
    "ball": (soft(ball()), 400),
    "ball among faint strays": (joined(soft(ball()), soft(40 * ball(80), opacity=0.05)), 400),
    "ball with a few strays": (joined(soft(ball()), soft(ball(3) * -9)), 400),
    "wide": (soft(ball(stretch=(6, 0.5, 1))), 400),
    "high": (soft(ball(stretch=(0.3, 4, 2))), 400),
    "from a camera": (soft(seen_from_a_camera(), 0.005), 36 * 64),
    "one": (soft(np.array([[3.0, 2.0, 1.0]]), 0.5), 1),
    "all in one place": (soft(np.zeros((20, 3)), 1e-4), 20),
    "next to invisible": (soft(ball(), opacity=0.0), 400),
    "far away": (soft(1e6 * ball(), 1e4), 400),
}


@pytest.mark.parametrize("name", FRAMED)
def test_a_scene_without_cameras_fills_the_picture_and_nothing_much_is_cut(name: str) -> None:
    gaussians, count = FRAMED[name]
    ready = data.page_scene(gaussians)
    (pixels,), (depths,) = ready.view.project(gaussians.means[:count].astype(float))
    size = np.array([ready.view.width, ready.view.height])
    assert (depths > 0).all()
    assert ready.depth > 0
    assert ((pixels > 0) & (pixels < size)).all(axis=1).mean() > 0.97
    reach = 2 * ready.view.Ks[0, 0, 0] * gaussians.scales[:count, :1] / depths[:, None]
    fills = ((pixels + reach).max(axis=0) - (pixels - reach).min(axis=0)) / size
    assert 0.8 < fills.max() < 1.1


@needs_chromium
@pytest.mark.parametrize("size", [(1000, 640), (390, 844)])
@pytest.mark.parametrize("name", ["ball among faint strays", "wide", "high", "from a camera"])
def test_a_scene_without_cameras_fills_any_window(
    name: str, size: tuple[int, int], browser: Browser, tmp_path: Path
) -> None:
    gaussians, count = FRAMED[name]
    (tmp_path / "a.html").write_text(scene_page(gaussians[:count], title="x"), encoding="utf-8")
    resized(browser, size)
    try:
        browser.open((tmp_path / "a.html").as_uri())
        browser.do("for (const part of document.querySelectorAll('.bar, .view > *:not(canvas)')) part.hidden = true")
        browser.do("document.querySelector('.view').style.background = '#000'")
        lit = browser.seen().max(axis=-1) > 40
    finally:
        resized(browser, SIZE)
    rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    box = np.array([np.ptp(columns) + 1, np.ptp(rows) + 1]) / size
    assert box.max() > 0.7
    assert np.concatenate([lit[0], lit[-1], lit[:, 0], lit[:, -1]]).mean() < 0.02


def resized(browser: Browser, size: tuple[int, int]) -> None:
    more = {"deviceScaleFactor": 1, "mobile": False}
    browser.call("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], **more)


COVERED = """[...document.querySelectorAll("button, select, input")].filter((part) => {
    const { left, top, width, height } = part.getBoundingClientRect();
    if (!width) return false;
    const found = document.elementFromPoint(left + width / 2, top + height / 2);
    return !(found && (part.contains(found) || found.contains(part)));
}).map((part) => part.id)"""
"""Names of what can be pressed, were there nothing over it or were it inside the window."""


@needs_chromium
@pytest.mark.parametrize("size", [(1000, 640), (390, 844)])
def test_nothing_covers_what_can_be_pressed(size: tuple[int, int], page: Browser) -> None:
    resized(page, size)
    long = "a name of a scene that takes two lines of the narrow window"
    try:
        page.do(f"document.querySelector('h1').textContent = {json.dumps(long)}")
        page.put("eyes", "parallel")
        page.do("document.getElementById('help').click()")
        assert page.do(COVERED) == []
        bottom = page.do("document.getElementById('keys').getBoundingClientRect().bottom")
        assert bottom <= page.do("document.getElementById('player').getBoundingClientRect().top")
    finally:
        page.do("document.getElementById('help').click()")
        resized(page, SIZE)


@needs_chromium
def test_a_page_says_that_it_loads_until_it_shows_something(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(scene_page(scene(), title="Blobs", poster=picture()), encoding="utf-8")
    slow = "{ const now = fetch; fetch = (...all) => new Promise((go) => { window.go = () => go(now(...all)); }); }"
    script = browser.call("Page.addScriptToEvaluateOnNewDocument", source=slow)["identifier"]
    try:
        browser.call("Page.navigate", url=path.as_uri())
        browser.wait(f"location.href === {json.dumps(path.as_uri())} && window.go !== undefined")
        assert browser.do("document.documentElement.dataset.state") is None
        assert "Loading" in browser.do("document.getElementById('loading').innerText")
        assert browser.seen()[110, 350].tolist() == [200, 40, 30]  # the poster
        browser.do("window.go()")
        browser.wait("document.documentElement.dataset.state === 'ready'")
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    assert browser.do("document.getElementById('loading') ?? document.getElementById('poster')") is None
    assert np.abs(browser.seen()[CLEAR] - (200, 40, 30)).max() > 100


@needs_chromium
def test_a_page_that_loses_its_graphics_before_the_first_picture_does_not_go_on_loading(
    browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    path.write_text(scene_page(scene(), title="Blobs", poster=picture()), encoding="utf-8")
    waiting = "{ const now = requestAnimationFrame; requestAnimationFrame = (act) => { window.go = () => now(act); }; }"
    script = browser.call("Page.addScriptToEvaluateOnNewDocument", source=waiting)["identifier"]
    url, loading = json.dumps(path.as_uri()), "document.getElementById('loading')"
    try:
        browser.events.clear()
        browser.call("Page.navigate", url=path.as_uri())
        browser.wait(f"location.href === {url} && window.go !== undefined && {loading} !== null")
        assert browser.do("document.documentElement.dataset.state") is None
        browser.do(
            "document.getElementById('canvas').getContext('webgl2').getExtension('WEBGL_lose_context').loseContext()"
        )
        browser.wait("!document.getElementById('notice').hidden")
        assert browser.do(loading) is None
        for _ in range(5):
            browser.do("new Promise((done) => { window.go(); setTimeout(done, 50); })")
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    assert browser.do("document.getElementById('poster')") is not None
    assert [event for event in browser.troubles() if event["method"] == "Runtime.exceptionThrown"] == []


@pytest.fixture(scope="module")
def page_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("scene") / "page.html"
    path.write_text(scene_page(scene(), title="Blobs"), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def page(browser: Browser, page_url: str) -> Browser:
    """The page of the scene on black, as it opens."""
    if browser.do("location.href") != page_url:
        browser.open(page_url)
        browser.do("document.querySelector('.view').style.background = '#000'")
    browser.do("document.activeElement.blur(); document.getElementById('reset').click()")
    browser.put("eyes", "one")
    browser.put("time", 0, "input")
    browser.events.clear()
    return browser


@needs_chromium
@pytest.mark.parametrize("moment", [0, 0.8, 1.25, 1.9])
def test_the_picture_is_what_the_formulas_say(page: Browser, moment: float) -> None:
    page.put("time", moment, "input")
    expected = drawn(scene().moving.at(moment), camera())[CLEAR]
    away = np.abs(page.seen()[CLEAR] - expected)
    assert expected.max() > 150
    assert away.mean() < 0.4
    assert away.max() < 5
    assert page.troubles() == []


@needs_chromium
def test_time_plays_and_the_camera_is_led(page: Browser) -> None:
    first = page.seen()[CLEAR]
    assert page.do("document.getElementById('numbers').textContent") == "9 Gaussians · 2.0 s"
    page.press(" ")
    assert page.do("document.getElementById('play').getAttribute('aria-label')") == "Pause"
    page.wait("Number(document.getElementById('time').value) > 0.3")
    page.press(" ")
    assert np.abs(page.seen()[CLEAR] - first).max() > 60
    page.put("time", 0, "input")
    assert np.abs(page.seen()[CLEAR] - first).max() <= 2
    for keys in (["ArrowRight"] * 3, ["w"] * 3 + ["d"], ["+"] * 2 + ["e"]):
        for key in keys:
            page.press(key)
        assert np.abs(page.seen()[CLEAR] - first).max() > 60, keys
        page.press("r")
        assert np.abs(page.seen()[CLEAR] - first).max() <= 2, keys
    drag = [("mousePressed", 300, 200), ("mouseMoved", 360, 190), ("mouseReleased", 360, 190)]
    for kind, x, y in drag:
        page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)
    assert np.abs(page.seen()[CLEAR] - first).max() > 60
    page.press("r")
    page.call("Input.dispatchMouseEvent", type="mouseWheel", x=300, y=200, deltaX=0, deltaY=300)
    assert np.abs(page.seen()[CLEAR] - first).max() > 60
    page.press("b")
    assert page.do("document.getElementById('sway').getAttribute('aria-pressed')") == "true"
    page.press("ArrowLeft")  # whoever takes the camera in hand ends the swaying
    assert page.do("document.getElementById('sway').getAttribute('aria-pressed')") == "false"
    assert page.troubles() == []


@needs_chromium
def test_the_end_is_kept_and_a_picture_saved(page: Browser) -> None:
    page.put("loop", "once")
    page.put("time", 1.9, "input")
    page.press(" ")
    page.wait("document.getElementById('play').getAttribute('aria-label') === 'Play'")
    assert page.do("Number(document.getElementById('time').value)") == 2
    page.put("loop", "repeat")
    saved = page.do("""new Promise((done) => {
        const real = URL.createObjectURL, reader = new FileReader();
        reader.onload = () => done(reader.result);
        URL.createObjectURL = (blob) => { reader.readAsDataURL(blob); URL.createObjectURL = real; return real(blob); };
        document.getElementById("save").click();
    })""")
    image = Image.open(io.BytesIO(base64.b64decode(saved.partition(",")[2]))).convert("RGB")
    assert image.size == SIZE
    expected = drawn(scene().moving.at(2), camera(), (0.075, 0.09, 0.115))
    assert np.abs(np.asarray(image).astype(int) - expected).max() < 6
    assert page.troubles() == []


def middle_of(channel: np.ndarray) -> float:
    """The column of the light's centre."""
    weight = (channel - channel.min() - 2).clip(0)
    return float((weight * (np.arange(channel.shape[1]) + 0.5)).sum() / weight.sum())


@needs_chromium
def test_two_eyes_see_by_their_baseline(browser: Browser, tmp_path: Path) -> None:
    """A splat alone moves by focal length x baseline x (1 / depth - 1 / distance of the screen)."""
    eye = Cameras(np.eye(4)[None], camera().Ks, 64, 96)
    places = np.array([[0.1, 0, 2], [-0.1, 0.2, 4]], np.float32)
    colors, ones = np.eye(3, dtype=np.float32)[:2], np.ones((2, 3), np.float32)
    pair = Gaussians(places, np.eye(4, dtype=np.float32)[[0, 0]], 0.04 * ones, ones[:, 0], colors)
    one = np.zeros((1, 1, 4), np.float32)
    one[..., 0] = 1
    links, weights = np.zeros((2, 1), np.int32), np.ones((2, 1), np.float32)
    still = MovingGaussians(pair, np.zeros(1, np.float32), places[:1], one[..., 1:], one, links, weights)
    (tmp_path / "eyes.html").write_text(scene_page(Scene4d(still, eye), title="x"), encoding="utf-8")
    browser.open((tmp_path / "eyes.html").as_uri())
    browser.do("document.querySelector('.view').style.background = '#000'")
    screen, f, half = data.page_scene(Scene4d(still, eye)).depth, 90 * 360 / 96, SIZE[0] // 2
    assert screen == pytest.approx(2 / (1 / 2 + 1 / 4))
    for way, sign in (("parallel", 1), ("cross", -1)):
        browser.put("eyes", way)
        browser.put("apart", 8, "input")
        seen = browser.seen()[CLEAR]
        for channel, depth in ((0, 2), (1, 4)):
            left, right = (middle_of(part[..., channel]) for part in (seen[:, :half], seen[:, half:]))
            assert left - right == pytest.approx(sign * f * 0.08 * screen * (1 / depth - 1 / screen), abs=0.3)
    browser.put("eyes", "anaglyph")
    eyes = []
    for aside in (-0.04 * screen, 0.04 * screen):  # each stands aside, and its lens is shifted back towards the screen
        viewmat, K = np.eye(4), eye.Ks[0].copy()
        viewmat[0, 3], K[0, 2] = -aside, K[0, 2] + K[0, 0] * aside / screen
        eyes.append(drawn(pair, replace(eye, viewmats=viewmat[None], Ks=K[None]), (0.075, 0.09, 0.115)))
    mixed = dubois(*(np.rint(one).astype(np.uint8) for one in eyes)).astype(int)
    assert np.abs(browser.seen() - mixed)[CLEAR].max() < 6
    assert np.ptp(mixed[CLEAR], axis=(0, 1)).min() > 20
    assert browser.troubles() == []


@needs_chromium
def test_scripts_agree_with_the_library(page: Browser) -> None:
    rng = np.random.default_rng(0)
    for count in (1, 2, 3, 7):
        times = np.cumsum(rng.uniform(0.2, 1, count)).astype(np.float32)
        for moment in (*rng.uniform(times[0] - 0.5, times[-1] + 0.5, 6), *map(float, times)):
            keys, shares = page.do(f"Motion.cubic({times.tolist()}, {moment})")
            expected, wanted = cubic(times, float(moment))
            table = np.zeros((2, count))
            table[0, keys], table[1, expected] = shares, wanted
            assert table[0] == pytest.approx(table[1], abs=1e-5)


@needs_chromium
def test_the_order_is_by_depth(page: Browser) -> None:
    many = Scene4d(moving(blobs(400, 3)), camera())
    raw = data.page_bytes(data.page_scene(many))
    found = page.do(f"""(async () => {{
        const scene = await Data.read({json.dumps(base64.b64encode(raw).decode())}), own = sorter();
        own.take(scene.table, scene.texels);
        const nodes = Motion.nodesAt(scene, 0.9, new Float32Array(8 * scene.nodes.count)), m = scene.viewmat;
        const range = {{ first: 0, last: scene.count, near: 0.01, share: 0.45 }};
        return [...own.order({{ forward: [m[8], m[9], m[10], m[11]], nodes, ...range }})];
    }})()""")
    now = many.moving.at(0.9)
    _, (depths,) = camera().project(now.means.astype(float))
    visible = (depths > 0.01) & (now.opacities >= 1.02 / 255)
    assert set(np.flatnonzero(visible)) <= set(found)
    assert (np.diff(depths[found]) < 0.01 * depths[found][:-1]).all()  # weights travel in steps of 1/255


@needs_chromium
def test_a_sequence_shows_each_frame_in_its_time(browser: Browser, tmp_path: Path) -> None:
    frames = tuple(replace(blobs(4), colors=np.tile(np.eye(3, dtype=np.float32)[i], (4, 1))) for i in range(3))
    text = scene_page(SplatSequence(frames, (0.0, 0.5, 1.0)), title="x")
    (tmp_path / "frames.html").write_text(text, encoding="utf-8")
    browser.open((tmp_path / "frames.html").as_uri())
    browser.do("document.querySelector('.view').style.background = '#000'")
    for moment, channel in ((0, 0), (0.49, 0), (0.5, 1), (1.0, 2), (1.5, 2)):
        browser.put("time", moment, "input")
        seen = browser.seen()[CLEAR].reshape(-1, 3)
        assert np.argmax(seen.sum(axis=0)) == channel
        assert np.sort(seen.max(axis=0))[1] < 8  # the other frames are not seen
    assert browser.do("document.getElementById('time').max") == "1.5"
    assert browser.do("document.getElementById('numbers').textContent") == "4 Gaussians in each of 3 moments · 1.5 s"
    uneven = scene_page(SplatSequence((blobs(4), blobs(2))), title="x")
    (tmp_path / "uneven.html").write_text(uneven, encoding="utf-8")
    browser.open((tmp_path / "uneven.html").as_uri())
    assert browser.do("document.getElementById('numbers').textContent").startswith("2 to 4 Gaussians in each of 2")


@needs_chromium
def test_hostile_texts_are_text_and_damage_is_told(browser: Browser, tmp_path: Path) -> None:
    text = scene_page(blobs(), title=EVIL, facts={EVIL: EVIL})
    (tmp_path / "evil.html").write_text(text, encoding="utf-8")
    browser.open((tmp_path / "evil.html").as_uri())
    assert browser.do("document.title") == EVIL
    assert browser.do("document.querySelectorAll('img').length") == 0
    assert browser.do("document.getElementById('player').hidden")  # nothing moves
    assert browser.do("fetch('https://example.com').then(() => 'reached', () => 'refused')") == "refused"
    raw = base64.b64encode(data.page_bytes(data.page_scene(blobs()))).decode()
    (tmp_path / "cut.html").write_text(text.replace(raw, raw[:-64]), encoding="utf-8")
    browser.open((tmp_path / "cut.html").as_uri())
    assert browser.do("document.documentElement.dataset.state") == "error"
    assert browser.do("document.getElementById('loading')") is None
    assert "cannot be shown" in browser.do("document.getElementById('notice').textContent")


@needs_chromium
def test_without_webgl_the_page_says_so_and_shows_the_poster(tmp_path: Path) -> None:
    plain = Browser(tmp_path / "profile", "--disable-gpu", "--disable-3d-apis")
    try:
        text = scene_page(scene(), title="Blobs", poster=picture())
        (tmp_path / "page.html").write_text(text, encoding="utf-8")
        plain.open((tmp_path / "page.html").as_uri())
        assert plain.do("document.documentElement.dataset.state") == "plain"
        assert plain.do("document.getElementById('loading')") is None
        assert "WebGL 2" in plain.do("document.getElementById('notice').innerText")
        assert plain.do("document.getElementById('play').disabled")
        assert plain.seen()[110, 350].tolist() == [200, 40, 30]
        assert plain.troubles() == []
    finally:
        plain.close()
