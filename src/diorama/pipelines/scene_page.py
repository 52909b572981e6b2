"""The page of a scene: one HTML file in which Gaussians, still or moving, are looked at from all sides and in stereo.

The page's own sources are in `web/scene`, the mixing of two eyes for red-cyan glasses in `web/clip`. They draw with
WebGL 2 alone.
"""

import base64
from collections.abc import Mapping
from html import escape

from diorama.core.gaussians import Gaussians, MovingGaussians
from diorama.errors import UsageError
from diorama.media.splat import Scene4d, SplatSequence
from diorama.media.splat.scene4d import ENDING
from diorama.pipelines.scene_page_data import page_bytes, page_scene
from diorama.pipelines.web_page import filled, list_of, policy, script_of, sound, source

SCRIPTS = (
    "scene/data.js",
    "scene/motion.js",
    "scene/sort.js",
    "clip/gl.js",
    "scene/splats.js",
    "scene/camera.js",
    "scene/stage.js",
    "scene/main.js",
)
"""Parts of the page's script, in the order they need each other."""
SCENE, POSTER = f"scene{ENDING}", "poster.png"
"""What a scene and its picture are called in a folder of `diorama spatial`."""
POSTER_BYTES = 8 << 20
PICTURES = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"RIFF": "webp"}


def scene_page(
    scene: Gaussians | MovingGaussians | SplatSequence | Scene4d,
    *,
    title: str,
    facts: Mapping[str, str] | None = None,
    poster: bytes = b"",
) -> str:
    """A page that stands alone and plays a scene; mouse, touch and keys lead around in it.

    Nothing is fetched. Where the browser has no WebGL 2, the page says so, and shows the poster.

    Args:
        scene: with cameras the page begins at the first and sways between the others. Of more Gaussians than a page
            can hold (about 1 million that move, 1.5 million that do not) the least seen are left out, and the page
            says how many.
        title: of the page, as text.
        facts: names and values to be told, as text.
        poster: a PNG, JPEG or WebP file of the scene.

    Returns:
        The HTML, to be written as UTF-8; the same for the same arguments.

    Raises:
        UsageError: no Gaussians, too many nodes or keys of them, or a poster that is no picture or too large.
    """
    script, ready = script_of(*SCRIPTS), page_scene(scene)
    return filled(
        source("scene/page.html"),
        {
            "policy": policy([script], {"worker-src": "blob:"}),
            "title": escape(sound(title)),
            "style": source("scene/page.css"),
            "facts": _facts(facts or {}),
            "poster": _poster(poster),
            "scene": base64.b64encode(page_bytes(ready)).decode(),
            "script": script,
        },
    )


def _facts(facts: Mapping[str, str]) -> str:
    return f"<h2>Facts</h2>{list_of(facts)}" if facts else ""


def _poster(data: bytes) -> str:
    if not data:
        return ""
    kind = next((kind for magic, kind in PICTURES.items() if data.startswith(magic)), None)
    if kind is None or len(data) > POSTER_BYTES:
        raise UsageError(f"{len(data)} bytes of poster", "scene_page", f"give a PNG or JPEG of up to {POSTER_BYTES}")
    text = base64.b64encode(data).decode()
    return f'<img class="poster" id="poster" alt="The scene as a still picture" src="data:image/{kind};base64,{text}">'
