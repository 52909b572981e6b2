"""Weights of the catalogue from the hub, on the user's word; this module loads no framework."""

import hashlib
import os
from pathlib import Path

from diorama.catalog import Weights, folder_of
from diorama.core.extras import need
from diorama.errors import ModelError


def fetch(weights: Weights, folder: Path | None = None) -> Path:
    """The folder with all files of `weights`: where they lie, or downloaded now; known hashes are compared.

    Args:
        weights: an entry of the catalogue whose licence is accepted.
        folder: where to put them; None: the hub's own cache.

    Raises:
        ModelError: no network, no access, or a file with another hash than the catalogue's.
    """
    found = folder_of(weights) if folder is None else None
    if found is None:
        if weights.packaged:
            raise ModelError("files of this installation are missing", weights.packaged, "install Diorama again")
        found = _download(weights, folder)
    check_hashes(weights, found)
    return found


def check_hashes(weights: Weights, folder: Path) -> None:
    """Compare the files whose hash the catalogue knows.

    Raises:
        ModelError: a file is missing, or has another hash.
    """
    for name, expected in weights.sha256.items():
        path = folder / name
        if not path.is_file():
            raise ModelError(f"{name} is missing", folder, f"diorama models get {weights.name}")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected:
            what = f"{name} has sha256 {found[:12]}, expected {expected[:12]}"
            raise ModelError(what, folder, "delete it, and get it again")


def _download(weights: Weights, folder: Path | None) -> Path:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    hub = need("huggingface_hub")
    files = " ".join(weights.files if len(weights.files) <= 4 else [])
    remedy = f"where there is a network: hf download {weights.source} {files} --local-dir {weights.name}"
    page = f"https://huggingface.co/{weights.source}"
    try:
        return Path(hub.snapshot_download(weights.source, allow_patterns=list(weights.files), local_dir=folder))
    except hub.errors.GatedRepoError as error:
        raise ModelError("the authors ask to agree on the page first", page, "do so, then: hf auth login") from error
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise ModelError(f"no download ({reason})", weights.source, remedy) from error
