"""The page of a rig: it stands alone, takes texts as text, draws the figure and writes edits (headless Chromium)."""

import base64
import io
import json
import os
import re
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

from diorama.core.figure import Figure, Motion, Skeleton
from diorama.core.mesh import Mesh
from diorama.errors import UsageError
from diorama.media.mesh import write_glb
from diorama.pipelines import rig_page as module
from diorama.pipelines.rig_page import rig_page
from diorama.rigging.edit import read_edits

EVIL = '</script><img src=x onerror="document.title=1">&amp;{{glb}}'
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--hide-scrollbars", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-component-update"),
)
SIZE = 900, 600
PATIENCE = 60
"""Seconds; software draws slowly where much else runs."""
TROUBLE = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


def column(names: tuple[str, ...] = ("hip", "leg", "foot")) -> Figure:
    """A square column of red, 3 m high, of three joints a metre apart, each moving its own metre."""
    y, ring = np.linspace(0, 3, 13), np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * 0.35
    vertices = np.concatenate([np.stack([ring[:, 0], np.full(4, h), ring[:, 1]], 1) for h in y]).astype(np.float32)
    lower = np.arange(48)
    other = lower - lower % 4 + (lower + 1) % 4
    faces = np.concatenate([np.stack([lower, lower + 4, other], 1), np.stack([other, lower + 4, other + 4], 1)])
    rest = np.tile(np.eye(4, dtype=np.float32), (3, 1, 1))
    rest[:, 1, 3] = 0, 1, 2
    skeleton = Skeleton(names, np.array([-1, 0, 1], np.int32), rest)
    joints = np.minimum(vertices[:, 1:2], 2).astype(np.int32)
    red = np.tile(np.array([200, 40, 30], np.uint8), (len(vertices), 1))
    mesh = Mesh(vertices, faces.astype(np.int32), colors=red)
    weights = np.ones((len(vertices), 1), np.float32)
    return Figure(skeleton, mesh, joints, weights, names, np.arange(3, dtype=np.int32))


def glb_of(folder: Path, figure: Figure | Mesh, titles: tuple[str, ...] = ()) -> bytes:
    path = folder / "figure.glb"
    motions = {}
    if isinstance(figure, Figure):
        turns = np.zeros((5, len(figure.skeleton), 4), np.float32)
        turns[..., 0] = 1
        turns[2, 1] = np.cos(0.3), 0, 0, np.sin(0.3)
        motions = {t: Motion(figure.skeleton, turns, np.zeros((5, 3), np.float32), 4.0) for t in titles}
    write_glb(path, figure, motions)
    return path.read_bytes()


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
        wanted = self._send(method, params)
        while True:
            while b"\0" not in self._text:
                assert select([self._in], [], [], PATIENCE)[0], f"no answer to {method}"
                got = os.read(self._in, 1 << 20)
                assert got, "the browser has gone"
                self._text += got
            text, _, self._text = self._text.partition(b"\0")
            answer = json.loads(text)
            if answer.get("id") == wanted:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)
            if answer.get("method") == "Page.javascriptDialogOpening":  # edits that are not saved
                self._send("Page.handleJavaScriptDialog", {"accept": True})

    def _send(self, method: str, params: dict[str, Any]) -> int:
        self._count += 1
        message = {"id": self._count, "method": method, "params": params, **self._session}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        return self._count

    def do(self, code: str) -> Any:
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def open(self, path: Path, text: str | None = None) -> None:
        """Go to a page, written here if its text is given, and wait until it has read its model."""
        if text is not None:
            path.write_text(text, encoding="utf-8")
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        self.wait(f"location.href === {json.dumps(path.as_uri())} && document.documentElement?.dataset.state")
        self.settle()

    def wait(self, code: str) -> None:
        until = time.monotonic() + PATIENCE
        while not self.do(code):
            assert time.monotonic() < until, code
            time.sleep(0.02)

    def settle(self) -> None:
        """Wait until what has changed is drawn."""
        self.do("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def seen(self) -> np.ndarray:
        self.settle()
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)

    def troubles(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event.get("method") in TROUBLE]

    def joints(self) -> list[str]:
        return self.do("[...document.querySelectorAll('#tree li')].map((item) => item.textContent)")

    def edits(self) -> list[str]:
        return self.do("[...document.querySelectorAll('#edits li')].map((item) => item.textContent)")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._out)
        os.close(self._in)


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    flags = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
    found = Browser(tmp_path_factory.mktemp("profile"), *flags)
    yield found
    found.close()


