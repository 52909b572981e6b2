"""What files of Gaussians share: limits, whole reads, and the numbers in which they store opacity and colour."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Float64

from diorama.core.gaussians import Gaussians
from diorama.errors import DamagedMediaError, LimitError, MediaError, UsageError
from diorama.media.safe import regular_file

MOST_BYTES = 1 << 30
"""Of a file."""
MOST = 8_000_000
"""Gaussians in a file of any kind, read or written."""
AGAIN = "export or copy it again"
HARMONIC = 0.28209479177387814
"""The spherical harmonic of degree 0: colour = 0.5 + HARMONIC * coefficient."""
_LEAST = 2.0**-20
_SHORT = 1e-6


def whole(path: Path) -> bytes:
    """The bytes of a regular file.

    Raises:
        UsageError: not a path of a local file.
        MediaError: no such file, empty, or no permission.
        LimitError: more than `MOST_BYTES`.
    """
    path = regular_file(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MOST_BYTES:
                raise LimitError(f"a file of {size / 1e9:.1f} GB, the limit is {MOST_BYTES / 1e9:.1f} GB", path)
            return file.read(size)
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror})", path, "check the permissions") from error


def checked_count(count: int, where: object) -> int:
    """The number of Gaussians in a file.

    Raises:
        MediaError: none.
        LimitError: more than `MOST`.
    """
    if count < 1:
        raise MediaError("no Gaussians in it", where, AGAIN)
    if count > MOST:
        raise LimitError(f"{count} Gaussians, the limit is {MOST}", where, "thin them out")
    return count


def given(gaussians: Gaussians, where: str) -> Gaussians:
    """Gaussians that can be written: files cannot hold none.

    Raises:
        UsageError: none, or more than `MOST`.
    """
    if not 0 < len(gaussians) <= MOST:
        raise UsageError(f"{len(gaussians)} Gaussians", where, f"give 1 to {MOST}")
    return gaussians


@contextmanager
def from_file(path: Path) -> Iterator[None]:
    """Values that `Gaussians` and its like refuse become a `DamagedMediaError` about the file."""
    try:
        with np.errstate(all="ignore"):  # what overflows is not finite, and is refused as such
            yield
    except UsageError as error:
        raise DamagedMediaError(": ".join(filter(None, (error.where, error.what))), path, error.fix or AGAIN) from error


def logits(opacities: Float32[np.ndarray, " g"]) -> Float32[np.ndarray, " g"]:
    """Opacities as PLY files store them; 0 and 1, which have none, move inside by a millionth."""
    inside = opacities.astype(np.float64).clip(_LEAST, 1 - _LEAST)
    return np.log(inside / (1 - inside)).astype(np.float32)


def from_logits(stored: Float[np.ndarray, " g"]) -> Float32[np.ndarray, " g"]:
    """Opacities; undoes `logits`."""
    return (1 / (1 + np.exp(-stored.astype(np.float64)))).astype(np.float32)


def coefficients(colors: Float32[np.ndarray, "g 3"]) -> Float32[np.ndarray, "g 3"]:
    """Colours as spherical harmonics of degree 0."""
    return ((colors.astype(np.float64) - 0.5) / HARMONIC).astype(np.float32)


def from_coefficients(stored: Float[np.ndarray, "g 3"]) -> Float32[np.ndarray, "g 3"]:
    """Colours; undoes `coefficients`. Fits overshoot white and black, which screens show as white and black.

    Raises:
        UsageError: not finite.
    """
    if not np.isfinite(stored).all():
        raise UsageError("not finite", "colours")
    return (0.5 + HARMONIC * stored.astype(np.float64)).clip(0, 1).astype(np.float32)


def unit(quats: Float[np.ndarray, "g 4"]) -> Float32[np.ndarray, "g 4"]:
    """Rotations of unit length; files may store them in any.

    Raises:
        UsageError: one of no length, or not finite.
    """
    exact: Float64[np.ndarray, "g 4"] = quats.astype(np.float64)
    length = np.linalg.norm(exact, axis=1, keepdims=True)
    if not (np.isfinite(length) & (length > _SHORT)).all():
        raise UsageError("a rotation of no length, or not finite", "rotations")
    return (exact / length).astype(np.float32)
