"""Small files of results beside the takes and the networks: whole or not there, and read as if anybody wrote them."""

import json
from pathlib import Path
from typing import Any

from diorama.errors import ModelError
from diorama.media.atomic import atomic_path

JSON_BYTES = 50_000_000
"""Of a file, at most."""


def read_json(path: Path) -> Any:
    """What a file of ours holds; None where there is none.

    Raises:
        ModelError: it is damaged.
    """
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > JSON_BYTES:
            raise ValueError("it is too large")
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, error) from error


def write_json(path: Path, value: object) -> None:
    """A file, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")


def damaged(path: Path | str, error: Exception) -> ModelError:
    """What is raised for a file that holds something else."""
    return ModelError(f"no result of a variant: {error}", path, "delete it; the same call makes it again")
