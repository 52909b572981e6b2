"""Which licences of weights the user has agreed to: asked once, kept in a small file of the user's own."""

import json
import os
import sys
from datetime import date
from pathlib import Path

from diorama.catalog import Weights
from diorama.errors import UsageError

_BYTES = 1_000_000


def config_folder() -> Path:
    """Where Diorama keeps what the user decided: ``DIORAMA_CONFIG``, or the system's place for settings."""
    if direct := os.environ.get("DIORAMA_CONFIG"):
        return Path(direct).expanduser()
    if sys.platform == "win32" and (roaming := os.environ.get("APPDATA")):
        return Path(roaming) / "diorama"
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "diorama"


def accepted(weights: Weights) -> bool:
    """Whether the user has agreed to the licence as the catalogue states it now, or need not."""
    return weights.permissive or _read().get(weights.name, {}).get("licence") == weights.licence


def accept(weights: Weights) -> None:
    """Note that the user has agreed to the licence.

    Raises:
        UsageError: the folder of settings cannot be written.
    """
    noted = {**_read(), weights.name: {"licence": weights.licence, "date": date.today().isoformat()}}
    path = _path()
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(noted, indent=1, sort_keys=True) + "\n")
        os.replace(partial, path)
    except OSError as error:
        what = f"the accepted licence cannot be noted ({error.strerror})"
        raise UsageError(what, path, "set DIORAMA_CONFIG to a folder that can be written") from error


def _path() -> Path:
    return config_folder() / "licences.json"


def _read() -> dict[str, dict[str, str]]:
    """What has been noted; nothing where the file is absent or damaged, so that the question is asked again."""
    path = _path()
    try:
        noted = json.loads(path.read_text()) if path.stat().st_size <= _BYTES else None
    except (OSError, ValueError, RecursionError):
        return {}
    return {name: entry for name, entry in noted.items() if isinstance(entry, dict)} if isinstance(noted, dict) else {}
