"""What a mesh in a file may hold, and how plain files of meshes are opened."""

from pathlib import Path

from diorama.errors import LimitError, MediaError
from diorama.media.safe import regular_file

FILE_BYTES = 1 << 30
VERTICES = 5_000_000
FACES = 10_000_000
"""Triangles."""
CORNERS = 256
"""Of a face."""
FAR = 1e9
"""Metres from the origin; squares of much larger numbers overflow single precision."""


def checked_file(path: Path) -> Path:
    """A regular file of acceptable size that may be read.

    Raises:
        MediaError: no such file, or no permission.
        LimitError: larger than `FILE_BYTES`.
    """
    path = regular_file(path)
    size = path.stat().st_size
    if size > FILE_BYTES:
        raise LimitError(f"a file of {size / 1e9:.1f} GB, the limit is {FILE_BYTES / 1e9:.1f} GB", path)
    try:
        path.open("rb").close()
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror})", path, "check the permissions") from error
    return path


def check_count(count: int, limit: int, what: str, where: object) -> None:
    """Raise `LimitError` for more than a limit."""
    if count > limit:
        raise LimitError(f"{count} {what}, the limit is {limit}", where, "simplify or split the mesh")
