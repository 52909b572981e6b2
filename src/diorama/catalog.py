"""The table of weights: name, source, files, licence, size. Reading it loads no framework and fetches nothing."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from diorama.errors import ModelError

UNVERIFIED = "unverified (no hash is known)"


@dataclass(frozen=True)
class Weights:
    """One set of weights that can be asked for by name.

    Attributes:
        name: what the user types, e.g. ``--depth depth-anything-v2-small``.
        question: which perception question it answers.
        source: repository on the hub, ``organisation/name``.
        files: what must be present for the model to load.
        licence: SPDX name, or the hub's name where SPDX has none.
        commercial: whether the licence allows commercial use.
        megabytes: size of `files` together, 10^6 bytes.
        sha256: hash of a file by its name; empty where unknown, and a known one must match.
    """

    name: str
    question: str
    source: str
    files: tuple[str, ...]
    licence: str
    commercial: bool
    megabytes: int
    sha256: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def terms(self) -> str:
        """The licence in one line for the user, and whether the files can be compared with a known hash."""
        use = "commercial use allowed" if self.commercial else "no commercial use"
        checked = "" if self.sha256 else f", {UNVERIFIED}"
        return f"weights {self.source}: {self.licence}, {use}{checked}"


_FILES = ("config.json", "model.safetensors")


def _depth(name: str, source: str, licence: str, megabytes: int, *, commercial: bool) -> Weights:
    return Weights(name, "depth", source, _FILES, licence, commercial, megabytes)


_V2 = "depth-anything/Depth-Anything-V2-{}-hf"

WEIGHTS = (
    _depth("depth-anything-v2-small", _V2.format("Small"), "Apache-2.0", 99, commercial=True),
    _depth("depth-anything-v2-base", _V2.format("Base"), "CC-BY-NC-4.0", 390, commercial=False),
    _depth("depth-anything-v2-large", _V2.format("Large"), "CC-BY-NC-4.0", 1341, commercial=False),
    _depth("depth-anything-small", "LiheYoung/depth-anything-small-hf", "Apache-2.0", 99, commercial=True),
    _depth("depth-pro", "apple/DepthPro-hf", "apple-amlr", 1904, commercial=False),
    _depth("zoedepth", "Intel/zoedepth-nyu-kitti", "MIT", 1379, commercial=True),
    _depth("dpt", "Intel/dpt-large", "Apache-2.0", 1368, commercial=True),
)

DEFAULT_DEPTH = "depth-anything-v2-small"
"""What ``--depth hub`` means."""


def names(question: str = "") -> list[str]:
    """Names in the catalogue, of one question or of all."""
    return [weights.name for weights in WEIGHTS if question in ("", weights.question)]


def find(name: str) -> Weights:
    """The entry called `name`.

    Raises:
        ModelError: there is none; the message lists the known names, the nearest first.
    """
    for weights in WEIGHTS:
        if weights.name == name:
            return weights
    near = get_close_matches(name, names(), n=1, cutoff=0.5)
    guess = f"did you mean {near[0]}? " if near else ""
    raise ModelError(f"no weights are called {name!r}", fix=f"{guess}known: {', '.join(names())}")


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


def cached(source: str, files: tuple[str, ...] = _FILES) -> Path | None:
    """Folder of a downloaded snapshot of `source` that holds all of `files`, or None."""
    snapshots = cache_folder() / f"models--{source.replace('/', '--')}" / "snapshots"
    if not snapshots.is_dir():
        return None
    whole = [folder for folder in snapshots.iterdir() if all((folder / name).is_file() for name in files)]
    return max(whole, key=lambda folder: folder.stat().st_mtime, default=None)


def models_found() -> list[tuple[Weights, Path]]:
    """Entries of the catalogue that are complete in the local download cache, with their folders."""
    found = [(weights, cached(weights.source, weights.files)) for weights in WEIGHTS]
    return [(weights, folder) for weights, folder in found if folder is not None]
