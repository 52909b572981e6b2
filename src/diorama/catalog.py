"""Weights by name: found in the table, in the package, in the download cache. Loads no framework, fetches nothing."""

import os
from difflib import get_close_matches
from pathlib import Path

from diorama.errors import ModelError
from diorama.weights import ALL, EMBEDDED, FILES, GENERATORS, PEOPLE, UNVERIFIED, WEIGHTS, Weights

__all__ = [
    "ALL",
    "DEFAULT_DEPTH",
    "EMBEDDED",
    "GENERATORS",
    "PEOPLE",
    "UNVERIFIED",
    "WEIGHTS",
    "Weights",
    "at_folder",
    "by_hash",
    "by_source",
    "cache_folder",
    "cached",
    "card_of",
    "find",
    "folder_of",
    "models_found",
    "names",
]

DEFAULT_DEPTH = "depth-anything-v2-small"
"""What ``--depth hub`` means."""


def names(question: str = "") -> list[str]:
    """Names of perception's weights, of one question or of all."""
    return [weights.name for weights in WEIGHTS if question in ("", weights.question)]


def find(name: str, among: tuple[Weights, ...] | None = None) -> Weights:
    """The entry called `name`, of perception's or among those given.

    Raises:
        ModelError: there is none; the message lists the known names, the nearest first.
    """
    table = WEIGHTS if among is None else among
    for weights in table:
        if weights.name == name:
            return weights
    known = [weights.name for weights in table]
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]}? " if near else ""
    raise ModelError(f"no weights are called {name!r}", fix=f"{guess}known: {', '.join(known)}")


def by_hash(sha256: str) -> Weights | None:
    """The entry that has a file of this hash, or None."""
    return next((weights for weights in ALL if sha256 in weights.sha256.values()), None)


def folder_of(weights: Weights) -> Path | None:
    """Where the files of an entry lie complete: in the package, or in the download cache; None where they do not."""
    if weights.packaged:
        folder = Path(__file__).parent / weights.packaged
        return folder if all((folder / name).is_file() for name in weights.files) else None
    return cached(weights.source, weights.files)


def card_of(weights: Weights) -> Path | None:
    """The card of weights that come with the package, or None: in the package, or in a checkout's ``docs/models``."""
    here = Path(__file__).parent
    places = (here / "cards", here.parents[1] / "docs" / "models")
    return next((path for place in places if (path := place / f"{weights.name}.md").is_file()), None)


def by_source(source: str) -> Weights | None:
    """The entry whose hub repository is `source`, or None."""
    return next((weights for weights in WEIGHTS if weights.source == source), None)


def cache_folder() -> Path:
    """Where the hub's own client keeps its downloads, by the same environment variables."""
    direct = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if direct:
        return Path(direct).expanduser()
    above = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{above}/huggingface"
    return Path(home).expanduser() / "hub"


def cached(source: str, files: tuple[str, ...] = FILES) -> Path | None:
    """Folder of a downloaded snapshot of `source` that holds all of `files`, or None."""
    snapshots = cache_folder() / f"models--{source.replace('/', '--')}" / "snapshots"
    if not snapshots.is_dir():
        return None
    whole = [folder for folder in snapshots.iterdir() if all((folder / name).is_file() for name in files)]
    return max(whole, key=lambda folder: folder.stat().st_mtime, default=None)


def at_folder(folder: Path) -> Weights | None:
    """The entry whose files lie in `folder`, in the package or in the download cache; None for any other folder."""
    place = folder.resolve()
    return next((weights for weights in ALL if (lies := folder_of(weights)) and lies.resolve() == place), None)


def models_found() -> list[tuple[Weights, Path]]:
    """Entries of perception that are complete in the local download cache, with their folders."""
    found = [(weights, cached(weights.source, weights.files)) for weights in WEIGHTS]
    return [(weights, folder) for weights, folder in found if folder is not None]