@pytest.fixture(scope="module")
def column_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("column")
    path = folder / "page.html"
    path.write_text(rig_page(glb_of(folder, column(), ("bend",)), title="Column"), encoding="utf-8")
    return path


@pytest.fixture
def column_page(browser: Browser, column_file: Path) -> Browser:
    """The page of the column as it opens; where it is open, put back by its own buttons: opening takes seconds."""
    if browser.do("location.href") != column_file.as_uri():
        browser.open(column_file)
    browser.do("""(() => {
        const part = (id) => document.getElementById(id);
        while (!part("undo").disabled) part("undo").click();
        for (const [id, on] of [["show-surface", "true"], ["show-skeleton", "true"], ["show-weights", "false"]]) {
            if (part(id).getAttribute("aria-pressed") !== on) part(id).click();
        }
        document.activeElement.blur();
        document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
        part("clip").value = "0";
        part("clip").dispatchEvent(new Event("change"));
        part("time").value = 0;
        part("time").dispatchEvent(new Event("input"));
    })()""")
    browser.settle()
    browser.events.clear()
    return browser


def fill(browser: Browser, form: str, **values: object) -> None:
    for name, value in values.items():
        browser.do(f"document.getElementById({name!r}).value = {json.dumps(value)}")
    browser.do(f"document.querySelector('#{form} button').click()")


def put(browser: Browser, name: str, value: object, event: str) -> None:
    """As if somebody had set a slider or a list."""
    part = f"document.getElementById({name!r})"
    browser.do(f"{part}.value = {json.dumps(value)}; {part}.dispatchEvent(new Event({event!r}))")


def press(browser: Browser, name: str) -> None:
    browser.do(f"document.getElementById({name!r}).click()")


def choose(browser: Browser, joint: str) -> None:
    browser.do(f"[...document.querySelectorAll('#tree li')].find((i) => i.textContent === {json.dumps(joint)}).click()")


def saved(browser: Browser) -> dict[str, Any]:
    """What the page's button hands to the browser to be saved."""
    code = """new Promise((done) => {
        const real = URL.createObjectURL;
        URL.createObjectURL = (blob) => { blob.text().then(done); return real(blob); };
        document.getElementById("save").click();
        URL.createObjectURL = real;
    })"""
    return json.loads(browser.do(code))


