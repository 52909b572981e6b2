"""The page of a rig: one HTML file that shows a GLB with its skeleton, weights and animations, and writes edits.

The page's own sources are in `web/rig`, three.js beside them; all of it travels inside the page, and its content
security policy lets it run these two scripts alone and reach no network.
"""

import base64
from collections.abc import Mapping
from html import escape

from diorama.errors import UsageError
from diorama.pipelines.web_page import MOST_BYTES, filled, list_of, policy, script_of, sound, source

SCRIPTS = ("edits", "paint", "model", "bones", "stage", "panels", "main")
"""Parts of the page's script, in the order they need each other."""
_MAGIC = b"glTF"
_HEADER = 20


def rig_page(glb: bytes, *, title: str, facts: Mapping[str, str] | None = None, newest: int = 0) -> str:
    """A page that stands alone: 3D view, joints, weights, animations, and a form that writes `edits.json`.

    Nothing is fetched; names in the file are shown as text, whatever they hold. Where the browser has no WebGL 2, the
    page says so and shows the joints all the same.

    Args:
        glb: a GLB file with or without skin and animations.
        title: of the page, as text.
        facts: names and values for the end of the panel, as text.
        newest: how many animations at the end are new, of which the first plays first; 0: all of them.

    Returns:
        The HTML, to be written as UTF-8; the same for the same arguments.

    Raises:
        UsageError: no GLB file, or one of more than `MOST_BYTES`.
    """
    if glb[:4] != _MAGIC or len(glb) < _HEADER:
        raise UsageError(f"{len(glb)} bytes that are no GLB file", "rig_page", "write one with write_glb")
    if len(glb) > MOST_BYTES:
        given = f"a GLB file of {len(glb) / 1e6:.0f} MB, the limit of a page is {MOST_BYTES / 1e6:.0f} MB"
        raise UsageError(given, "rig_page", "simplify the mesh or reduce its textures")
    three = source("three.js")
    script = script_of(*(f"rig/{name}.js" for name in SCRIPTS))
    return filled(
        source("rig/page.html"),
        {
            "policy": policy([three, script]),
            "title": escape(sound(title)),
            "style": source("rig/page.css"),
            "facts": _facts(facts or {}),
            "newest": str(newest),
            "glb": base64.b64encode(glb).decode(),
            "three": three,
            "script": script,
        },
    )


def _facts(facts: Mapping[str, str]) -> str:
    if not facts:
        return ""
    return f'<section aria-labelledby="facts-title"><h2 id="facts-title">Facts</h2>{list_of(facts)}</section>'
