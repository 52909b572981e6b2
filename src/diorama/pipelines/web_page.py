"""Pages with scripts of their own that stand alone: all they need travels inside, and no other script may run.

Their sources lie in `web`. The content security policy names the scripts by their hashes; nothing is fetched from the
network.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

MOST_BYTES = 64 << 20
"""Of a model that travels inside a page; as text it is a third longer."""
MOST_INSIDE = 48 << 20
"""Of a scene or film that travels inside a page, which then has some 64 MB."""


def source(name: str) -> str:
    """The text of a file in `web`."""
    return (files("diorama.pipelines") / "web" / name).read_text(encoding="utf-8")


def script_of(*names: str) -> str:
    """Several files of `web` as one script, in the order they need each other."""
    return '"use strict";\n' + "\n".join(source(name) for name in names)


def policy(scripts: Sequence[str], more: Mapping[str, str] | None = None) -> str:
    """Only these scripts run; `blob:` and `data:` are what the page itself holds.

    Args:
        scripts: their texts, letter by letter as they stand in the page.
        more: further directives and what they allow.
    """
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    own = "blob: data:"
    directives = {
        "default-src": "'none'",
        "script-src": " ".join(f"'sha256-{digest}'" for digest in hashes),
        "style-src": "'unsafe-inline'",
        "img-src": own,
        "connect-src": own,
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {allowed}" for name, allowed in (directives | dict(more or {})).items())


def policy_in(page: str) -> str:
    """The policy that a page made here carries, for the header it is served with."""
    found = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    return found[1] if found else "default-src 'none'"


def filled(template: str, values: Mapping[str, str]) -> str:
    """The template with all values put in at once: a value that looks like a place for another stays as it is."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template)


def sound(text: str) -> str:
    """Text that can be written as UTF-8: file names may hold what cannot."""
    return text.encode("utf-8", "replace").decode()


def list_of(facts: Mapping[str, str]) -> str:
    """Names and values as a list of descriptions, escaped."""
    rows = (f"<dt>{escape(sound(name))}</dt><dd>{escape(sound(value))}</dd>" for name, value in facts.items())
    return f"<dl>{''.join(rows)}</dl>"
