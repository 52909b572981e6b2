"""The note beside converted weights: what they are, and where they come from."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from diorama.diffusion.families import FAMILIES
from diorama.diffusion.release import read_config
from diorama.errors import ModelError, UsageError

MANIFEST = "manifest.json"
FORMAT = "diorama-weights-1"
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Stored:
    """A piece as the manifest describes it.

    Attributes:
        family: of the tensors, a name of `families`.
        tensors: how many.
        parameters: numbers in them.
        dtype: ``fp16``, ``bf16`` or ``fp32``.
        bytes: size of the file.
        sha256: of the file.
        sources: names of the files it was made from.
        config: arguments of the network's class.
    """

    family: str
    tensors: int
    parameters: int
    dtype: str
    bytes: int
    sha256: str
    sources: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """Where the weights of a folder come from.

    Attributes:
        kind: of the release they are made from.
        licence: under which they were published.
        date: of the conversion, ``2026-11-21``.
        sources: SHA-256 by name of the files they were made from.
        pieces: by name; each lies in ``<name>.safetensors``.
        files: SHA-256 by name of the small text files beside them.
    """

    kind: str
    licence: str
    date: str
    sources: Mapping[str, str]
    pieces: Mapping[str, Stored]
    files: Mapping[str, str] = field(default_factory=dict)


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest; last, so that its presence means that all is there."""
    text = json.dumps({"format": FORMAT, **asdict(manifest)}, indent=1, sort_keys=True) + "\n"
    with whole_file(folder / MANIFEST) as partial:
        partial.write_text(text)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder, all fields checked.

    Raises:
        ModelError: none, or damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelError("no manifest.json in the folder", folder, "name what `diorama models convert` wrote")
    data = read_config(path)
    try:
        if data.pop("format") != FORMAT:
            raise ValueError(f"another format than {FORMAT}")
        pieces = {str(name): _stored(name, value) for name, value in data.pop("pieces").items()}
        sources = {str(name): _hash(value) for name, value in data.pop("sources").items()}
        files = {_inside(name): _hash(value) for name, value in data.pop("files").items()}
        rest = {name: str(value) for name, value in data.items()}
        manifest = Manifest(pieces=pieces, sources=sources, files=files, **rest)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"the manifest is damaged ({str(error)[:200]})", path, "convert the weights again") from error
    return manifest


def _stored(name: object, value: Any) -> Stored:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"a piece called {str(name)[:60]!r}")
    stored = Stored(**{**value, "sources": tuple(str(source) for source in value["sources"])})
    counts = (stored.tensors, stored.parameters, stored.bytes)
    if any(type(count) is not int or count < 0 for count in counts) or stored.dtype not in DTYPES:
        raise ValueError(f"the numbers or the dtype of {name}")
    if not isinstance(stored.config, dict) or stored.family not in FAMILIES:
        raise ValueError(f"the family or the config of {name}")
    _hash(stored.sha256)
    return stored


def _inside(name: Any) -> str:
    """A name of a file in a folder of the folder, and nowhere else."""
    if not isinstance(name, str) or not re.fullmatch(r"[a-z_]{1,40}/[A-Za-z0-9_][A-Za-z0-9_.-]{0,80}", name):
        raise ValueError(f"a file called {str(name)[:60]!r}")
    return name


def _hash(value: Any) -> str:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ValueError(f"{str(value)[:60]!r} is no SHA-256")
    return value


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path beside `path` that takes its name when the block ends well, and is removed otherwise."""
    if not path.parent.is_dir():
        raise UsageError("the output folder does not exist", path.parent, f"mkdir -p {path.parent}")
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