def load(browser: Browser, text: str) -> str:
    """Give the page a file of edits; what it says to that."""
    browser.do(f"""(() => {{
        const bag = new DataTransfer(), input = document.getElementById("file");
        document.getElementById("message").textContent = "";
        bag.items.add(new File([{json.dumps(text)}], "edits.json"));
        input.files = bag.files;
        input.dispatchEvent(new Event("change"));
    }})()""")
    browser.wait("document.getElementById('message').textContent !== ''")
    return browser.do("document.getElementById('message').textContent")


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_stands_alone_and_takes_texts_as_text(tmp_path: Path) -> None:
    glb = glb_of(tmp_path, column())
    page = rig_page(glb, title=EVIL, facts={EVIL: EVIL, "half a letter": "\ud800"})
    reader = Reader()
    reader.feed(page)
    tags = [tag for tag, _ in reader.tags]
    assert "img" not in tags
    assert tags.count("script") == page.count("</script") == 3
    assert reader.text.count(EVIL) == 4  # title, heading, a fact's name and value
    assert not [attrs for _, attrs in reader.tags if {"src", "href", "onclick", "onload"} & attrs.keys()]
    (policy,) = [a["content"] for t, a in reader.tags if t == "meta" and a.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "http" not in policy
    assert base64.b64encode(glb).decode() in reader.text
    assert page == rig_page(glb, title=EVIL, facts={EVIL: EVIL, "half a letter": "\ud800"})


def test_what_is_no_glb_or_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for data in (b"", b"glTF", b"PK\3\4" + bytes(100)):
        with pytest.raises(UsageError, match="no GLB"):
            rig_page(data, title="x")
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    with pytest.raises(UsageError, match="the limit of a page"):
        rig_page(glb_of(tmp_path, column()), title="x")


def test_three_is_of_the_version_its_tool_makes_and_carries_its_licence() -> None:
    web, tool = Path(module.__file__).parent / "web", Path(__file__).parents[2] / "tools" / "vendor_three.mjs"
    made = re.search(r'THREE = "([\d.]+)"', tool.read_text(encoding="utf-8"))
    assert made is not None
    head = (web / "three.js").read_text(encoding="utf-8")[:2000]
    assert f"three.js {made[1]} " in head
    assert "The MIT License" in head
    assert f"**three.js** {made[1]} " in (web / "NOTICE-three.md").read_text(encoding="utf-8")
    for path in (web / "rig").iterdir():
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path


@needs_chromium
def test_the_figure_is_seen_with_skeleton_and_weights(column_page: Browser) -> None:
    browser = column_page
    assert browser.do("document.documentElement.dataset.state") == "ready"
    assert browser.joints() == ["hip", "leg", "foot"]
    assert browser.do("document.getElementById('numbers').textContent").startswith("52 vertices · 96 faces · 3 joints")
    press(browser, "show-skeleton")
    middle = np.s_[150:450, 180:368]

    def red(picture: np.ndarray) -> int:
        return int((picture[middle][..., 0] > 2 * picture[middle][..., 1]).sum())

    surface = browser.seen()
    assert red(surface) > 5000
    assert len(np.unique(surface[middle].reshape(-1, 3), axis=0)) > 200
    press(browser, "show-skeleton")
    assert red(browser.seen()) < red(surface)  # bones lie over it
    press(browser, "show-skeleton")
    press(browser, "show-surface")
    assert red(browser.seen()) == 0
    press(browser, "show-weights")
    weights = browser.seen()
    choose(browser, "leg")
    heat = browser.seen()
    yellow = (heat[middle] * [1, 1, -1]).sum(-1) > 250
    assert yellow.sum() > 1000
    assert np.abs(weights[middle] - heat[middle])[yellow].mean() > 20
    assert browser.do("document.getElementById('legend-name').textContent") == "leg"
    assert browser.troubles() == []


@needs_chromium
def test_clips_play_and_are_held(column_page: Browser) -> None:
    browser = column_page
    assert browser.do("[...document.getElementById('clip').options].map((o) => o.textContent)") == ["Rest pose", "bend"]
    before = browser.seen()
    put(browser, "time", 0.5, "input")
    bent = browser.seen()
    assert browser.do("document.getElementById('clock').textContent") == "0.50 / 1.00 s"
    assert (np.abs(bent - before)[100:450, :368].max(-1) > 30).sum() > 500
    press(browser, "play")
    assert browser.do("document.getElementById('play').getAttribute('aria-label')") == "Pause"
    browser.wait("Math.abs(Number(document.getElementById('time').value) - 0.5) > 0.05")
    press(browser, "play")
    put(browser, "clip", "", "change")
    assert browser.do("document.getElementById('play').disabled")
    assert browser.troubles() == []


@needs_chromium
def test_a_click_on_the_model_and_keys_in_the_tree_choose_joints(column_page: Browser) -> None:
    browser = column_page
    title = "document.getElementById('joint-title').textContent"
    found = []
    for y in (450, 300, 120):
        browser.click(240, y)
        found.append(browser.do(title))
    assert found == ["hip", "leg", "foot"]
    browser.do("document.querySelector('#tree li').focus()")
    for key, expected in (("ArrowDown", "leg"), ("End", "foot"), ("ArrowLeft", "leg"), ("Home", "hip")):
        browser.press(key)
        assert browser.do(title) == expected
        assert browser.do("document.activeElement.textContent") == expected
    browser.do("document.activeElement.blur()")
    browser.press("Escape")
    assert browser.do("document.getElementById('joint').hidden")
    browser.click(20, 300)
    assert browser.do("document.querySelectorAll('[aria-selected=true]').length") == 0


@needs_chromium
def test_edits_are_listed_undone_saved_and_loaded(column_page: Browser, tmp_path: Path) -> None:
    browser = column_page
    choose(browser, "foot")
    fill(browser, "rename", name="toe <b>")
    fill(browser, "move", x=0.25, y=2.125, z=-1)
    choose(browser, "hip")
    assert browser.do("document.getElementById('root').disabled")
    assert browser.do("document.querySelector('#reparent button').disabled")  # all others hang below it
    choose(browser, "toe <b>")
    assert browser.do("[...document.getElementById('under').options].map((o) => o.value)") == ["hip", "leg"]
    fill(browser, "reparent", under="hip")
    choose(browser, "leg")
    fill(browser, "split-form", share=0.25, near="thigh", far="shin")
    assert browser.joints() == ["hip", "thigh", "shin", "toe <b>"]
    choose(browser, "shin")
    press(browser, "root")
    choose(browser, "toe <b>")
    fill(browser, "merge", into="hip")
    assert browser.joints() == ["shin", "thigh", "hip"]
    found = saved(browser)
    split = found["edits"][3]
    assert np.allclose(split.pop("at"), [0, 1.1875, 0], atol=1e-3)
    assert np.allclose(split.pop("normal"), [0, 1, 0], atol=1e-3)
    assert found == {
        "version": 1,
        "edits": [
            {"rename": "foot", "to": "toe <b>"},
            {"move": "toe <b>", "to": [0.25, 2.125, -1]},
            {"reparent": "toe <b>", "under": "hip"},
            {"split": "leg", "names": ["thigh", "shin"]},
            {"root": "shin"},
            {"merge": ["toe <b>", "hip"], "into": "hip"},
        ],
    }
    again = json.dumps(saved(browser))
    (tmp_path / "edits.json").write_text(again, encoding="utf-8")
    assert len(read_edits(tmp_path / "edits.json")) == 6  # the command takes what the page writes
    for _ in range(6):
        press(browser, "undo")
    assert browser.joints() == ["hip", "leg", "foot"]
    assert browser.edits() == []
    press(browser, "redo")
    assert browser.joints() == ["hip", "leg", "toe <b>"]
    assert load(browser, again) == "Read 6 edits"
    assert browser.joints() == ["shin", "thigh", "hip"]
    assert saved(browser) == json.loads(again)
    assert browser.troubles() == []


REFUSED = (
    ({"rename": "leg", "to": "hip"}, "already"),
    ({"rename": "leg", "to": " "}, "without spaces"),
    ({"rename": "leg", "to": "a" * 101}, "at most 100"),
    ({"rename": "leg", "to": "a\nb"}, "control"),
    ({"rename": "tail", "to": "x"}, "no joint called"),
    ({"rename": 3, "to": "x"}, "as text"),
    ({"merge": ["leg", "foot"], "into": "hip"}, "already"),
    ({"merge": ["leg", "tail"], "into": "leg"}, "no joint called"),
    ({"merge": ["leg", "leg"], "into": "leg"}, "each once"),
    ({"split": "leg", "at": [0, 1, 0], "names": ["a", "b"]}, "direction"),
    ({"split": "leg", "at": [0, 1, 0], "normal": [0, 0, 0], "names": ["a", "b"]}, "direction"),
    ({"split": "leg", "at": [0, 1.5, 0], "names": ["a", "a"]}, "different"),
    ({"split": "leg", "at": [0, 1.5, 0], "names": ["a"]}, "two names"),
    ({"split": "leg", "at": [0, 1.5, 0], "names": ["a", "b"], "side": 1}, "not known"),
    ({"move": "leg", "to": [0, 1]}, "three numbers"),
    ({"move": "leg", "to": [0, 1, 9]}, "far from"),
    ({"move": "leg", "to": [0, 1, None]}, "three numbers"),
    ({"reparent": "hip", "under": "foot"}, "below"),
    ({"reparent": "leg", "under": "leg"}, "below"),
    ({"root": "leg", "move": "leg"}, "has one of"),
    ({"move": "leg"}, "missing"),
    ([], "is an object"),
)


@needs_chromium
def test_files_of_edits_that_cannot_be_done_change_nothing(column_page: Browser) -> None:
    browser = column_page
    choose(browser, "leg")
    fill(browser, "rename", name="knee")
    for edit, word in REFUSED:
        told = load(browser, json.dumps({"version": 1, "edits": [{"move": "foot", "to": [0, 2, 1]}, edit]}))
        assert told.startswith("Not read: edit 2: "), (edit, told)
        assert word in told, (edit, told)
    many = json.dumps({"version": 1, "edits": [{"root": "leg"}] * 1001})
    files = {
        "{": "not JSON",
        "{}": "version 1",
        '{"version": 1}': "no list",
        " " * 1_000_001: "1 MB",
        many: "more than",
    }
    for text, word in files.items():
        assert word in load(browser, text)
    assert browser.edits() == ["rename leg to knee"]
    fill(browser, "rename", name="foot")
    assert "already" in browser.do("document.getElementById('message').textContent")
    assert browser.joints() == ["hip", "knee", "foot"]
    assert browser.troubles() == []


@needs_chromium
def test_hostile_names_are_text(browser: Browser, tmp_path: Path) -> None:
    names = (EVIL, "<b>leg</b>", "a]b.c:d/e")
    page = rig_page(glb_of(tmp_path, column(names), (EVIL,)), title=EVIL, facts={EVIL: EVIL})
    browser.open(tmp_path / "evil.html", page)
    assert browser.joints() == list(names)
    assert browser.do("document.title") == EVIL
    choose(browser, EVIL)
    assert browser.do("document.getElementById('joint-title').textContent") == EVIL
    assert browser.do("document.querySelectorAll('img, b:not(#legend-name)').length") == 0
    assert browser.do("fetch('https://example.com').then(() => 'reached', () => 'refused')") == "refused"


@needs_chromium
def test_a_mesh_without_skeleton_and_a_damaged_file_are_told(browser: Browser, tmp_path: Path) -> None:
    glb = glb_of(tmp_path, replace(column().mesh, colors=None))
    browser.open(tmp_path / "mesh.html", rig_page(glb, title="mesh"))
    assert "no skeleton" in browser.do("document.getElementById('message').textContent")
    assert (browser.seen()[150:450, 200:340].min(-1) > 120).sum() > 5000
    assert browser.troubles() == []
    browser.open(tmp_path / "broken.html", rig_page(glb[:-400], title="broken"))
    assert browser.do("document.documentElement.dataset.state") == "error"
    assert "cannot be shown" in browser.do("document.getElementById('notice').textContent")


@needs_chromium
def test_without_webgl_the_page_says_so_and_lists_the_joints(tmp_path: Path) -> None:
    plain = Browser(tmp_path / "profile", "--disable-gpu", "--disable-3d-apis")
    try:
        plain.open(tmp_path / "page.html", rig_page(glb_of(tmp_path, column(), ("bend",)), title="Column"))
        assert plain.do("document.documentElement.dataset.state") == "plain"
        assert "WebGL 2" in plain.do("document.getElementById('notice').innerText")
        choose(plain, "leg")
        fill(plain, "rename", name="knee")
        assert plain.joints() == ["hip", "knee", "foot"]
        assert plain.do("document.getElementById('play').disabled")
        assert plain.troubles() == []
    finally:
        plain.close()
