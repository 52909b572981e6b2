"""One page, and the film beside it, for one browser on this machine: nothing else on the disk can be reached.

It listens on 127.0.0.1 under an address with a random part, and answers only under its own name: a page of another
site that leads a name of its own to this machine (DNS rebinding) is refused, and does not know the address.
"""

import errno
import logging
import os
import re
import secrets
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTP_PORT
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from diorama.errors import UsageError
from diorama.pipelines.web_page import policy_in

HOST = "127.0.0.1"
FILM = "film"
"""The film's address, relative to the page."""
PATIENCE = 30
"""Seconds without a word after which a connection is closed."""
_CHUNK = 1 << 18
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Site:
    """What is served.

    Attributes:
        page: HTML.
        film: a file that the page plays.
        kind: its media type.
    """

    page: str = field(repr=False)
    film: Path | None = None
    kind: str = ""


class PageServer(ThreadingHTTPServer):
    """Serves a site on this machine alone; `serve_forever` goes on until `shutdown` or an interruption.

    Args:
        site: what to serve.
        port: 0: any free one.

    Raises:
        UsageError: the port is in use, may not be used, or is no port.
    """

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # there it would let two servers have one port

    def __init__(self, site: Site, port: int = 0) -> None:
        self.site, self.body = site, site.page.encode()
        self.base = f"/{secrets.token_urlsafe(16)}/"
        if not 0 <= port <= 65535:
            raise UsageError(f"port {port}", "--port", "give 1 to 65535, or 0 for any free one")
        try:
            super().__init__((HOST, port), _Answer)
        except OSError as error:
            used = error.errno == errno.EADDRINUSE
            what = f"port {port} is in use" if used else f"port {port} cannot be used ({error.strerror})"
            raise UsageError(what, "--port", "choose another, or 0 for any free one") from error

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{HOST}:{self.server_port}{self.base}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Browsers leave in the middle of films; that is no error."""
        _log.debug("a connection ended", exc_info=True)


class _Answer(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE

    def do_GET(self) -> None:
        if not self._allowed():
            return
        site = self.server.site
        if secrets.compare_digest(self.path.encode(), self.server.base.encode()):
            self._head(HTTPStatus.OK, "text/html; charset=utf-8", len(self.server.body))
            self._write(self.server.body)
        elif site.film is not None and secrets.compare_digest(self.path.encode(), (self.server.base + FILM).encode()):
            self._film(site.film, site.kind)
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def do_HEAD(self) -> None:
        self.do_GET()

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        if self.command not in ("GET", "HEAD"):
            self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET, HEAD"})
            return False
        return True

    def version_string(self) -> str:
        return "diorama"

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug(format, *args)

    def _allowed(self) -> bool:
        """Asked under its own name, and not by another site."""
        port = self.server.server_port
        own = {f"{HOST}:{port}", f"localhost:{port}"}
        if port == HTTP_PORT:
            own |= {HOST, "localhost"}  # browsers leave the usual port out
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or hosts[0].lower() not in own:
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
            return False
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            self._refuse(HTTPStatus.FORBIDDEN)
            return False
        return True

    def _film(self, path: Path, kind: str) -> None:
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                asked = None if self.headers.get("If-Range") else self.headers.get("Range")
                first, last = 0, size - 1
                span = _RANGE.fullmatch(asked or "")
                if span and (span[1] or span[2]):  # what is no single range is answered with the whole, as allowed
                    first = int(span[1]) if span[1] else max(0, size - int(span[2]))
                    last = min(last, int(span[2])) if span[1] and span[2] else last
                    if first > last:
                        self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {"Content-Range": f"bytes */{size}"})
                        return
                    said = {"Content-Range": f"bytes {first}-{last}/{size}", "Accept-Ranges": "bytes"}
                    self._head(HTTPStatus.PARTIAL_CONTENT, kind, last - first + 1, said)
                else:
                    self._head(HTTPStatus.OK, kind, size, {"Accept-Ranges": "bytes"})
                file.seek(first)
                left = last - first + 1
                while left > 0 and self.command != "HEAD":
                    data = file.read(min(_CHUNK, left))
                    if not data:
                        self.close_connection = True  # the file has become shorter
                        return
                    self._write(data)
                    left -= len(data)
        except FileNotFoundError:
            self._refuse(HTTPStatus.NOT_FOUND)

    def _refuse(self, status: HTTPStatus, said: dict[str, str] | None = None) -> None:
        body = f"{status.value} {status.phrase}\n".encode()
        self.close_connection = True  # what came with the question is not read
        self._head(status, "text/plain; charset=utf-8", len(body), {"Connection": "close", **(said or {})})
        self._write(body)

    def _head(self, status: HTTPStatus, kind: str, length: int, said: dict[str, str] | None = None) -> None:
        policy = policy_in(self.server.site.page) if kind.startswith("text/html") else "default-src 'none'"
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(length),
            "Content-Security-Policy": f"{policy}; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
            **(said or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()

    def _write(self, data: bytes) -> None:
        if self.command != "HEAD":
            self.wfile.write(data)
