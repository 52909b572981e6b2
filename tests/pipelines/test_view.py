"""diorama view: one page on this machine alone, for its own browser; and which page a file or folder gets."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diorama.core.gaussians import Gaussians, MovingGaussians
from diorama.core.mesh import Mesh
from diorama.errors import DioramaError, MediaError, UsageError
from diorama.media.mesh import write_glb
from diorama.media.splat import (
    Scene4d,
    write_dot_splat,
    write_scene4d,
    write_splat_glb,
    write_splat_ply,
    write_splat_sequence,
)
from diorama.pipelines.view import save_page, site_of
from diorama.pipelines.view_server import PageServer, Site

PAGE = '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'"><p>page</p>'
Answer = tuple[int, dict[str, str], bytes]


def splats() -> Gaussians:
    ones = np.ones((2, 3), np.float32)
    turns = np.tile(np.array([1, 0, 0, 0], np.float32), (2, 1))
    return Gaussians(np.array([[0, 0, 2], [1, 0, 3]], np.float32), turns, 0.1 * ones, ones[:, 0], ones)


def moving() -> MovingGaussians:
    times, nodes = np.array([0, 1], np.float32), np.zeros((1, 3), np.float32)
    turns = np.zeros((2, 1, 4), np.float32)
    turns[..., 0] = 1
    links, weights = np.zeros((2, 1), np.int32), np.ones((2, 1), np.float32)
    return MovingGaussians(splats(), times, nodes, turns[..., 1:], turns, links, weights)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    film = tmp_path_factory.mktemp("film") / "film.mp4"
    film.write_bytes(bytes(range(256)) * 4)
    with PageServer(Site(PAGE, film, "video/mp4")) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def ask(server: PageServer, path: str, method: str = "GET", **headers: str) -> Answer:
    link = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    link.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        link.putheader(name.replace("_", "-"), value)
    link.endheaders()
    with link.getresponse() as answer:
        found = answer.status, dict(answer.headers), answer.read()
    link.close()
    return found


def test_the_page_is_served_with_its_policy(server: PageServer) -> None:
    status, headers, body = ask(server, server.base)
    assert (status, body.decode()) == (200, PAGE)
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in headers
    assert "Python" not in headers["Server"]
    status, headers, body = ask(server, server.base, "HEAD")
    assert (status, headers["Content-Length"], body) == (200, str(len(PAGE)), b"")


def test_it_listens_on_this_machine_alone(server: PageServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    with PageServer(Site(PAGE)) as other:
        assert other.base != server.base
        assert len(other.base) > 20


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/film", "/{0}", "/{0}/film/", "/{0}/film.mp4", "/{0}/../{0}/", "/{0}/%66ilm", "/{0}/./film"),
        *("/{0}/?x", "/{0}/film?x", "/{0}/../../etc/passwd", "/etc/passwd", "/x{0}/", "/%2e%2e/"),
    ],
)
def test_nothing_else_can_be_reached(server: PageServer, path: str) -> None:
    status, _, body = ask(server, path.format(server.base.strip("/")))
    assert status == 404
    assert b"page" not in body


def test_other_hosts_sites_and_methods_are_refused(server: PageServer) -> None:
    port = server.server_port
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", ""):
        assert ask(server, server.base, Host=host)[0] == 421
    assert ask(server, server.base, Host=f"localhost:{port}")[0] == 200
    for site in ("cross-site", "same-site"):
        assert ask(server, server.base, Sec_Fetch_Site=site)[0] == 403
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"):
        status, headers, _ = ask(server, server.base, method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall(f"GET {server.base} HTTP/1.0\r\n\r\n".encode())
        assert b" 421 " in link.recv(4096)


def test_browsers_do_not_name_the_usual_port(server: PageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    port = server.server_port
    monkeypatch.setattr(server, "server_port", 80)  # it may not be had here
    for host, status in (("127.0.0.1", 200), ("localhost", 200), ("localhost:80", 200), ("evil.example", 421)):
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        link.request("GET", server.base, headers={"Host": host})
        with link.getresponse() as answer:
            assert answer.status == status, host
        link.close()


@pytest.mark.parametrize(
    ("asked", "status", "span"),
    [
        ("bytes=0-9", 206, (0, 10)),
        ("bytes=1000-", 206, (1000, 1024)),
        ("bytes=-24", 206, (1000, 1024)),
        ("bytes=-5000", 206, (0, 1024)),
        ("bytes=1000-9999999", 206, (1000, 1024)),
        ("bytes=1024-", 416, (0, 0)),
        ("bytes=9-3", 416, (0, 0)),
        ("bytes=-0", 416, (0, 0)),
        ("bytes=-", 200, (0, 1024)),
        ("bytes=0-1,4-5", 200, (0, 1024)),
        ("lines=1-2", 200, (0, 1024)),
        ("bytes=" + "9" * 30 + "-", 200, (0, 1024)),
    ],
)
def test_parts_of_the_film(server: PageServer, asked: str, status: int, span: tuple[int, int]) -> None:
    found, headers, body = ask(server, server.base + "film", Range=asked)
    whole = bytes(range(256)) * 4
    assert found == status
    if status == 416:
        assert headers["Content-Range"] == "bytes */1024"
        return
    assert body == whole[slice(*span)]
    assert headers["Content-Type"] == "video/mp4"
    assert headers["Accept-Ranges"] == "bytes"
    if status == 206:
        assert headers["Content-Range"] == f"bytes {span[0]}-{span[1] - 1}/1024"


def test_a_film_that_has_gone_is_not_found(tmp_path: Path) -> None:
    with PageServer(Site(PAGE, tmp_path / "gone.mp4", "video/mp4")) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        assert ask(server, server.base + "film")[0] == 404
        server.shutdown()
        thread.join()


def test_ports_that_cannot_be_had(server: PageServer) -> None:
    with pytest.raises(UsageError, match=r"in use — --port — choose another"):
        PageServer(Site(PAGE), server.server_port)
    for port in (-1, 65536):
        with pytest.raises(UsageError, match=r"--port — give 1 to 65535, or 0 for any"):
            PageServer(Site(PAGE), port)


def triangle() -> Mesh:
    return Mesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32))


MADE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a.ply": (lambda path: write_splat_ply(path, splats()), 'id="scene"'),
    "a.splat": (lambda path: write_dot_splat(path, splats()), 'id="scene"'),
    "splats.glb": (lambda path: write_splat_glb(path, splats()), 'id="scene"'),
    "a.scene4d.safetensors": (lambda path: write_scene4d(path, Scene4d(moving(), fps=24.0)), "Frames a second"),
    "frames": (
        lambda path: write_splat_sequence(path, moving(), (0, 0.5, 1)),
        "<dd>3</dd><dt>Gaussians</dt><dd>2 each</dd>",
    ),
    "model.glb": (lambda path: write_glb(path, triangle()), 'id="glb"'),
}


@pytest.mark.parametrize("name", MADE)
def test_each_kind_of_file_gets_its_page(name: str, tmp_path: Path) -> None:
    make, mark = MADE[name]
    make(tmp_path / name)
    site = site_of(tmp_path / name)
    assert mark in site.page
    assert f"<title>{name}</title>" in site.page
    assert site.film is None
    assert site_of(tmp_path).page == site.page if (tmp_path / name).is_file() else True  # a folder that holds it
    saved = save_page(tmp_path / name, tmp_path / "page.html")
    assert saved.read_text(encoding="utf-8") == site.page
    with pytest.raises(UsageError, match="exists"):
        save_page(tmp_path / name, tmp_path / "page.html")
    save_page(tmp_path / name, tmp_path / "page.html", overwrite=True)


def test_films_are_served_beside_their_page_or_travel_in_it(tmp_path: Path, make_clip: Callable[..., Path]) -> None:
    film = make_clip(tmp_path / "a_LR.mp4", frames=2)
    site = site_of(film)
    assert (site.film, site.kind) == (film, "video/mp4")
    assert 'src="film"' in site.page
    saved = save_page(film, tmp_path / "a.html", layout="tb").read_text(encoding="utf-8")
    assert 'src="data:video/mp4;base64,' in saved
    assert '<option value="tb" selected>' in saved


def test_a_scene_in_a_folder_goes_before_what_lies_beside_it(tmp_path: Path, make_clip: Callable[..., Path]) -> None:
    make_clip(tmp_path / "a.mp4", frames=2)
    write_splat_ply(tmp_path / "b.ply", splats())
    with pytest.raises(UsageError, match="2 things to show"):
        site_of(tmp_path)
    write_scene4d(tmp_path / "c.scene4d.safetensors", Scene4d(moving()))
    assert "<title>c.scene4d.safetensors</title>" in site_of(tmp_path).page
    assert 'id="poster"' not in site_of(tmp_path).page


def test_a_scene_shows_the_picture_beside_it_until_it_is_there(tmp_path: Path) -> None:
    write_scene4d(tmp_path / "scene.scene4d.safetensors", Scene4d(moving()))
    Image.new("RGB", (4, 4)).save(tmp_path / "poster.png")
    shown = site_of(tmp_path).page
    assert '<img class="poster" id="poster"' in shown
    assert f"<title>{tmp_path.name}</title>" in shown
    (tmp_path / "poster.png").write_bytes(b"no picture")
    assert 'id="poster"' not in site_of(tmp_path).page


def test_what_cannot_be_shown_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "empty").mkdir()
    for given, message in (
        (tmp_path / "a.txt", "nothing that can be shown"),
        (tmp_path / "none.ply", "no such file"),
        (tmp_path / "empty", "nothing that can be shown"),
    ):
        with pytest.raises(MediaError, match=message):
            site_of(given)
    write_splat_ply(tmp_path / "a.ply", splats())
    with pytest.raises(UsageError, match="layout"):
        site_of(tmp_path / "a.ply", layout="sbs")
    with pytest.raises(UsageError, match=r"call it \.html"):
        save_page(tmp_path / "a.ply", tmp_path / "a.glb")
    with pytest.raises(DioramaError):
        save_page(tmp_path / "a.txt", tmp_path / "b.html")
    assert not (tmp_path / "b.html").exists()


def test_the_command_prints_the_address_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    write_splat_ply(tmp_path / "a.ply", splats())
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "  # a shell may ignore it
    code += "from diorama.cli.view import ViewCommand; from diorama.cli.commands import Common; "
    code += "sys.exit(ViewCommand(sys.argv[1], no_open=True, common=Common(json=True)).run())"
    run = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a.ply")], stdout=-1, stderr=-1, text=True)
    assert run.stdout is not None
    url = json.loads(run.stdout.readline())["url"]
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert b"<title>a.ply</title>" in answer.read()
    os.kill(run.pid, signal.SIGINT)
    rest, said = run.communicate(timeout=20)
    assert (run.returncode, rest, said) == (0, "", "")
