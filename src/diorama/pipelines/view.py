"""Anything that Diorama makes to be looked at, as a page: scenes of Gaussians, models with their rigs, stereo films."""

from pathlib import Path

from diorama.core.gaussians import Gaussians
from diorama.errors import MediaError, UsageError
from diorama.media.atomic import atomic_path
from diorama.media.safe import local_path, regular_file
from diorama.media.splat import Scene4d, SplatSequence, read_splats
from diorama.media.splat.read import Splats, kind_of_splats
from diorama.media.splat.scene4d import ENDING
from diorama.media.splat.sequence import sequence_files
from diorama.pipelines.clip_page import Layout, clip_page
from diorama.pipelines.rig_page import rig_page
from diorama.pipelines.scene_page import PICTURES, POSTER, POSTER_BYTES, SCENE, scene_page
from diorama.pipelines.view_film import SUFFIXES, film_of
from diorama.pipelines.view_server import FILM, Site
from diorama.pipelines.web_page import MOST_BYTES

PAGES = (".html", ".htm")
SHOWN = (".ply", ".splat", ".glb", *SUFFIXES)
"""Endings of the files in a folder that can be shown."""
_KNOWN = "a scene (PLY, .splat, GLB, scene4d, a folder of PLY files), a model (GLB) or a stereo film (MP4, WebM)"


def site_of(given: str | Path, *, layout: Layout | None = None, alone: bool = False) -> Site:
    """The page of a file or folder.

    Args:
        given: a scene of Gaussians (a file, or a folder with a sequence), a GLB model, a stereo film, or a folder that
            holds one of them.
        layout: how a film holds the eyes; None: by its tags or its name.
        alone: whether the page stands alone: a film then travels inside it.

    Raises:
        UsageError: not a path of a local file, a folder that holds several, a film or model too large for a page, or a
            layout for what is no film.
        MediaError: no such file, or nothing that can be shown.
        DamagedMediaError, LimitError: as the readers of each format.
    """
    given = local_path(given)
    path = _chosen(given)
    title = (given if path.name == SCENE else path).resolve().name
    if path.suffix.lower() in SUFFIXES:
        film = film_of(path, layout)
        data = _whole(path) if alone else None
        return Site(clip_page(film, title=title, data=data, beside=FILM), None if alone else path, film.kind)
    if layout is not None:
        raise UsageError("a layout for what is no film", "--layout", "leave it out")
    if kind_of_splats(path) is not None:
        scene = read_splats(path)
        return Site(scene_page(scene, title=title, facts=_facts(scene), poster=_poster(path)))
    with path.open("rb") as file:
        if file.read(4) == b"glTF":
            return Site(rig_page(_whole(path), title=title))
    raise MediaError("nothing that can be shown", path, f"give {_KNOWN}")


def save_page(given: str | Path, target: str | Path, *, layout: Layout | None = None, overwrite: bool = False) -> Path:
    """Write the page of a file or folder, so that it can be opened without a server.

    Args:
        given: as `site_of`.
        target: the page; it appears when it is complete.
        layout: as `site_of`.
        overwrite: replace a page that is there.

    Returns:
        The page's path.

    Raises:
        UsageError: as `site_of`; or `target` exists, or is not called .html.
        DioramaError: as `site_of`.
    """
    path = local_path(target)
    if path.suffix.lower() not in PAGES:
        raise UsageError(f"a page called {path.name[:80]!r}", "--save", "call it .html")
    with atomic_path(path, overwrite=overwrite) as partial:
        partial.write_text(site_of(given, layout=layout, alone=True).page, encoding="utf-8")
    return path


def _chosen(path: Path) -> Path:
    """A file as it is; of a folder the sequence it is, or the one file in it that can be shown."""
    if not path.is_dir():
        return regular_file(path)
    entries = sorted(entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith("."))
    scenes = [entry for entry in entries if entry.name.endswith(ENDING)]
    if len(scenes) == 1:
        return scenes[0]
    shown = scenes or [entry for entry in entries if entry.suffix.lower() in SHOWN]
    if len(shown) == 1:
        return shown[0]
    if shown and all(entry.suffix.lower() == ".ply" for entry in shown):
        sequence_files(path)
        return path
    if shown:
        raise UsageError(f"a folder with {len(shown)} things to show", path, f"name one, such as {shown[0].name}")
    raise MediaError("a folder with nothing that can be shown", path, f"give {_KNOWN}")


def _whole(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MOST_BYTES:
        what = f"a file of {size / 1e6:.0f} MB, the limit of a page is {MOST_BYTES / 1e6:.0f} MB"
        raise UsageError(what, path, "make it smaller; films larger than that are shown without --save")
    return path.read_bytes()


def _poster(path: Path) -> bytes:
    """What the page shows until the scene is there: the picture that `diorama spatial` puts beside it."""
    beside = path.parent / POSTER
    if path.name != SCENE or not beside.is_file() or beside.stat().st_size > POSTER_BYTES:
        return b""
    data = beside.read_bytes()
    return data if data.startswith(tuple(PICTURES)) else b""


def _facts(scene: Splats) -> dict[str, str]:
    if isinstance(scene, Gaussians):
        return {"Gaussians": f"{len(scene):,}"}
    if isinstance(scene, SplatSequence):
        least, most = (pick(map(len, scene.frames)) for pick in (min, max))
        held = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        return {"Moments": str(len(scene)), "Gaussians": f"{held} each"}
    return _of_scene(scene)


def _of_scene(scene: Scene4d) -> dict[str, str]:
    moving = scene.moving
    facts = {
        "Gaussians": f"{len(moving):,}",
        "Nodes": f"{len(moving.nodes):,}",
        "Keys": f"{len(moving.times)} in {moving.seconds:.2f} s",
    }
    if scene.fps is not None:
        facts["Frames a second"] = f"{scene.fps:g}"
    if scene.cameras is not None:
        facts["Fitted at"] = f"{scene.cameras.width} × {scene.cameras.height}"
    return facts
