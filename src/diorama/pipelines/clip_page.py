"""The page of a stereo film: its eyes one by one, beside each other, mixed for red-cyan glasses, or in turn."""

import base64
from dataclasses import dataclass
from html import escape
from typing import Literal, get_args

from diorama.errors import UsageError
from diorama.pipelines.web_page import MOST_INSIDE, filled, policy, script_of, sound, source

Layout = Literal["one", "sbs", "half-sbs", "tb", "half-tb"]
SCRIPTS = ("clip/gl.js", "clip/clip.js")
LAYOUTS: dict[Layout, str] = {
    "sbs": "Full side by side",
    "half-sbs": "Half side by side",
    "tb": "Full top-bottom",
    "half-tb": "Half top-bottom",
    "one": "As it is",
}
"""How a file may hold its eyes, and what the page calls that."""
KINDS = ("video/mp4", "video/webm")


@dataclass(frozen=True)
class Film:
    """A film for a page.

    Attributes:
        kind: media type, one of `KINDS`.
        layout: how it holds the eyes; "one" is shown as it is (mono, or an anaglyph).
        swapped: whether the right eye comes first.
        told: what it is, as text.

    Raises:
        UsageError: a media type or layout that is not known.
    """

    kind: str
    layout: Layout = "sbs"
    swapped: bool = False
    told: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"a film of the kind {self.kind!r}", "Film.kind", f"known: {', '.join(KINDS)}")
        if self.layout not in get_args(Layout):
            raise UsageError(f"the layout {self.layout!r}", "Film.layout", f"known: {', '.join(get_args(Layout))}")


def clip_page(film: Film, *, title: str, data: bytes | None = None, beside: str = "film") -> str:
    """A page that plays a stereo film.

    Args:
        film: what it is.
        title: of the page, as text.
        data: the film's file, which then travels inside the page; None: it is served beside the page.
        beside: its address then, relative to the page: letters, digits, dots and dashes.

    Returns:
        The HTML, to be written as UTF-8; the same for the same arguments.

    Raises:
        UsageError: a film of more than `MOST_INSIDE`, or an address that leads elsewhere.
    """
    if data is not None and len(data) > MOST_INSIDE:
        given = f"a film of {len(data) / 1e6:.0f} MB, the limit of a page is {MOST_INSIDE / 1e6:.0f} MB"
        raise UsageError(given, "clip_page", "open it without --save")
    if not beside.replace(".", "").replace("-", "").isalnum() or not beside.isascii():
        raise UsageError(f"the address {beside[:80]!r}", "clip_page", "use letters, digits, dots and dashes")
    script = script_of(*SCRIPTS)
    options = (
        f'<option value="{name}"{" selected" if name == film.layout else ""}>{label}</option>'
        for name, label in LAYOUTS.items()
    )
    return filled(
        source("clip/page.html"),
        {
            "policy": policy([script], {"media-src": "'self'" if data is None else "data:"}),
            "title": escape(sound(title)),
            "told": escape(sound(film.told)),
            "style": source("scene/page.css"),
            "film": beside if data is None else f"data:{film.kind};base64,{base64.b64encode(data).decode()}",
            "layouts": "".join(options),
            "swapped": " checked" if film.swapped else "",
            "script": script,
        },
    )
