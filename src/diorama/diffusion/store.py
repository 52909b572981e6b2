"""Weights in Diorama's own layout: safetensors and a manifest that says where they come from, written atomically.

The same tensors give the same bytes. A folder holds ``<piece>.safetensors`` and ``manifest.json``.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Shaped
from safetensors.torch import save_file

from diorama import catalog
from diorama.core.progress import Progress, Silent
from diorama.diffusion.checkpoint import Tensors, listed, read_tensors
from diorama.diffusion.families import FAMILIES, detect, shapes_of
from diorama.diffusion.manifest import (
    DTYPES,
    MANIFEST,
    Manifest,
    Stored,
    file_hash,
    read_manifest,
    save_manifest,
    whole_file,
)
from diorama.diffusion.release import Piece, open_release, pieces
from diorama.diffusion.skeletons import check_names
from diorama.errors import ModelError, UsageError

Precision = Literal["fp16", "bf16", "fp32"]

UNSTATED = "unknown: see where the weights come from"

COMPANIONS = ("tokenizer", "scheduler", "feature_extractor")
"""Folders of a release whose text files a conversion copies."""

COMPANION_BYTES = 5_000_000


@dataclass(frozen=True)
class Finding:
    """What `inspect` found about one piece.

    Attributes:
        piece: its name.
        title: of its family.
        tensors: how many.
        named: whether their names and shapes were compared with the network's.
        files: SHA-256 and where it is known from (the manifest, an entry of the catalogue, or nothing), by file name.
    """

    piece: str
    title: str
    tensors: int
    named: bool
    files: Mapping[str, tuple[str, str]]


def save_tensors(
    path: Path, tensors: Mapping[str, Shaped[torch.Tensor, "..."]], *, precision: Precision = "fp16"
) -> None:
    """Write tensors as safetensors, floats in one dtype; the file appears under its name only when complete.

    Raises:
        ModelError: values that the dtype cannot hold (fp16 ends at 65504).
        UsageError: the folder is missing.
    """
    ready = _cast(tensors, precision, path)
    with whole_file(path) as partial:
        save_file(ready, partial, metadata={"format": "pt"})  # one entry: the order of several would vary


def _cast(
    tensors: Mapping[str, Shaped[torch.Tensor, "..."]], precision: Precision, where: object
) -> dict[str, Shaped[torch.Tensor, "..."]]:
    dtype, seen = DTYPES[precision], set()
    ready, lost = {}, []
    for name, tensor in tensors.items():
        value = tensor.detach().to(dtype if tensor.is_floating_point() else tensor.dtype).contiguous()
        if value.numel() and value.is_floating_point() and not bool(torch.isfinite(torch.stack(value.aminmax())).all()):
            lost.append(name)
        if value.numel() and value.data_ptr() in seen:
            value = value.clone()  # tied weights: the format has no place for sharing
        seen.add(value.data_ptr())
        ready[name] = value
    if lost:
        what = f"{len(lost)} tensors hold values beyond {precision}: {listed(lost)}"
        raise ModelError(what, where, "use --dtype bf16 or fp32")
    return ready


def save_piece(folder: Path, piece: Piece, *, precision: Precision = "fp16", root: Path | None = None) -> Stored:
    """Write one piece into `folder`, and describe it; its sources are named as seen from `root`.

    Raises:
        ModelError: as `save_tensors`.
    """
    path = folder / f"{piece.name}.safetensors"
    save_tensors(path, piece.tensors, precision=precision)
    floats = [tensor for tensor in piece.tensors.values() if tensor.is_floating_point()]
    return Stored(
        family=piece.family.name,
        tensors=len(piece.tensors),
        parameters=sum(tensor.numel() for tensor in floats),
        dtype=precision,
        bytes=path.stat().st_size,
        sha256=file_hash(path),
        sources=tuple(_seen_from(root, source) for source in piece.sources),
        config=json.loads(json.dumps(piece.config)),  # as it will be read
    )


def _seen_from(root: Path | None, source: Path) -> str:
    inside = root is not None and root != source and source.is_relative_to(root)
    return source.relative_to(root).as_posix() if root and inside else source.name


def convert(
    source: Path,
    folder: Path,
    *,
    date: str,
    licence: str = "",
    precision: Precision = "fp16",
    progress: Progress | None = None,
) -> Manifest:
    """Write released weights into `folder` in our layout, with a manifest; one piece is in memory at a time.

    Args:
        source: folder or file, see `read_model`.
        folder: where to, made where needed; the manifest of an earlier conversion is taken away first.
        date: for the manifest.
        licence: for the manifest; empty: that of the catalogue's entry with a file of the same hash.
        precision: of the floats.
        progress: told after each piece.

    Raises:
        ModelError: as reading and writing do; the folder then has no manifest.
        UsageError: the folder cannot be made, or is the source.
    """
    progress, root = progress or Silent(), source if source.is_dir() else source.parent
    if folder.resolve() == root.resolve():
        raise UsageError("the output folder is that of the source", folder, "choose another")
    kind, found = read_model(source)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"the folder cannot be written ({error.strerror})", folder, "choose another") from error
    progress.begin("converting", None)
    stored, sources = {}, {}
    for piece in found:
        stored[piece.name] = save_piece(folder, piece, precision=precision, root=root)
        sources.update({_seen_from(root, file): file_hash(file) for file in piece.sources})
        progress.advance()
    licence = licence or next((entry.licence for entry in map(catalog.by_hash, sources.values()) if entry), UNSTATED)
    manifest = Manifest(kind, licence, date, sources, stored, _copied(root, folder) if source.is_dir() else {})
    save_manifest(folder, manifest)
    return manifest


def _copied(root: Path, folder: Path) -> dict[str, str]:
    """Copy what models keep in small text files (vocabulary, schedule); SHA-256 by name."""
    hashes = {}
    for file in sorted(file for name in COMPANIONS for file in (root / name).glob("*")):
        if file.suffix not in (".json", ".txt") or not file.is_file() or file.stat().st_size > COMPANION_BYTES:
            continue
        target = folder / file.relative_to(root)
        target.parent.mkdir(exist_ok=True)
        with whole_file(target) as partial:
            partial.write_bytes(file.read_bytes())
        hashes[file.relative_to(root).as_posix()] = file_hash(target)
    return hashes


def read_model(path: Path) -> tuple[str, Iterator[Piece]]:
    """The kind of a model and its pieces, read one at a time: of a converted folder, or of a release as downloaded.

    Raises:
        ModelError: as `read_manifest`, or as `release.open_release`; reading the pieces as `read_tensors`.
    """
    if (path / MANIFEST).is_file():
        manifest = read_manifest(path)
        return manifest.kind, _converted(path, manifest)
    release = open_release(path)
    return release.kind, pieces(release)


def _converted(folder: Path, manifest: Manifest) -> Iterator[Piece]:
    for name, stored in manifest.pieces.items():
        path = folder / f"{name}.safetensors"
        tensors = _as_stored(path, stored)
        family = FAMILIES[stored.family]
        named = check_names(family, tensors, source=str(path), config=stored.config)
        yield Piece(name, family, tensors, (path,), stored.config, named)


def inspect(path: Path, *, progress: Progress | None = None) -> list[Finding]:
    """Check a model: finite values, every name where the network is known, and hashes.

    Of a converted folder all hashes must be those of its manifest; those of a release are looked up in the catalogue.

    Raises:
        ModelError: the first thing that is wrong.
    """
    manifest = read_manifest(path) if (path / MANIFEST).is_file() else None
    if manifest:
        _check_hashes(path, manifest)
    progress, findings = progress or Silent(), []
    progress.begin("verifying", None)
    for piece in read_model(path)[1]:
        hashes = {_seen_from(path, file): file_hash(file) for file in piece.sources}
        files = {
            name: (sha256, "as in the manifest" if manifest else _entry(sha256)) for name, sha256 in hashes.items()
        }
        findings.append(Finding(piece.name, piece.family.title, len(piece.tensors), piece.checked, files))
        progress.advance()
    return findings


def _entry(sha256: str) -> str:
    found = catalog.by_hash(sha256)
    return found.name if found else ""


def _check_hashes(folder: Path, manifest: Manifest) -> None:
    for name, sha256 in manifest.files.items():
        _check_hash(folder / name, sha256)
    for name, stored in manifest.pieces.items():
        _check_hash(folder / f"{name}.safetensors", stored.sha256)


def _check_hash(path: Path, expected: str) -> None:
    found = file_hash(path) if path.is_file() else ""
    if found != expected:
        what = f"sha256 {found[:12]}, the manifest says {expected[:12]}" if found else "the file is missing"
        raise ModelError(what, path, "convert the weights again")


def _as_stored(path: Path, stored: Stored) -> Tensors:
    tensors = read_tensors(path)
    family = detect(shapes_of(tensors))
    if len(tensors) != stored.tensors or family.name != stored.family:
        what = f"{len(tensors)} tensors of {family.title}, the manifest says {stored.tensors} of {stored.family}"
        raise ModelError(what, path, "convert the weights again")
    return tensors
