"""The page of a rig: one HTML file that shows a GLB with its skeleton, weights and animations, and writes edits.

The page's own sources are in `web/rig`, three.js beside them; all of it travels inside the page, and its content
security policy lets it run these two scripts alone and reach no network.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from html import escape
from importlib.resources import files

from diorama.errors import UsageError

MOST_BYTES = 64 << 20
"""Of a GLB file: it travels inside the page, a third longer."""
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
    three = _source("three.js")
    script = '"use strict";\n' + "\n".join(_source(f"rig/{name}.js") for name in SCRIPTS)
    return _filled(
        _source("rig/page.html"),
        {
            "policy": _policy(three, script),
            "title": escape(_sound(title)),
            "style": _source("rig/page.css"),
            "facts": _facts(facts or {}),
            "newest": str(newest),
            "glb": base64.b64encode(glb).decode(),
            "three": three,
            "script": script,
        },
    )


def _source(name: str) -> str:
    return (files("diorama.pipelines") / "web" / name).read_text(encoding="utf-8")


def _policy(*scripts: str) -> str:
    """Only these scripts run; `blob:` and `data:` are what the GLB itself holds."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    own = "blob: data:"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src {own}; connect-src {own}; "
        "base-uri 'none'; form-action 'none'"
    )


def _facts(facts: Mapping[str, str]) -> str:
    if not facts:
        return ""
    rows = "".join(f"<dt>{escape(_sound(name))}</dt><dd>{escape(_sound(value))}</dd>" for name, value in facts.items())
    return f'<section aria-labelledby="facts-title"><h2 id="facts-title">Facts</h2><dl>{rows}</dl></section>'


def _sound(text: str) -> str:
    """Text that can be written as UTF-8: file names may hold what cannot."""
    return text.encode("utf-8", "replace").decode()


def _filled(template: str, values: Mapping[str, str]) -> str:
    """The template with all values put in at once: a value that looks like a place for another stays as it is."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template)
